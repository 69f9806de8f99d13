"""The first tab's work: a photo is stylized for the screen, and at full size in a file."""

import math
import os
import re
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from faststyle.errors import InputError
from faststyle.images import fit, save_image
from faststyle.web.pictures import open_upload
from faststyle.web.shelf import Style, load

SIZES = (512, 768, 1024, 1536, 2048)  # of a preview's longer side
BYTES_PER_PIXEL = 420  # that the network needs at its widest, measured at 12 megapixels
MAX_JPEG = 65_500  # pixels of a side, as libjpeg has it
CONTAINER = Path("/sys/fs/cgroup/memory.max")  # on Linux


def paint(picture: Image.Image, style: Style, strength: float, keep_color: bool) -> Image.Image:
    """Stylize a picture.

    Raises:
        InputError: it does not fit into memory.
    """
    stylize = load(style.model)
    try:
        return stylize(picture, strength, keep_color)
    except InputError as error:
        if "memory" not in str(error):
            raise
        # The library's line names flags, which the page lacks.
        raise InputError(
            f"{picture.width} × {picture.height} pixels do not fit into this computer's memory: "
            "choose a smaller photo, or a smaller preview."
        ) from None


def memory(device: torch.device) -> int:
    """Bytes of memory for pictures: a GPU's that is free, or this machine's; 8 GB where it does not say."""
    if device.type == "cuda":
        # What torch keeps of earlier pictures is free for the next one.
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        machine = 8 << 30
    try:
        return min(machine, int(CONTAINER.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return machine


def largest(device: torch.device) -> int:
    """Pixels of the largest picture that is stylized at once: it takes half of the memory at most."""
    return memory(device) // 2 // BYTES_PER_PIXEL


def shrink(picture: Image.Image, pixels: int) -> Image.Image:
    """Bring a picture down to at most so many pixels."""
    share = math.sqrt(pixels / (picture.width * picture.height))
    return picture if share >= 1 else fit(picture, max(1, math.floor(max(picture.size) * share)))


def file_name(photo: str, style: str, picture: Image.Image) -> str:
    """photo_starry_night.jpg; a picture with transparency, or too long for JPEG, becomes PNG."""
    stem = re.sub(r"[^\w\-. ]+", "", Path(photo).stem).strip(". ") or "photo"
    png = picture.mode == "RGBA" or max(picture.size) > MAX_JPEG
    return f"{cut(stem)}_{cut(style)}{'.png' if png else '.jpg'}"


def cut(name: str) -> str:
    """At most 100 bytes of a name: file systems take 255, and a Chinese character is three."""
    return name.encode()[:100].decode(errors="ignore")


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
        InputError: no photo, not one that can be read, or one that does not fit into memory.
    """
    started = time.perf_counter()
    whole = open_upload(photo, "photo")
    assert photo is not None
    picture = shrink(whole, largest(load(style.model).device))
    result = paint(picture, style, strength, keep_color)
    path = Path(tempfile.mkdtemp(dir=folder)) / file_name(photo, name, result)
    save_image(result, path, quality=95)
    line = f"{path.name}: {result.width} × {result.height} pixels, {time.perf_counter() - started:.1f} s"
    if result.size != whole.size:
        line += f". The photo has {whole.width} × {whole.height}, more than this computer's memory holds"
    return path, line
