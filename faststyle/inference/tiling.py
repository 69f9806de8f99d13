"""Tiled stylization with fixed instance-norm statistics, for images larger than memory."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from faststyle.device import free_memory
from faststyle.image.arrays import Array, array_namespace, like, resize, to_bytes, to_floats
from faststyle.image.vips import MAX_UNTILED_PIXELS
from faststyle.models.layout import MIN_SIDE, Layout

MAX_TILE = 1024  # new pixels of a side: with overlap 1.25 times the work, in half a gigabyte
MIN_TILE = 256  # with smaller tiles most of the work would be overlap
THUMBNAIL_SIZE = 2048  # pixels of the longer side of the image that the statistics are taken from


def max_whole_pixels(layout: Layout, device: str) -> int:
    """Return the pixels of the largest image to stylize whole, which takes half of the free memory."""
    return min(MAX_UNTILED_PIXELS, free_memory(device) // 2 // layout.bytes_per_pixel())


def pick_tile(max_pixels: int, layout: Layout) -> int:
    """Return the largest tile with its overlap in ``max_pixels``, between ``MIN_TILE`` and ``MAX_TILE``."""
    side = int(max_pixels**0.5) - 2 * layout.receptive_radius()
    return max(MIN_TILE, min(MAX_TILE, side // layout.stride * layout.stride))


def thumbnail(photo: Array, longer: int = THUMBNAIL_SIZE) -> Array:
    """Shrink an image to at most ``longer`` pixels of the longer side.

    Args:
        photo: (3,H,W), bytes or floats in [0,1].
        longer: Pixels of the longer side.

    Returns:
        (1,3,h,w), floats in [0,1].
    """
    share = min(1, longer / max(photo.shape[-2:]))
    size = [max(1, round(side * share)) for side in photo.shape[-2:]]
    small = to_floats(resize(photo[None], size) if share < 1 else photo[None])
    return array_namespace(small).clip(small, 0, 1)


class Span(NamedTuple):
    """A tile along one side of the image.

    Attributes:
        start, stop: Pixels to compute, in the image with its border.
        keep: Part of these that is correct and new.
        place: Where this part belongs in the image.
    """

    start: int
    stop: int
    keep: slice
    place: slice


def spans(size: int, framed: int, tile: int, overlap: int, margin: int, stride: int) -> Iterator[Span]:
    """Divide one side of an image into equally long spans that overlap.

    Each begins at a multiple of ``stride``, so that strided convolutions see the same pixels as in the
    whole image. None leaves the border.

    Args:
        size: Pixels of the side.
        framed: Pixels of the side with the mirrored border, a multiple of ``stride``.
        tile: Maximum number of new pixels of a span.
        overlap: Pixels on either side that are computed and dropped.
        margin: Pixels of the border before the image.
        stride: Stride of the network.
    """
    count = max(1, math.ceil((framed - 2 * overlap) / tile))
    new = math.ceil((framed - 2 * overlap) / count / stride) * stride
    length = framed if count == 1 else new + 2 * overlap
    done = 0  # pixels of the image
    for i in range(count):
        start = min(i * new, framed - length)
        stop = start + length
        end = size if i == count - 1 else min(size, stop - overlap - margin)
        yield Span(start, stop, slice(done + margin - start, end + margin - start), slice(done, end))
        done = end


def mirror_index(size: int, margin: int, stride: int) -> np.ndarray:
    """Return the pixel that each pixel of a side with its border mirrors, as the network adds borders.

    Args:
        size: Pixels of the side.
        margin: Pixels of the border on each side.
        stride: Divisor of the padded size; pixels that are missing are added at the end.
    """
    padded = max(MIN_SIDE, math.ceil((size + 2 * margin) / stride) * stride)
    index = np.abs(np.arange(-margin, padded - margin)) % max(1, 2 * size - 2)
    return (size - 1) - np.abs(index - (size - 1))


def stylize_tiled(
    run: Callable[[Array, tuple[int, int]], Array],
    photo: Array,
    out: Array,
    tile: int,
    overlap: int,
    margin: int,
    stride: int,
) -> None:
    """Stylize an image tile by tile, in the memory of one tile.

    The result is that of the whole image where no pixel depends on one further than ``overlap`` away.

    Args:
        run: Stylizes (1,3,h,w), floats in [0,1], given the row and column of its first pixel. Every call has
            the same size.
        photo: (3,H,W), bytes or floats in [0,1]; it can be a view of a file mapped into memory.
        out: (3,H,W), likewise, for the result.
        tile: Maximum number of new pixels of a tile's side; rounded down to a multiple of ``stride``.
        overlap: Pixels around a tile, a multiple of ``stride``: ``Layout.receptive_radius``.
        margin: Pixels of the mirrored border around the image.
        stride: Stride of the network.
    """
    tile = max(stride, tile // stride * stride)
    height, width = photo.shape[-2:]
    is_float = array_namespace(out).isdtype(out.dtype, "real floating")
    # For each pixel of the image with its border, the pixel of the image that it mirrors.
    rows, columns = (mirror_index(side, margin, stride) for side in (height, width))
    for down in spans(height, len(rows), tile, overlap, margin, stride):
        for across in spans(width, len(columns), tile, overlap, margin, stride):
            window = crop(photo, rows[down.start : down.stop], columns[across.start : across.stop])
            y = run(to_floats(window[None]), (down.start, across.start))[0, :, down.keep, across.keep]
            out[:, down.place, across.place] = y if is_float else to_bytes(y)


def crop(photo: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
    """Return some rows and columns of (3,H,W): (3,h,w). Only memory near them is read."""
    xp, top, left = array_namespace(photo), int(rows.min()), int(columns.min())
    near = photo[:, top : int(rows.max()) + 1, left : int(columns.max()) + 1]
    near = xp.take(near, like(photo, rows - top), axis=1)
    return xp.take(near, like(photo, columns - left), axis=2)
