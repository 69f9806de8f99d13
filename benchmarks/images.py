"""How bold images are: each built-in style at once, refined and by the slow baseline, beside peers' images.

python -m benchmarks.images --photos photos/ --paintings paintings/ --peers peers/ --sheet sheet.webp

A peer's images are PEER_STYLE.jpg, STYLE the end of a built-in style's name, beside the photo that they were
made of, PHOTO.jpg without an underscore. All figures are medians over the photos, as
faststyle.evaluation.measure defines them; peers' are of their one photo.
"""

import argparse
import statistics
import time
from pathlib import Path

from PIL import Image

from faststyle.device import keep_freed_memory
from faststyle.evaluation.measure import LAYERS, Measure, Measures
from faststyle.image.convert import limit_size, scale_to
from faststyle.image.files import find_images, open_image, save_image
from faststyle.inference.contact_sheet import contact_sheet
from faststyle.inference.stylizer import Stylizer
from faststyle.losses.vgg import VGG
from faststyle.models.pretrained import ready
from faststyle.optimization.optimization import optimize
from faststyle.optimization.refine import refine

SIZE = 512  # pixels of the longer side
WAYS = ("pass", "refined", "slow")
CELL = 320  # pixels of an image on the sheet


def stylized(
    way: str, model: Stylizer, name: str, photo: Image.Image, painting: Image.Image, evaluations: int
) -> tuple[Image.Image, float]:
    """Stylize a photo in one of ``WAYS``.

    Returns:
        The image, and the seconds that it took; of a refined image what comes after the pass.
    """
    first = model(photo)
    begun = time.perf_counter()
    if way == "pass":
        image = model(photo)
    elif way == "refined":
        image = refine(first, photo, name, evaluations)
    else:
        image = optimize(photo, painting, size=SIZE)
    return image, time.perf_counter() - begun


def peers_images(folder: Path | None, name: str) -> tuple[Image.Image | None, dict[str, Image.Image]]:
    """Find a style's images among the peers', by peer, and the photo that they were made of."""
    found: dict[str, Image.Image] = {}
    photo = None
    for path in find_images(folder) if folder else []:
        peer, _, style = path.stem.partition("_")
        if path.parent != folder:
            continue
        if not style:
            photo = open_image(path).convert("RGB")
        elif name.endswith(style) or style.endswith(name):
            found[peer] = open_image(path).convert("RGB")
    return photo, found


def row(style: str, who: str, each: list[Measures]) -> str:
    """Return a row of the table: medians over the photos."""
    medians = [statistics.median(values) for values in zip(*each, strict=True)]
    return f"| {style} | {who} | " + " | ".join(f"{value:.2f}" for value in medians) + " |"


def sheet_of(rows: list[dict[str, Image.Image]], size: tuple[int, int]) -> Image.Image:
    """Put each style into a row of its own, captioned; shorter rows end in white."""
    columns = max(map(len, rows))
    cells: dict[str, Image.Image] = {}
    for place, one in enumerate(rows):
        cells |= {caption: image.resize(size) for caption, image in one.items()}
        cells |= {
            " " * (place * columns + blank + 1): Image.new("RGB", size, "white")
            for blank in range(columns - len(one))
        }
    return contact_sheet(cells, columns)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="files or folders")
    parser.add_argument("--paintings", type=Path, required=True, help="a folder of NAME.jpg")
    parser.add_argument("--peers", type=Path, help="a folder of PEER_STYLE.jpg, and of their photo")
    parser.add_argument("--styles", nargs="+", default=[*ready()], help="built-in styles (default all)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["pass", "refined"])
    parser.add_argument("--evaluations", type=int, default=10, help="of refined images")
    parser.add_argument("--most", type=int, help="at most so many photos")
    parser.add_argument("--sheet", type=Path, help="an image file for all of them side by side, first photo")
    arguments = parser.parse_args(argv)
    keep_freed_memory()
    paths = [one for path in arguments.photos for one in (find_images(path) if path.is_dir() else [path])]
    photos = [scale_to(open_image(path).convert("RGB"), SIZE) for path in paths[: arguments.most]]
    vgg, rows = VGG(layers=LAYERS), []
    print(f"| style | who | {' | '.join(Measures._fields)} |")
    print("| --- | --- |" + " --- |" * len(Measures._fields))
    for name in arguments.styles:
        (path,) = arguments.paintings.glob(f"{name}.*")
        painting = open_image(path).convert("RGB")
        measure = Measure(painting, vgg)
        shown = {"photo": photos[0], "painting": painting}
        model = Stylizer.load(name)
        for way in arguments.ways:
            each, seconds = [], []
            for number, photo in enumerate(photos):
                image, passed = stylized(way, model, name, photo, painting, arguments.evaluations)
                seconds.append(passed)
                each.append(measure(image, photo))
                if number == 0:
                    shown[way] = image
            print(row(name, f"{way}, {statistics.median(seconds):.1f} s", each), flush=True)
        given, images = peers_images(arguments.peers, name)
        for peer, image in images.items():
            assert given is not None, "the peers' photo is missing"
            print(row(name, peer, [measure(image, given)]), flush=True)
            shown[peer] = image
        rows.append({f"{name}, {key}": image for key, image in shown.items()})
    if arguments.sheet:
        save_image(sheet_of(rows, limit_size(photos[0], CELL).size), arguments.sheet, 80)


if __name__ == "__main__":
    main()
