"""The network with other norms, in PyTorch: running statistics for video frames, given ones for tiles.

Instance norm takes its statistics from one image. When something enters a video they jump, and the whole
image changes its tone. Here they are running means over the frames.
"""

import torch
from torch import Tensor, nn

from faststyle.inference.engines.base import mix_statistics
from faststyle.models.layers import Normalize
from faststyle.models.network import TransformerNetwork


def measure_statistics(x: Tensor) -> Tensor:
    """Return mean and variance of each channel: (B,C,H,W) to (B,2C)."""
    exact = x.float()
    mean = exact.mean((2, 3))
    return torch.cat([mean, (exact * exact).mean((2, 3)) - mean * mean], 1)


def apply_statistics(norm: nn.InstanceNorm2d, x: Tensor, statistics: Tensor) -> Tensor:
    """Normalize (B,C,H,W) with given mean and variance of each channel, (B,2C)."""
    mean, variance = statistics.chunk(2, 1)
    scale = norm.weight * (variance.clamp(min=0) + norm.eps).rsqrt()
    shift = norm.bias - mean * scale
    return x * scale[..., None, None].to(x.dtype) + shift[..., None, None].to(x.dtype)


class StatisticsNetwork:
    """The network with explicit statistics of its norms, (B,S).

    Args:
        network: The trained network.
        margin: Pixels of the mirrored border.
    """

    def __init__(self, network: TransformerNetwork, margin: int):
        self.network, self.margin = network, margin
        self.norms = [layer for layer in network.modules() if isinstance(layer, nn.InstanceNorm2d)]
        self.widths = [2 * norm.num_features for norm in self.norms]

    def split(self, statistics: Tensor) -> dict[nn.Module, Tensor]:
        """Return the statistics of each norm: (B,S) to (B,2C)."""
        return dict(zip(self.norms, statistics.split(self.widths, 1), strict=True))

    def normalize_with(self, statistics: Tensor) -> Normalize:
        """Return the function that normalizes with given statistics, (1,S)."""
        given = self.split(statistics)
        return lambda norm, x: apply_statistics(norm, x, given[norm])  # type: ignore[arg-type]

    def run(self, images: Tensor, statistics: Tensor | None, mix: Tensor | None) -> tuple[Tensor, Tensor]:
        """Stylize images, and return the statistics of each, (B,S).

        Args:
            images: (B,3,H,W), RGB in [0,1].
            statistics: (1,S), those of earlier images; None if there are none.
            mix: (B,1+B), the weights of ``statistics`` and of each image's own; None for each image's own.
        """
        before = self.split(statistics) if statistics is not None else {}
        own: dict[nn.Module, Tensor] = {}

        def normalize(norm: nn.Module, x: Tensor) -> Tensor:
            assert isinstance(norm, nn.InstanceNorm2d)
            own[norm] = used = measure_statistics(x)
            if mix is not None:
                used = mix_statistics(mix, before[norm], used)
            return apply_statistics(norm, x, used)

        images = self.network(images, self.margin, normalize=normalize).clamp(0, 1)
        return images, torch.cat([own[norm] for norm in self.norms], 1)
