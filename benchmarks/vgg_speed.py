"""VGG to relu4_3 with Gram matrices, forward and backward, beside autocast and the machine's matrix product.

python -m benchmarks.vgg_speed --size 256
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.device import describe_device, keep_freed_memory, pick_device
from faststyle.losses.presets import FOUR
from faststyle.losses.statistics import gram
from faststyle.losses.vgg import VGG, max_pool

MATRIX = 2048  # rows and columns of the product that stands for the machine's limit


def under_autocast(vgg: VGG, images: Tensor) -> dict[str, Tensor]:
    """Compute the features as torch's autocast does, with channels first and weights in float32."""
    features = {}
    with torch.autocast(images.device.type, torch.bfloat16):
        x = (images - vgg.mean) / vgg.std
        for place, name in enumerate(vgg.names):
            if place and name[4] != vgg.names[place - 1][4]:
                x = max_pool(x)
            x = F.relu(F.conv2d(x, getattr(vgg, f"{name}_weight"), getattr(vgg, f"{name}_bias"), padding=1))
            if name in FOUR:
                features[name] = x
    return features


def operations(vgg: VGG, size: int) -> float:
    """Multiplications and additions of both passes; weights have no gradient."""
    total = 0.0
    for name in vgg.names:
        outputs, inputs, *_ = getattr(vgg, f"{name}_weight").shape
        positions = (size // 2 ** (int(name[4]) - 1)) ** 2
        total += 2 * 2 * 9 * inputs * outputs * positions
        if name in FOUR:
            total += 2 * 2 * outputs * outputs * positions
    return total


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    device = pick_device()
    exact = VGG(layers=FOUR).to(device)
    fast = VGG(layers=FOUR, precision=torch.bfloat16).to(device)
    images = torch.rand(1, 3, arguments.size, arguments.size, device=device)
    matrix = torch.rand(MATRIX, MATRIX, device=device).bfloat16()

    def both_passes(features: Callable[[Tensor], dict[str, Tensor]], as_float: bool = False) -> None:
        pixels = images.clone().requires_grad_()
        grams = [gram(x.float() if as_float else x) for x in features(pixels).values()]
        torch.stack([x.square().mean() for x in grams]).sum().backward()

    ways = {
        "float32": lambda: both_passes(lambda x: exact(x, FOUR)),
        "autocast": lambda: both_passes(lambda x: under_autocast(exact, x), as_float=True),
        "bfloat16, channels last": lambda: both_passes(lambda x: fast(x, FOUR)),
        "a matrix product": lambda: matrix @ matrix,
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(arguments.rounds + 1):
        for way, run in ways.items():
            begun = time.perf_counter()
            run()
            if device.type != "cpu":
                torch.accelerator.synchronize(device)
            times[way].append(time.perf_counter() - begun)
    medians = {way: statistics.median(found[1:]) for way, found in times.items()}
    rate = 2 * MATRIX**3 / medians.pop("a matrix product")
    limit = operations(exact, arguments.size) / rate
    print(f"{describe_device(device)}, {rate / 1e9:.0f} billion operations a second in a matrix product\n")
    print("| | ms | of autocast's | of the limit's |\n| --- | --- | --- | --- |")
    for way, seconds in (medians | {"the limit": limit}).items():
        print(
            f"| {way} | {1e3 * seconds:.0f} | {seconds / medians['autocast']:.2f} | {seconds / limit:.2f} |"
        )


if __name__ == "__main__":
    main()
