"""How many of L-BFGS' evaluations from white noise one pass of each ready style equals.

python -m benchmarks.equivalents --photos validation/ --paintings paintings/ --curves curves.json

A painting is found in its folder by its model's name. L-BFGS' curves depend on the painting and on the
objective, not on the model: they are kept in --curves, and only what is missing there is computed.
"""

import argparse
import json
from pathlib import Path
from statistics import median

import torch

from faststyle.device import keep_freed_memory
from faststyle.evaluation.compare import bring
from faststyle.evaluation.judge import Judge
from faststyle.evaluation.report import equals
from faststyle.files import atomic_write
from faststyle.image.files import find_images, open_image
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import Equivalent
from faststyle.models.pretrained import ready

Curves = dict[str, list[float]]


def noise_curve(judge: Judge, photo: torch.Tensor, steps: int) -> list[float]:
    """The objective at each evaluation from white noise; the photo is (1,3,H,W) in [0,1]."""
    noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(0)).to(photo.device)
    return [step.terms["total"] for step in judge.descend(noise, photo, steps)]


def measure(model: Stylizer, name: str, arguments: argparse.Namespace) -> Equivalent:
    """Measure what one pass is worth on each photo.

    Args:
        model: the trained model; judged by the objective of its card.
        name: of the painting that it was trained on.
        arguments: of ``add_flags``.
    """
    photos = find_images(arguments.photos)[:10]
    painting = {path.stem: path for path in find_images(arguments.paintings)}[name]
    size, steps, file = arguments.size, arguments.steps, arguments.curves
    curves: Curves = json.loads(file.read_text()) if file.exists() else {}
    judge = Judge(model.card, str(painting), model.device, model.dtype)
    counts, objective = [], 0.0
    for path in photos:
        photo = bring(open_image(path).convert("RGB"), size, model)
        key = f"{painting.name} {path.name} {size} px {steps} steps. {judge.description}"
        if key not in curves:
            curves[key] = noise_curve(judge, photo, steps)
            with atomic_write(file) as temporary:
                temporary.write_text(json.dumps(curves))
        fast = next(judge.descend(model(photo), photo, 0)).terms["total"]
        counts.append(equals(curves[key], fast))
        objective += fast / len(photos)
    middle = median(float("inf") if count is None else count for count in counts)
    return Equivalent(
        each=tuple(counts),
        objective=round(objective, 3),
        size=size,
        steps=steps,
        photos=len(photos),
        evaluations=None if middle == float("inf") else middle,
    )


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photos", type=Path, required=True, help="a folder, of which the first ten serve")
    parser.add_argument("--paintings", type=Path, required=True, help="a folder, with a file for each style")
    parser.add_argument("--curves", type=Path, required=True)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=60)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=[*ready()])
    add_flags(parser)
    arguments = parser.parse_args()
    keep_freed_memory()
    for name in arguments.models:
        painting = Path(name).stem
        print(f"{name}: {measure(Stylizer.load(name), painting, arguments)}", flush=True)


if __name__ == "__main__":
    main()
