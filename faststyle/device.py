"""Which device and which precision suit this machine."""

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
