"""How well an image keeps its photo's light and dark, whatever its palette."""

import torch.nn.functional as F
from torch import Tensor

from faststyle.image.color import luminance

BLOCK = 16  # pixels of a square whose mean luminance counts: strokes within are free
LEAST_VARIANCE = 2e-4  # a photo of one tone has no light and dark to keep


def light_lost(images: Tensor, photos: Tensor) -> Tensor:
    """Compute 1 - the correlation of the luminances over squares of ``BLOCK`` pixels.

    Args:
        images: (B,3,H,W), RGB in [0,1].
        photos: (B,3,H,W), likewise.

    Returns:
        (B,): 0 where light and dark are the photo's, 1 without relation or in a flat photo, 2 where swapped.
    """
    made, given = (F.avg_pool2d(luminance(x), BLOCK).flatten(1) for x in (images, photos))
    made, given = (x - x.mean(1, keepdim=True) for x in (made, given))
    variances = (made.square().mean(1) + LEAST_VARIANCE) * (given.square().mean(1) + LEAST_VARIANCE)
    return 1 - (made * given).mean(1) / variances.sqrt()
