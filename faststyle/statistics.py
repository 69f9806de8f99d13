"""What of the features is called style."""

import torch
from torch import Tensor


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
        return flat @ flat.transpose(1, 2) / flat.shape[2]
