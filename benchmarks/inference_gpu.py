"""On a GPU, pictures that are there already: pictures a second, memory, and the floor beside the clock.

Part of `python -m benchmarks.inference`. The floor is what the device's matrix product would take for
the operations of the network's convolutions, and what a large copy would take for reading and writing
their activations once each.
"""

from functools import partial
from pathlib import Path

import torch

from benchmarks.ceiling import bandwidth, matmul, seconds, work
from benchmarks.examples_network import Examples
from benchmarks.inference_report import EXAMPLES, OURS
from faststyle.errors import InputError, first_line
from faststyle.inference.engines import available, pick_engine
from faststyle.inference.stylizer import Stylizer

BATCHES = (1, 8)
CALLS, WARM_UPS = 20, 5
TOP = 12  # kernels that are named
HEADS = [
    "size",
    "batch",
    "contestant",
    "ms",
    "pictures/s",
    "peak MiB",
    "operations, ms",
    "bytes, ms",
    "share of the larger floor",
]


def report(model: str, sizes: list[tuple[int, int]], device: torch.device, peer_path: Path | None) -> None:
    """Print the table, and for our network at 1920×1080 where its time goes, kernel by kernel."""
    moved = bandwidth(device)
    print(
        f"\nA large copy moves {moved / 1e9:,.0f} GB/s.\n\n| {' | '.join(HEADS)} |\n|{' --- |' * len(HEADS)}"
    )
    contestants = {}
    for engine in available(device):
        try:
            stylize = Stylizer.load(model, device=str(device), engine=engine)
        except InputError:  # said already
            continue
        contestants[f"{OURS}, {engine}"] = (
            partial(stylize, stroke_scale=1),
            stylize.network,
            stylize.dtype,
        )
    network = Examples(device, peer_path).network.requires_grad_(False)
    contestants[EXAMPLES] = (network, network, torch.float32)
    rates = {dtype: matmul(device, dtype) for _, _, dtype in contestants.values()}
    for width, height in sizes:
        for batch in BATCHES:
            pictures = torch.rand(batch, 3, height, width, device=device)
            for name, (call, network, dtype) in contestants.items():
                try:
                    taken, peak = clock(call, pictures)
                except (InputError, torch.OutOfMemoryError) as error:
                    print(f"| {width}×{height} | {batch} | {name} | {first_line(error)} |")
                    continue
                asked = work(network, width, height, batch)
                operations = asked.done / rates[dtype]
                values = asked.values * dtype.itemsize / moved
                floor = max(operations, values) / taken
                figures = f"{taken * 1e3:.2f} | {batch / taken:.1f} | {peak / 2**20:,.0f}"
                floors = f"{operations * 1e3:.2f} | {values * 1e3:.2f} | {floor:.0%}"
                print(f"| {width}×{height} | {batch} | {name} | {figures} | {floors} |", flush=True)
    usual = pick_engine("auto", device, next(iter(contestants.values()))[2])
    for engine in dict.fromkeys(["compile", usual]):
        name = f"{OURS}, {engine}"
        if name in contestants:
            print_kernels(name, contestants[name][0], torch.rand(1, 3, 1080, 1920, device=device))


def clock(call, pictures: torch.Tensor) -> tuple[float, int]:
    """Seconds of a call, the median of many, and the bytes that it has reserved, graphs' with them."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    for _ in range(WARM_UPS):  # compiles, chooses algorithms, records graphs
        call(pictures)
    times = sorted(seconds(lambda: call(pictures), pictures.device) for _ in range(CALLS))
    return times[CALLS // 2], torch.cuda.memory_reserved() - before


def print_kernels(name: str, call, pictures: torch.Tensor) -> None:
    """Where a call's time on the device goes."""
    call(pictures)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(CALLS):
            call(pictures)
        torch.cuda.synchronize()
    kernels = sorted(profile.key_averages(), key=lambda one: -one.self_device_time_total)
    total = sum(one.self_device_time_total for one in kernels)
    print(f"\n{name} at 1920×1080: {total / CALLS / 1e3:.2f} ms a call on the device\n")
    print("| kernel | share |\n| --- | --- |")
    for one in kernels[:TOP]:
        print(f"| `{one.key[:90]}` | {one.self_device_time_total / total:.0%} |")
