"""Tiled stylization with fixed instance-norm statistics, for images larger than memory."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.device import free_memory
from faststyle.image.convert import to_floats
from faststyle.image.vips import MAX_UNTILED_PIXELS
from faststyle.models.layers import ConvNorm, mirror_pad
from faststyle.models.network import Inference, TransformerNetwork


def bytes_per_pixel(network: TransformerNetwork) -> int:
    """Return the bytes a pixel that an image takes in float32: 420 for half, 132 for fast, 804 for full.

    Measured on the CPU at 1 to 12 megapixels. Most of it is in the first and last layers, so that it
    grows with their channels.
    """
    channels = network.last.in_channels / network.first_stride**2
    return round(36 + 24 * channels)


def max_whole_pixels(network: TransformerNetwork, device: torch.device) -> int:
    """Return the pixels of the largest image to stylize whole, which takes half of the free memory."""
    return min(MAX_UNTILED_PIXELS, free_memory(device) // 2 // bytes_per_pixel(network))


MAX_TILE = 1024  # new pixels of a side: with overlap 1.25 times the work, in half a gigabyte
MIN_TILE = 256  # with smaller tiles most of the work would be overlap
THUMBNAIL_SIZE = 2048  # pixels of the longer side of the image that the statistics are taken from


def receptive_radius(network: TransformerNetwork) -> int:
    """Return how far a pixel depends on its surroundings once the statistics are fixed: the overlap of tiles.

    The radius is in pixels, rounded up to a multiple of the network's stride.
    """
    step = network.first_stride  # pixels between two values after the first layer
    radius = 4
    for level, blocks in enumerate([*network.shallow, network.residual]):
        if level:
            radius += step
            step *= 2
        radius += 2 * len(blocks) * step
    for _ in network.up:
        step //= 2
        radius += 2 * step  # one for the kernel, one for nearest-neighbour upsampling
    radius += 4 + (step - 1)
    return math.ceil(radius / network.stride) * network.stride


def pick_tile(max_pixels: int, network: TransformerNetwork) -> int:
    """Return the largest tile with its overlap in ``max_pixels``, between ``MIN_TILE`` and ``MAX_TILE``."""
    side = int(max_pixels**0.5) - 2 * receptive_radius(network)
    return max(MIN_TILE, min(MAX_TILE, side // network.stride * network.stride))


def thumbnail(photo: Tensor, longer: int = THUMBNAIL_SIZE) -> Tensor:
    """Shrink an image to at most ``longer`` pixels of the longer side.

    Args:
        photo: (3,H,W), bytes or floats in [0,1].
        longer: Pixels of the longer side.

    Returns:
        (1,3,h,w), floats in [0,1].
    """
    share = min(1, longer / max(photo.shape[-2:]))
    size = [max(1, round(side * share)) for side in photo.shape[-2:]]
    small = photo[None].float() if photo.is_floating_point() else photo[None]
    if share < 1:
        small = F.interpolate(small, size, mode="bicubic", antialias=True)
    return to_floats(small).clamp(0, 1)


@torch.no_grad()
def freeze(network: TransformerNetwork, photo: Tensor, margin: int = 0) -> TransformerNetwork:
    """Return a copy of the network that normalizes every image with the statistics of this one.

    Mean and variance are then constants, and are folded into the convolutions. The copy has no norms, and a
    pixel depends only on its surroundings within ``receptive_radius``.

    Args:
        network: The trained network.
        photo: (1,3,h,w) RGB in [0,1]; the whole image, or its thumbnail.
        margin: Pixels of the mirrored border.
    """
    frozen = copy.deepcopy(network).float().eval().requires_grad_(False)
    layers = [layer for layer in frozen.modules() if isinstance(layer, ConvNorm)]
    statistics: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def measure(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        statistics[norm] = torch.var_mean(inputs[0].float(), (0, 2, 3), correction=0)

    hooks = [layer[1].register_forward_pre_hook(measure) for layer in layers]
    frozen(photo, margin)
    for layer, hook in zip(layers, hooks, strict=True):
        hook.remove()
        conv, norm = cast(tuple[nn.Conv2d, nn.InstanceNorm2d], tuple(layer))
        variance, mean = statistics[norm]
        scale = norm.weight * (variance + norm.eps).rsqrt()
        conv.weight.copy_(conv.weight * scale.view(-1, 1, 1, 1))
        conv.bias.copy_((cast(Tensor, conv.bias) - mean) * scale + norm.bias)  # type: ignore[union-attr]
        layer[1] = nn.Identity()
    return frozen


class Tile(Inference):
    """Runs a network on a part of an image: (B,3,h,w) RGB in [0,1], and its place in the image, (2,)."""

    def __init__(self, network: TransformerNetwork):
        super().__init__(network, margin=0)

    def example_inputs(self) -> list[tuple[Tensor, list[int]]]:
        """Return inputs for tracing, and the sizes that they can have; -1 is any."""
        return [*super().example_inputs(), (torch.zeros(2, dtype=torch.int64), [2])]


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


@torch.no_grad()
def stylize_tiled(
    run: Callable[[Tensor, Tensor], Tensor],
    photo: Tensor,
    out: Tensor,
    tile: int,
    overlap: int,
    margin: int,
    stride: int,
) -> None:
    """Stylize an image tile by tile, in the memory of one tile.

    The result is that of the whole image where no pixel depends on one further than ``overlap`` away.

    Args:
        run: Stylizes (1,3,h,w), floats in [0,1], given the row and column of its first pixel, (2,). Every
            call has the same size.
        photo: (3,H,W), bytes or floats in [0,1]; it can be a view of a file mapped into memory.
        out: (3,H,W), likewise, for the result.
        tile: Maximum number of new pixels of a tile's side; rounded down to a multiple of ``stride``.
        overlap: Pixels around a tile, a multiple of ``stride``: ``receptive_radius(network)``.
        margin: Pixels of the mirrored border around the image.
        stride: Stride of the network.
    """
    tile = max(stride, tile // stride * stride)
    height, width = photo.shape[-2:]
    # For each pixel of the image with its border, the pixel of the image that it mirrors.
    rows, columns = (mirror_pad(torch.arange(side), 0, margin, stride) for side in (height, width))
    for down in spans(height, len(rows), tile, overlap, margin, stride):
        for across in spans(width, len(columns), tile, overlap, margin, stride):
            window = crop(photo, rows[down.start : down.stop], columns[across.start : across.stop])
            place = torch.tensor([down.start, across.start])
            y = run(to_floats(window[None]), place)[0, :, down.keep, across.keep]
            if not out.is_floating_point():
                y = y.clamp(0, 1).mul(255).round()
            out[:, down.place, across.place] = y.to(out.dtype)


def crop(photo: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return some rows and columns of (3,H,W): (3,h,w). Only memory near them is read."""
    top, left = int(rows.min()), int(columns.min())
    near = photo[:, top : int(rows.max()) + 1, left : int(columns.max()) + 1]
    rows, columns = (rows - top).to(photo.device), (columns - left).to(photo.device)
    return near.index_select(1, rows).index_select(2, columns)
