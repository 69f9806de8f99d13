"""A contact sheet: one photo in many styles, captioned."""

import math
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from faststyle.image.color import blend_images
from faststyle.image.convert import limit_size, to_rgb
from faststyle.inference.settings import StylizeSettings
from faststyle.inference.stroke_scale import BEST_SIZE
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import ModelCard
from faststyle.models.pretrained import built_in_styles

CELL_SIZE = BEST_SIZE  # pixels of an image's longer side
GAP = 12
BACKGROUND, INK = "white", "#333333"


def caption(name: str, card: ModelCard) -> str:
    """Return the painting and its painter, or the model's name."""
    return f"{card.painting.title}, {card.painting.artist}" if card.painting else name


def without_accents(text: str) -> str:
    """Return a text without accents, because Pillow's own font has none."""
    return "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))


def contact_sheet(pictures: dict[str, Image.Image], columns: int | None = None) -> Image.Image:
    """Lay images of one size out in a grid, each over its caption.

    Args:
        pictures: Images by caption.
        columns: Number of columns; without it the grid is about as wide as high.

    Returns:
        The sheet, in RGB.
    """
    from PIL import ImageDraw, ImageFont  # here, because only sheets draw text

    width, height = next(iter(pictures.values())).size
    columns, size, across, down, sheet_size = lay_out(len(pictures), width, height, columns)
    font = ImageFont.load_default(size)
    sheet = Image.new("RGB", sheet_size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for place, (text, picture) in enumerate(pictures.items()):
        left, top = GAP + place % columns * across, GAP + place // columns * down
        sheet.paste(picture, (left, top), picture if picture.mode == "RGBA" else None)
        text = without_accents(text)
        while font.getlength(text) > width and len(text) > 4:
            text = text.rstrip("…")[:-1] + "…"
        draw.text((left, top + height + round(0.3 * size)), text, INK, font)
    return sheet


class Layout(NamedTuple):
    """The grid of a sheet, in pixels.

    Attributes:
        columns: Number of columns.
        text: Size of the captions.
        across, down: Distance of the cells' left sides, and of their upper sides.
        size: Width and height of the sheet.
    """

    columns: int
    text: int
    across: int
    down: int
    size: tuple[int, int]


def lay_out(count: int, width: int, height: int, columns: int | None = None) -> Layout:
    """Return the grid for a number of images of one size."""
    text = max(12, round(min(width / 26, height / 14)))
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    across, down = width + GAP, height + round(1.8 * text) + GAP
    return Layout(columns, text, across, down, (columns * across + GAP, rows * down + GAP))


class AllStyles:
    """All built-in styles at once. Call it like a ``Stylizer``; it returns a contact sheet.

    Args:
        device, precision, engine: as Stylizer's.
    """

    def __init__(self, device: str = "auto", precision: str = "auto", engine: str = "auto"):
        files = built_in_styles()
        models = {name: Stylizer.load(path, device, precision, engine) for name, path in files.items()}
        self.models = {caption(name, model.card): (name, model) for name, model in models.items()}

    def sheet_size(self, photo: Image.Image, settings: StylizeSettings) -> tuple[int, int]:
        """Return the width and height of a photo's sheet in pixels."""
        return lay_out(len(self.models), *limit_size(photo, settings.max_size or CELL_SIZE).size).size

    def __call__(
        self,
        photo: Image.Image,
        settings: StylizeSettings,
        refine: Callable[[Image.Image, Image.Image, str], Image.Image] | None = None,
    ) -> Image.Image:
        """Make the sheet of a photo.

        Args:
            photo: The photo.
            settings: As of ``Stylizer``, but ``max_size`` is the longer side of each image, 640 by default.
            refine: Called with each image at full strength, the photo and the style's name.
        """
        photo = limit_size(to_rgb(photo), settings.max_size or CELL_SIZE)
        look, scale = (settings.strength, settings.preserve_color), settings.stroke_scale
        images = {}
        for text, (name, model) in self.models.items():
            if refine is None:
                images[text] = model(photo, *look, stroke_scale=scale)
            else:
                image = refine(model(photo, stroke_scale=scale), photo, name)
                images[text] = blend_images(image, photo, *look)
        return contact_sheet(images)
