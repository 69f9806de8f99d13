"""The first tab's work: a preview within a second, and the same at full size in a file."""

import math
import os
import re
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from faststyle.errors import InputError
from faststyle.images import fit, save_image
from faststyle.web.pictures import open_upload
from faststyle.web.shelf import Style, load

SIZES = (512, 768, 1024, 1536, 2048)  # of a preview's longer side
BYTES_PER_PIXEL = 420  # that the network needs at its widest, measured at 12 megapixels
MAX_FULL = 64_000_000  # pixels
CONTAINER = Path("/sys/fs/cgroup/memory.max")  # on Linux


class Preview(NamedTuple):
    """The photo as it was and stylized, of one size, and the seconds that it took."""

    before: Image.Image
    after: Image.Image
    seconds: float


def preview(photo: str | None, style: Style, strength: float, keep_color: bool, size: int) -> Preview:
    """Stylize an uploaded photo at a size for the screen.

    Raises:
        InputError: no photo, or not one that can be read.
    """
    started = time.perf_counter()
    before = open_upload(photo, "photo", size)
    after = load(style.model)(before, strength, keep_color)
    return Preview(before, after, time.perf_counter() - started)


def memory() -> int:
    """Bytes of memory that this machine, or the container we are in, has; 8 GB where it does not say."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        machine = 8 << 30
    try:
        return min(machine, int(CONTAINER.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return machine


def largest() -> int:
    """Pixels of the largest picture that is stylized at once: it takes half of the memory at most."""
    return min(MAX_FULL, memory() // 2 // BYTES_PER_PIXEL)


def shrink(picture: Image.Image, pixels: int) -> Image.Image:
    """Bring a picture down to at most so many pixels."""
    share = math.sqrt(pixels / (picture.width * picture.height))
    return picture if share >= 1 else fit(picture, max(1, math.floor(max(picture.size) * share)))


def file_name(photo: str, style: str, picture: Image.Image) -> str:
    """photo_starry_night.jpg; a picture with transparency becomes PNG."""
    stem = re.sub(r"[^\w\-. ]+", "", Path(photo).stem).strip(". ") or "photo"
    return f"{stem[:80]}_{style}{'.png' if picture.mode == 'RGBA' else '.jpg'}"


def full_size(
    photo: str | None, name: str, style: Style, strength: float, keep_color: bool, folder: str
) -> tuple[Path, str]:
    """Stylize an uploaded photo at its own size, into a file.

    Args:
        photo: the upload.
        name: the style's, for the file's.
        folder: a folder of its own is made in it.

    Returns:
        The file, and a line about it.

    Raises:
        InputError: no photo, or not one that can be read.
    """
    started = time.perf_counter()
    whole = open_upload(photo, "photo")
    assert photo is not None
    picture = shrink(whole, largest())
    result = load(style.model)(picture, strength, keep_color)
    path = Path(tempfile.mkdtemp(dir=folder)) / file_name(photo, name, result)
    save_image(result, path, quality=95)
    line = f"{path.name}: {result.width} × {result.height} pixels, {time.perf_counter() - started:.1f} s"
    if result.size != whole.size:
        line += f". The photo has {whole.width} × {whole.height}, more than this computer's memory holds"
    return path, line


def check_style(name: str | None, shelf: dict[str, Style]) -> Style:
    """The style of this name.

    Raises:
        InputError: none is chosen, or it is gone.
    """
    if name is None or name not in shelf:
        raise InputError("Choose a style first.")
    return shelf[name]
