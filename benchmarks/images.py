"""Measure built-in styles in one pass, refined and by the slow baseline, beside images of other projects.

    python -m benchmarks.images --photos photos/ --paintings paintings/ --peers peers/ --sheet sheet.webp

A peer's image is PEER_STYLE.jpg, where STYLE is the end of a built-in style's name. Beside it is the photo
that it was made from, PHOTO.jpg without an underscore. The figures are those of faststyle.evaluation.measure:
medians over the photos, and a peer's figures on its one photo.
"""

import time
from pathlib import Path
from statistics import median

from PIL import Image

from benchmarks.common import find_photos, make_parser, open_rgb, print_head, print_row
from faststyle.device import keep_freed_memory
from faststyle.evaluation.measure import LAYERS, Measure, Measures
from faststyle.image.convert import limit_size
from faststyle.image.files import find_images, save_image
from faststyle.inference.contact_sheet import contact_sheet
from faststyle.inference.stylizer import Stylizer
from faststyle.losses.vgg import VGG
from faststyle.models.pretrained import built_in_styles
from faststyle.optimization.optimization import optimize
from faststyle.optimization.refine import refine

SIZE = 512  # pixels of the longer side
WAYS = ("pass", "refined", "slow")
CELL = 320  # pixels of an image on the sheet

Images = dict[str, Image.Image]  # by what the sheet calls them


def stylize_timed(
    way: str, model: Stylizer, name: str, photo: Image.Image, painting: Image.Image, evaluations: int
) -> tuple[Image.Image, float]:
    """Stylize a photo.

    Args:
        way: One of ``WAYS``.
        model: Model of the style.
        name: Name of the style.
        photo: The photo.
        painting: Painting of the style.
        evaluations: Number of evaluations for the refined image.

    Returns:
        The image, and its seconds; without the seconds of the pass where the image is refined.
    """
    first = model(photo)
    begin = time.perf_counter()
    if way == "pass":
        image = model(photo)
    elif way == "refined":
        image = refine(first, photo, name, evaluations)
    else:
        image = optimize(photo, painting, size=SIZE)
    return image, time.perf_counter() - begin


def find_peers(folder: Path, name: str) -> tuple[Image.Image | None, Images]:
    """Return the photo of the peers' images, and their images of a style by peer."""
    found: Images = {}
    photo = None
    for path in find_images(folder):
        peer, _, style = path.stem.partition("_")
        if path.parent != folder:
            continue
        if not style:
            photo = open_rgb(path)
        elif name.endswith(style) or style.endswith(name):
            found[peer] = open_rgb(path)
    return photo, found


def print_medians(style: str, who: str, each: list[Measures]) -> None:
    """Print a row of the table: medians over the photos."""
    medians = [median(values) for values in zip(*each, strict=True)]
    print_row(style, who, *(f"{value:.2f}" for value in medians))


def measure_style(
    name: str,
    painting: Image.Image,
    measure: Measure,
    photos: list[Image.Image],
    ways: list[str],
    evaluations: int,
) -> Images:
    """Print a row for each way of a style, and return the images of the first photo."""
    model, shown = Stylizer.load(name), {}
    for way in ways:
        found = [stylize_timed(way, model, name, photo, painting, evaluations) for photo in photos]
        shown[way] = found[0][0]
        each = [measure(image, photo) for (image, _), photo in zip(found, photos, strict=True)]
        print_medians(name, f"{way}, {median(seconds for _, seconds in found):.1f} s", each)
    return shown


def draw_sheet(rows: list[Images], size: tuple[int, int]) -> Image.Image:
    """Draw each style's images in a row, over their captions; shorter rows end in white."""
    columns = max(map(len, rows))
    cells: Images = {}
    for number, row in enumerate(rows):
        cells |= {caption: image.resize(size) for caption, image in row.items()}
        cells |= {
            " " * (number * columns + blank + 1): Image.new("RGB", size, "white")
            for blank in range(columns - len(row))
        }
    return contact_sheet(cells, columns)


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="files or folders")
    parser.add_argument("--paintings", type=Path, required=True, help="folder of NAME.jpg")
    parser.add_argument("--peers", type=Path, help="folder of PEER_STYLE.jpg, and of their photo")
    parser.add_argument(
        "--styles", nargs="+", default=[*built_in_styles()], help="built-in styles (default all)"
    )
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["pass", "refined"])
    parser.add_argument("--evaluations", type=int, default=10, help="evaluations for a refined image")
    parser.add_argument("--most", type=int, help="maximum number of photos (default all)")
    parser.add_argument("--sheet", type=Path, help="image file for the first photo's images, side by side")
    options = parser.parse_args(argv)
    keep_freed_memory()
    paths = [one for path in options.photos for one in (find_photos(path) if path.is_dir() else [path])]
    photos = [open_rgb(path, SIZE) for path in paths[: options.most]]
    vgg, rows = VGG(layers=LAYERS), []
    print_head("style", "who", *Measures._fields)
    for name in options.styles:
        (path,) = options.paintings.glob(f"{name}.*")
        painting = open_rgb(path)
        measure = Measure(painting, vgg)
        shown = {"photo": photos[0], "painting": painting}
        shown |= measure_style(name, painting, measure, photos, options.ways, options.evaluations)
        if options.peers:
            given, images = find_peers(options.peers, name)
            for peer, image in images.items():
                assert given is not None, "the peers' photo is missing"
                print_medians(name, peer, [measure(image, given)])
            shown |= images
        rows.append({f"{name}, {key}": image for key, image in shown.items()})
    if options.sheet:
        save_image(draw_sheet(rows, limit_size(photos[0], CELL).size), options.sheet, 80)


if __name__ == "__main__":
    main()
