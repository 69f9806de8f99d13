"""Transfer of a photo's colours to a painting."""

import torch
from torch import Tensor


def match_color(style: Tensor, photo: Tensor) -> Tensor:
    """Give a painting the mean and the covariance of a photo's colours (Gatys et al. 2017, §5.2).

    Several linear maps do so. This one changes the colours least (Pitié and Kokaram 2007, equation 8).

    Args:
        style: Painting, (1,3,H,W), RGB in [0,1].
        photo: Photo of any size, (1,3,h,w), RGB in [0,1].

    Returns:
        The painting in its new colours, (1,3,H,W), clamped to [0,1].
    """
    # Computed on the CPU because not every device has float64.
    a, b = (image[0].flatten(1).cpu().double() for image in (style, photo))  # (3,N)
    # An image of one colour has a singular covariance, so a small multiple of the identity is added.
    regularizer = 1e-6 * torch.eye(3, device=a.device, dtype=a.dtype)
    cov_a, cov_b = a.cov(correction=0) + regularizer, b.cov(correction=0) + regularizer
    root = matrix_power(cov_a, 0.5)
    inverse = matrix_power(cov_a, -0.5)
    transport = inverse @ matrix_power(root @ cov_b @ root, 0.5) @ inverse
    matched = transport @ (a - a.mean(1, keepdim=True)) + b.mean(1, keepdim=True)
    return matched.view_as(style).to(style).clamp(0, 1)


def matrix_power(matrix: Tensor, exponent: float) -> Tensor:
    """Return a real power of a symmetric positive definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-12) ** exponent) @ vectors.T
