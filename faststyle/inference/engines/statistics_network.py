"""The network with other norms, in PyTorch: running statistics for video frames, given ones for tiles.

Instance norm takes its statistics from one image. When something enters a video they jump, and the whole
image changes its tone. Here they are running means over the frames.
"""

import torch
from torch import Tensor, nn

from faststyle.inference.engines.base import mix_statistics
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


class StatisticsNetwork(nn.Module):
    """The network with explicit statistics of its norms, (B,S).

    Args:
        network: The trained network.
        margin: Pixels of the mirrored border.
    """

    def __init__(self, network: TransformerNetwork, margin: int):
        super().__init__()
        self.network, self.margin = network, margin
        self.norms = [layer for layer in network.modules() if isinstance(layer, nn.InstanceNorm2d)]
        self.widths = [2 * norm.num_features for norm in self.norms]

    def run(
        self, images: Tensor, statistics: Tensor | None, mix: Tensor | None, position: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Stylize images, and return the statistics of each, (B,S).

        Args:
            images: (B,3,H,W), RGB in [0,1].
            statistics: (1,S), to normalize with; None for each image's own.
            mix: (B,1+B), weights of ``statistics`` and of each image's own; None for ``statistics`` alone.
            position: (2,), as for the network; the images are then tiles, without a border.
        """
        given = statistics.split(self.widths, 1) if statistics is not None else [None] * len(self.norms)
        before = dict(zip(self.norms, given, strict=True))
        own: dict[nn.Module, Tensor] = {}

        def normalize(norm: nn.Module, x: Tensor) -> Tensor:
            assert isinstance(norm, nn.InstanceNorm2d)
            memory = before[norm]
            if memory is None or mix is not None:
                own[norm] = measure_statistics(x)
            if memory is None:
                return apply_statistics(norm, x, own[norm])
            return apply_statistics(
                norm, x, memory if mix is None else mix_statistics(mix, memory, own[norm])
            )

        margin = self.margin if position is None else 0
        images = self.network(images, margin, position, normalize).clamp(0, 1)
        return images, torch.cat([own[norm] for norm in self.norms], 1) if own else images.new_zeros(0)
