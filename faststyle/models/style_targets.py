"""Storage of the painting's Gram matrices in a model's file, as factors (C,R)."""

import math
import re
from collections.abc import Mapping

import numpy as np

from faststyle.errors import InputError
from faststyle.models.quantization import TensorSpec

PREFIX = "style."  # of the tensors' names, such as style.relu4_1/4
MAX_CHANNELS = 1024  # twice the largest number of channels in VGG
# Share of a matrix's squared norm that factorization may lose: a tenth of what the slow baseline leaves.
MAX_LOSS = 1e-4
LAYER = re.compile(r"relu[1-5]_[1-4](/(2|4|8|16))?")


def pack_grams(grams: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Factorize Gram matrices, (1,C,C) by layer, and return the factors, (C,R) float32 by tensor name.

    R is as small as ``MAX_LOSS`` allows. It is often far below C, because a painting scaled down by 4 has few
    positions in a deep layer.
    """
    packed = {}
    for layer, gram in grams.items():
        values, vectors = np.linalg.eigh(gram[0].astype(np.float64))
        values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
        # The squared norm of the matrix without the eigenvalues before each one.
        remaining = np.square(values)[::-1].cumsum()[::-1]
        rank = max(1, int((remaining > MAX_LOSS * remaining[0]).sum()))
        packed[PREFIX + layer] = (vectors[:, :rank] * np.sqrt(values[:rank])).astype(np.float32)
    return packed


def unpack_grams(packed: Mapping[str, np.ndarray], scales: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Return the Gram matrices, (1,C,C) float32 by layer.

    Args:
        packed: Factors from ``pack_grams``, or upper triangles, (C(C+1)/2,), of files of format version 1.
        scales: The divisor of each triangle, by layer; empty for factors.
    """
    grams = {}
    for name, values in packed.items():
        layer, values = name.removeprefix(PREFIX), values.astype(np.float32)
        if values.ndim == 2:
            grams[layer] = (values @ values.T)[None]
            continue
        channels = triangle_channels(len(values))
        rows, columns = np.triu_indices(channels)
        gram = np.zeros((1, channels, channels), np.float32)
        gram[0, rows, columns] = gram[0, columns, rows] = values * scales[layer]
        grams[layer] = gram
    return grams


def triangle_channels(length: int) -> int:
    """Return C for a triangle of length C(C+1)/2, or 0 if no C up to ``MAX_CHANNELS`` has this length."""
    channels = (math.isqrt(8 * length + 1) - 1) // 2
    return channels if channels <= MAX_CHANNELS and channels * (channels + 1) // 2 == length else 0


def check_grams(path: object, scales: object, specs: Mapping[str, TensorSpec]) -> None:
    """Check the Gram matrices of a file before they are read.

    Args:
        path: The file, for error messages.
        scales: The divisors of triangles by layer, as the file's header has them.
        specs: Shape and data type of each tensor, by its name with ``PREFIX``.

    Raises:
        InputError: A triangle has no scale or a scale no triangle, or a tensor has an invalid layer name,
            shape, data type or scale.
    """
    triangles = {name.removeprefix(PREFIX) for name, (shape, _) in specs.items() if len(shape) == 1}
    if not isinstance(scales, dict) or scales.keys() != triangles:
        raise InputError(f"{path} is damaged: its Gram matrices do not match the scales in its header")
    for name, (shape, dtype) in specs.items():
        layer = name.removeprefix(PREFIX)
        if len(shape) == 1:
            scale = scales[layer]
            fits = isinstance(scale, float) and math.isfinite(scale) and scale > 0
            fits = fits and triangle_channels(shape[0]) > 0
        else:
            fits = len(shape) == 2 and 1 <= shape[1] <= shape[0] <= MAX_CHANNELS
        if not (fits and LAYER.fullmatch(layer) and dtype in ("F16", "F32")):
            raise InputError(
                f"{path} is damaged: its Gram matrix {layer!r:.20} has an invalid name, shape, type or scale"
            )
