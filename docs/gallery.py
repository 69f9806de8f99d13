"""Make every picture of the ready styles again, and docs/styles.md from their cards.

python docs/gallery.py --paintings paintings/

The README's picture, and for each style three photos over the fast answer and the slow baseline's. The
photos are scikit-image's; the slow answers take 100 steps each at 320 pixels, some minutes in all. The large
photo, for strokes in three sizes, is SciPy's, which fetches it with pooch (pip install pooch).
"""

import argparse
from pathlib import Path

import skimage
from PIL import Image
from scipy import datasets

from faststyle import Stylizer, optimize, refine
from faststyle.device import keep_freed_memory
from faststyle.image.convert import limit_size
from faststyle.image.files import find_images, open_image, save_image
from faststyle.inference.contact_sheet import caption, contact_sheet
from faststyle.models.card import ModelCard
from faststyle.models.pretrained import cards, worth

DOCS = Path(__file__).parent
PHOTOS = Path(skimage.__file__).parent / "data"
README_PHOTOS = {
    "coffee.png": "edtaonisl",
    "chelsea.png": "starry_night",
    "astronaut.png": "shipwreck",
}
STYLE_PHOTOS = ["astronaut.png", "chelsea.png", "rocket.jpg"]
SIZE = 512  # at which photos are stylized
MADE = "<!-- From here on it is made by docs/gallery.py, from the models' cards. -->"
SLOW_SIZE, SLOW_STEPS = 320, 100
BLENDS = [("starry_night", "the_scream"), ("great_wave", "composition_vii"), ("edtaonisl", "shipwreck")]
SHARES = (0, 0.25, 0.5, 0.75, 1)
STROKES_STYLE, STROKES_SIZE = "composition_vii", 560
GAP = 6


def row(pictures: list[Image.Image], height: int) -> Image.Image:
    """Pictures side by side, brought to one height."""
    scaled = [
        picture.resize((round(picture.width * height / picture.height), height)) for picture in pictures
    ]
    strip = Image.new("RGB", (sum(one.width + GAP for one in scaled) - GAP, height), "white")
    left = 0
    for picture in scaled:
        strip.paste(picture, (left, 0))
        left += picture.width + GAP
    return strip


def column(strips: list[Image.Image]) -> Image.Image:
    """Strips of one width under each other."""
    sheet = Image.new("RGB", (strips[0].width, sum(one.height + GAP for one in strips) - GAP), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height + GAP
    return sheet


def photos(names: list[str]) -> list[Image.Image]:
    return [limit_size(open_image(PHOTOS / name).convert("RGB"), SIZE) for name in names]


def square(picture: Image.Image) -> Image.Image:
    """The largest square in the middle."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def readme_picture(paintings: dict[str, Path]) -> Image.Image:
    """A row for each of three photos: itself, the painting, the photo stylized at once, and that refined."""
    rows = []
    for photo, name in zip(photos([*README_PHOTOS]), README_PHOTOS.values(), strict=True):
        photo = square(photo)
        first = Stylizer.load(name)(photo)
        painting = open_image(paintings[name]).convert("RGB")
        rows.append(row([photo, square(painting), first, refine(first, photo, name)], 280))
    return column(rows)


def style_picture(name: str, painting: Path) -> Image.Image:
    """Three rows: the photos, the model's answers, the slow baseline's."""
    model, style = Stylizer.load(name), open_image(painting)
    originals = photos(STYLE_PHOTOS)
    slow = [optimize(photo, style, size=SLOW_SIZE, style_size=512, steps=SLOW_STEPS) for photo in originals]
    return column([row(pictures, 256) for pictures in (originals, model(originals), slow)])


def blend_picture() -> Image.Image:
    """A row for each pair of styles: from the one to the other in four steps."""
    rows = []
    for (first, second), photo in zip(BLENDS, photos(STYLE_PHOTOS), strict=True):
        models = [Stylizer.load(f"{first}:{1 - share},{second}:{share}") for share in SHARES]
        rows.append(row([square(model(photo)) for model in models], 240))
    return column(rows)


def strokes_picture() -> Image.Image:
    """A large photo, and its stylizations with strokes of three sizes."""
    photo = Image.fromarray(datasets.face())
    stylize = Stylizer.load(STROKES_STYLE)
    pictures = {"photo": photo} | {
        f"--stroke-scale {scale}": stylize(photo, stroke_scale=scale) for scale in (1, 2, 4)
    }
    return contact_sheet({text: limit_size(picture, STROKES_SIZE) for text, picture in pictures.items()})


def table() -> str:
    """What each style is worth, in a row."""
    rows = [
        f"| [{name}](#{name}) | {caption(name, card)} | {worth(card)} |" for name, card in cards().items()
    ]
    head = ["| style | painting | evaluations of L-BFGS |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows]) + "\n"


def section(name: str, card: ModelCard) -> str:
    """A style's part of docs/styles.md, all of it from its card."""
    painting, equals, data = card.painting, card.equals, card.data
    assert painting and equals and data
    each = ", ".join(str(count or "more") for count in equals.each)
    facts = {
        "painting": f"{painting.title}, {painting.artist}, {painting.year}; {painting.licence}",
        "licence of the model": card.licence,
        "trained with": f"{data.photos:,} photos: {history(card)}",
        "command": f"`{card.command}`",
        "hardware and time": f"{card.hardware}; {card.minutes:g} minutes",
        "worth": f"**{worth(card)}** evaluations of L-BFGS from white noise: the median of "
        f"{equals.photos} validation photos at {equals.size} pixels ({each})",
    }
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return f"""
## {name}

![Three photos; under them the model's answer; under that the slow baseline's](pictures/styles/{name}.webp)

| | |
| --- | --- |
{rows}
"""


def history(card: ModelCard) -> str:
    """The steps of a model, and of those that it started from."""
    text, start = f"{card.steps:,} steps", card.init
    while start:
        text += f", from {start.name} after {start.steps:,} steps"
        start = start.init
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paintings", type=Path, required=True, help="a folder, with a file for each style")
    parser.add_argument("--only", nargs="*", default=[*cards()], metavar="NAME", help="slow answers of these")
    arguments = parser.parse_args()
    keep_freed_memory()
    paintings = {path.stem: path for path in find_images(arguments.paintings)}

    save_image(readme_picture(paintings), DOCS / "pictures" / "readme.webp", quality=80)
    save_image(blend_picture(), DOCS / "pictures" / "blends.webp", quality=80)
    save_image(strokes_picture(), DOCS / "pictures" / "strokes.webp", quality=80)
    for name in arguments.only:
        save_image(
            style_picture(name, paintings[name]), DOCS / "pictures" / "styles" / f"{name}.webp", quality=80
        )
        print(name, flush=True)
    page = DOCS / "styles.md"
    written = page.read_text(encoding="utf-8").partition(MADE)[0]
    sections = "".join(section(name, card) for name, card in cards().items())
    page.write_text(f"{written}{MADE}\n\n{table()}{sections}", encoding="utf-8")


if __name__ == "__main__":
    main()
