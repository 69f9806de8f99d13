"""Keep the photo's light and dark, whatever the palette: a term of training."""

import torch.nn.functional as F
from torch import Tensor

from faststyle.image.color import luminance

AREAS = 8  # to a side of the image: strokes within one are free
MAX_SLOPE = 3.0  # how much more contrast than the photo's areas those of the image may have
VARIANCE = 0.02  # of the luminance of a usual photo's areas


def light_lost(images: Tensor, photos: Tensor) -> Tensor:
    """Compute what of an image's light and dark does not follow from the photo's.

    The mean luminances of large areas are compared with a multiple of the photo's, from 0 to ``MAX_SLOPE``,
    that fits best: so light and dark may not be swapped, nor a plain background get a frame.

    Args:
        images: (B,3,H,W), RGB in [0,1].
        photos: (B,3,H,W), likewise.

    Returns:
        (B,): the mean square of what is left, relative to ``VARIANCE``.
    """
    area = max(1, min(images.shape[-2:]) // AREAS)
    made, given = (F.avg_pool2d(luminance(x), area).flatten(1) for x in (images, photos))
    made, given = (x - x.mean(1, keepdim=True) for x in (made, given))
    slope = (made * given).mean(1, keepdim=True) / given.square().mean(1, keepdim=True).clamp(min=1e-8)
    return (made - slope.clamp(0, MAX_SLOPE) * given).square().mean(1) / VARIANCE
