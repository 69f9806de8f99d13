"""Measure how much a good start helps the slow baseline, by the objective after several numbers of steps.

python -m benchmarks.starts photo.jpg --style painting.jpg --checkpoint painting.safetensors
"""

from pathlib import Path

from benchmarks.common import make_parser, print_head, print_row
from faststyle.device import keep_freed_memory
from faststyle.image.files import open_image
from faststyle.inference.stylizer import Stylizer
from faststyle.optimization.optimization import INITS, Optimization

AFTER_STEPS = (0, 5, 10, 20, 50, 100)


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--style", type=Path, required=True, help="painting")
    parser.add_argument("--checkpoint", required=True, help="model trained on that painting")
    parser.add_argument("--size", type=int, default=512, help="longer side of the photo in pixels")
    parser.add_argument("--style-size", type=int, default=512, help="longer side of the painting in pixels")
    options = parser.parse_args(argv)
    keep_freed_memory()
    painting = open_image(options.style)

    print_head("start", *(f"{number} steps" for number in AFTER_STEPS))
    starts: dict[str, dict] = {name: {"init": name} for name in INITS}
    starts["the model's image"] = {"init_model": Stylizer.load(options.checkpoint)}
    for name, start in starts.items():
        lowest = dict.fromkeys(AFTER_STEPS, 0.0)
        for path in options.photos:
            run = Optimization(
                open_image(path),
                painting,
                size=options.size,
                style_size=options.style_size,
                steps=AFTER_STEPS[-1],
                **start,
            )
            for step in run:
                if step.number in lowest:
                    lowest[step.number] += run.best / len(options.photos)
        print_row(name, *(f"{value:.3f}" for value in lowest.values()))


if __name__ == "__main__":
    main()
