"""Operations on images that are NumPy arrays or torch tensors; each returns what it is given."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

Array = Any  # a NumPy array or a torch tensor


def array_namespace(array: Array) -> Any:
    """Return the module whose functions take an array, as the Python array API standard names them."""
    if isinstance(array, np.ndarray):
        return np
    import array_api_compat.torch  # not at the top, because it imports torch

    return array_api_compat.torch


def is_tensor(array: object) -> bool:
    """Return True for a torch tensor."""
    torch = sys.modules.get("torch")
    return isinstance(array, getattr(torch, "Tensor", ()))  # another thread can be importing torch


def to_floats(pixels: Array) -> Array:
    """Convert bytes to float32 in [0,1], and any floats to float32 of the same values."""
    xp = array_namespace(pixels)
    values = xp.astype(pixels, xp.float32)
    return values if xp.isdtype(pixels.dtype, "real floating") else values / 255


def to_bytes(images: Array) -> Array:
    """Convert floats in [0,1] to bytes."""
    xp = array_namespace(images)
    return xp.astype(xp.round(xp.clip(images, 0, 1) * 255), xp.uint8)


def resize(images: Array, size: Sequence[int]) -> Array:
    """Resize (B,C,H,W), bytes or floats, by bicubic interpolation with antialiasing.

    Floats can fall slightly outside the range of the image.
    """
    if is_tensor(images):
        from torch.nn.functional import interpolate

        return interpolate(images, tuple(size), mode="bicubic", antialias=True)
    height, width = size
    result = np.empty((*images.shape[:2], height, width), images.dtype)
    for place in np.ndindex(images.shape[:2]):
        channel = Image.fromarray(np.ascontiguousarray(images[place]))
        result[place] = channel.resize((width, height), Image.Resampling.BICUBIC)
    return result


def pad_edge(images: Array, reach: int) -> Array:
    """Pad (…,H,W) by repeating the pixels at the border, ``reach`` times on each side."""
    xp = array_namespace(images)
    for axis in (-2, -1):
        size = images.shape[axis]
        index = np.arange(-reach, size + reach).clip(0, size - 1)
        images = xp.take(images, like(images, index), axis=axis)
    return images


def to_numpy(array: Array) -> np.ndarray:
    """Return a NumPy array of float32 for a tensor, and any NumPy array as it is."""
    return array.detach().cpu().float().numpy() if is_tensor(array) else array


def like(reference: Array, values: Array) -> Array:
    """Return values as the kind of a reference, on its device."""
    if is_tensor(reference):
        import torch

        tensor = values if is_tensor(values) else torch.from_numpy(np.array(values))
        return tensor.to(reference.device)
    return values.cpu().numpy() if is_tensor(values) else values
