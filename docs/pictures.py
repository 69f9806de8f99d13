"""Make the README's picture: scikit-image's photos, and under them each model's stylization.

python docs/pictures.py starry_night.safetensors great_wave.safetensors -o docs/pictures/readme.webp
"""

import argparse
from pathlib import Path

import skimage
from PIL import Image

from faststyle import Stylizer
from faststyle.images import open_image, save_image

PHOTOS = ["astronaut.png", "chelsea.png", "coffee.png"]
HEIGHT = 320
GAP = 6


def row(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one height, side by side."""
    width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    strip = Image.new("RGB", (width, HEIGHT), "white")
    left = 0
    for picture in pictures:
        strip.paste(picture, (left, 0))
        left += picture.width + GAP
    return strip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()

    photos = [open_image(Path(skimage.__file__).parent / "data" / name) for name in PHOTOS]
    # Stylized at their own size, and brought to one height for the page.
    rows = [photos, *(Stylizer.load(model)(photos) for model in arguments.models)]
    strips = [
        row(
            [picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT)) for picture in pictures]
        )
        for pictures in rows
    ]
    sheet = Image.new("RGB", (strips[0].width, (HEIGHT + GAP) * len(strips) - GAP), "white")
    for place, strip in enumerate(strips):
        sheet.paste(strip, (0, place * (HEIGHT + GAP)))
    save_image(sheet, arguments.output, quality=80)


if __name__ == "__main__":
    main()
