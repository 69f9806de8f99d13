"""The feed-forward network that stylizes an image in one pass.

Johnson, Alahi and Fei-Fei, "Perceptual losses for real-time style transfer and
super-resolution", ECCV 2016, https://arxiv.org/abs/1603.08155.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.models.layers import (
    ConvNorm,
    Noise,
    NoiseTable,
    Normalize,
    ResidualBlocks,
    UpConvNorm,
    apply_norm,
    mirror_pad,
)
from faststyle.models.layout import DEFAULT_SIZE, complete_config, layout_of, photo_noise_table


class TransformerNetwork(nn.Module):
    """Stylizes images (B,3,H,W), RGB in [0, 1], to the same shape, for any H and W.

    The network of Johnson et al. with these departures. Upsampling is nearest-neighbour followed by a
    convolution, which avoids checkerboard artifacts (Odena et al. 2016). The output is a scaled tanh plus a
    small linear term, because with tanh alone saturated regions stayed black for the rest of training.
    Outputs can therefore fall slightly outside [0, 1]; clamp them before converting to an image. The size
    deep has residual blocks at every level, skip connections, and noise in the photo and in the encoder's
    features.

    Args:
        size: A key of ``SIZES``.
        blocks: Number of residual blocks at the deepest level. Default: as in ``SIZES``.
        tanh: Whether the output goes through the tanh; False for networks of pytorch/examples.

    Attributes:
        config: The arguments, with which to build the same network again.
        layout: The network's layers.
        first_stride: Stride of the first convolution.
        stride: Pixels of the image per feature at the deepest level, in each dimension.
    """

    def __init__(self, size: str = DEFAULT_SIZE, blocks: int | None = None, tanh: bool = True):
        super().__init__()
        self.config = complete_config({"size": size, "blocks": blocks, "tanh": tanh})
        layout = layout_of(self.config)
        channels, pairs = layout.channels, layout.pairs
        self.layout, self.tanh, self.skips = layout, tanh, layout.skips
        self.first_stride, self.stride = layout.first_stride, layout.stride
        self.down = nn.ModuleList(
            [ConvNorm(3, channels[0], 9, self.first_stride), *(ConvNorm(a, b, 3, 2) for a, b in pairs)]
        )
        self.noise = nn.ModuleList(map(Noise, channels, layout.steps)) if layout.noise else None
        step = self.first_stride
        self.photo_noise = NoiseTable(photo_noise_table(step), step) if layout.noise else None
        self.shallow = nn.ModuleList(map(ResidualBlocks, channels[:-1], layout.blocks[:-1]))
        self.residual = ResidualBlocks(channels[-1], layout.blocks[-1])
        self.up = nn.ModuleList([UpConvNorm(b, a, 3) for a, b in reversed(pairs)])
        self.last = nn.Conv2d(channels[0], 3, 9, padding=4, padding_mode="reflect")
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]  # start at mid-grey

    def forward(
        self,
        images: Tensor,
        margin: int = 0,
        position: Tensor | None = None,
        normalize: Normalize = apply_norm,
    ) -> Tensor:
        """Stylize images (B,3,H,W).

        Args:
            images: RGB in [0, 1].
            margin: Width in pixels of a mirrored border that is added before the first layer, and cropped
                after the last.
            position: (2,), row and column of the first pixel if the images are parts of larger ones, in
                multiples of ``stride``. The noise depends on it. None for (0, 0).
            normalize: Called with each norm layer and its input instead of the layer.
        """
        height, width = images.shape[-2:]
        x = mirror_pad(mirror_pad(images, 2, margin, self.stride), 3, margin, self.stride)
        encoded = []
        for level, blocks in enumerate([*self.shallow, self.residual]):
            x = self.down[level](x, normalize) if level else self.apply_first(x, position, normalize)
            if self.noise is not None:
                x = self.noise[level](x, position)
            x = blocks(F.relu(x), normalize)
            encoded.append(x)  # (B,C,H/step,W/step)
        for level, layer in zip(reversed(range(len(self.up))), self.up, strict=True):
            x = F.relu(layer(x, normalize))
            if self.skips[level]:
                x = x + encoded[level]
        x = self.apply_last(x).narrow(2, margin, height).narrow(3, margin, width)
        return 0.5 + 0.45 * torch.tanh(x / 0.45) + 0.1 * x if self.tanh else x

    def apply_first(self, images: Tensor, position: Tensor | None, normalize: Normalize) -> Tensor:
        """Apply the first layer without its ReLU: (B,3,H,W) to (B,C,H/first_stride,W/first_stride)."""
        conv, norm = self.down[0].layers  # type: ignore[misc]
        # Integers from -128 to 127 are exact in bfloat16. The norm removes the constant that is subtracted.
        x = F.pad(images * 255 - 128, (4, 4, 4, 4), mode="reflect")
        x = F.conv2d(x, conv.weight / 255, conv.bias, stride=self.first_stride)
        if self.photo_noise is not None:
            # After the convolution, because the noise is nearly constant over the kernel's 9x9 pixels.
            x = x + F.conv2d(self.photo_noise(x, position), conv.weight.sum((2, 3), keepdim=True))
        return normalize(norm, x)

    def apply_last(self, x: Tensor) -> Tensor:
        """Apply the last layer: (B,C,H/first_stride,W/first_stride) to (B,3,H,W).

        If ``first_stride`` is 2, nearest-neighbour upsampling precedes the layer. Processors compute 16 or
        more channels at once, and a convolution with three output channels wastes most of that. Instead, one
        convolution computes 2x2 pixels as twelve channels.
        """
        conv = self.last
        # One copy of the kernel, shifted, for each of the 2x2 pixels: (3,4,C,10,10), then (12,C,10,10).
        shifted = [F.pad(conv.weight, (b, 1 - b, a, 1 - a)) for a in (0, 1) for b in (0, 1)]
        weight = torch.stack(shifted, 1).flatten(0, 1)
        if self.first_stride == 2:  # sum neighbouring taps, which fall on copies of the same pixel
            weight = F.avg_pool2d(weight, 2) * 4  # (12,C,5,5)
        margin = 4 // self.first_stride
        x = F.pad(x, (margin,) * 4, mode="reflect")
        bias = conv.bias.repeat_interleave(4)  # type: ignore[union-attr]
        x = F.conv2d(x, weight, bias, stride=2 // self.first_stride)
        # float32 from here on, because far from zero bfloat16 has too few values for smooth skies.
        return F.pixel_shuffle(x.float(), 2)


class Inference(nn.Module):
    """The network as it is run and exported: adds a mirrored margin, crops it, and clamps to [0, 1].

    Without the margin, networks draw dots along the border of images, because VGG pads with zeros in
    training.

    Args:
        network: The trained network.
        margin: Width of the margin in pixels.
    """

    def __init__(self, network: nn.Module, margin: int):
        super().__init__()
        self.network, self.margin = network, margin

    def forward(self, images: Tensor) -> Tensor:
        """Stylize images (B,3,H,W), RGB in [0, 1], to the same shape; see ``TransformerNetwork.forward``."""
        return self.network(images, self.margin).clamp(0, 1)
