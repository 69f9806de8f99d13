"""Picture files too large for Pillow, read and written in strips by libvips, through files of raw pixels.

``pip install -e '.[large]'`` brings libvips; without it Pillow reads pictures whole.
"""

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from faststyle.errors import InputError, first_line
from faststyle.files import atomic_write, shorten_name
from faststyle.image.files import check_output
from faststyle.image.validation import LOADERS, check_pixels

MOST_WHOLE = 50_000_000  # pixels; larger images are tiled however much memory there is
LEAST = MOST_WHOLE  # pixels; below it Pillow's copies are no matter


def is_temporary(path: Path) -> bool:
    """Whether a folder has a name that ``stylized`` gives, and so is left of a writer who was killed."""
    return path.suffix == ".strips" and path.name.startswith(".") and path.is_dir()


def opened(path: Path, **options: str) -> Any:
    """A picture as libvips sees it, of which nothing is decoded yet; None of what it shall not read.

    Raises:
        pyvips.Error: the picture is damaged.
    """
    os.environ.setdefault("VIPS_WARNING", "no")  # what is wrong with a file its errors say
    import pyvips

    with path.open("rb") as file:
        head = file.read(4)
    loader = next((loader for start, loader in LOADERS.items() if head.startswith(start)), None)
    # By a reader's own name: in a file's it would look for options in brackets.
    return loader and getattr(pyvips.Image, loader)(os.fsencode(path), **options)


def pixels_of(path: Path) -> int:
    """How many pixels a picture has, from its header; 0 where libvips is missing or cannot read it.

    Raises:
        InputError: a decompression bomb.
    """
    if importlib.util.find_spec("pyvips") is None or not path.is_file():
        return 0
    import pyvips

    try:
        image = opened(path)
    except pyvips.Error:
        return 0
    pixels = image.width * image.height if image else 0
    check_pixels(pixels, path.stat().st_size, str(path))
    return pixels


def read_strips(path: Path, raw: Path) -> np.ndarray:
    """Decode a picture into a file of raw pixels: upright and in sRGB, as ``images.open_image`` does.

    But for CMYK without a profile, for which libvips has one of its own.

    Args:
        path: the picture.
        raw: the file to make, of three or four bytes a pixel.

    Returns:
        (H,W,3), or (H,W,4) where the picture has transparency: the file, mapped into memory.

    Raises:
        InputError: the picture is damaged.
    """
    import pyvips

    try:
        image = opened(path)
        # A picture on its side cannot be read from top to bottom: it is unpacked into a file first.
        turned = image.get_typeof("orientation") and image.get("orientation") != 1
        options = {"access": "random" if turned else "sequential", "fail_on": "truncated"}
        image = opened(path, **options).autorot()
        if image.get_typeof("icc-profile-data"):
            image = image.icc_transform("srgb", embedded=True, intent="perceptual", depth=8)
        else:
            image = image.colourspace("srgb")
        image = image.cast("uchar")
        image.rawsave(os.fsencode(raw))
    except pyvips.Error as error:
        raise InputError(f"{path} is damaged or cannot be read ({first_line(error)})", file=path) from None
    return np.memmap(raw, np.uint8, "r+", shape=(image.height, image.width, image.bands))


def check_strips(path: Path) -> None:
    """Decode a picture to its end, in little memory.

    Raises:
        InputError: the picture is damaged.
    """
    import pyvips

    try:
        opened(path, access="sequential", fail_on="truncated").avg()
    except pyvips.Error as error:
        raise InputError(f"{path} is damaged ({first_line(error)})", file=path) from None


def write_strips(pixels: np.memmap, path: Path, quality: int = 92) -> None:
    """Write a picture from a file of raw pixels, as ``images.save_image`` does.

    Args:
        pixels: (H,W,3) or (H,W,4), a whole file mapped into memory.
        path: where to; the format follows the name's suffix.
        quality: of JPEG and WebP, 1…100.

    Raises:
        InputError: no such format, or the picture is too large for it.
    """
    import pyvips

    kind = check_output(path)
    height, width, bands = pixels.shape
    pixels.flush()
    image = pyvips.Image.rawload(os.fsencode(str(pixels.filename)), width, height, bands, access="sequential")
    image = image.copy(interpretation="srgb")
    if kind == "JPEG" and bands == 4:
        image = image.flatten(background=255)
    options: dict[str, object] = {}
    if kind in ("JPEG", "WEBP"):
        options["Q"] = quality
    if kind == "JPEG":  # brush strokes have sharp colour edges
        options["subsample_mode"] = "off" if quality >= 90 else "on"
    if kind == "TIFF":
        options["bigtiff"] = pixels.nbytes >= 1 << 32
    save = getattr(image, f"{kind.lower()}save")
    with atomic_write(path, flush=False) as temporary:
        try:
            save(os.fsencode(temporary), **options)
        except pyvips.Error as error:
            raise InputError(
                f"{width}x{height} pixels cannot be written to {path} ({first_line(error)}): "
                "JPEG takes 65535 pixels a side, WebP 16383; a name in .tif takes any"
            ) from None


@contextmanager
def stylized(source: Path, target: Path, quality: int = 92) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give a picture's pixels and a place for the result's, and write the result when it is made.

    Transparency is in the result from the start. Both lie in files beside ``target``, for the
    folder of the system's temporary files may be in memory; they go at the end.

    Raises:
        InputError: the picture is damaged, or the result too large for its format.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=target.parent,
        prefix=f".{shorten_name(target.name)}.",
        suffix=".strips",
        ignore_cleanup_errors=True,
    ) as folder:
        photo = read_strips(source, Path(folder) / "photo")
        out = np.memmap(Path(folder) / "result", np.uint8, "w+", shape=photo.shape)
        out[..., 3:] = photo[..., 3:]
        yield photo, out
        write_strips(out, target, quality)
