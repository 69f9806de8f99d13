"""Draw every image of the built-in styles again, and write docs/styles.md from the models' metadata.

    python docs/gallery.py --paintings paintings/

The images are the README's, one for each style, one of blends and one of stroke sizes. The photos come with
scikit-image. Refining takes some minutes in all.
"""

import argparse
from pathlib import Path

import skimage
from PIL import Image

from faststyle import Stylizer, refine
from faststyle.device import keep_freed_memory
from faststyle.image.convert import limit_size
from faststyle.image.files import find_images, open_image, save_image
from faststyle.inference.contact_sheet import AllStyles, caption, contact_sheet
from faststyle.inference.settings import StylizeSettings
from faststyle.models.card import ModelCard
from faststyle.models.pretrained import read_cards

DOCS = Path(__file__).parent
IMAGES = DOCS / "pictures"
PHOTOS = Path(skimage.__file__).parent / "data"
README_PHOTOS = {
    "coffee.png": "edtaonisl",
    "chelsea.png": "starry_night",
    "astronaut.png": "yellow_cow",
}
STYLE_PHOTOS = ["astronaut.png", "chelsea.png", "rocket.jpg"]
SHEET_PHOTO, SHEET_SIZE = "coffee.png", 400
SIZE = 512  # pixels of a photo's longer side
MARKER = "<!-- docs/gallery.py writes everything below from the models' metadata. -->"
BLENDS = [("starry_night", "great_wave"), ("great_wave", "composition_vii"), ("edtaonisl", "shipwreck")]
WEIGHTS = (0, 0.25, 0.5, 0.75, 1)  # of the second style of a blend
STROKES_STYLE, STROKES_PHOTO, STROKES_SIZE = "composition_vii", "rocket.jpg", 560
GAP = 6  # pixels between images


def join_row(images: list[Image.Image], height: int) -> Image.Image:
    """Paste images side by side, scaled to one height."""
    scaled = [image.resize((round(image.width * height / image.height), height)) for image in images]
    row = Image.new("RGB", (sum(one.width + GAP for one in scaled) - GAP, height), "white")
    left = 0
    for image in scaled:
        row.paste(image, (left, 0))
        left += image.width + GAP
    return row


def join_column(rows: list[Image.Image]) -> Image.Image:
    """Paste images of one width below each other."""
    sheet = Image.new("RGB", (rows[0].width, sum(one.height + GAP for one in rows) - GAP), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height + GAP
    return sheet


def open_photos(names: list[str]) -> list[Image.Image]:
    return [limit_size(open_image(PHOTOS / name).convert("RGB"), SIZE) for name in names]


def crop_square(image: Image.Image) -> Image.Image:
    """Crop the largest square in the middle of an image."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def draw_readme_image(paintings: dict[str, Path]) -> Image.Image:
    """Draw rows of a photo, a painting, the photo after one pass, and that image refined."""
    rows = []
    for photo, name in zip(open_photos([*README_PHOTOS]), README_PHOTOS.values(), strict=True):
        photo = crop_square(photo)
        first = Stylizer.load(name)(photo)
        painting = crop_square(open_image(paintings[name]).convert("RGB"))
        rows.append(join_row([photo, painting, first, refine(first, photo, name)], 280))
    return join_column(rows)


def draw_style(name: str) -> Image.Image:
    """Draw a row of photos, a row of the model's images, and a row of those refined."""
    photos = open_photos(STYLE_PHOTOS)
    images = Stylizer.load(name)(photos)
    refined = [refine(image, photo, name) for image, photo in zip(images, photos, strict=True)]
    return join_column([join_row(row, 256) for row in (photos, images, refined)])


def draw_unseen(paintings: list[Path]) -> Image.Image:
    """Draw a row for each painting: two photos by the style encoder's model, and each refined."""
    rows = []
    photos = [crop_square(photo) for photo in open_photos(STYLE_PHOTOS[:2])]
    for painting in paintings:
        row, model = [crop_square(open_image(painting).convert("RGB"))], Stylizer.load(painting)
        for photo in photos:
            first = model(photo)
            row += [first, refine(first, photo, painting)]
        rows.append(join_row(row, 190))
    return join_column(rows)


def draw_sheet() -> Image.Image:
    """Draw a photo in each style, as ``--checkpoint all`` does."""
    (photo,) = open_photos([SHEET_PHOTO])
    return AllStyles()(photo, StylizeSettings(max_size=SHEET_SIZE))


def draw_blends() -> Image.Image:
    """Draw a row for each pair of styles, from one style to the other in four steps."""
    rows = []
    for (first, second), photo in zip(BLENDS, open_photos(STYLE_PHOTOS), strict=True):
        models = [Stylizer.load(f"{first}:{1 - weight},{second}:{weight}") for weight in WEIGHTS]
        rows.append(join_row([crop_square(model(photo)) for model in models], 240))
    return join_column(rows)


def draw_strokes() -> Image.Image:
    """Draw a photo, and its stylizations with strokes of three sizes."""
    photo = open_image(PHOTOS / STROKES_PHOTO)
    stylize = Stylizer.load(STROKES_STYLE)
    images = {"photo": photo} | {
        f"--stroke-scale {scale}": stylize(photo, stroke_scale=scale) for scale in (1, 2, 4)
    }
    return contact_sheet({text: limit_size(image, STROKES_SIZE) for text, image in images.items()})


def make_table() -> str:
    """Return the Markdown table of the styles and their paintings."""
    rows = [f"| [{name}](#{name}) | {caption(name, card)} |" for name, card in read_cards().items()]
    return "\n".join(["| style | painting |", "| --- | --- |", *rows]) + "\n"


def make_section(name: str, card: ModelCard) -> str:
    """Return a style's section of docs/styles.md."""
    painting, data = card.painting, card.data
    assert painting and data
    facts = {
        "painting": f"{painting.title}, {painting.artist}, {painting.year}; {painting.licence}",
        "licence of the model": card.licence,
        "trained with": f"{data.photos:,} photos: {describe_steps(card)}",
        "command": f"`{card.command}`",
        "hardware and time": f"{card.hardware}; {card.minutes:g} minutes",
    }
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return f"""
## {name}

![Three photos; below them the model's images; below those the same refined](pictures/styles/{name}.webp)

| | |
| --- | --- |
{rows}
"""


def describe_steps(card: ModelCard) -> str:
    """Return the training steps of a model, and of the models that it started from."""
    text, start = f"{card.steps:,} steps", card.init
    while start:
        text += f", from {start.name} after {start.steps:,} steps"
        start = start.init
    return text


def write_page(page: Path) -> None:
    """Write the part of docs/styles.md below the marker."""
    written = page.read_text(encoding="utf-8").partition(MARKER)[0]
    sections = "".join(make_section(name, card) for name, card in read_cards().items())
    page.write_text(f"{written}{MARKER}\n\n{make_table()}{sections}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paintings", type=Path, required=True, help="folder with a file for each style")
    parser.add_argument(
        "--only", nargs="*", default=[*read_cards()], metavar="NAME", help="draw these styles"
    )
    parser.add_argument("--unseen", type=Path, help="folder of paintings that the style encoder never saw")
    options = parser.parse_args()
    keep_freed_memory()
    paintings = {path.stem: path for path in find_images(options.paintings)}

    save_image(draw_readme_image(paintings), IMAGES / "readme.webp", quality=80)
    save_image(draw_sheet(), IMAGES / "sheet.webp", quality=75)
    save_image(draw_blends(), IMAGES / "blends.webp", quality=80)
    save_image(draw_strokes(), IMAGES / "strokes.webp", quality=80)
    if options.unseen:
        save_image(draw_unseen(find_images(options.unseen)), IMAGES / "any_painting.webp", quality=62)
    for name in options.only:
        save_image(draw_style(name), IMAGES / "styles" / f"{name}.webp", quality=80)
        print(name, flush=True)
    write_page(DOCS / "styles.md")


if __name__ == "__main__":
    main()
