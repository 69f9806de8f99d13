"""The painting's Gram matrices in a model's file: upper triangles in half precision."""

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from faststyle.errors import InputError

PREFIX = "style."  # of the tensors' names: style.relu4_1/4
MAX_CHANNELS = 1024  # twice VGG's most
LAYER = re.compile(r"relu[1-5]_[1-4](/(2|4|8|16))?")


def pack(grams: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Pack Gram matrices, (1,C,C) by layer.

    Returns:
        float16 vectors of C(C+1)/2 by name, and by layer the root mean square that each was divided by.
    """
    packed, scales = {}, {}
    for layer, gram in grams.items():
        values = gram[0].detach().float().cpu()
        scales[layer] = max(values.square().mean().sqrt().item(), 1e-12)
        rows, columns = torch.triu_indices(*values.shape)
        packed[PREFIX + layer] = (values[rows, columns] / scales[layer]).half()
    return packed, scales


def unpack(packed: Mapping[str, Tensor], scales: Mapping[str, float]) -> dict[str, Tensor]:
    """Unpack what ``pack`` made, to (1,C,C) float32 by layer."""
    grams = {}
    for layer, scale in scales.items():
        values = packed[PREFIX + layer].float() * scale
        channels = channels_of(len(values))
        rows, columns = torch.triu_indices(channels, channels)
        gram = torch.zeros(1, channels, channels)
        gram[0, rows, columns] = values
        gram[0, columns, rows] = values
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
        scales: The header's, by layer.
        found: Shape and type of each tensor, by its name with ``PREFIX``.

    Raises:
        InputError: A layer without its matrix or its scale, or of another shape or type.
    """
    if not isinstance(scales, dict) or {PREFIX + str(layer) for layer in scales} != found.keys():
        raise InputError(f"{path} is damaged: its Gram matrices are not those that its header names")
    for layer, scale in scales.items():
        shape, kind = found[PREFIX + layer]
        whole = LAYER.fullmatch(layer) and kind == "F16" and len(shape) == 1 and channels_of(shape[0])
        known = isinstance(scale, float) and math.isfinite(scale) and scale > 0
        if not whole or not known:
            raise InputError(
                f"{path} is damaged: the Gram matrix of {layer!r:.20} has another shape, type or scale"
            )
