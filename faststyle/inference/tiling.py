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
    """What a picture takes at the network's widest, in float32: 420 for half, 132 for fast, 804 for full.

    Measured on the CPU at 1 to 12 megapixels. Most of it is the first and the last layers', so it
    grows with the channels there.
    """
    channels = network.last.in_channels / network.first_stride**2
    return round(36 + 24 * channels)


def most_pixels(network: TransformerNetwork, device: torch.device) -> int:
    """Pixels of the largest picture to stylize whole: it takes half of the memory that there is now."""
    return min(MAX_UNTILED_PIXELS, free_memory(device) // 2 // bytes_per_pixel(network))


TILE = 1024  # new pixels to a side: with what overlaps 1.25 times the work, in half a gigabyte
LEAST_TILE = 256  # below it most of the work would be for what overlaps
THUMBNAIL = 2048  # pixels of the longer side of the picture that the statistics are taken from


def reach(network: TransformerNetwork) -> int:
    """How far from a pixel the input lies that it depends on, once the statistics are fixed.

    In pixels, rounded up to a multiple of the network's stride: what tiles must overlap by.
    """
    step = network.first_stride  # pixels from one value to the next, after the first layer
    radius = 4
    for level, blocks in enumerate([*network.shallow, network.residual]):
        if level:
            radius += step
            step *= 2
        radius += 2 * len(blocks) * step
    for _ in network.up:
        step //= 2
        radius += 2 * step  # one for the kernel, and one for the nearest neighbour above it
    radius += 4 + (step - 1)
    return math.ceil(radius / network.stride) * network.stride


def pick_tile(most_pixels: int, network: TransformerNetwork) -> int:
    """Choose the tile where no more pixels than these may be computed at once; ``TILE`` at most."""
    side = int(most_pixels**0.5) - 2 * reach(network)
    return max(LEAST_TILE, min(TILE, side // network.stride * network.stride))


def thumbnail(photo: Tensor, longer: int = THUMBNAIL) -> Tensor:
    """Shrink a picture, so that its longer side has at most ``longer`` pixels.

    Args:
        photo: (3,H,W), bytes or floats in [0,1].
        longer: in pixels.

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
    """A copy of the network that normalizes every picture with the statistics of this one.

    Mean and variance then being constants, they are folded into the convolutions: no norms are
    left, and what a pixel becomes depends on its surroundings alone, as far as ``reach``.

    Args:
        network: the trained network.
        photo: (1,3,h,w) RGB in [0,1]; the whole picture, or its thumbnail.
        margin: pixels of the mirrored frame.
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
        """Return inputs to trace it with, and the sizes that they may have: -1 is any."""
        return [*super().example_inputs(), (torch.zeros(2, dtype=torch.int64), [2])]


class Span(NamedTuple):
    """A stretch along one side of the picture."""

    start: int  # of what is computed, in the picture with its frame
    stop: int
    keep: slice  # what of that is right and new
    place: slice  # where in the picture it belongs


def spans(size: int, framed: int, tile: int, overlap: int, margin: int, stride: int) -> Iterator[Span]:
    """Divide one side of a picture into equally long stretches that overlap.

    Each begins at a multiple of ``stride``, so that strided convolutions see the same pixels as in
    the whole picture; none leaves the frame, whose rim is the network's to mirror.

    Args:
        size: of the picture, in pixels.
        framed: its size with the mirrored frame, a multiple of ``stride``.
        tile: how many new pixels each brings, at most.
        overlap: pixels on either side that are computed and thrown away.
        margin: pixels of the frame before the picture.
        stride: the network's.
    """
    count = max(1, math.ceil((framed - 2 * overlap) / tile))
    new = math.ceil((framed - 2 * overlap) / count / stride) * stride
    length = framed if count == 1 else new + 2 * overlap
    done = 0  # pixels of the picture
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
    """Stylize a picture tile by tile; beside the picture no more is in memory than one tile needs.

    Args:
        run: stylizes (1,3,h,w), floats in [0,1], whose first pixel is at a row and a column, (2,); every
            call has the same size. Where a pixel depends on none that is further than ``overlap`` away, the
            result is that of the whole.
        photo: (3,H,W), bytes or floats in [0,1]; it may be a view of a file mapped into memory.
        out: (3,H,W), likewise: where the result goes.
        tile: new pixels to a side of a tile, at most; rounded down to a multiple of ``stride``.
        overlap: pixels around it, a multiple of ``stride``: ``reach(network)``.
        margin: pixels of a mirrored frame around the picture.
        stride: the network's.
    """
    tile = max(stride, tile // stride * stride)
    height, width = photo.shape[-2:]
    # For each pixel of the framed picture, that of the picture which it mirrors.
    rows, columns = (mirror_pad(torch.arange(side), 0, margin, stride) for side in (height, width))
    for down in spans(height, len(rows), tile, overlap, margin, stride):
        for across in spans(width, len(columns), tile, overlap, margin, stride):
            window = cut(photo, rows[down.start : down.stop], columns[across.start : across.stop])
            place = torch.tensor([down.start, across.start])
            y = run(to_floats(window[None]), place)[0, :, down.keep, across.keep]
            if not out.is_floating_point():
                y = y.clamp(0, 1).mul(255).round()
            out[:, down.place, across.place] = y.to(out.dtype)


def cut(photo: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """These rows and columns of (3,H,W), (3,h,w); nothing far from them is touched."""
    top, left = int(rows.min()), int(columns.min())
    near = photo[:, top : int(rows.max()) + 1, left : int(columns.max()) + 1]
    rows, columns = (rows - top).to(photo.device), (columns - left).to(photo.device)
    return near.index_select(1, rows).index_select(2, columns)
