"""The feed-forward network that stylizes a picture in one pass, and its named sizes.

Johnson, Alahi and Fei-Fei, "Perceptual losses for real-time style transfer and
super-resolution", ECCV 2016, https://arxiv.org/abs/1603.08155.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.errors import choose

# Channels after the first convolution: the second has twice, the third four times as many.
SIZES = {"half": 16, "full": 32}

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


class Residual(nn.Module):
    """Two convolutions beside a shortcut, with no ReLU after the sum."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


class TransformerNetwork(nn.Module):
    """Stylizes (B,3,H,W) RGB in [0,1] to the same shape, for any H and W.

    Johnson's network with two departures. Upsampling is nearest-neighbour and a convolution, which
    leaves no checkerboard (Odena et al. 2016). And the scaled tanh at the end leaks: where a plain
    one saturated, whole areas turned black for good. Values may so leave [0,1] a little; who
    makes a picture of them clamps.

    Args:
        size: a key of ``SIZES``.
        blocks: number of residual blocks.
        tanh: end in the tanh; pytorch/examples' networks have none.
    """

    def __init__(self, size: str = "half", blocks: int = 5, tanh: bool = True):
        super().__init__()
        width = choose("network size", size, SIZES)
        self.tanh = tanh
        self.config = {"size": size, "blocks": blocks, "tanh": tanh}
        self.down = nn.ModuleList(
            [ConvNorm(3, width, 9), ConvNorm(width, 2 * width, 3, 2), ConvNorm(2 * width, 4 * width, 3, 2)]
        )
        self.residual = nn.Sequential(*(Residual(4 * width) for _ in range(blocks)))
        self.up = nn.ModuleList([ConvNorm(4 * width, 2 * width, 3), ConvNorm(2 * width, width, 3)])
        self.last = nn.Conv2d(width, 3, 9, padding=4, padding_mode="reflect")
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]  # begin at mid-grey

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        # Made divisible by repeating the last row and column, and cut back at the end.
        below = max(-height % STRIDE, SMALLEST - height)
        right = max(-width % STRIDE, SMALLEST - width)
        x = F.pad(images, (0, right, 0, below), mode="replicate") if below or right else images
        for layer in self.down:
            x = F.relu(layer(x))  # (B,4·width,H/4,W/4) after the last
        x = self.residual(x)
        for layer in self.up:
            x = F.relu(layer(F.interpolate(x, scale_factor=2.0)))
        # Away from zero bfloat16 has too few steps for smooth skies: there on in float32.
        x = self.last(x)[..., :height, :width].float()
        return 0.5 + 0.45 * torch.tanh(x / 0.45) + 0.1 * x if self.tanh else x
