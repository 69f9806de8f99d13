"""Training loss that keeps the photo's light and dark areas, whatever the palette."""

import torch.nn.functional as F
from torch import Tensor

from faststyle.image.color import luminance

LIGHT_WEIGHT = 0.3  # of the loss; at 1 the sky stays bare
AREAS_PER_SIDE = 8  # of the shorter side; the loss ignores strokes within an area
MAX_SLOPE = 3.0  # contrast between the image's areas, as a multiple of the photo's
TYPICAL_VARIANCE = 0.02  # variance of the areas' mean luminances in a typical photo


def luminance_loss(images: Tensor, photos: Tensor) -> Tensor:
    """Measure how far an image's light and dark areas differ from the photo's.

    The mean luminances of large areas are fitted by the photo's times a slope from 0 to ``MAX_SLOPE``. The
    loss is the residual, so swapped light and dark and a frame around a plain background both count.

    Args:
        images: Stylized images, (B,3,H,W), RGB in [0,1].
        photos: Their photos, (B,3,H,W), RGB in [0,1].

    Returns:
        (B,): Mean square of the residual, relative to ``TYPICAL_VARIANCE``.
    """
    area = max(1, min(images.shape[-2:]) // AREAS_PER_SIDE)
    stylized, original = (F.avg_pool2d(luminance(x), area).flatten(1) for x in (images, photos))
    stylized, original = (x - x.mean(1, keepdim=True) for x in (stylized, original))
    slope = (stylized * original).mean(1, keepdim=True) / original.square().mean(1, keepdim=True).clamp(
        min=1e-8
    )
    return (stylized - slope.clamp(0, MAX_SLOPE) * original).square().mean(1) / TYPICAL_VARIANCE
