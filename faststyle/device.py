"""Devices and precisions of this machine, its memory, and errors of torch that have no class of their own."""

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from faststyle.errors import InputError, OutOfMemoryError, RankLostError, WorkerDiedError, first_line
from faststyle.registry import choose

PRECISIONS = {"auto": None, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str = "auto") -> torch.device:
    """The device named, or for auto the fastest one here.

    Raises:
        InputError: no such device here.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise InputError(
            f"device {name!r} cannot be used here ({reason}): leave it out, or take cpu"
        ) from None
    return device


def describe_device(device: torch.device) -> str:
    """What computes, for a person to read."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    return device.type.upper()


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16, rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return False


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The precision named, or for auto bfloat16 where the hardware computes in it, else float32.

    Raises:
        InputError: no such precision.
    """
    dtype = choose("precision", name, PRECISIONS)
    if dtype is None:
        dtype = torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    return dtype


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Compute in ``precision`` where that is worth it; nothing for float32."""
    return torch.autocast(device.type, precision, precision != torch.float32)


@contextmanager
def memory_errors(what: str, remedy: str) -> Iterator[None]:
    """Raise OutOfMemoryError when an allocation fails in the block.

    torch's CPU allocator and ONNX Runtime have no exception class for it, so that their messages decide.

    Args:
        what: What does not fit, such as "1024x768 pixels".
        remedy: What to do, such as "lower `max_size`".

    Raises:
        OutOfMemoryError: There is not enough memory.
    """
    try:
        yield
    except Exception as error:
        # ONNX Runtime's exceptions derive from Exception alone.
        by_message = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")
        if not isinstance(error, MemoryError) and not (
            by_message and re.search("memory|alloc", str(error), re.IGNORECASE)
        ):
            raise
        raise OutOfMemoryError(f"{what} do not fit into memory: {remedy}") from None


@contextmanager
def process_errors() -> Iterator[None]:
    """Raise exceptions of ours when a DataLoader worker or another rank dies in the block.

    The DataLoader and gloo raise RuntimeErrors for it, so that their messages decide.

    Raises:
        WorkerDiedError: A DataLoader worker died; the message is torch's.
        RankLostError: Another rank is gone.
    """
    try:
        yield
    except (RuntimeError, EOFError) as error:
        if isinstance(error, torch.distributed.DistError) or "gloo" in str(error):
            raise RankLostError("another process of this run ended") from None
        # A worker that dies while it hands an image over causes an EOFError without a message.
        worker = re.search(r"DataLoader worker \(pid.*", str(error) or "DataLoader worker (pid unknown)")
        if worker is None:
            raise
        raise WorkerDiedError(worker[0].rstrip(". ")) from None


def keep_freed_memory() -> None:
    """Let glibc keep large blocks that are freed, for this process.

    It would return each to the system and fault every page in anew: a tenth of a training step on
    a CPU. Elsewhere than on glibc nothing happens.
    """
    set_malloc(
        (-4, 0),  # M_MMAP_MAX: no block gets a mapping of its own
        (-1, 2**31 - 1),  # M_TRIM_THRESHOLD: nor is the heap's end given back
    )


def share_freed_memory() -> None:
    """Let glibc's threads share what they have freed, for a server: each would keep a heap of its own."""
    set_malloc((-8, 2))  # M_ARENA_MAX


def set_malloc(*options: tuple[int, int]) -> None:
    """Set options of glibc's malloc; nothing elsewhere."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        for option, value in options:
            libc.mallopt(option, value)


UNKNOWN = 8 << 30  # bytes; where the system does not say


GROUPS = Path("/sys/fs/cgroup")  # on Linux: a container's limits


# The names of limit, use, and of the part of the use that is given back when it is needed.
GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(device: torch.device) -> int:
    """Bytes that can be taken on this device now: a GPU's own, else the machine's or the container's."""
    if device.type == "cuda":
        # What torch keeps of earlier pictures is free for the next one.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return min([machine(), *containers()])


def machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:  # not what is free, but all of it
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN


def containers() -> list[int]:
    """What the control group of this process, and those that it lies in, leave."""
    folders = {GROUPS, GROUPS / "memory"}  # in a container its own group is the root
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:  # 0::/path, or 4:memory:/path in the older version
        kind, path = line.split(":", 2)[1:]
        root = GROUPS / "memory" if "memory" in kind else GROUPS
        folders |= {root / part for part in (path.strip("/"), *map(str, Path(path.strip("/")).parents))}
    return [room for folder in folders for room in group_room(folder)]


def group_room(folder: Path) -> list[int]:
    """What one control group leaves, or nothing."""
    for limit, used, cache in GROUP_FILES:
        try:
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            taken = int((folder / used).read_text()) - int(stat.get(cache, 0))
            return [max(0, int((folder / limit).read_text()) - taken)]  # "max" is no number
        except (OSError, ValueError):
            continue
    return []
