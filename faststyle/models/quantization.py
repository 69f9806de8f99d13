"""8-bit quantization of the matrices in a model's file, with one scale per row."""

from collections.abc import Mapping

import numpy as np

from faststyle.errors import InputError

SCALE_SUFFIX = ".scale"  # added to a matrix's name to name its scales
TensorSpec = tuple[tuple[int, ...], str]  # shape and data type of a tensor in a file


def quantize(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Round tensors of two or more dimensions, (N,…), to 8 bits, and all others to half precision.

    Returns:
        The tensors by name, int8 or float16. The scales of each matrix, (N,) float32, have its name and
        ``SCALE_SUFFIX``.
    """
    result = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2:
            result[name] = tensor.astype(np.float16)
            continue
        rows = tensor.astype(np.float32).reshape(len(tensor), -1)
        scales = np.maximum(np.abs(rows).max(1), 1e-12) / 127
        result[name] = np.rint(rows / scales[:, None]).astype(np.int8).reshape(tensor.shape)
        result[name + SCALE_SUFFIX] = scales
    return result


def dequantize(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Undo ``quantize``: return float32 for tensors with scales, and all others unchanged."""
    result = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE_SUFFIX):
            continue
        scales = tensors.get(name + SCALE_SUFFIX)
        if scales is not None:
            tensor = tensor.astype(np.float32) * scales.reshape(-1, *[1] * (tensor.ndim - 1))
        result[name] = tensor
    return result


def dequantized_specs(path: object, specs: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    """Return the specs of the tensors that ``dequantize`` will return, before any tensor is read.

    Args:
        path: The file, for error messages.
        specs: Shape and data type of each tensor in the file, by name.

    Raises:
        InputError: A matrix of integers has no scales, or scales do not fit a matrix.
    """
    result = {}
    for name, (shape, dtype) in specs.items():
        matrix = name.removesuffix(SCALE_SUFFIX)
        if matrix != name:
            matrix_shape, matrix_dtype = specs.get(matrix, ((), ""))
            if matrix_dtype != "I8" or dtype != "F32" or shape != matrix_shape[:1]:
                raise InputError(f"{path} is damaged: its scales {name:.60} do not fit a matrix")
        elif dtype == "I8" and name + SCALE_SUFFIX not in specs:
            raise InputError(f"{path} is damaged: it has no scales for the integers of {name:.60}")
        else:
            result[name] = shape, "F32" if dtype == "I8" else dtype
    return result
