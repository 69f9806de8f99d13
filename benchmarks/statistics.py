"""Optimize one photo towards one painting by every style statistic; time each, and draw the results.

The slow baseline starts from the photo at its defaults; only the statistic changes.

    python -m benchmarks.statistics photo.jpg --style painting.jpg --output statistics.webp
"""

import time
from pathlib import Path
from statistics import median

from PIL import ImageOps

from benchmarks.common import make_parser, open_rgb, print_head, print_row
from faststyle.device import keep_freed_memory
from faststyle.image.convert import scale_to
from faststyle.image.files import save_image
from faststyle.inference.contact_sheet import contact_sheet
from faststyle.losses.statistics import STATISTICS
from faststyle.optimization.optimization import Optimization

CELL, COLUMNS = 256, 4  # pixels of an image on the sheet, and images in a row


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--style", type=Path, required=True, help="painting")
    parser.add_argument("--size", type=int, default=512, help="longer side of both images in pixels")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", nargs="+", default=list(STATISTICS), metavar="NAME")
    parser.add_argument("--output", type=Path, help="image file for a sheet of all results")
    options = parser.parse_args(argv)
    keep_freed_memory()

    photo, painting = open_rgb(options.photo), open_rgb(options.style)
    small = scale_to(photo, CELL)
    cells = {"the photo": small, "the painting": ImageOps.contain(painting, small.size)}
    print_head("statistic", "s/step", "× the first", "style distance at the start", "at the end")
    first = None
    for name in options.only:
        run = Optimization(photo, painting, size=options.size, steps=options.steps, statistic=name)
        seconds, distances, start = [], [], time.perf_counter()
        for step in run:
            seconds.append(time.perf_counter() - start)
            distances.append(step.terms["style"])
            start = time.perf_counter()
        middle = median(seconds[1:-1])
        first = first or middle
        ends = (f"{distance:.3f}" for distance in (distances[0], distances[-1]))
        print_row(name, f"{middle:.2f}", f"{middle / first:.2f}", *ends)
        cells[name] = scale_to(run.result(), CELL)
    if options.output:
        save_image(contact_sheet(cells, COLUMNS), options.output, quality=80)


if __name__ == "__main__":
    main()
