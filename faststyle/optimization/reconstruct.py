"""What each layer of VGG keeps: a photo and a painting, rebuilt from noise."""

from typing import Any

from PIL import Image, ImageDraw, ImageOps
from tqdm import tqdm

from faststyle.image.convert import scale_to, to_rgb
from faststyle.losses.presets import FIVE
from faststyle.optimization.optimization import Optimization

GAP = 8  # pixels between the images
CAPTION_HEIGHT = 18  # pixels


def reconstruct(
    photo: Image.Image,
    painting: Image.Image,
    layers: tuple[str, ...] = FIVE,
    size: int = 256,
    steps: int = 100,
    **options: Any,
) -> Image.Image:
    """Draw the figure of Gatys et al. 2016 (their figure 1).

    The upper row shows the photo, rebuilt from white noise by the content of one layer after another. The
    lower row shows the painting, rebuilt from white noise by the style of the first layer, the first two
    layers, and so on (texture synthesis).

    Args:
        photo: PIL image of any size.
        painting: PIL image of any size; its textures are rebuilt at the photo's size.
        layers: VGG layers, shallow to deep.
        size: Longer side of each image in pixels.
        steps: Number of updates of each image.
        **options: Parameters of ``Optimization``, such as device, seed, statistic or pooling.

    Returns:
        RGB, one column for the originals and one for each layer.
    """
    options |= {"size": size, "style_size": size, "steps": steps, "init": "noise", "scales": 1}
    photo = scale_to(to_rgb(photo).convert("RGB"), size)
    original = ImageOps.contain(to_rgb(painting).convert("RGB"), photo.size)
    columns = [("photo and painting", photo, original)]
    with tqdm(total=2 * len(layers) * steps, unit="step") as bar:

        def rebuild(**objective: Any) -> Image.Image:
            optimization = Optimization(photo, painting, **options, **objective)
            before = bar.n
            for step in optimization:
                bar.update(before + step.number - bar.n)
            return optimization.result().convert("RGB")

        for depth, layer in enumerate(layers, start=1):
            style_layers = dict.fromkeys(layers[:depth], 1 / depth)
            content = rebuild(style_weight=0, tv_weight=0, content_layers={layer: 1})
            style = rebuild(content_weight=0, tv_weight=0, style_layers=style_layers)
            columns.append((layer, content, style))
    return draw_columns(columns)


def figure_size(columns: int, width: int, height: int) -> tuple[int, int]:
    """Return the width and height of a figure of columns of two images, in pixels."""
    return columns * (width + GAP) + GAP, CAPTION_HEIGHT + 2 * (height + GAP) + GAP


def draw_columns(columns: list[tuple[str, Image.Image, Image.Image]]) -> Image.Image:
    """Draw columns of a caption and two images, one above the other; no image is larger than the first."""
    width, height = columns[0][1].size
    sheet = Image.new("RGB", figure_size(len(columns), width, height), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (caption, above, below) in enumerate(columns):
        left = GAP + place * (width + GAP)
        pen.text((left, GAP / 2), caption, fill="black")
        sheet.paste(above, (left, CAPTION_HEIGHT + GAP))
        sheet.paste(below, (left, CAPTION_HEIGHT + 2 * GAP + height))
    return sheet
