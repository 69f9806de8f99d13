"""Training loss that keeps the photo's light and dark areas, whatever the palette."""

import torch.nn.functional as F
from torch import Tensor

from faststyle.image.color import luminance

LIGHT_WEIGHT = 0.2  # of the loss; at 1 the sky stays bare
AREAS_PER_SIDE = 8  # of the shorter side; the loss ignores strokes within an area
MAX_SLOPE = 3.0  # contrast between the image's areas, as a multiple of the photo's
MIN_VARIANCE = 0.005  # of the areas' mean luminances, to divide by; a typical photo has 0.02


def luminance_loss(images: Tensor, photos: Tensor) -> Tensor:
    """Measure how far an image's light and dark areas differ from the photo's.

    The mean luminances of large areas are fitted by the photo's times a slope from 0 to ``MAX_SLOPE``. The
    loss is the residual, so swapped light and dark and a frame around a plain background both count.

    Args:
        images: Stylized images, (B,3,H,W), RGB in [0,1].
        photos: Their photos, (B,3,H,W), RGB in [0,1].

    Returns:
        (B,): Mean square of the residual, relative to the variance of the photo's areas, or to
        ``MIN_VARIANCE`` if that is larger.
    """
    area = max(1, min(images.shape[-2:]) // AREAS_PER_SIDE)
    stylized, original = (F.avg_pool2d(luminance(x), area).flatten(1) for x in (images, photos))
    stylized, original = (x - x.mean(1, keepdim=True) for x in (stylized, original))
    variance = original.square().mean(1, keepdim=True)
    slope = (stylized * original).mean(1, keepdim=True) / variance.clamp(min=1e-8)
    residual = stylized - slope.clamp(0, MAX_SLOPE) * original
    return residual.square().mean(1) / variance[:, 0].clamp(min=MIN_VARIANCE)
