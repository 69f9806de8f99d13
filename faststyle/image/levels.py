"""Scaling of integers and floats of any range to 8 bits."""

from typing import Any

import numpy as np

BAND_ROWS = 64  # scaled at a time, so that intermediate values take little memory
MAX_SAMPLED = 1_000_000  # values whose distribution decides
MAX_NOISE = 0.05  # how far below black floats may be that nevertheless are from 0 to 1


def to_levels(values: np.ndarray, bits: int | None = None, is_alpha: bool = False) -> np.ndarray:
    """Scale values to bytes. NaN becomes black.

    Args:
        values: Integers or floats of any range.
        bits: Bits of an integer; by default those of its type.
        is_alpha: Whether the values are an alpha channel, which always has the range of its type.
    """
    white = largest_value(values.dtype, bits)
    black = 0.0
    if not is_alpha and (values.dtype.kind != "u" or values.dtype.itemsize > 2):
        black, white = find_range(values, white)
    levels = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        scaled: Any = values[rows].astype(np.float64 if values.dtype.itemsize > 2 else np.float32)
        scaled = (scaled - black) * (255 / (white - black))
        levels[rows] = np.nan_to_num(scaled, nan=0, posinf=255, neginf=0).clip(0, 255).round()
    return levels


def largest_value(dtype: np.dtype, bits: int | None = None) -> float:
    """Return the largest integer of a type or of a number of bits; 1 for floats."""
    if dtype.kind == "f":
        return 1.0
    return float(np.iinfo(dtype).max if bits is None or dtype.kind == "i" else 2**bits - 1)


def find_range(values: np.ndarray, largest: float) -> tuple[float, float]:
    """Return the values of black and white, for types that do not define them.

    Floats are from 0 to 1, unless more than a tenth of them is above 1 or a hundredth is below 0. A few may
    be outside, because highlights can be brighter than white. Otherwise white is the maximum of 8 bits, of
    16 bits or of the type, whichever the values come near to, or else the largest value. Black is 0, or the
    smallest value if it is negative.

    Args:
        values: Signed or large integers, or floats.
        largest: Largest value of the type; 1 for floats.
    """
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        if not finite.any():
            return 0.0, 1.0
        low = float(np.min(values, where=finite, initial=np.inf))
        high = float(np.max(values, where=finite, initial=-np.inf))
        every = 1 + values.size // MAX_SAMPLED
        sample = values.reshape(-1)[::every][finite.reshape(-1)[::every]].astype(np.float64)
        if not sample.size:
            return min(0.0, low), max(high, 1.0)
        if np.quantile(sample, 0.01) >= -MAX_NOISE and np.quantile(sample, 0.9) <= 1:
            return 0.0, 1.0
        largest = 65535.0
    else:
        low, high = float(values.min()), float(values.max())
    black = min(0.0, low)
    near = [top for top in (255.0, 65535.0, largest) if top <= largest and top / 2 < high <= top]
    white = near[0] if near and black == 0 else high
    return black, white if white > black else black + 1
