"""The sizes of the feed-forward network, and the layers of each. Does not import torch."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from faststyle.registry import choose

MIN_SIDE = 32  # pixels, because reflection needs more than the widest padding (4) at each level
NOISE_CHANNELS = 4
NOISE_PERIOD = 512  # pixels of the image after which the noise repeats
# Standard deviation of the photo's noise. Without noise, the norms stretch the few levels by which a plain
# wall is brighter in the middle to the whole palette.
PHOTO_NOISE_STD = 10 / 255
PHOTO_NOISE_BLUR_PIXELS = 10.0  # standard deviation of the Gaussian that smooths the noise


@dataclass(frozen=True)
class Layout:
    """The number and kind of a network's layers, by level: the encoder's convolutions from full size down.

    Attributes:
        channels: Channels after each convolution of the encoder. All but the first have stride 2.
        blocks: Number of residual blocks after each convolution of the encoder.
        first_stride: Stride of the first convolution, 1 or 2. With 2, only the last layer computes at full
            size.
        skips: Whether the decoder adds the encoder's features, for each level but the deepest.
        noise: Whether noise is added to the photo, and after each convolution of the encoder.
        tanh: Whether the output goes through the tanh.
    """

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    first_stride: int = 1
    skips: tuple[bool, ...] = (False, False)
    noise: bool = False
    tanh: bool = True

    @property
    def levels(self) -> range:
        """The levels of the encoder."""
        return range(len(self.channels))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The channels of each two neighbouring levels, from full size down."""
        return list(itertools.pairwise(self.channels))

    @property
    def steps(self) -> list[int]:
        """Pixels of the image per feature, by level."""
        return [self.first_stride * 2**level for level in self.levels]

    @property
    def stride(self) -> int:
        """Pixels of the image per feature at the deepest level."""
        return self.steps[-1]

    def block_names(self, level: int) -> list[str]:
        """Return the names of a level's residual blocks."""
        place = "residual" if level == self.levels[-1] else f"shallow.{level}"
        return [f"{place}.{number}" for number in range(self.blocks[level])]

    def convolutions(self) -> dict[str, tuple[int, int, int]]:
        """Return outputs, inputs and kernel of each convolution that a norm follows, by name."""
        found = {"down.0": (self.channels[0], 3, 9)}
        found |= {f"down.{number}": (b, a, 3) for number, (a, b) in enumerate(self.pairs, 1)}
        for level in self.levels:
            for block in self.block_names(level):
                shape = self.channels[level], self.channels[level], 3
                found |= {f"{block}.first": shape, f"{block}.second": shape}
        return found | {f"up.{number}": (a, b, 3) for number, (a, b) in enumerate(reversed(self.pairs))}

    def norms(self) -> dict[str, int]:
        """Return the channels of each norm by the name of its convolution, in the order of statistics."""
        return {name: shape[0] for name, shape in self.convolutions().items()}

    def style_parameters(self) -> dict[str, int]:
        """Return the length of each parameter to which the style encoder adds, by its name in a file.

        These are the scales and shifts of the norms, and the bias of the last layer.
        """
        norms = self.norms().items()
        found = {f"{name}.1.{kind}": channels for name, channels in norms for kind in ("weight", "bias")}
        return found | {"last.bias": 3}

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight by its name in a file."""
        found: dict[str, tuple[int, ...]] = {}
        for name, (outputs, inputs, kernel) in self.convolutions().items():
            found[f"{name}.0.weight"] = outputs, inputs, kernel, kernel
            found |= {f"{name}.{key}": (outputs,) for key in ("0.bias", "1.weight", "1.bias")}
        if self.noise:
            found |= {
                f"noise.{level}.mix.weight": (count, NOISE_CHANNELS, 1, 1)
                for level, count in enumerate(self.channels)
            }
        return found | {"last.weight": (3, self.channels[0], 9, 9), "last.bias": (3,)}

    def receptive_radius(self) -> int:
        """Return how far a pixel depends on its surroundings if the norms' statistics are fixed.

        The radius is in pixels, rounded up to a multiple of ``stride``.
        """
        radius = 4
        for level, step in enumerate(self.steps):
            radius += step // 2 if level else 0
            radius += 2 * self.blocks[level] * step
        for step in reversed(self.steps[:-1]):
            radius += 2 * step  # one for the kernel, one for nearest-neighbour upsampling
        radius += 4 + (self.first_stride - 1)
        return math.ceil(radius / self.stride) * self.stride

    def bytes_per_pixel(self) -> int:
        """Return the memory that a pixel of an image takes in float32: 420 bytes for half, 804 for full.

        Measured on the CPU at 1 to 12 megapixels. Most of it is in the first and last layers.
        """
        return round(36 + 24 * self.channels[0] / self.first_stride**2)


SIZES = {
    # A sixteenth of the image's size is cheap and has a large receptive field, as whirls and waves need.
    "deep": Layout((16, 48, 96, 128), (1, 1, 3, 3), 2, (False, True, True), True),
    "half": Layout((16, 32, 64), (0, 0, 5)),
    "full": Layout((32, 64, 128), (0, 0, 5)),
    "fast": Layout((16, 64), (0, 4), 2, (False,)),
}
DEFAULT_SIZE = "deep"


def layout_of(config: Mapping[str, Any]) -> Layout:
    """Return the layout of a network for its configuration, as a model's file holds it.

    Raises:
        InputError: No size has this name.
    """
    size = choose("network size", config.get("size", DEFAULT_SIZE), SIZES)
    blocks = config.get("blocks")
    counts = (*size.blocks[:-1], size.blocks[-1] if blocks is None else blocks)
    return replace(size, blocks=counts, tanh=config.get("tanh", True))


def complete_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of ``TransformerNetwork`` for some of them."""
    layout = layout_of(config)
    return {"size": config.get("size", DEFAULT_SIZE), "blocks": layout.blocks[-1], "tanh": layout.tanh}


def noise_table(step: int) -> np.ndarray:
    """Return the noise of a level with ``step`` pixels per feature: (1,4,s,s), which repeats."""
    side = NOISE_PERIOD // step
    # RandomState gives the same numbers in every version of NumPy.
    values = np.random.RandomState(step).standard_normal((1, NOISE_CHANNELS, side, side))
    return values.astype(np.float32)


def photo_noise_table(step: int) -> np.ndarray:
    """Return the photo's noise at every ``step``-th pixel, smooth and repeating: (1,3,s,s)."""
    side = NOISE_PERIOD // step
    values = np.random.RandomState(0).standard_normal((1, 3, side, side))
    frequency = np.hypot(np.fft.fftfreq(side, step)[:, None], np.fft.rfftfreq(side, step))  # per pixel
    gaussian = np.exp(-2 * (np.pi * PHOTO_NOISE_BLUR_PIXELS * frequency) ** 2)
    smooth = np.fft.irfft2(np.fft.rfft2(values) * gaussian, (side, side))
    return (PHOTO_NOISE_STD * smooth / smooth.std()).astype(np.float32)
