"""Luminance and colour: what of a photo's colours a stylization keeps."""

import torch
from torch import Tensor

# ITU-R BT.601, as in Y'CbCr.
LUMINANCE = (0.299, 0.587, 0.114)


def luminance(images: Tensor) -> Tensor:
    """(…,3,H,W) RGB to (…,1,H,W)."""
    weights = torch.tensor(LUMINANCE, device=images.device, dtype=images.dtype)
    return (images * weights.view(3, 1, 1)).sum(-3, keepdim=True)


def keep_color(stylized: Tensor, photos: Tensor) -> Tensor:
    """The stylized pictures' luminance with the photos' colours (Gatys et al. 2017, §5.1).

    Adding one difference to all three channels changes Y and leaves Cb and Cr alone.
    """
    return photos + luminance(stylized) - luminance(photos)


def finish(stylized: Tensor, photos: Tensor, strength: float, preserve_color: bool) -> Tensor:
    """What a person asked for beyond the style: the photos' colours, and a blend with the photos.

    Args:
        stylized, photos: (B,3,H,W), RGB in [0,1].
        strength: 0 gives the photos, 1 the stylization.
        preserve_color: keep the photos' colours.
    """
    if preserve_color:
        stylized = keep_color(stylized, photos).clamp(0, 1)
    return stylized if strength == 1 else torch.lerp(photos, stylized, strength)


def match_color(style: Tensor, photo: Tensor) -> Tensor:
    """Give a painting the mean and the covariance of a photo's colours (Gatys et al. 2017, §5.2).

    Of the linear maps that do, the one that moves colours least (Pitié and Kokaram 2007, equation 8).

    Args:
        style: (1,3,H,W), RGB in [0,1].
        photo: (1,3,h,w), likewise.

    Returns:
        (1,3,H,W); what leaves [0,1] is cut off.
    """
    # On the CPU: not every device has float64.
    a, b = (image[0].flatten(1).cpu().double() for image in (style, photo))  # (3,N)
    identity = 1e-6 * torch.eye(3, device=a.device, dtype=a.dtype)  # for pictures of one colour
    cov_a, cov_b = a.cov(correction=0) + identity, b.cov(correction=0) + identity
    root = power(cov_a, 0.5)
    inverse = power(cov_a, -0.5)
    transport = inverse @ power(root @ cov_b @ root, 0.5) @ inverse
    matched = transport @ (a - a.mean(1, keepdim=True)) + b.mean(1, keepdim=True)
    return matched.view_as(style).to(style).clamp(0, 1)


def power(matrix: Tensor, exponent: float) -> Tensor:
    """Power of a symmetric matrix whose eigenvalues are above 0."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-12) ** exponent) @ vectors.T
