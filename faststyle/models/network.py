"""The feed-forward network that stylizes an image in one pass, and its named sizes.

Johnson, Alahi and Fei-Fei, "Perceptual losses for real-time style transfer and
super-resolution", ECCV 2016, https://arxiv.org/abs/1603.08155.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.registry import choose


@dataclass(frozen=True)
class Size:
    """The layers of a network.

    Attributes:
        channels: After each convolution on the way down, which halves the image but for the first.
        blocks: Residual blocks after each of them.
        first_stride: Stride of the first convolution; with 2, nothing but the last one works at full size.
        skips: Whether the way up adds what the way down had at the same size, for each but the deepest.
        noise: Whether noise is added after each convolution on the way down.
    """

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    first_stride: int = 1
    skips: tuple[bool, ...] = (False, False)
    noise: bool = False


SIZES = {
    # A sixteenth of the image's size costs little and sees far: whirls and waves come from there.
    "deep": Size((16, 48, 96, 128), (1, 1, 3, 3), 2, (False, True, True), True),
    "half": Size((16, 32, 64), (0, 0, 5)),
    "full": Size((32, 64, 128), (0, 0, 5)),
    "fast": Size((16, 64), (0, 4), 2, (False,)),
}
DEFAULT_SIZE = "deep"

MIN_SIDE = 32  # pixels: reflection needs more than the widest padding (4), in every layer
NOISE_CHANNELS = 4
NOISE_PERIOD = 512  # pixels of the image, after which the noise repeats itself


Normalize = Callable[[nn.Module, Tensor], Tensor]  # a norm layer and (B,C,H,W) to the same shape


def apply_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalize as the layer itself does."""
    return norm(x)


class ConvNorm(nn.ModuleList):
    """Convolution between reflected borders, then instance norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect")
        # Ulyanov et al. 2016 (https://arxiv.org/abs/1607.08022), in place of batch norm.
        super().__init__([conv, nn.InstanceNorm2d(outputs, affine=True)])

    @property
    def layers(self) -> tuple[nn.Conv2d, nn.Module]:
        conv, norm = self
        assert isinstance(conv, nn.Conv2d)
        return conv, norm

    def forward(self, x: Tensor, normalize: Normalize = apply_norm) -> Tensor:
        conv, norm = self.layers
        return normalize(norm, conv(x))


class UpConvNorm(ConvNorm):
    """Nearest-neighbour upsampling and a ConvNorm of kernel 3, as one transposed convolution.

    Of the nine taps that fall on an upsampled picture many share a pixel: summed, four are left.
    """

    def forward(self, x: Tensor, normalize: Normalize = apply_norm) -> Tensor:
        conv, norm = self.layers
        # Upsampled, a mirrored border is the repeated one.
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return normalize(norm, F.conv_transpose2d(x, spread(conv.weight), conv.bias, stride=2, padding=3))


def spread(weight: Tensor) -> Tensor:
    """The kernel of a transposed convolution that does as nearest-neighbour upsampling and ``weight`` do.

    (O,I,3,3) to (I,O,4,4).
    """
    taps = sum(F.pad(weight, (x, 1 - x, y, 1 - y)) for y in (0, 1) for x in (0, 1))
    return taps.flip(2, 3).transpose(0, 1)  # type: ignore[union-attr]


class Residual(nn.Module):
    """Two convolutions beside a shortcut, with no ReLU after the sum."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3)

    def forward(self, x: Tensor, normalize: Normalize = apply_norm) -> Tensor:
        return x + self.second(F.relu(self.first(x, normalize)), normalize)


class ResidualBlocks(nn.ModuleList):
    """Residual blocks one after another."""

    def __init__(self, channels: int, count: int):
        super().__init__(Residual(channels) for _ in range(count))

    def forward(self, x: Tensor, normalize: Normalize = apply_norm) -> Tensor:
        for block in self:
            x = block(x, normalize)
        return x


class Noise(nn.Module):
    """Add noise, the same for every image: something to paint with where a photo has nothing.

    Without it a network tells the pixels of a flat sky apart by their place in the cells of the upsamplings
    alone, and paints a mesh. Ulyanov et al. 2016, https://arxiv.org/abs/1603.03417.

    Args:
        channels: Of the features.
        step: Pixels of the image from one value of the features to the next.
    """

    table: Tensor

    def __init__(self, channels: int, step: int):
        super().__init__()
        self.mix = nn.Conv2d(NOISE_CHANNELS, channels, 1, bias=False)
        nn.init.normal_(self.mix.weight, std=0.3)
        side = NOISE_PERIOD // step
        # RandomState draws the same numbers in every version of NumPy.
        values = np.random.RandomState(step).standard_normal((1, NOISE_CHANNELS, side, side))
        self.step = step
        self.register_buffer("table", torch.from_numpy(values).float(), persistent=False)

    def forward(self, x: Tensor, place: Tensor | None) -> Tensor:
        """Add noise to (B,C,h,w), whose first value is at ``place`` in the image: row and column."""
        noise = self.table
        for dim in (2, 3):
            index = torch.arange(x.shape[dim], device=x.device)
            if place is not None:
                index = index + place[dim - 2] // self.step
            noise = noise.index_select(dim, index % (NOISE_PERIOD // self.step))
        return x + self.mix(noise)


def mirror(images: Tensor, dim: int, margin: int, stride: int) -> Tensor:
    """Add mirrored pixels on both sides, and at the end as many more as make a multiple of ``stride``.

    By an index, in place of F.pad, which neither mirrors an image twice nor exports with sizes left open.
    """
    size = images.shape[dim]
    whole = size + 2 * margin
    whole = MIN_SIDE if whole < MIN_SIDE else (whole + stride - 1) // stride * stride
    there_and_back = 2 * size - 2 if size > 1 else 1
    index = torch.arange(-margin, whole - margin, device=images.device).abs() % there_and_back
    return images.index_select(dim, (size - 1) - (index - (size - 1)).abs())


class TransformerNetwork(nn.Module):
    """Stylizes (B,3,H,W) RGB in [0,1] to the same shape, for any H and W.

    Johnson's network with departures. Upsampling is nearest-neighbour and a convolution, which leaves no
    checkerboard (Odena et al. 2016). The scaled tanh at the end leaks: where a plain one saturated, whole
    areas turned black for good. Values may so leave [0,1] a little; who makes an image of them clamps. And
    the size deep has residual blocks at every size, skips between them, and noise.

    Args:
        size: A key of ``SIZES``.
        blocks: Number of residual blocks at the deepest size; the size's own without it.
        tanh: End in the tanh; pytorch/examples' networks have none.

    Attributes:
        scale: How much smaller than the image the first convolution's result is.
        stride: How much smaller the deepest one's is.
    """

    def __init__(self, size: str = DEFAULT_SIZE, blocks: int | None = None, tanh: bool = True):
        super().__init__()
        chosen = choose("network size", size, SIZES)
        channels, self.skips, self.scale = chosen.channels, chosen.skips, chosen.first_stride
        deepest = chosen.blocks[-1] if blocks is None else blocks
        self.tanh = tanh
        self.config = {"size": size, "blocks": deepest, "tanh": tanh}
        self.stride = self.scale * 2 ** (len(channels) - 1)
        pairs = list(itertools.pairwise(channels))
        self.down = nn.ModuleList(
            [ConvNorm(3, channels[0], 9, self.scale), *(ConvNorm(a, b, 3, 2) for a, b in pairs)]
        )
        steps = [self.scale * 2**level for level in range(len(channels))]
        self.noise = nn.ModuleList(map(Noise, channels, steps)) if chosen.noise else None
        self.shallow = nn.ModuleList(map(ResidualBlocks, channels[:-1], chosen.blocks[:-1]))
        self.residual = ResidualBlocks(channels[-1], deepest)
        self.up = nn.ModuleList([UpConvNorm(b, a, 3) for a, b in reversed(pairs)])
        self.last = nn.Conv2d(channels[0], 3, 9, padding=4, padding_mode="reflect")
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]  # begin at mid-grey

    def forward(
        self,
        images: Tensor,
        margin: int = 0,
        place: Tensor | None = None,
        normalize: Normalize = apply_norm,
    ) -> Tensor:
        """Stylize (B,3,H,W).

        Args:
            images: RGB in [0,1].
            margin: Pixels of a mirrored frame that is added, and cut off again.
            place: (2,), row and column of the first pixel in the whole image, multiples of ``stride``; the
                noise follows from them.
            normalize: Called with each norm layer and its input, in place of the layer.
        """
        height, width = images.shape[-2:]
        x = mirror(mirror(images, 2, margin, self.stride), 3, margin, self.stride)
        kept = []
        for level, blocks in enumerate([*self.shallow, self.residual]):
            x = self.down[level](x, normalize) if level else self.first(x, normalize)
            if self.noise is not None:
                x = self.noise[level](x, place)
            x = blocks(F.relu(x), normalize)
            kept.append(x)  # (B,C,H/step,W/step)
        for level, layer in zip(reversed(range(len(self.up))), self.up, strict=True):
            x = F.relu(layer(x, normalize))
            if self.skips[level]:
                x = x + kept[level]
        x = self.paint(x).narrow(2, margin, height).narrow(3, margin, width)
        return 0.5 + 0.45 * torch.tanh(x / 0.45) + 0.1 * x if self.tanh else x

    def first(self, images: Tensor, normalize: Normalize) -> Tensor:
        """Run the first layer without its ReLU: (B,3,H,W) to (B,C,H/scale,W/scale)."""
        conv, norm = self.down[0].layers  # type: ignore[misc]
        # Grey levels about zero are exact in bfloat16, and the norm takes away what is subtracted.
        x = F.pad(images * 255 - 128, (4, 4, 4, 4), mode="reflect")
        return normalize(norm, F.conv2d(x, conv.weight / 255, conv.bias, stride=self.scale))

    def paint(self, x: Tensor) -> Tensor:
        """The last layer, on nearest-neighbour upsampling where scale is 2: (B,C,H/scale,…) to (B,3,H,W).

        Its nine by nine taps give but three channels, where processors compute sixteen or more at
        once. So one convolution gives each square of two by two pixels, as twelve channels.
        """
        conv = self.last
        # The same kernel for each of the four pixels, moved: (3,4,C,10,10), then (12,C,10,10).
        moved = [F.pad(conv.weight, (b, 1 - b, a, 1 - a)) for a in (0, 1) for b in (0, 1)]
        weight = torch.stack(moved, 1).flatten(0, 1)
        if self.scale == 2:  # two neighbouring taps fall on one pixel of what is upsampled
            weight = F.avg_pool2d(weight, 2) * 4  # (12,C,5,5)
        margin = 4 // self.scale
        x = F.pad(x, (margin,) * 4, mode="reflect")
        bias = conv.bias.repeat_interleave(4)  # type: ignore[union-attr]
        x = F.conv2d(x, weight, bias, stride=2 // self.scale)
        # Away from zero bfloat16 has too few steps for smooth skies: from here on in float32.
        return F.pixel_shuffle(x.float(), 2)


class Inference(nn.Module):
    """What is run and exported: (B,3,H,W) RGB in [0,1] to the same, with a mirrored margin.

    Networks draw dots along a picture's rim, where VGG sees zeros beside it in training: with a
    margin they are cut off.
    """

    def __init__(self, network: nn.Module, margin: int):
        super().__init__()
        self.network, self.margin = network, margin

    def forward(self, images: Tensor, place: Tensor | None = None) -> Tensor:
        return self.network(images, self.margin, place).clamp(0, 1)

    def example(self) -> list[tuple[Tensor, list[int]]]:
        """Inputs to trace it with, and the sizes that they may have: -1 is any."""
        return [(torch.rand(1, 3, 64, 64), [-1, 3, -1, -1])]

    def traces(self, images: Tensor, *_: Tensor) -> bool:
        """Whether what was traced does for these too: smaller ones are filled up."""
        return min(images.shape[2:]) >= MIN_SIDE
