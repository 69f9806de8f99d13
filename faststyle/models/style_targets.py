"""The painting's Gram matrices in a model's file: as factors, (C,R), whose products they are."""

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from faststyle.errors import InputError

PREFIX = "style."  # of the tensors' names: style.relu4_1/4
MAX_CHANNELS = 1024  # twice VGG's most
LOST = 1e-4  # of a matrix' squared norm, at most: a tenth of what the slow baseline leaves
LAYER = re.compile(r"relu[1-5]_[1-4](/(2|4|8|16))?")


def pack(grams: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Factorize Gram matrices, (1,C,C) by layer, to (C,R) float32 by name.

    R is as small as ``LOST`` allows: a painting averaged down by 4 leaves few positions in a deep layer.
    """
    packed = {}
    for layer, gram in grams.items():
        values, vectors = torch.linalg.eigh(gram[0].detach().double().cpu())
        values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
        left = values.square().flip(0).cumsum(0).flip(0)  # of the squared norm, from each value on
        rank = max(1, int((left > LOST * left[0]).sum()))
        packed[PREFIX + layer] = (vectors[:, :rank] * values[:rank].sqrt()).float().contiguous()
    return packed


def unpack(packed: Mapping[str, Tensor], scales: Mapping[str, float]) -> dict[str, Tensor]:
    """Compute the Gram matrices, (1,C,C) float32 by layer.

    Args:
        packed: What ``pack`` made; or upper triangles, C(C+1)/2, of files of version 1.
        scales: By layer, what a triangle was divided by.
    """
    grams = {}
    for name, values in packed.items():
        layer, values = name.removeprefix(PREFIX), values.float()
        if values.ndim == 2:
            grams[layer] = (values @ values.T)[None]
            continue
        channels = channels_of(len(values))
        rows, columns = torch.triu_indices(channels, channels)
        gram = torch.zeros(1, channels, channels)
        gram[0, rows, columns] = gram[0, columns, rows] = values * scales[layer]
        grams[layer] = gram
    return grams


def channels_of(length: int) -> int:
    """Return C where C(C+1)/2 is the length; 0 where no C up to ``MAX_CHANNELS`` is."""
    channels = (math.isqrt(8 * length + 1) - 1) // 2
    return channels if channels <= MAX_CHANNELS and channels * (channels + 1) // 2 == length else 0


def check_targets(path: object, scales: object, found: Mapping[str, tuple[tuple[int, ...], str]]) -> None:
    """Refuse Gram matrices that are not whole, before they are read.

    Args:
        path: The file, for the message.
        scales: Of the triangles, by layer.
        found: Shape and type of each tensor, by its name with ``PREFIX``.

    Raises:
        InputError: A layer without its matrix or its scale, or of another shape or type.
    """
    triangles = {name.removeprefix(PREFIX) for name, (shape, _) in found.items() if len(shape) == 1}
    if not isinstance(scales, dict) or scales.keys() != triangles:
        raise InputError(f"{path} is damaged: its Gram matrices are not those that its header names")
    for name, (shape, kind) in found.items():
        layer = name.removeprefix(PREFIX)
        if len(shape) == 1:
            scale = scales[layer]
            sound = isinstance(scale, float) and math.isfinite(scale) and scale > 0 and channels_of(shape[0])
        else:
            sound = len(shape) == 2 and 1 <= shape[1] <= shape[0] <= MAX_CHANNELS
        if not (sound and LAYER.fullmatch(layer) and kind in ("F16", "F32")):
            raise InputError(
                f"{path} is damaged: the Gram matrix of {layer!r:.20} has another shape, type or scale"
            )
