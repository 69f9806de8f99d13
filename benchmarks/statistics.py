"""Every style statistic on one photo and one painting: a picture of each, and its time per step.

The slow baseline from the photo at its defaults; only the statistic changes.

    python -m benchmarks.statistics photo.jpg --style painting.jpg --output statistics.webp
"""

import argparse
import statistics
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from faststyle.device import keep_freed_memory
from faststyle.image.convert import scale_to
from faststyle.image.files import open_image, save_image
from faststyle.losses.statistics import STATISTICS
from faststyle.optimization.optimization import Optimization

WIDTH, GAP, CAPTION = 1280, 6, 16


def sheet(pictures: list[tuple[str, Image.Image]]) -> Image.Image:
    """Captioned pictures in rows."""
    width, height = (max(side) for side in zip(*(picture.size for _, picture in pictures), strict=True))
    columns = max(1, (WIDTH + GAP) // (width + GAP))
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + CAPTION + GAP) - GAP), "white")
    pen = ImageDraw.Draw(page)
    for place, (name, picture) in enumerate(pictures):
        left, top = place % columns * (width + GAP), place // columns * (height + CAPTION + GAP)
        pen.text((left, top + 2), name, fill="black")
        page.paste(picture, (left, top + CAPTION))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photo", type=Path)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--size", type=int, default=512, help="longer side of both in pixels")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", nargs="+", default=list(STATISTICS), metavar="NAME")
    parser.add_argument("--output", type=Path, help="picture to draw, a quarter of a page wide each")
    arguments = parser.parse_args()
    keep_freed_memory()

    photo, painting = open_image(arguments.photo).convert("RGB"), open_image(arguments.style).convert("RGB")
    small = scale_to(photo, 256)
    thumbnails = [("the photo", small), ("the painting", ImageOps.contain(painting, small.size))]
    print("| statistic | s/step | × gram | style distance at the start | at the end |")
    print("| --- | --- | --- | --- | --- |")
    gram = None
    for name in arguments.only:
        run = Optimization(photo, painting, size=arguments.size, steps=arguments.steps, statistic=name)
        seconds, distances, start = [], [], time.perf_counter()
        for step in run:
            seconds.append(time.perf_counter() - start)
            distances.append(step.terms["style"])
            start = time.perf_counter()
        median = statistics.median(seconds[1:-1])
        gram = gram or median
        print(
            f"| {name} | {median:.2f} | {median / gram:.2f} | {distances[0]:.3f} | {distances[-1]:.3f} |",
            flush=True,
        )
        thumbnails.append((name, scale_to(run.result(), 256)))
    if arguments.output:
        save_image(sheet(thumbnails), arguments.output, quality=80)


if __name__ == "__main__":
    main()
