"""Where content photos come from: scikit-image's, a folder, parquet files, or the Hugging Face Hub."""

import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import skimage

from faststyle.errors import InputError, first_line, one_line
from faststyle.image.files import find_images

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

HELD_OUT = 16  # photos taken for validation, about a tenth of few, where none are set apart


def load_content(content: str, streaming: bool = False) -> tuple[Any, Any]:
    """Find content photos.

    Args:
        content: samples (scikit-image's photos); a folder of pictures, in subfolders too, where
            train/ and validation/ are kept apart if both are there; a parquet file or a folder of
            them; or a data set's name on the Hugging Face Hub, owner/name.
        streaming: read a hub or parquet set as it is needed, without downloading it first.

    Returns:
        Training and validation rows: datasets with one column, image, not decoded.

    Raises:
        InputError: nothing there, or no pictures in it.
    """
    if content == "samples":
        folder = Path(skimage.__file__).parent / "data"
        return tuple(picture_files([folder / name for name in SAMPLES[split]]) for split in SAMPLES)
    path = Path(content)
    if path.is_dir() and not any(path.rglob("*.parquet")):
        return load_folder(path)
    if path.exists():
        files = [str(file) for file in (sorted(path.rglob("*.parquet")) if path.is_dir() else [path])]
        if not files[0].endswith(".parquet"):
            raise InputError(f"`content` {content} is a file: give the folder that it is in")
        try:
            splits = datasets.load_dataset("parquet", data_files=files, streaming=streaming)
        # Arrow and datasets each wrap what is wrong with a file in exceptions of their own.
        except Exception as error:
            raise InputError(f"`content` {content} cannot be read as parquet ({error})") from None
        return split_rows(splits)
    if content.count("/") != 1 or content.startswith((".", "/", "~")) or content.endswith("/"):
        raise InputError(f"there is no folder {content}: set `content` to a folder of photos")
    try:
        splits = datasets.load_dataset(content, streaming=streaming)
    # The hub answers a wrong name or no network with exceptions of a dozen kinds.
    except Exception as error:
        raise InputError(
            f"there is no folder {content}, nor could it be had as a data set of the Hub "
            f"({first_line(error)})"
        ) from None
    return split_rows(splits)


def picture_files(paths: list[Path]) -> datasets.Dataset:
    """Rows of pictures by their paths, which must be text: others are said, and left out."""
    names = [str(path) for path in paths]
    named = [name for name in names if name == os.fsencode(name).decode(errors="replace")]
    for name in sorted(set(names) - set(named)):
        log.warning("skipped: %s: its name is no text (UTF-8): rename it", one_line(name))
    rows = datasets.Dataset.from_dict({"image": named})
    return rows.cast_column("image", datasets.Image(decode=False))


def load_folder(folder: Path) -> tuple[Any, Any]:
    parts = folder / "train", folder / "validation"
    if all(part.is_dir() for part in parts):
        found = [find_images(part) for part in parts]
        if all(found):
            return picture_files(found[0]), picture_files(found[1])
    rows = picture_files(find_images(folder))
    if not len(rows):
        raise InputError(f"there are no images in {folder}: set `content` to a folder of photos")
    return hold_out(rows)


def hold_out(rows: Any) -> tuple[Any, Any]:
    """Set every n-th row apart for validation; a single photo must serve for both."""
    if len(rows) < 2:
        return rows, rows
    apart = range(0, len(rows), max(10, len(rows) // HELD_OUT))
    return rows.select(sorted(set(range(len(rows))) - set(apart))), rows.select(apart)


def split_rows(splits: Any) -> tuple[Any, Any]:
    """Take the splits of a loaded set, with its one picture column as image, not decoded."""
    name = "train" if "train" in splits else next(iter(splits))
    held = next((other for other in ("validation", "test") if other in splits and other != name), None)
    train = picture_column(splits[name])
    if held is not None:
        return train, picture_column(splits[held])
    if isinstance(train, datasets.IterableDataset):
        # A stream does not tell its length; of a short one at most half is held out.
        first = list(train.take(2 * HELD_OUT))
        held_out = first[: max(1, min(HELD_OUT, len(first) // 2))]
        if len(first) < 2:
            return train, held_out
        # By what they hold, not by place: each process and worker counts the places of its own share.
        return train.filter(partial(is_apart, {stored_picture(row) for row in held_out})), held_out
    return hold_out(train)


def stored_picture(row: Any) -> bytes | str:
    return row["image"]["bytes"] or row["image"]["path"]


def is_apart(others: set[bytes | str], row: Any) -> bool:
    return stored_picture(row) not in others


def picture_column(rows: Any) -> Any:
    features = rows.features or {}
    names = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    column = next(iter(names), "image")
    if column not in features:
        raise InputError(f"no column of pictures among {', '.join(features)}: expected one named image")
    if column != "image":
        rows = rows.rename_column(column, "image")
    return rows.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))
