"""Devices, precisions and free memory of this machine, and exception classes for failures of torch.

torch is imported only by the functions that need it, because importing it takes more than a second.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from faststyle.errors import InputError, OutOfMemoryError, RankLostError, WorkerDiedError, first_line
from faststyle.registry import choose

if TYPE_CHECKING:
    import torch

PRECISIONS = {"auto": None, "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
# Signs of an accelerator on Linux: of NVIDIA, also in WSL, and of AMD.
ACCELERATOR_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
DEFAULT_MEMORY_BYTES = 8 << 30  # assumed where the system does not report its memory
CPU_ROOT = Path("/sys/devices/system/cpu")  # on Linux, what the processors share
CGROUP_ROOT = Path("/sys/fs/cgroup")  # on Linux, control groups limit the memory of containers
# Files of a control group, for versions 2 and 1: the limit, the memory in use, and the key in memory.stat of
# the part in use that the kernel frees on demand.
CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)

process_of_threads = os.getpid()  # the process whose threads torch uses


def survive_fork() -> None:
    """Compute with one thread in a child that was forked from a process that had imported this module.

    The threads of torch's pool exist only in the parent, and the child would wait for them forever.
    """
    import torch

    global process_of_threads
    if os.getpid() != process_of_threads:
        process_of_threads = os.getpid()  # once, so that the child can choose another number
        torch.set_num_threads(1)


def pick_device(name: str = "auto") -> torch.device:
    """Return a device by name.

    Args:
        name: Name such as "cpu" or "cuda:1", or "auto" for an accelerator if there is one, else the CPU.

    Raises:
        InputError: This machine has no such device.
    """
    import torch

    survive_fork()
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise InputError(
            f"`device` {name!r} is not available here ({reason}): use cpu, or leave it out"
        ) from None
    return device


def describe_device(device: torch.device) -> str:
    """Return the name of the hardware, for logs and reports."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return describe_cpu()
    return device.type.upper()


def describe_cpu() -> str:
    """Return the CPU's name with the number of threads that compute."""
    threads = thread_count()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def thread_count() -> int:
    """Return the number of threads that compute: torch's where it is loaded, otherwise one for each core."""
    torch_threads = getattr(sys.modules.get("torch"), "get_num_threads", None)
    if torch_threads is not None:
        return torch_threads()
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    processors = os.sched_getaffinity(0)
    files = [CPU_ROOT / f"cpu{number}" / "topology" / "thread_siblings_list" for number in processors]
    try:
        return len({file.read_text() for file in files})
    except OSError:
        return len(processors)


def may_have_accelerator() -> bool:
    """Return False if this machine certainly has no accelerator, without importing torch."""
    if sys.platform == "linux":
        return any(map(os.path.exists, ACCELERATOR_FILES))
    return sys.platform == "darwin" or shutil.which("nvidia-smi") is not None


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return True if the hardware has bfloat16 arithmetic, so that it is not emulated."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return False


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return a precision by name.

    Args:
        name: Key of ``PRECISIONS``; "auto" is bfloat16 where the hardware has it, else float32.
        device: Device that computes.

    Raises:
        InputError: There is no such precision.
    """
    import torch

    dtype = choose("precision", name, PRECISIONS)
    if dtype is None:
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    return getattr(torch, dtype)


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Return an autocast context for a precision; for float32 it is disabled."""
    import torch

    return torch.autocast(device.type, precision, precision != torch.float32)


@contextmanager
def memory_errors(what: str, remedy: str) -> Iterator[None]:
    """Raise OutOfMemoryError if an allocation fails in the block.

    torch's CPU allocator and ONNX Runtime have no exception class for this, so their messages are searched.

    Args:
        what: Plural noun for the data that does not fit, such as "1024x768 pixels".
        remedy: Advice to the user, such as "lower `max_size`".

    Raises:
        OutOfMemoryError: An allocation failed.
    """
    try:
        yield
    except Exception as error:
        # ONNX Runtime's exceptions are direct subclasses of Exception.
        by_message = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")
        if not isinstance(error, MemoryError) and not (
            by_message and re.search("memory|alloc", str(error), re.IGNORECASE)
        ):
            raise
        raise OutOfMemoryError(f"{what} do not fit into memory: {remedy}") from None


@contextmanager
def process_errors() -> Iterator[None]:
    """Raise an exception class of this package if a DataLoader worker or another rank dies in the block.

    The DataLoader and gloo raise plain RuntimeErrors, so their messages are searched.

    Raises:
        WorkerDiedError: A DataLoader worker died; the message is torch's.
        RankLostError: Another rank ended.
    """
    import torch

    try:
        yield
    except (RuntimeError, EOFError) as error:
        if isinstance(error, torch.distributed.DistError) or "gloo" in str(error):
            raise RankLostError("another process of this run ended") from None
        # A worker that dies while it sends an image causes an EOFError without a message.
        worker = re.search(r"DataLoader worker \(pid.*", str(error) or "DataLoader worker (pid unknown)")
        if worker is None:
            raise
        raise WorkerDiedError(worker[0].rstrip(". ")) from None


def keep_freed_memory() -> None:
    """Make glibc keep large freed blocks for this process; do nothing without glibc.

    By default, glibc returns such blocks to the system, and each new block causes page faults. On a CPU they
    take a tenth of a training step.
    """
    set_malloc_parameters(
        (-4, 0),  # M_MMAP_MAX: no block gets a mapping of its own
        (-1, 2**31 - 1),  # M_TRIM_THRESHOLD: the end of the heap is not returned
    )


def share_freed_memory() -> None:
    """Limit glibc to two heaps, because each thread of a server would keep freed blocks in its own."""
    set_malloc_parameters((-8, 2))  # M_ARENA_MAX


def set_malloc_parameters(*parameters: tuple[int, int]) -> None:
    """Set parameters of glibc's malloc, each given by its number and value; do nothing without glibc."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        for number, value in parameters:
            libc.mallopt(number, value)


def free_memory(device: torch.device | str = "cpu") -> int:
    """Return the number of bytes that can be allocated on a device now.

    For the CPU, the limits of containers count, too.
    """
    if str(device).startswith("cuda"):
        import torch

        # torch reuses the memory that it has reserved but not allocated.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return cpu_memory(int(time.monotonic()))


@lru_cache(1)
def cpu_memory(second: int) -> int:
    """Return the free memory in bytes, read once in each second, because the system takes milliseconds."""
    return min([machine_memory(), *cgroup_memory()])


def machine_memory() -> int:
    """Return the machine's free memory in bytes, or all of its memory where only that is known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return DEFAULT_MEMORY_BYTES


def cgroup_memory() -> list[int]:
    """Return the bytes left in this process's control group and in each of its ancestors."""
    folders = {CGROUP_ROOT, CGROUP_ROOT / "memory"}  # inside a container, the root is its own group
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:  # 0::/path in version 2, 4:memory:/path in version 1
        kind, path = line.split(":", 2)[1:]
        root = CGROUP_ROOT / "memory" if "memory" in kind else CGROUP_ROOT
        folders |= {root / part for part in (path.strip("/"), *map(str, Path(path.strip("/")).parents))}
    return [left for folder in folders if (left := memory_left_in_cgroup(folder)) is not None]


def memory_left_in_cgroup(folder: Path) -> int | None:
    """Return the bytes left in one control group, or None if it has no limit."""
    for limit, used, reclaimable in CGROUP_FILES:
        try:
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            taken = int((folder / used).read_text()) - int(stat.get(reclaimable, 0))
            return max(
                0, int((folder / limit).read_text()) - taken
            )  # ValueError for "max", which is no limit
        except (OSError, ValueError):
            continue
    return None
