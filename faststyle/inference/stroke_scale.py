"""Strokes larger than the network's own: an image stylized at a smaller size, brought back to the photo's.

Enlarged alone it is soft, for it knows nothing of the photo's details. They come back through a local
regression of the strokes on the photo, the guided filter's (He, Sun and Tang 2013; at a smaller size and
then enlarged: He and Sun 2015, https://arxiv.org/abs/1505.00996). But the filter keeps only what the photo
explains, and so loses the strokes. Here they all stay, and only what the photo has beyond the smaller
size is added to them: s + a (p - coarse p), with a the regression's slope.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.image.color import luminance
from faststyle.image.convert import to_floats

BEST_SIZE = 640  # pixels of the longer side at which the networks are at their best
LEAST_SIDE = 320  # pixels of the shorter side, which a panorama keeps
REACH = 2  # of the regression, in pixels of the smaller image
NOISE = 0.003  # variance that is no detail of a photo: more leaves the strokes alone, less brings more photo
STRIP = 2**21  # pixels that are enlarged at once


def auto_scale(height: int, width: int) -> float:
    """Return the scale at which strokes are as large, relative to the image, as at ``BEST_SIZE``."""
    return max(1.0, min(max(height, width) / BEST_SIZE, min(height, width) / LEAST_SIDE))


def shrink(photo: Tensor, scale: float) -> Tensor:
    """Shrink a photo to be stylized with strokes ``scale`` times as large.

    Args:
        photo: (B,3,H,W), bytes or floats in [0,1].
        scale: 1 or more.

    Returns:
        (B,3,H/scale,W/scale), floats in [0,1].
    """
    size = [max(1, round(side / scale)) for side in photo.shape[-2:]]
    return to_floats(resize(photo, size)).clamp(0, 1)


@torch.no_grad()
def enlarge(
    small: Tensor,
    stylized: Tensor,
    photo: Tensor,
    out: Tensor,
    finish: Callable[[Tensor, Tensor], Tensor] = lambda image, photo: image,
) -> None:
    """Bring an image that was stylized at a smaller size to its photo's, with the photo's edges, in strips.

    An unsharp mask, kept within the values around, makes the strokes crisp without halos.

    Args:
        small: (3,h,w), RGB in [0,1]: the photo, shrunk.
        stylized: (3,h,w), RGB in [0,1].
        photo: (3,H,W), bytes or floats in [0,1]; it may be a view of a file mapped into memory.
        out: (3,H,W), likewise: where the result goes.
        finish: What is done to each strip of the image, (1,3,n,W), beside its photo's.
    """
    y, light = stylized[None], luminance(small[None])
    slopes = slope(y, light)
    # An unsharp mask takes away what is left of the enlarged image when it is shrunk again.
    left = blurred(y) + slopes * (light - blurred(light))
    soft, crisp, light = spline(y), spline(2 * y - left), spline(light)
    height, width = photo.shape[-2:]
    reach = max(1, round(width / y.shape[-1] / 2))
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        end = min(height, top + rows)
        above, below = min(reach, top), min(reach, height - end)
        strip = slice(top - above, end + below)
        large = partial(upsample, height=height, width=width, rows=strip)
        given = to_floats(photo[None, :, strip].to(y.device))
        detail = large(slopes) * (luminance(given) - large(light))
        plain = large(soft) + detail
        image = (large(crisp) + 2 * detail).clamp(-highest(-plain, reach), highest(plain, reach))
        kept = slice(above, above + end - top)
        image = finish(image[:, :, kept].clamp(0, 1), given[:, :, kept])[0]
        if not out.is_floating_point():
            image = image.mul(255).round()
        out[:, top:end] = image.to(out)


def slope(y: Tensor, x: Tensor) -> Tensor:
    """How much each channel of (B,3,h,w) rises with (B,1,h,w), by least squares around each pixel."""
    mean_x, mean_y = mean(x, REACH), mean(y, REACH)
    covariance = mean(x * y, REACH) - mean_x * mean_y
    variance = mean(x * x, REACH) - mean_x * mean_x
    return mean(covariance / (variance + NOISE), 1)


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


def mean(x: Tensor, reach: int) -> Tensor:
    """Average the pixels within ``reach``, (B,C,h,w) to the same."""
    return F.avg_pool2d(F.pad(x, (reach,) * 4, mode="replicate"), 2 * reach + 1, 1)


def spline(x: Tensor) -> Tensor:
    """Smooth (B,C,h,w), to be enlarged about as by a cubic B-spline: single pixels would show as a grid."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    for dim in (2, 3):
        size = x.shape[dim] - 2
        beside = (x.narrow(dim, 0, size) + x.narrow(dim, 2, size)) / 2
        x = torch.lerp(beside, x.narrow(dim, 1, size), 2 / 3)
    return x


def keys(distance: Tensor) -> Tensor:
    """Weigh a pixel so far away by Keys' cubic kernel of 1981, as bicubic interpolation does."""
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return torch.where(distance <= 1, near, far).where(distance < 2, 0)


def blurred(x: Tensor) -> Tensor:
    """Enlarge (B,C,h,w) and shrink it again."""
    twice = resize(spline(x), [2 * side for side in x.shape[-2:]])
    return resize(twice, x.shape[-2:])


def upsample(x: Tensor, height: int, width: int, rows: slice) -> Tensor:
    """Enlarge (B,C,h,w) to (B,C,height,width) by bicubic interpolation, and return some of its rows."""
    places = (torch.arange(rows.start, rows.stop, device=x.device) + 0.5) * (x.shape[2] / height) - 0.5
    total = torch.zeros((), device=x.device)
    for tap in range(-1, 3):
        row = places.floor() + tap
        weight = keys((row - places).abs()).to(x.dtype)[:, None]
        total = total + weight * x.index_select(2, row.long().clamp(0, x.shape[2] - 1))
    return resize(total, (len(places), width))


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """(B,C,H,W) to another size; values may leave [0,1] a little."""
    return F.interpolate(x, tuple(size), mode="bicubic", antialias=True)
