"""Load content photos from scikit-image, a folder, parquet files or the Hugging Face Hub."""

import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import skimage

from faststyle.errors import InputError, first_line, one_line
from faststyle.files import describe_left_out, find_files
from faststyle.image.files import split_images

log = logging.getLogger(__name__)

# Photos that come inside scikit-image's wheel; the portrait is held out.
SAMPLES = {
    "train": [
        "brick.png",
        "camera.png",
        "chelsea.png",
        "coffee.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "hubble_deep_field.jpg",
        "motorcycle_left.png",
        "rocket.jpg",
    ],
    "validation": ["astronaut.png"],
}

HELD_OUT_PHOTOS = 16  # photos held out if the set has no validation split; of a small set, about a tenth


def load_content(content: str, streaming: bool = False) -> tuple[Any, Any]:
    """Find content photos.

    Args:
        content: Source of the photos: ``samples`` (the photos in scikit-image); a folder of images, searched
            with its subfolders, of which train/ and validation/ become the two splits if both exist; a
            parquet file or a folder of them; or the name of a data set on the Hugging Face Hub, OWNER/NAME.
        streaming: Read a Hub or parquet set while training, without downloading it first.

    Returns:
        Training and validation rows: data sets with one column, ``image``, not decoded.

    Raises:
        InputError: The source does not exist, cannot be read, or holds no images.
    """
    if content == "samples":
        folder = Path(skimage.__file__).parent / "data"
        return tuple(image_rows([folder / name for name in SAMPLES[split]]) for split in SAMPLES)
    path = Path(content)
    if path.exists():
        files = [content]
        if path.is_dir():
            files = [str(file) for file in find_files(path) if file.suffix == ".parquet"]
            if not files:
                return load_folder(path)
        if not files[0].endswith(".parquet"):
            raise InputError(f"`content` {content} is not a parquet file: give the folder that it is in")
        try:
            splits = datasets.load_dataset("parquet", data_files=files, streaming=streaming)
        # Arrow and datasets raise exceptions of many classes for a damaged file.
        except Exception as error:
            raise InputError(f"`content` {content} cannot be read as parquet ({error})") from None
        return split_rows(splits)
    if content.count("/") != 1 or content.startswith((".", "/", "~")) or content.endswith("/"):
        raise InputError(f"there is no folder {content}: set `content` to a folder of photos")
    try:
        splits = datasets.load_dataset(content, streaming=streaming)
    # The Hub's client raises a dozen exception classes for a wrong name or a missing network.
    except Exception as error:
        raise InputError(
            f"there is no folder {content}, and no data set of that name could be loaded from the Hub: check "
            f"`content` ({first_line(error)})"
        ) from None
    return split_rows(splits)


def image_rows(paths: list[Path]) -> datasets.Dataset:
    """Return rows of image paths. Paths that are not UTF-8 are logged and left out: datasets needs text."""
    names = [str(path) for path in paths]
    valid = [name for name in names if name == os.fsencode(name).decode(errors="replace")]
    for name in sorted(set(names) - set(valid)):
        log.warning("skipped: %s: its name is not UTF-8: rename it", one_line(name))
    rows = datasets.Dataset.from_dict({"image": valid})
    return rows.cast_column("image", datasets.Image(decode=False))


def load_folder(folder: Path) -> tuple[Any, Any]:
    parts = folder / "train", folder / "validation"
    if all(part.is_dir() for part in parts):
        found = [image_rows(photos_in(part)) for part in parts]
        if all(map(len, found)):
            return tuple(found)
    rows = image_rows(photos_in(folder))
    if not len(rows):
        raise InputError(f"there are no images in {folder}: set `content` to a folder of photos")
    return hold_out(rows)


def photos_in(folder: Path) -> list[Path]:
    """Return the images below a folder, and log how many other files are left out."""
    images, others = split_images(find_files(folder))
    if images and others:
        log.warning("%s", describe_left_out(folder, others, "images"))
    return images


def hold_out(rows: Any) -> tuple[Any, Any]:
    """Return training rows, and every n-th row for validation. A single photo is used for both."""
    if len(rows) < 2:
        return rows, rows
    held_out = range(0, len(rows), max(10, len(rows) // HELD_OUT_PHOTOS))
    return rows.select(sorted(set(range(len(rows))) - set(held_out))), rows.select(held_out)


def split_rows(splits: Any) -> tuple[Any, Any]:
    """Return the training and validation rows of a loaded set, with one column, ``image``, not decoded."""
    name = "train" if "train" in splits else next(iter(splits))
    validation = next((other for other in ("validation", "test") if other in splits and other != name), None)
    train = select_image_column(splits[name])
    if validation is not None:
        return train, select_image_column(splits[validation])
    if isinstance(train, datasets.IterableDataset):
        # The length of a stream is not known. At most half of a short one is held out.
        first = list(train.take(2 * HELD_OUT_PHOTOS))
        held_out = first[: max(1, min(HELD_OUT_PHOTOS, len(first) // 2))]
        if len(first) < 2:
            return train, held_out
        # Compare contents, not positions, because each rank and worker counts the rows of its own shard.
        return train.filter(partial(is_not_among, {stored_image(row) for row in held_out})), held_out
    return hold_out(train)


def stored_image(row: Any) -> bytes | str:
    return row["image"]["bytes"] or row["image"]["path"]


def is_not_among(held_out: set[bytes | str], row: Any) -> bool:
    return stored_image(row) not in held_out


def select_image_column(rows: Any) -> Any:
    features = rows.features or {}
    names = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    column = next(iter(names), "image")
    if column not in features:
        raise InputError(f"no column of images among {', '.join(features)}: expected one named image")
    if column != "image":
        rows = rows.rename_column(column, "image")
    return rows.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))
