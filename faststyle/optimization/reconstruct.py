"""What each layer keeps: a photo rebuilt from its content, a painting from its style, each alone."""

from typing import Any

from PIL import Image, ImageDraw, ImageOps
from tqdm import tqdm

from faststyle.image.convert import scale_to, to_rgb
from faststyle.losses.presets import FIVE
from faststyle.optimization.optimization import Optimization

GAP = 8
CAPTION = 18  # pixels for a line of text


def reconstruct(
    photo: Image.Image,
    painting: Image.Image,
    layers: tuple[str, ...] = FIVE,
    size: int = 256,
    steps: int = 100,
    **options: Any,
) -> Image.Image:
    """Draw the figure of Gatys et al. 2016 (their figure 1).

    Above, the photo from white noise by the content of one layer after another; below, the painting
    from white noise by the style of the first layer, the first two, and so on (texture synthesis).

    Args:
        photo: of any size.
        painting: of any size; its textures come out in the photo's size.
        layers: VGG layers, shallow to deep.
        size: longer side of each picture in pixels.
        steps: of each picture.
        **options: of Optimization, such as device, seed, statistic or pooling.

    Returns:
        RGB, one column for the originals and one for each layer.
    """
    options |= {"size": size, "style_size": size, "steps": steps, "init": "noise", "scales": 1}
    photo = scale_to(to_rgb(photo).convert("RGB"), size)
    original = ImageOps.contain(to_rgb(painting).convert("RGB"), photo.size)
    columns = [("photo and painting", photo, original)]
    with tqdm(total=2 * len(layers) * steps, unit="step") as bar:

        def run(**objective: Any) -> Image.Image:
            optimization = Optimization(photo, painting, **options, **objective)
            before = bar.n
            for step in optimization:
                bar.update(before + step.number - bar.n)
            return optimization.result().convert("RGB")

        for depth, layer in enumerate(layers, start=1):
            content = run(style_weight=0, tv_weight=0, content_layers={layer: 1})
            style = run(content_weight=0, tv_weight=0, style_layers=dict.fromkeys(layers[:depth], 1 / depth))
            columns.append((layer, content, style))
    return draw(columns)


def draw(columns: list[tuple[str, Image.Image, Image.Image]]) -> Image.Image:
    """Captioned columns of two pictures each, one above the other; none is larger than the first."""
    width, height = columns[0][1].size
    sheet = Image.new(
        "RGB", (len(columns) * (width + GAP) + GAP, CAPTION + 2 * (height + GAP) + GAP), "white"
    )
    pen = ImageDraw.Draw(sheet)
    for place, (name, above, below) in enumerate(columns):
        left = GAP + place * (width + GAP)
        pen.text((left, GAP / 2), name, fill="black")
        sheet.paste(above, (left, CAPTION + GAP))
        sheet.paste(below, (left, CAPTION + 2 * GAP + height))
    return sheet
