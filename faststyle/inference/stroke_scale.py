"""Larger strokes: an image is stylized at a smaller size and enlarged with the photo's details.

The details come from a local regression of the stylized luminance on the photo's, as in the guided filter
(He, Sun and Tang 2013; computed at a smaller size: He and Sun 2015, https://arxiv.org/abs/1505.00996). The
filter keeps only what the photo explains, and loses the strokes. Here all strokes stay, and the details that
the photo has beyond the smaller size are added: s + a (p - coarse p), with the slope a of the regression.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from faststyle.device import thread_count
from faststyle.image.arrays import (
    Array,
    array_namespace,
    is_tensor,
    like,
    pad_edge,
    resize,
    to_bytes,
    to_floats,
)
from faststyle.image.color import luminance

BEST_SIZE = 640  # pixels of the longer side at which the networks are at their best
MIN_SHORTER_SIDE = 320  # pixels, for panoramas
RADIUS = 2  # of the regression, in pixels of the smaller image
NOISE = 0.003  # variance of a photo without detail; lower values bring back more of the photo
BAND_PIXELS = 2**20  # pixels that are enlarged at once
SPLINE = 1 / 6  # weight of neighbours that smooths as a cubic B-spline; single pixels would show as a grid
UNSHARP = 0.21  # weight of neighbours that blurs about as enlarging and shrinking again
MARGIN = 8  # rows of the smaller image read above and below a band; its result depends on fewer


def auto_scale(height: int, width: int) -> float:
    """Return the scale at which strokes are as large, relative to the image, as at ``BEST_SIZE``."""
    return max(1.0, min(max(height, width) / BEST_SIZE, min(height, width) / MIN_SHORTER_SIDE))


def shrink(photo: Array, scale: float) -> Array:
    """Shrink a photo to be stylized with strokes ``scale`` times as large.

    Args:
        photo: (B,3,H,W), bytes or floats in [0,1].
        scale: 1 or more.

    Returns:
        (B,3,H/scale,W/scale), floats in [0,1].
    """
    size = [max(1, round(side / scale)) for side in photo.shape[-2:]]
    small = to_floats(resize(photo, size))
    return array_namespace(small).clip(small, 0, 1)


def enlarge(
    small: Array,
    stylized: Array,
    photo: Array,
    out: Array,
    finish: Callable[[Array, Array], Array] = lambda image, photo: image,
) -> None:
    """Enlarge an image that was stylized at a smaller size, with the photo's details, in bands.

    An unsharp mask makes the strokes crisp. The luminance is limited to the range of its surroundings,
    against halos.

    Args:
        small: (3,h,w), RGB in [0,1]: the photo, shrunk.
        stylized: (3,h,w), RGB in [0,1].
        photo: (3,H,W), bytes or floats in [0,1]; it can be a view of a file mapped into memory.
        out: (3,H,W), likewise, for the result.
        finish: Applied to each band of the image and of the photo, (1,3,n,W).
    """
    height, width = photo.shape[-2:]
    scale = height / small.shape[-2]
    reach = max(1, round(width / small.shape[-1] / 2))

    def enlarge_band(rows: slice) -> None:
        above, below = min(reach, rows.start), min(reach, height - rows.stop)
        band = slice(rows.start - above, rows.stop + below)
        first = max(0, math.floor(band.start / scale) - MARGIN)
        near = slice(first, math.ceil(band.stop / scale) + MARGIN)
        painted, light = stylized[None, :, near], luminance(small[None, :, near])
        xp, y = array_namespace(painted), luminance(painted)
        slopes = slope(y, light)
        # The unsharp mask subtracts an approximation of the image, enlarged and shrunk again.
        left = smooth(y, UNSHARP) + slopes * (light - smooth(light, UNSHARP))
        colors = 2 * painted - smooth(painted, UNSHARP)
        soft, crisp, colors, light = (smooth(x, SPLINE) for x in (y, 2 * y - left, colors, light))
        large = partial(upsample, width=width, rows=band, scale=scale, first=first)
        given = to_floats(like(painted, photo[None, :, band]))
        detail = large(slopes) * (luminance(given) - large(light))
        plain, crisp, colors = large(soft) + detail, large(crisp) + 2 * detail, large(colors)
        crisp = xp.minimum(xp.maximum(crisp, -highest(-plain, reach)), highest(plain, reach))
        image = colors + (crisp - luminance(colors))
        kept = slice(above, above + rows.stop - rows.start)
        image = finish(xp.clip(image[:, :, kept], 0, 1), given[:, :, kept])[0]
        is_float = array_namespace(out).isdtype(out.dtype, "real floating")
        out[:, rows] = like(out, image if is_float else to_bytes(image))

    # NumPy computes in one thread. Tensors stay in the caller's, which has its inference mode and its stream.
    threads = 1 if is_tensor(stylized) or is_tensor(out) else thread_count()
    count = max(1, min(BAND_PIXELS // width, math.ceil(height / threads)))
    bands = [slice(top, min(height, top + count)) for top in range(0, height, count)]
    if threads == 1:
        for band in bands:
            enlarge_band(band)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(enlarge_band, bands):
            pass


def slope(y: Array, x: Array) -> Array:
    """Return the slope of y over x, both (B,1,h,w), by least squares around each pixel."""
    mean_x, mean_y = mean(x, RADIUS), mean(y, RADIUS)
    covariance = mean(x * y, RADIUS) - mean_x * mean_y
    variance = mean(x * x, RADIUS) - mean_x * mean_x
    return mean(covariance / (variance + NOISE), 1)


def highest(x: Array, reach: int) -> Array:
    """Return the maximum within ``reach`` pixels, for each channel of (B,C,H,W)."""
    xp, x = array_namespace(x), pad_edge(x, reach)
    for axis in (2, 3):
        seen, wanted = 1, 2 * reach + 1
        while seen < wanted:  # the window doubles with each step
            step = min(seen, wanted - seen)
            rest = x.shape[axis] - step
            x = xp.maximum(along(x, axis, 0, rest), along(x, axis, step, rest))
            seen += step
    return x


def mean(x: Array, reach: int) -> Array:
    """Average the pixels within ``reach``, (B,C,h,w) to the same."""
    window, x = 2 * reach + 1, pad_edge(x, reach)
    for axis in (2, 3):
        rest = x.shape[axis] - window + 1
        parts = [along(x, axis, start, rest) for start in range(window)]
        x = sum(parts[1:], parts[0]) / window
    return x


def smooth(x: Array, beside: float) -> Array:
    """Average each pixel of (B,C,h,w) with its neighbours, whose weights are ``beside``."""
    x = pad_edge(x, 1)
    for axis in (2, 3):
        size = x.shape[axis] - 2
        neighbours = along(x, axis, 0, size) + along(x, axis, 2, size)
        x = along(x, axis, 1, size) * (1 - 2 * beside) + neighbours * beside
    return x


def along(x: Array, axis: int, start: int, count: int) -> Array:
    """Return a part of (B,C,H,W) along an axis."""
    index = [slice(None)] * 4
    index[axis] = slice(start, start + count)
    return x[tuple(index)]


def cubic_kernel(distance: np.ndarray) -> np.ndarray:
    """Return Keys' cubic kernel of 1981 at a distance in pixels, as bicubic interpolation uses it."""
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def upsample(x: Array, width: int, rows: slice, scale: float, first: int) -> Array:
    """Enlarge rows of an image by bicubic interpolation.

    Args:
        x: (B,C,n,w), some rows of an image.
        width: Width of the enlarged image.
        rows: Rows of the enlarged image to return.
        scale: Rows of the enlarged image to each row of the image.
        first: Number of the first row in x.

    Returns:
        (B,C,rows,width)
    """
    places = (np.arange(rows.start, rows.stop) + 0.5) / scale - 0.5 - first
    total: Array = 0
    for tap in range(-1, 3):
        row = np.floor(places) + tap
        weight = cubic_kernel(np.abs(row - places)).astype(np.float32)[:, None]
        index = row.astype(np.int64).clip(0, x.shape[2] - 1)
        total = total + like(x, weight) * array_namespace(x).take(x, like(x, index), axis=2)
    return resize(total, (len(places), width))
