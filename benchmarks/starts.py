"""What a good start is worth to the slow baseline: the objective after so many steps from each.

python -m benchmarks.starts photo.jpg --style painting.jpg --checkpoint painting.safetensors
"""

import argparse
from pathlib import Path

from faststyle.device import keep_freed_memory
from faststyle.image.files import open_image
from faststyle.inference.stylizer import Stylizer
from faststyle.optimization.optimization import INITS, Optimization

AFTER = (0, 5, 10, 20, 50, 100)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--checkpoint", required=True, help="a model trained on that style")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--style-size", type=int, default=512)
    arguments = parser.parse_args()
    keep_freed_memory()
    painting = open_image(arguments.style)

    print(f"| start | {' | '.join(f'{number} steps' for number in AFTER)} |")
    print("| --- |" + " --- |" * len(AFTER))
    for start in (*INITS, "the model's picture"):
        options = {"init": start} if start in INITS else {"init_model": Stylizer.load(arguments.checkpoint)}
        lowest = dict.fromkeys(AFTER, 0.0)
        for path in arguments.photos:
            run = Optimization(
                open_image(path),
                painting,
                size=arguments.size,
                style_size=arguments.style_size,
                steps=AFTER[-1],
                **options,
            )
            for step in run:
                if step.number in lowest:
                    lowest[step.number] += run.best / len(arguments.photos)
        print(f"| {start} | {' | '.join(f'{value:.3f}' for value in lowest.values())} |", flush=True)


if __name__ == "__main__":
    main()
