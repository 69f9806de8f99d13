"""What a network asks of a machine, and what the machine can give: operations, bytes, matmul, copies."""

import copy
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from faststyle.models.card import MARGIN
from faststyle.models.network import TransformerNetwork

SHAPES = (1024, 2048, 4096, 8192)  # of square matrices
MOST = 0.5  # seconds that a matrix product may take, by the one before it
COPIED = 2**28  # bytes


class Work(NamedTuple):
    nominal: int  # operations of the layers as they are named, a multiply-add counting two
    done: int  # operations of the convolutions that are run, borders and margin with them
    values: int  # activations that the convolutions read and write


class ValuesMoved(TorchDispatchMode):
    """Counts what the convolutions read and write of activations, each once."""

    values = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = function(*arguments, **(options or {}))
        if function is torch.ops.aten.convolution.default:
            self.values += arguments[0].numel() + result.numel()
        return result


def work(network: nn.Module, width: int, height: int, batch: int = 1) -> Work:
    """Count for pictures of this size; nothing is computed."""
    network = copy.deepcopy(network).to("meta")
    pictures = torch.empty(batch, 3, height, width, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter, ValuesMoved() as moved:
        if isinstance(network, TransformerNetwork):
            network(pictures, MARGIN)
        else:
            network(pictures)
    done = counter.get_total_flops()
    named = (
        2 * per_pixel(network) * pictures[:, 0].numel() if isinstance(network, TransformerNetwork) else done
    )
    return Work(round(named), done, moved.values)


def per_pixel(network: TransformerNetwork) -> float:
    """Multiply-adds a pixel of the layers as they are named: upsampling, then nine taps of a convolution."""

    def taps(conv: nn.Module) -> int:
        return conv.weight.numel()  # type: ignore[operator, union-attr, return-value]

    side, total = network.scale, 0.0  # how much smaller than the picture what a layer gives is
    for layer in network.down:
        side = side if layer is network.down[0] else side * 2
        total += taps(layer[0]) / side**2
    for block in network.residual:
        total += (taps(block.first[0]) + taps(block.second[0])) / side**2
    for layer in network.up:
        side //= 2
        total += taps(layer[0]) / side**2
    return total + taps(network.last)


def matmul(device: torch.device, dtype: torch.dtype) -> float:
    """The most operations a second that a matrix product reaches here, of a few shapes, now."""
    best = 0.0
    for size in SHAPES:
        operations = 2 * size**3
        if best and operations / best > MOST:
            break
        a, b = (torch.randn(size, size).to(device, dtype) for _ in range(2))
        c = torch.mm(a, b)
        best = max(best, operations / fastest(lambda a=a, b=b, c=c: torch.mm(a, b, out=c), device))
    return best


def bandwidth(device: torch.device) -> float:
    """Bytes a second that a large copy reads and writes."""
    source = torch.ones(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED / fastest(lambda: target.copy_(source), device, times=10)


def fastest(call: Callable[[], object], device: torch.device, times: int = 3) -> float:
    """Seconds of the fastest of a few calls."""
    return min(seconds(call, device) for _ in range(times))


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, until the device is done."""
    synchronize(device)
    begin = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - begin


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
