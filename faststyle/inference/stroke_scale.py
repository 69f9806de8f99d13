"""Larger strokes: an image is stylized at a smaller size and enlarged with the photo's details.

The details come from a local regression of the stylized image on the photo, as in the guided filter (He, Sun
and Tang 2013; computed at a smaller size: He and Sun 2015, https://arxiv.org/abs/1505.00996). The filter
keeps only what the photo explains, and loses the strokes. Here all strokes stay, and the details that the
photo has beyond the smaller size are added: s + a (p - coarse p), with the slope a of the regression.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.image.color import luminance
from faststyle.image.convert import to_floats

BEST_SIZE = 640  # pixels of the longer side at which the networks are at their best
MIN_SHORTER_SIDE = 320  # pixels, for panoramas
RADIUS = 2  # of the regression, in pixels of the smaller image
NOISE = 0.003  # variance of a photo without detail; lower values bring back more of the photo
BAND_PIXELS = 2**21  # pixels that are enlarged at once


def auto_scale(height: int, width: int) -> float:
    """Return the scale at which strokes are as large, relative to the image, as at ``BEST_SIZE``."""
    return max(1.0, min(max(height, width) / BEST_SIZE, min(height, width) / MIN_SHORTER_SIDE))


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
    """Enlarge an image that was stylized at a smaller size, with the photo's details, in bands.

    An unsharp mask, limited to the range of the surrounding values, makes the strokes crisp without halos.

    Args:
        small: (3,h,w), RGB in [0,1]: the photo, shrunk.
        stylized: (3,h,w), RGB in [0,1].
        photo: (3,H,W), bytes or floats in [0,1]; it can be a view of a file mapped into memory.
        out: (3,H,W), likewise, for the result.
        finish: Applied to each band of the image and of the photo, (1,3,n,W).
    """
    y, light = stylized[None], luminance(small[None])
    slopes = slope(y, light)
    # The unsharp mask subtracts the image enlarged and shrunk again.
    left = blurred(y) + slopes * (light - blurred(light))
    soft, crisp, light = spline(y), spline(2 * y - left), spline(light)
    height, width = photo.shape[-2:]
    reach = max(1, round(width / y.shape[-1] / 2))
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        end = min(height, top + rows)
        above, below = min(reach, top), min(reach, height - end)
        band = slice(top - above, end + below)
        large = partial(upsample, height=height, width=width, rows=band)
        given = to_floats(photo[None, :, band].to(y.device))
        detail = large(slopes) * (luminance(given) - large(light))
        plain = large(soft) + detail
        image = (large(crisp) + 2 * detail).clamp(-highest(-plain, reach), highest(plain, reach))
        kept = slice(above, above + end - top)
        image = finish(image[:, :, kept].clamp(0, 1), given[:, :, kept])[0]
        if not out.is_floating_point():
            image = image.mul(255).round()
        out[:, top:end] = image.to(out)


def slope(y: Tensor, x: Tensor) -> Tensor:
    """Return the slope of each channel of (B,3,h,w) over (B,1,h,w), by least squares around each pixel."""
    mean_x, mean_y = mean(x, RADIUS), mean(y, RADIUS)
    covariance = mean(x * y, RADIUS) - mean_x * mean_y
    variance = mean(x * x, RADIUS) - mean_x * mean_x
    return mean(covariance / (variance + NOISE), 1)


def highest(x: Tensor, reach: int) -> Tensor:
    """Return the maximum within ``reach`` pixels, for each channel of (B,C,H,W)."""
    x = F.pad(x, (reach,) * 4, mode="replicate")
    for dim in (2, 3):
        seen, wanted = 1, 2 * reach + 1
        while seen < wanted:  # the window doubles with each step: several times as fast as max_pool2d
            step = min(seen, wanted - seen)
            rest = x.shape[dim] - step
            x = torch.maximum(x.narrow(dim, 0, rest), x.narrow(dim, step, rest))
            seen += step
    return x


def mean(x: Tensor, reach: int) -> Tensor:
    """Average the pixels within ``reach``, (B,C,h,w) to the same."""
    return F.avg_pool2d(F.pad(x, (reach,) * 4, mode="replicate"), 2 * reach + 1, 1)


def spline(x: Tensor) -> Tensor:
    """Smooth (B,C,h,w) before enlarging, about as a cubic B-spline; single pixels would show as a grid."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    for dim in (2, 3):
        size = x.shape[dim] - 2
        beside = (x.narrow(dim, 0, size) + x.narrow(dim, 2, size)) / 2
        x = torch.lerp(beside, x.narrow(dim, 1, size), 2 / 3)
    return x


def cubic_kernel(distance: Tensor) -> Tensor:
    """Return Keys' cubic kernel of 1981 at a distance in pixels, as bicubic interpolation uses it."""
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
        weight = cubic_kernel((row - places).abs()).to(x.dtype)[:, None]
        total = total + weight * x.index_select(2, row.long().clamp(0, x.shape[2] - 1))
    return resize(total, (len(places), width))


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B,C,H,W); values can fall slightly outside [0,1]."""
    return F.interpolate(x, tuple(size), mode="bicubic", antialias=True)
