"""Layers of the feed-forward network."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.models.layout import MIN_SIDE, NOISE_CHANNELS, NOISE_PERIOD, noise_table

Normalize = Callable[[nn.Module, Tensor], Tensor]  # a norm layer and (B,C,H,W) to the same shape


def apply_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a norm layer."""
    return norm(x)


class ConvNorm(nn.ModuleList):
    """A convolution with reflection padding, followed by instance norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect")
        # Instance norm instead of the paper's batch norm: Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022.
        super().__init__([conv, nn.InstanceNorm2d(outputs, affine=True)])

    @property
    def layers(self) -> tuple[nn.Conv2d, nn.Module]:
        """The convolution and the norm."""
        conv, norm = self
        assert isinstance(conv, nn.Conv2d)
        return conv, norm

    def forward(self, x: Tensor, normalize: Normalize = apply_norm) -> Tensor:
        conv, norm = self.layers
        return normalize(norm, conv(x))


class UpConvNorm(ConvNorm):
    """Nearest-neighbour upsampling by 2 and a ConvNorm with kernel 3, as one transposed convolution.

    Several of the nine taps fall on copies of the same pixel. Summing their weights leaves four taps.
    """

    def forward(self, x: Tensor, normalize: Normalize = apply_norm) -> Tensor:
        conv, norm = self.layers
        # Replication, because reflecting an upsampled image by one pixel repeats its border.
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        x = F.conv_transpose2d(x, fuse_upsampling(conv.weight), conv.bias, stride=2, padding=3)
        return normalize(norm, x)


def fuse_upsampling(weight: Tensor) -> Tensor:
    """Return the kernel of a transposed convolution that equals upsampling and a convolution with ``weight``.

    Args:
        weight: Kernel (O,I,3,3) of the convolution.

    Returns:
        Kernel (I,O,4,4) of the transposed convolution with stride 2.
    """
    taps = sum(F.pad(weight, (x, 1 - x, y, 1 - y)) for y in (0, 1) for x in (0, 1))
    return taps.flip(2, 3).transpose(0, 1)  # type: ignore[union-attr]


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, without a ReLU after the sum."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3)

    def forward(self, x: Tensor, normalize: Normalize = apply_norm) -> Tensor:
        return x + self.second(F.relu(self.first(x, normalize)), normalize)


class ResidualBlocks(nn.ModuleList):
    """A sequence of residual blocks."""

    def __init__(self, channels: int, count: int):
        super().__init__(ResidualBlock(channels) for _ in range(count))

    def forward(self, x: Tensor, normalize: Normalize = apply_norm) -> Tensor:
        for block in self:
            x = block(x, normalize)
        return x


class NoiseTable(nn.Module):
    """Noise that is the same for every image, and repeats.

    Args:
        values: (1,N,s,s).
        step: Distance between neighbouring values in pixels of the image.
    """

    values: Tensor

    def __init__(self, values: np.ndarray, step: int):
        super().__init__()
        self.step = step
        self.register_buffer("values", torch.from_numpy(values), persistent=False)

    def forward(self, x: Tensor, position: Tensor | None) -> Tensor:
        """Return the noise at the place of features (B,C,h,w): (1,N,h,w).

        Args:
            x: The features.
            position: (2,), row and column of the first feature in pixels of the image; None for (0, 0).
        """
        noise = self.values
        for dim in (2, 3):
            index = torch.arange(x.shape[dim], device=x.device)
            if position is not None:
                index = index + position[dim - 2] // self.step
            noise = noise.index_select(dim, index % (NOISE_PERIOD // self.step))
        return noise


class Noise(nn.Module):
    """Adds noise to features, so that flat regions get brush strokes.

    Without noise, a network can distinguish the pixels of a flat sky only by their position in the grid of
    the upsampling layers, and draws a mesh. Ulyanov et al. 2016, https://arxiv.org/abs/1603.03417.

    Args:
        channels: Number of channels of the features.
        step: Distance between neighbouring features in pixels of the image.
    """

    def __init__(self, channels: int, step: int):
        super().__init__()
        self.mix = nn.Conv2d(NOISE_CHANNELS, channels, 1, bias=False)
        nn.init.normal_(self.mix.weight, std=0.3)
        self.table = NoiseTable(noise_table(step), step)

    def forward(self, x: Tensor, position: Tensor | None) -> Tensor:
        """Add noise to features (B,C,h,w); ``position`` is as in ``NoiseTable.forward``."""
        return x + self.mix(self.table(x, position))


def mirror_pad(images: Tensor, dim: int, margin: int, stride: int) -> Tensor:
    """Pad one dimension by reflection, on both sides and up to a multiple of ``stride``.

    Unlike F.pad, an index can reflect an image several times, and can be exported with dynamic sizes.

    Args:
        images: A tensor of any shape.
        dim: The dimension to pad.
        margin: Number of pixels to add on each side.
        stride: Divisor of the padded size. Pixels that are missing are added at the end.

    Returns:
        The padded tensor, with at least ``MIN_SIDE`` pixels in the dimension.
    """
    size = images.shape[dim]
    padded = size + 2 * margin
    padded = MIN_SIDE if padded < MIN_SIDE else (padded + stride - 1) // stride * stride
    period = 2 * size - 2 if size > 1 else 1
    index = torch.arange(-margin, padded - margin, device=images.device).abs() % period
    return images.index_select(dim, (size - 1) - (index - (size - 1)).abs())
