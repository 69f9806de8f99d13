"""Which device and which precision suit this machine."""

import ctypes
import sys

import torch

from faststyle.errors import InputError, first_line


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


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16, rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return False


def keep_freed_memory() -> None:
    """Let glibc keep large blocks that are freed, for this process.

    It would return each to the system and fault every page in anew: a tenth of a training step on
    a CPU. Elsewhere than on glibc nothing happens.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block gets a mapping of its own
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: nor is the heap's end given back
