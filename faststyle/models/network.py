"""The feed-forward network that stylizes a picture in one pass, and its named sizes.

Johnson, Alahi and Fei-Fei, "Perceptual losses for real-time style transfer and
super-resolution", ECCV 2016, https://arxiv.org/abs/1603.08155.
"""

import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.registry import choose


class Size(NamedTuple):
    channels: tuple[int, ...]  # after each convolution on the way down
    blocks: int  # residual blocks at a quarter of the picture's size


SIZES = {
    "half": Size((16, 32, 64), 5),
    "full": Size((32, 64, 128), 5),
    # Nothing happens at the picture's own size, where most of the others' time goes.
    "fast": Size((16, 64), 4),
}

MARGIN = 8  # pixels of the mirrored frame in which pictures are stylized
STRIDE = 4  # the network works at a quarter of the picture's size
SMALLEST = 16  # reflection needs more pixels than the widest padding (4), in every layer


class ConvNorm(nn.Sequential):
    """Convolution between reflected borders, then instance norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect"),
            # Ulyanov et al. 2016 (https://arxiv.org/abs/1607.08022), in place of batch norm.
            nn.InstanceNorm2d(outputs, affine=True),
        )

    @property
    def layers(self) -> tuple[nn.Conv2d, nn.Module]:
        conv, norm = self
        assert isinstance(conv, nn.Conv2d)
        return conv, norm


class UpConvNorm(ConvNorm):
    """Nearest-neighbour upsampling and a ConvNorm of kernel 3, as one transposed convolution.

    Of the nine taps that fall on an upsampled picture many share a pixel: summed, four are left.
    """

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self.layers
        # Upsampled, a mirrored border is the repeated one.
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return norm(F.conv_transpose2d(x, spread(conv.weight), conv.bias, stride=2, padding=3))


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

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


def mirror(images: Tensor, dim: int, margin: int) -> Tensor:
    """Add mirrored pixels on both sides, and at the end as many more as make a size for the network.

    By an index, in place of F.pad, which neither mirrors a picture twice nor exports with sizes left open.
    """
    size = images.shape[dim]
    whole = size + 2 * margin
    whole = SMALLEST if whole < SMALLEST else (whole + STRIDE - 1) // STRIDE * STRIDE
    there_and_back = 2 * size - 2 if size > 1 else 1
    index = torch.arange(-margin, whole - margin, device=images.device).abs() % there_and_back
    return images.index_select(dim, (size - 1) - (index - (size - 1)).abs())


class TransformerNetwork(nn.Module):
    """Stylizes (B,3,H,W) RGB in [0,1] to the same shape, for any H and W.

    Johnson's network with two departures. Upsampling is nearest-neighbour and a convolution, which
    leaves no checkerboard (Odena et al. 2016). And the scaled tanh at the end leaks: where a plain
    one saturated, whole areas turned black for good. Values may so leave [0,1] a little; who
    makes a picture of them clamps.

    Args:
        size: a key of ``SIZES``.
        blocks: number of residual blocks; the size's own without it.
        tanh: end in the tanh; pytorch/examples' networks have none.
    """

    def __init__(self, size: str = "half", blocks: int | None = None, tanh: bool = True):
        super().__init__()
        channels, usual = choose("network size", size, SIZES)
        blocks = usual if blocks is None else blocks
        self.tanh = tanh
        self.config = {"size": size, "blocks": blocks, "tanh": tanh}
        # How much smaller than the picture the first convolution's result is.
        self.scale = STRIDE // 2 ** (len(channels) - 1)
        pairs = list(itertools.pairwise(channels))
        self.down = nn.ModuleList(
            [ConvNorm(3, channels[0], 9, self.scale), *(ConvNorm(a, b, 3, 2) for a, b in pairs)]
        )
        self.residual = nn.Sequential(*(Residual(channels[-1]) for _ in range(blocks)))
        self.up = nn.ModuleList([UpConvNorm(b, a, 3) for a, b in reversed(pairs)])
        self.last = nn.Conv2d(channels[0], 3, 9, padding=4, padding_mode="reflect")
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]  # begin at mid-grey

    def forward(self, images: Tensor, margin: int = 0) -> Tensor:
        """Stylize (B,3,H,W).

        Args:
            images: RGB in [0,1].
            margin: pixels of a mirrored frame that is added, and cut off again.
        """
        height, width = images.shape[-2:]
        x = self.first(mirror(mirror(images, 2, margin), 3, margin))
        for layer in self.down[1:]:
            x = F.relu(layer(x))  # (B,C,H/4,W/4) after the last
        x = self.residual(x)
        for layer in self.up:
            x = F.relu(layer(x))  # (B,C,H/scale,W/scale) after the last
        x = self.paint(x).narrow(2, margin, height).narrow(3, margin, width)
        return 0.5 + 0.45 * torch.tanh(x / 0.45) + 0.1 * x if self.tanh else x

    def first(self, images: Tensor) -> Tensor:
        """The first layer: (B,3,H,W) to (B,C,H/scale,W/scale)."""
        conv, norm = self.down[0].layers  # type: ignore[misc]
        # Grey levels about zero are exact in bfloat16, and the norm takes away what is subtracted.
        x = F.pad(images * 255 - 128, (4, 4, 4, 4), mode="reflect")
        return F.relu(norm(F.conv2d(x, conv.weight / 255, conv.bias, stride=self.scale)))

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

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images, self.margin).clamp(0, 1)

    def example(self) -> list[tuple[Tensor, list[int]]]:
        """Inputs to trace it with, and the sizes that they may have: -1 is any."""
        return [(torch.rand(1, 3, 64, 64), [-1, 3, -1, -1])]

    def traces(self, images: Tensor) -> bool:
        """Whether what was traced does for these too: smaller ones are filled up."""
        return min(images.shape[2:]) >= SMALLEST
