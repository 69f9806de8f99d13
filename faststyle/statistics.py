"""What of the features is called style."""

from typing import Any

import torch
from torch import Tensor


class SelfProduct(torch.autograd.Function):
    """X Xᵀ of (B,C,N), with one product in the backward pass where autograd makes two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x @ x.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return (grad + grad.transpose(1, 2)) @ x


def gram(features: Tensor) -> Tensor:
    """Gram matrix: the mean over positions of the products of every two channels.

    In float32 even under autocast: sums over positions overflow float16 and are coarse in
    bfloat16. Dividing by the positions alone lets pictures of different sizes be compared.
    Gatys et al., "Image style transfer using convolutional neural networks", CVPR 2016.

    Args:
        features: (B,C,H,W).

    Returns:
        (B,C,C) float32.
    """
    with torch.autocast(features.device.type, enabled=False):
        flat = features.float().flatten(2)  # (B,C,HW)
        return SelfProduct.apply(flat) / flat.shape[2]
