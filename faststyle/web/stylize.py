"""The first tab's work: a photo is stylized for the screen, and at full size in a file."""

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from faststyle.errors import OutOfMemoryError
from faststyle.image.files import save_image
from faststyle.image.mosaic import open_style
from faststyle.inference.stylizer import Stylizer, finished
from faststyle.models.find import find_grams
from faststyle.optimization.refine import refinement
from faststyle.web.styles import Style, load, open_model
from faststyle.web.uploads import open_upload

SIZES = (640, 768, 1024, 1536, 2048)  # of a preview's longer side
EVALUATIONS = 10  # of a refined preview
MAX_JPEG = 65_500  # pixels of a side, as libjpeg has it


def paint(picture: Image.Image, stylize: Stylizer, strength: float, keep_color: bool) -> Image.Image:
    """Stylize a picture.

    Raises:
        OutOfMemoryError: It does not fit into memory.
    """
    try:
        return stylize(picture, strength, keep_color)
    except OutOfMemoryError:
        # The library's message also names parameters without a control on the page.
        raise OutOfMemoryError(
            f"{picture.width} × {picture.height} pixels do not fit into this computer's memory: "
            "choose a smaller photo, or lower `max_size`."
        ) from None


class Refined(NamedTuple):
    """A preview on its way: the best image so far, and how many of its evaluations are done."""

    image: Image.Image
    done: int
    total: int


def refined(picture: Image.Image, style: Style, strength: float, keep_color: bool) -> Iterator[Refined]:
    """Stylize a picture, and refine that by ``EVALUATIONS`` of the per-image baseline.

    Yields:
        The stylization, and the best image after each evaluation.

    Raises:
        InputError: The style's file has no Gram matrices of its painting, or no memory.
    """
    painting = open_style(style.painting) if style.painting else None
    targets = painting or find_grams(style.model)
    run = refinement(paint(picture, load(style.model), 1.0, False), picture, targets, EVALUATIONS)
    for step in run:
        yield Refined(finished(run.result(), picture, strength, keep_color), step.number, run.steps)


def file_name(photo: str, style: str, picture: Image.Image) -> str:
    """photo_starry_night.jpg; a picture with transparency, or too long for JPEG, becomes PNG."""
    png = picture.mode == "RGBA" or max(picture.size) > MAX_JPEG
    return joint_name(photo, style, "photo") + (".png" if png else ".jpg")


def joint_name(upload: str, style: str, what: str) -> str:
    """photo_starry_night; ``what`` it is where nothing of the upload's name can be kept."""
    stem = re.sub(r"[^\w\-. ]+", "", Path(upload).stem).strip(". ") or what
    return f"{cut(stem)}_{cut(style)}"


def cut(name: str) -> str:
    """At most 100 bytes of a name: file systems take 255, and a Chinese character is three."""
    return name.encode()[:100].decode(errors="ignore")


def full_size(
    photo: str | None, name: str, style: Style, strength: float, keep_color: bool, folder: str
) -> tuple[Path, str]:
    """Stylize an uploaded photo at its own size, into a file; by tiles where it does not fit into memory.

    Args:
        photo: the upload.
        name: the style's, for the file's.
        folder: a folder of its own is made in it.

    Returns:
        The file, and a line about it.

    Raises:
        InputError: no photo, not one that can be read, or not even a tile fits into memory.
    """
    started = time.perf_counter()
    picture = open_upload(photo, "photo")
    assert photo is not None
    # Minutes, perhaps: previews of the same style shall not wait for it.
    result = paint(picture, open_model(style.model), strength, keep_color)
    path = Path(tempfile.mkdtemp(dir=folder)) / file_name(photo, name, result)
    save_image(result, path, quality=95)
    seconds = time.perf_counter() - started
    return path, f"{path.name}: {result.width} × {result.height} pixels, {seconds:.1f} s"
