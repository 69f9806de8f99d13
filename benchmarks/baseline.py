"""The slow baseline beside the package pastiche: time per step, peak memory, and what 100 steps reach.

The same prepared pixels, size, start (the photo), optimizer (L-BFGS) and number of steps; each run in
a process of its own, in turn. Ours runs twice: by its own objective, and by pastiche's. Every result is
then judged by both objectives, pastiche's by its own code.

    python -m benchmarks.baseline --photo photo.jpg --style painting.jpg --size 512 --steps 100
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from faststyle.device import has_fast_bfloat16, keep_freed_memory, pick_device
from faststyle.image.convert import scale_to, to_image, to_tensor
from faststyle.image.files import open_image, save_image
from faststyle.losses.objective import Objective
from faststyle.losses.vgg import VGG
from faststyle.optimization.optimization import Optimization, descend

# pastiche's defaults in our terms: squared errors' means, 10 / C² for each style layer.
CHANNELS = {"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu4_1": 512, "relu5_1": 512}
PASTICHE = {
    "preset": "johnson",
    "content_weight": 0.01,
    "content_layers": {"relu4_2": 1.0},
    "style_weight": 1.0,
    "style_layers": {layer: 10 / channels**2 for layer, channels in CHANNELS.items()},
    "tv_weight": 0.0,
}
RUNS = ("pastiche", "ours", "ours by pastiche's objective")


def artist(photo: Path, style: Path):
    from pastiche.pastiche import PasticheArtist

    size, style_size = (max(open_image(path).size) for path in (photo, style))
    return PasticheArtist(
        str(photo), [str(style)], size=size, style_size=style_size, device=str(pick_device())
    )


def to_pastiche(picture: Tensor) -> Tensor:
    """(1,3,H,W) RGB in [0,1] to pastiche's BGR less the mean."""
    from pastiche.pastiche import VGG_MEAN

    return (255 * picture.flip(1) - torch.tensor(VGG_MEAN).view(1, 3, 1, 1)).to(pick_device())


def run_pastiche(photo: Path, style: Path, steps: int) -> tuple[Tensor, list[float]]:
    from pastiche.pastiche import VGG_MEAN

    painter, seconds = artist(photo, style), []
    for _ in range(steps):
        start = time.perf_counter()
        painter.draw()
        seconds.append(time.perf_counter() - start)
    pixels = painter.pastiche.detach().cpu() + torch.tensor(VGG_MEAN).view(1, 3, 1, 1)
    return (pixels.flip(1) / 255).clamp(0, 1), seconds


def run_ours(photo: Path, style: Path, steps: int, **objective) -> tuple[Tensor, list[float]]:
    keep_freed_memory()
    images = [open_image(path) for path in (photo, style)]
    run = Optimization(
        *images, size=max(images[0].size), style_size=max(images[1].size), steps=steps, **objective
    )
    start, seconds = time.perf_counter(), []
    for _ in run:
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return run.picture.cpu(), seconds[:steps]  # the last only measures


def child(name: str, folder: Path, steps: int) -> None:
    photo, style = folder / "photo.png", folder / "style.png"
    if name == "pastiche":
        picture, seconds = run_pastiche(photo, style, steps)
    else:
        picture, seconds = run_ours(photo, style, steps, **(PASTICHE if name != "ours" else {}))
    torch.save(picture, folder / f"{name}.pt")
    print(json.dumps(seconds))


def judge(folder: Path) -> dict[str, tuple[float, float]]:
    """Each result's objective, ours and pastiche's, both in float32."""
    images = [to_tensor(open_image(folder / f"{name}.png"))[None] for name in ("photo", "style")]
    objective = Objective()
    vgg = VGG(layers=objective.layers)
    with torch.no_grad():
        objective.set_style([vgg(images[1], objective.style_layers)])
    painter = artist(folder / "photo.png", folder / "style.png")
    figures = {}
    for name in ("photo", *RUNS):
        picture = images[0] if name == "photo" else torch.load(folder / f"{name}.pt")
        (step,) = descend(picture, images[0], vgg, objective, steps=0)
        with torch.no_grad():
            painter.pastiche = to_pastiche(picture)
            figures[name] = step.terms["total"], painter._calc_loss().item()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--size", type=int, default=512, help="longer side of both in pixels")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1, help="how often each runs, in turn")
    parser.add_argument("--output", type=Path, help="folder to keep the pictures in")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(arguments.child[0], Path(arguments.child[1]), arguments.steps)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("photo", "style"):
            image = scale_to(open_image(getattr(arguments, kind)).convert("RGB"), arguments.size)
            save_image(image, folder / f"{kind}.png")
        seconds: dict[str, list[float]] = {run: [] for run in RUNS}
        memory = dict.fromkeys(RUNS, 0)
        for _ in range(arguments.rounds):
            for run in RUNS:
                command = [sys.executable, "-m", "benchmarks.baseline", "--child", run, str(folder)]
                command += ["--photo=.", "--style=.", f"--steps={arguments.steps}"]
                process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                assert process.stdout is not None
                printed = process.stdout.read()
                _, process.returncode, usage = os.wait4(process.pid, 0)
                if process.returncode:
                    sys.exit(f"error: {run} failed")
                seconds[run] += json.loads(printed)
                memory[run] = max(memory[run], usage.ru_maxrss)
        figures = judge(folder)
        if arguments.output:
            for run in RUNS:
                picture = torch.load(folder / f"{run}.pt")[0]
                save_image(to_image(picture), arguments.output / f"{run.replace(' ', '_')}.png")

    fast = "bf16" if has_fast_bfloat16(pick_device()) else "fp32"
    print(
        f"\n{arguments.size} pixels, {arguments.steps} steps from the photo, {pick_device()}, ours {fast}\n"
    )
    print("| | s/step | × pastiche | peak MiB | our objective | pastiche's objective |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(f"| the photo | | | | {figures['photo'][0]:.3f} | {figures['photo'][1]:.0f} |")
    reference = statistics.median(seconds["pastiche"])
    for run in RUNS:
        median, (ours, theirs) = statistics.median(seconds[run]), figures[run]
        print(
            f"| {run} | {median:.3f} | {median / reference:.2f} | {memory[run] / 1024:.0f} | "
            f"{ours:.3f} | {theirs:.0f} |"
        )


if __name__ == "__main__":
    main()
