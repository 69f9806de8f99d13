"""Luminance, images of one colour, colour preservation and colour matching."""

import torch
from PIL import Image
from torch import Tensor

from faststyle.image.convert import to_image, to_tensor

# Weights of RGB in the luminance Y of Y'CbCr (ITU-R BT.601).
LUMINANCE_WEIGHTS = (0.299, 0.587, 0.114)


def is_blank(image: Image.Image) -> bool:
    """Return True if all pixels of an RGB image are equal."""
    return all(low == high for low, high in image.getextrema())  # type: ignore[misc]


def luminance(images: Tensor) -> Tensor:
    """Return the luminance of RGB images: (…,3,H,W) to (…,1,H,W)."""
    weights = torch.tensor(LUMINANCE_WEIGHTS, device=images.device, dtype=images.dtype)
    return (images * weights.view(3, 1, 1)).sum(-3, keepdim=True)


def keep_color(stylized: Tensor, photos: Tensor) -> Tensor:
    """Combine the luminance of stylized images with the colours of photos (Gatys et al. 2017, §5.1).

    The same difference is added to all three channels, which changes Y but not Cb and Cr.

    Args:
        stylized: (…,3,H,W), RGB in [0,1].
        photos: Photos of the same shape.

    Returns:
        RGB of the same shape; values can fall outside [0,1].
    """
    return photos + luminance(stylized) - luminance(photos)


def blend_with_photo(stylized: Tensor, photos: Tensor, strength: float, preserve_color: bool) -> Tensor:
    """Keep the photos' colours if asked, and blend the stylized images with the photos.

    Args:
        stylized: (B,3,H,W), RGB in [0,1].
        photos: Photos of the same shape.
        strength: Weight of the stylized images in the blend, from 0 to 1.
        preserve_color: Replace the stylized colours by the photos'.
    """
    if preserve_color:
        stylized = keep_color(stylized, photos).clamp(0, 1)
    return stylized if strength == 1 else torch.lerp(photos, stylized, strength)


def blend_images(
    stylized: Image.Image, photo: Image.Image, strength: float, preserve_color: bool
) -> Image.Image:
    """Blend a PIL image with its photo of the same size, as ``blend_with_photo`` does; keep its alpha."""
    if strength == 1 and not preserve_color:
        return stylized
    above, below = (to_tensor(image.convert("RGB"))[None] for image in (stylized, photo))
    result = to_image(blend_with_photo(above, below, strength, preserve_color)[0])
    if stylized.mode == "RGBA":
        result.putalpha(stylized.getchannel("A"))
    return result


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
