"""Strokes larger than the network's own: a picture stylized at a smaller size, brought back to the photo's.

Enlarged alone it is soft, for it knows nothing of the photo's details. They come back through a local
regression of the strokes on the photo, the guided filter's (He, Sun and Tang 2013; at a smaller size and
then enlarged: He and Sun 2015, https://arxiv.org/abs/1505.00996). But the filter keeps only what the photo
explains, and so loses the strokes. Here they all stay, and only what the photo has beyond the smaller
size is added to them: s + a (p - coarse p), with a the regression's slope.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.image.color import luminance

REACH = 2  # of the regression, in pixels of the smaller picture
NOISE = 0.003  # variance that is no detail of a photo: more leaves the strokes alone, less brings more photo

Size = tuple[int, ...]  # height and width


def shrink(photo: Tensor, scale: float) -> Tensor:
    """What to stylize for strokes ``scale`` times as large: (B,3,H,W) in [0,1] to (B,3,H/scale,W/scale)."""
    height, width = photo.shape[-2:]
    return resize(photo, (max(1, round(height / scale)), max(1, round(width / scale)))).clamp(0, 1)


def enlarge(stylized: Tensor, photo: Tensor) -> Tensor:
    """Bring a picture that was stylized at a smaller size to its photo's, with the photo's edges.

    Args:
        stylized: (B,3,h,w), RGB in [0,1].
        photo: (B,3,H,W), likewise, h <= H and w <= W.

    Returns:
        (B,3,H,W), RGB in [0,1].
    """
    small = stylized.shape[-2:]
    light = luminance(photo)
    slopes = slope(stylized, resize(light, small))
    detail = light - coarse(light, small)
    # One channel at a time takes a third of the memory.
    channels = zip(stylized.split(1, 1), slopes.split(1, 1), strict=True)
    return torch.cat([sharpen(restore(y, a, detail), small).clamp_(0, 1) for y, a in channels], 1)


def restore(y: Tensor, a: Tensor, detail: Tensor) -> Tensor:
    """Strokes, (B,1,h,w), enlarged, and a share of the photo's details, (B,1,H,W), as large as the slope."""
    size = detail.shape[-2:]
    return torch.addcmul(soft(y, size), F.interpolate(a, size, mode="bilinear"), detail)


def slope(y: Tensor, x: Tensor) -> Tensor:
    """How much each channel of (B,3,h,w) rises with (B,1,h,w), by least squares around each pixel."""
    mean_x, mean_y = mean(x, REACH), mean(y, REACH)
    covariance = mean(x * y, REACH) - mean_x * mean_y
    variance = mean(x * x, REACH) - mean_x * mean_x
    return mean(covariance / (variance + NOISE), 1)


def sharpen(images: Tensor, small: Size) -> Tensor:
    """Make (B,3,H,W) crisp at the size ``small``: an unsharp mask, kept within its neighbours' values.

    So strokes get edges, and no halos along them.
    """
    reach = max(1, round(images.shape[-1] / small[-1] / 2))
    sharp = 2 * images - coarse(images, small)
    return sharp.clamp(-highest(-images, reach), highest(images, reach))


def highest(x: Tensor, reach: int) -> Tensor:
    """The largest value within ``reach`` pixels, of each channel of (B,C,H,W)."""
    x = F.pad(x, (reach,) * 4, mode="replicate")
    for dim in (2, 3):
        seen, wanted = 1, 2 * reach + 1
        while seen < wanted:  # twice as many with each step, and several times as fast as max_pool2d
            step = min(seen, wanted - seen)
            rest = x.shape[dim] - step
            x = torch.maximum(x.narrow(dim, 0, rest), x.narrow(dim, step, rest))
            seen += step
    return x


def coarse(x: Tensor, small: Size) -> Tensor:
    """What of (B,C,H,W) is left at the size ``small``."""
    return soft(resize(x, small), x.shape[-2:])


def soft(x: Tensor, large: Size) -> Tensor:
    """Enlarge (B,C,h,w) about as a cubic B-spline: networks weave single pixels, whose grid would show."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    for dim in (2, 3):
        size = x.shape[dim] - 2
        beside = (x.narrow(dim, 0, size) + x.narrow(dim, 2, size)) / 2
        x = torch.lerp(beside, x.narrow(dim, 1, size), 2 / 3)
    return resize(x, large)


def mean(x: Tensor, reach: int) -> Tensor:
    """Of the pixels within ``reach``, (B,C,h,w) to the same."""
    return F.avg_pool2d(F.pad(x, (reach,) * 4, mode="replicate"), 2 * reach + 1, 1)


def resize(x: Tensor, size: Size) -> Tensor:
    """(B,C,H,W) to another size; values may leave [0,1] a little."""
    return F.interpolate(x, size, mode="bicubic", antialias=True)
