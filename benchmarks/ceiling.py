"""Count a network's operations and bytes, and measure how fast the machine multiplies matrices and copies."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import time_call
from faststyle.models.card import MARGIN
from faststyle.models.network import TransformerNetwork

MATRIX_SIDES = (1024, 2048, 4096, 8192)
MAX_SECONDS = 0.5  # of a matrix product, predicted from the one before
COPIED_BYTES = 2**28


class Work(NamedTuple):
    """What a network has to do for a batch.

    Attributes:
        nominal: Operations of the layers as they are named; a multiply-add counts as two.
        done: Operations of the convolutions that run, with borders and margin.
        values: Number of activations that the convolutions read and write.
    """

    nominal: int
    done: int
    values: int


class CountValues(TorchDispatchMode):
    """Counts the activations that convolutions read and write, each once."""

    values = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = function(*arguments, **(options or {}))
        if function is torch.ops.aten.convolution.default:
            self.values += arguments[0].numel() + result.numel()
        return result


def count_work(network: nn.Module, width: int, height: int, batch: int = 1) -> Work:
    """Count the work for images of a size, without computing it."""
    network = copy.deepcopy(network).to("meta")
    images = torch.empty(batch, 3, height, width, device="meta")
    ours = isinstance(network, TransformerNetwork)
    with torch.no_grad(), FlopCounterMode(display=False) as counter, CountValues() as counted:
        network(images, MARGIN) if ours else network(images)
    done = counter.get_total_flops()
    nominal = 2 * count_per_pixel(network) * batch * height * width if ours else done
    return Work(round(nominal), done, counted.values)


def count_per_pixel(network: TransformerNetwork) -> float:
    """Count the multiply-adds per pixel of the layers as they are named.

    An upsampling layer counts as upsampling followed by a convolution with all of its nine taps.
    """

    def taps(module: nn.Module) -> int:
        return sum(one.weight.numel() for one in module.modules() if isinstance(one, nn.Conv2d))

    # Pixels of the image from one value of a level's features to the next.
    steps = [network.first_stride * 2**level for level in range(len(network.down))]
    parts = network.down, [*network.shallow, network.residual], network.noise or []
    layers = [pair for part in parts for pair in zip(steps, part, strict=False)]
    layers += zip(reversed(steps[:-1]), network.up, strict=True)
    return sum(taps(layer) / step**2 for step, layer in layers) + taps(network.last)


def measure_matmul(device: torch.device, dtype: torch.dtype) -> float:
    """Return the highest number of operations per second over matrix products of several sizes."""
    highest = 0.0
    for side in MATRIX_SIDES:
        operations = 2 * side**3
        if highest and operations / highest > MAX_SECONDS:
            break
        a, b = (torch.randn(side, side).to(device, dtype) for _ in range(2))
        c = torch.mm(a, b)
        seconds = time_fastest(lambda a=a, b=b, c=c: torch.mm(a, b, out=c), device)
        highest = max(highest, operations / seconds)
    return highest


def measure_bandwidth(device: torch.device) -> float:
    """Return the bytes per second that a large copy reads and writes."""
    source = torch.ones(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / time_fastest(lambda: target.copy_(source), device, calls=10)


def time_fastest(call: Callable[[], object], device: torch.device, calls: int = 3) -> float:
    """Return the seconds of the fastest of several calls."""
    return min(time_call(call, device) for _ in range(calls))
