"""Time VGG up to relu4_3 with Gram matrices, forward and backward, beside autocast and a matrix product.

python -m benchmarks.vgg_speed --size 256
"""

from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.common import make_parser, print_head, print_row, time_call
from faststyle.device import describe_device, keep_freed_memory, pick_device
from faststyle.losses.presets import FOUR
from faststyle.losses.statistics import gram
from faststyle.losses.vgg import VGG, max_pool

MATRIX_SIDE = 2048  # of the matrices whose product gives the machine's limit


def run_autocast(vgg: VGG, images: Tensor) -> dict[str, Tensor]:
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


def count_operations(vgg: VGG, size: int) -> float:
    """Count the multiplications and additions of both passes; weights have no gradient."""
    total = 0.0
    for name in vgg.names:
        outputs, inputs, *_ = getattr(vgg, f"{name}_weight").shape
        positions = (size // 2 ** (int(name[4]) - 1)) ** 2
        total += 2 * 2 * 9 * inputs * outputs * positions
        if name in FOUR:
            total += 2 * 2 * outputs * outputs * positions
    return total


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--size", type=int, default=256, help="side of the image in pixels")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(argv)
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    device = pick_device()
    exact = VGG(layers=FOUR).to(device)
    fast = VGG(layers=FOUR, precision=torch.bfloat16).to(device)
    images = torch.rand(1, 3, options.size, options.size, device=device)
    matrix = torch.rand(MATRIX_SIDE, MATRIX_SIDE, device=device).bfloat16()

    def run_both_passes(features: Callable[[Tensor], dict[str, Tensor]], as_float: bool = False) -> None:
        pixels = images.clone().requires_grad_()
        grams = [gram(x.float() if as_float else x) for x in features(pixels).values()]
        torch.stack([x.square().mean() for x in grams]).sum().backward()

    calls = {
        "float32": lambda: run_both_passes(lambda x: exact(x, FOUR)),
        "autocast": lambda: run_both_passes(lambda x: run_autocast(exact, x), as_float=True),
        "bfloat16, channels last": lambda: run_both_passes(lambda x: fast(x, FOUR)),
        "matrix product": lambda: matrix @ matrix,
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.rounds + 1):
        for name, call in calls.items():
            times[name].append(time_call(call, device))
    medians = {name: median(found[1:]) for name, found in times.items()}
    rate = 2 * MATRIX_SIDE**3 / medians.pop("matrix product")
    limit = count_operations(exact, options.size) / rate
    print(
        f"{describe_device(device)}, a matrix product does {rate / 1e9:.0f} billion operations per second\n"
    )
    print_head("", "ms", "× autocast", "× the limit")
    for name, seconds in (medians | {"the limit": limit}).items():
        print_row(
            name, f"{1e3 * seconds:.0f}", *(f"{seconds / base:.2f}" for base in (medians["autocast"], limit))
        )


if __name__ == "__main__":
    main()
