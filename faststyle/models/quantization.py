"""Matrices in a model's file as 8-bit integers, with a scale for each row."""

from collections.abc import Mapping

import torch
from torch import Tensor

from faststyle.errors import InputError

SCALE = ".scale"  # follows the name of a matrix in that of its scales
Found = Mapping[str, tuple[tuple[int, ...], str]]  # shape and type of each tensor in a file


def quantize(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round what has two dimensions and more, (N,…), to 8 bits, and the rest to half precision.

    Returns:
        The tensors by name, int8 or float16, and each matrix' scales, (N,) float32, by name and ``SCALE``.
    """
    result = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2:
            result[name] = tensor.half()
            continue
        rows = tensor.float().flatten(1)
        scales = rows.abs().amax(1).clamp(min=1e-12) / 127
        result[name] = (rows / scales[:, None]).round().to(torch.int8).view(tensor.shape)
        result[name + SCALE] = scales
    return result


def dequantize(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo ``quantize``, to float32 where there are scales."""
    result = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE):
            continue
        scales = tensors.get(name + SCALE)
        if scales is not None:
            tensor = tensor.float() * scales.view(-1, *[1] * (tensor.ndim - 1))
        result[name] = tensor
    return result


def check_quantized(path: object, found: Found) -> dict[str, tuple[tuple[int, ...], str]]:
    """Refuse integers without their scales, and scales without integers, before they are read.

    Returns:
        What ``dequantize`` will make of the tensors: shapes and types by name.

    Raises:
        InputError: A matrix and its scales do not go together.
    """
    result = {}
    for name, (shape, kind) in found.items():
        matrix = name.removesuffix(SCALE)
        if matrix != name:
            rows, matrix_kind = found.get(matrix, ((), ""))
            if matrix_kind != "I8" or kind != "F32" or shape != rows[:1]:
                raise InputError(f"{path} is damaged: the scales {name:.60} are not those of a matrix in it")
        elif kind == "I8" and name + SCALE not in found:
            raise InputError(f"{path} is damaged: it has no scales for the integers of {name:.60}")
        else:
            result[name] = shape, "F32" if kind == "I8" else kind
    return result
