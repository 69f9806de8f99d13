"""Measure images per second, memory and lower bounds on a GPU, for images that are in its memory.

Part of `python -m benchmarks.inference`. The bounds are the times that the device's matrix product would take
for the operations of the network's convolutions, and a large copy for reading and writing their activations
once.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.ceiling import count_work, measure_bandwidth, measure_matmul
from benchmarks.common import load_engines, print_head, print_row, time_call
from benchmarks.examples_network import Examples
from benchmarks.inference_report import EXAMPLES, OURS
from faststyle.errors import InputError, first_line
from faststyle.inference.engines.kinds import pick_engine

BATCHES = (1, 8)
CALLS, WARM_UPS = 20, 5
MAX_KERNELS = 12  # that are listed
HEADS = [
    "size",
    "batch",
    "contestant",
    "ms",
    "images/s",
    "peak MiB",
    "operations, ms",
    "bytes, ms",
    "share of the larger bound",
]


class Contestant(NamedTuple):
    """A network on the device, how it is called, and its precision."""

    call: Callable[[Tensor], object]
    network: nn.Module
    dtype: torch.dtype


def report(model: str, sizes: list[tuple[int, int]], device: torch.device, peer_path: Path | None) -> None:
    """Print the table, and our network's slowest kernels at 1920×1080."""
    bandwidth = measure_bandwidth(device)
    contestants = {
        f"{OURS}, {engine}": Contestant(
            partial(stylize, stroke_scale=1), stylize.network, stylize.on_torch()[1]
        )
        for engine, stylize in load_engines(model, device).items()
    }
    default = pick_engine("auto", str(device), "auto")
    network = Examples(device, peer_path).network.requires_grad_(False)
    contestants[EXAMPLES] = Contestant(network, network, torch.float32)
    rates = {dtype: measure_matmul(device, dtype) for _, _, dtype in contestants.values()}
    print(f"\nA large copy moves {bandwidth / 1e9:,.0f} GB/s.\n")
    print_head(*HEADS)
    for width, height in sizes:
        for batch in BATCHES:
            images = torch.rand(batch, 3, height, width, device=device)
            for name, (call, network, dtype) in contestants.items():
                first = f"{width}×{height}", batch, name
                try:
                    seconds, peak = clock(call, images)
                except (InputError, torch.OutOfMemoryError) as error:
                    print_row(*first, first_line(error))
                    continue
                work = count_work(network, width, height, batch)
                bounds = work.done / rates[dtype], work.values * dtype.itemsize / bandwidth
                figures = f"{seconds * 1e3:.2f}", f"{batch / seconds:.1f}", f"{peak / 2**20:,.0f}"
                bounds_ms = (f"{bound * 1e3:.2f}" for bound in bounds)
                print_row(*first, *figures, *bounds_ms, f"{max(bounds) / seconds:.0%}")
    for engine in dict.fromkeys(["compile", default]):
        name = f"{OURS}, {engine}"
        if name in contestants:
            print_kernels(name, contestants[name].call, torch.rand(1, 3, 1080, 1920, device=device))


def clock(call: Callable[[Tensor], object], images: Tensor) -> tuple[float, int]:
    """Return the median seconds of a call, and the bytes that it reserves, including CUDA graphs."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    for _ in range(WARM_UPS):  # compiles, chooses algorithms, records graphs
        call(images)
    times = [time_call(lambda: call(images), images.device) for _ in range(CALLS)]
    return median(times), torch.cuda.memory_reserved() - before


def print_kernels(name: str, call: Callable[[Tensor], object], images: Tensor) -> None:
    """Print the kernels that take most of a call's time on the device."""
    call(images)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(CALLS):
            call(images)
        torch.cuda.synchronize()
    kernels = sorted(profile.key_averages(), key=lambda one: -one.self_device_time_total)
    total = sum(one.self_device_time_total for one in kernels)
    print(f"\n{name} at 1920×1080: {total / CALLS / 1e3:.2f} ms per call on the device\n")
    print_head("kernel", "share")
    for one in kernels[:MAX_KERNELS]:
        print_row(f"`{one.key[:90]}`", f"{one.self_device_time_total / total:.0%}")
