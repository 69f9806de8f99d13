"""Stylization of photos of the page: previews, refinement and files at full size."""

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from faststyle.errors import InputError, OutOfMemoryError
from faststyle.image.color import blend_images
from faststyle.image.files import MAX_SIDES, save_image
from faststyle.image.masks import fit_mask
from faststyle.image.mosaic import open_style
from faststyle.inference.regions import combine
from faststyle.inference.settings import MAX_STROKE_SCALE, StylizeSettings
from faststyle.inference.stroke_scale import auto_scale
from faststyle.inference.stylizer import Stylizer
from faststyle.models.find import find_grams
from faststyle.optimization.refine import refinement
from faststyle.options import Settings, name_result
from faststyle.registry import choose
from faststyle.web.styles import Blend, Style, load_shared_stylizer, load_stylizer
from faststyle.web.uploads import open_upload
from faststyle.web.waiting import Stage

PREVIEW_SIZES = (640, 768, 1024, 1536, 2048)  # pixels of the longer side
REFINE_EVALUATIONS = 10
STROKES = {"Fine": 0.5, "Medium": 1.0, "Bold": 2.0}  # sizes, relative to the usual one
DEFAULT_STROKES = "Medium"
MAX_NAME_BYTES = 100  # of each part; file systems allow 255 in all, and a Chinese character takes three


class Look(NamedTuple):
    """How a stylized photo looks.

    Attributes:
        strength: Blend from 0 (the photo) to 1 (the style).
        keep_color: Keep the photo's colours.
        strokes: A key of ``STROKES``.
        mask: An image of any size that is white where the style is wanted; None for everywhere.
    """

    strength: float = StylizeSettings.strength
    keep_color: bool = StylizeSettings.preserve_color
    strokes: str = DEFAULT_STROKES
    mask: Image.Image | None = None

    def settings(self, image: Image.Image) -> StylizeSettings:
        """Return the library's settings for an image; strokes keep their size relative to it."""
        factor = choose("size of strokes", self.strokes, STROKES)
        if factor == 1:
            return StylizeSettings(self.strength, self.keep_color)
        scale = min(max(1.0, factor * auto_scale(image.height, image.width)), MAX_STROKE_SCALE)
        return StylizeSettings(self.strength, self.keep_color, stroke_scale=scale)

    def limit_to_mask(self, stylized: Image.Image, photo: Image.Image) -> Image.Image:
        """Return a stylized photo with the photo itself outside of the mask."""
        if self.mask is None:
            return stylized
        return combine(photo.convert(stylized.mode), [(stylized, fit_mask(self.mask, photo.size))])


def stylize_image(image: Image.Image, stylize: Stylizer, look: Look) -> Image.Image:
    """Stylize an image.

    Raises:
        OutOfMemoryError: The image does not fit into memory.
    """
    try:
        return look.limit_to_mask(stylize(image, **vars(look.settings(image))), image)
    except OutOfMemoryError:
        # The library's message also names parameters that have no control on the page.
        raise OutOfMemoryError(
            f"{image.width} × {image.height} pixels do not fit into this computer's memory: "
            "choose a smaller photo, or lower `max_size`."
        ) from None


def stylize_preview(image: Image.Image, style: Style, look: Look) -> Image.Image:
    """Stylize an image with the stylizer that all previews of a style share.

    Raises:
        InputError: The model cannot be loaded.
        OutOfMemoryError: The image does not fit into memory.
    """
    return stylize_image(image, load_shared_stylizer(style.model), look)


class RefineStep(NamedTuple):
    """An intermediate result of a refinement.

    Attributes:
        image: The best image so far.
        done: Number of evaluations done.
        total: Number of evaluations in all.
    """

    image: Image.Image
    done: int
    total: int


def refine_image(image: Image.Image, style: Style, look: Look) -> Iterator[RefineStep]:
    """Stylize an image, then refine the result with ``REFINE_EVALUATIONS`` of the per-image optimization.

    Yields:
        The stylized image, then the best image after each evaluation.

    Raises:
        InputError: The model file has no Gram matrices of its painting, or the style is a blend.
        OutOfMemoryError: The image does not fit into memory.
    """
    if isinstance(style.model, Blend):
        raise InputError(
            "A blend has no single painting to refine towards: set Blend with to No other style."
        )
    painting = open_style(style.painting) if style.painting else None
    targets = painting or find_grams(style.model)
    full = look._replace(strength=1.0, keep_color=False, mask=None)
    stylized = stylize_image(image, load_shared_stylizer(style.model), full)
    run = refinement(stylized, image, targets, REFINE_EVALUATIONS)
    for step in run:
        blended = blend_images(run.result(), image, look.strength, look.keep_color)
        yield RefineStep(look.limit_to_mask(blended, image), step.number, run.steps)


def make_file_name(photo: str, style: str, settings: Settings, image: Image.Image) -> str:
    """Return a name such as photo_starry_night_s0.6.jpg; .png if JPEG cannot hold the image."""
    png = image.mode == "RGBA" or max(image.size) > MAX_SIDES["JPEG"]
    return join_names(photo, style, settings, "photo") + (".png" if png else ".jpg")


def join_names(upload: str, style: str, settings: Settings, fallback: str) -> str:
    """Return a name such as photo_starry_night_s0.6, as the command's for the same result.

    Args:
        upload: Path of the upload. Characters that are unsafe in file names are removed.
        style: Name of the style.
        settings: Settings of the result; the name holds those that differ from their defaults.
        fallback: Takes the place of the upload's name if no safe character is left in it.
    """
    stem = re.sub(r"[^\w\-. ]+", "", Path(upload).stem).strip(". ") or fallback
    return f"{truncate_name(stem)}_{name_result(truncate_name(style), settings)}"


def truncate_name(name: str) -> str:
    """Truncate a name to ``MAX_NAME_BYTES`` of UTF-8."""
    return name.encode()[:MAX_NAME_BYTES].decode(errors="ignore")


def stylize_full_size(
    photo: str | None,
    name: str,
    style: Style,
    look: Look,
    folder: str,
    stage: Stage,
) -> tuple[Path, str]:
    """Stylize an uploaded photo at its full size into a file, in tiles if it does not fit into memory.

    Args:
        photo: Path of the upload.
        name: Name of the style, for the file name.
        style: The style.
        look: How the result looks.
        folder: Folder in which a new folder for the file is created.
        stage: Stage of the computation, to be set.

    Returns:
        The path of the file, and a line that describes it.

    Raises:
        InputError: The photo is missing or cannot be read.
        OutOfMemoryError: Not even a tile fits into memory.
    """
    started = time.perf_counter()
    image = open_upload(photo, "photo")
    assert photo is not None
    stage.text = f"Stylizing {image.width} × {image.height} pixels"
    # Not the shared stylizer: this can take minutes, and previews of the same style would wait for it.
    result = stylize_image(image, load_stylizer(style.model), look)
    stage.text = "Writing the file"
    path = Path(tempfile.mkdtemp(dir=folder)) / make_file_name(photo, name, look.settings(image), result)
    save_image(result, path)
    seconds = time.perf_counter() - started
    return path, f"{path.name}: {result.width} × {result.height} pixels, {seconds:.1f} s"
