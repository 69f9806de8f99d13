"""Batches with photos of one colour: finding them, and keeping their gradients finite."""

import torch
from torch import Tensor, nn

# Of a photo's values in [0,1], in each channel. Its root is a quarter of an 8-bit level.
MIN_VARIANCE = 1e-6


def has_blank_photo(photos: Tensor) -> bool:
    """Return True if one of the photos (B,3,H,W), RGB in [0,1], has hardly any contrast."""
    return bool((photos.var((2, 3), correction=0).amax(1) < MIN_VARIANCE).any())


def norm_without_flat_channels(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply an instance norm to (B,C,H,W), with a gradient of zero for channels without contrast.

    The norm multiplies the gradient of such a channel by 1/√eps, about 300. For a blank photo that happens in
    every layer, and the product overflows.
    """
    assert isinstance(norm, nn.InstanceNorm2d)
    flat = x.detach().var((2, 3), correction=0, keepdim=True) < norm.eps
    return norm(torch.where(flat, x.detach(), x))
