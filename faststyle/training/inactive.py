"""Loss terms against features that are zero: at all channels of a place, and everywhere in a channel."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.models.network import TransformerNetwork

INACTIVE_WEIGHT = 2.0  # of ``InactiveFeatures`` in the loss
HIGHEST_FEATURES = 3  # of each place, which are averaged
MIN_ACTIVATION = 0.2  # of this average, without a penalty
MIN_SHIFT = -1.5  # of a channel, in units of its scale: 7 % of a normal distribution are above zero


class InactiveFeatures:
    """Penalizes places of the last level where the highest features are below ``MIN_ACTIVATION``.

    Where all features are zero, the image has the colour of the last layer's bias, such as grey patches in a
    sky. Training does not repair that by itself, because the gradient of a ReLU is zero there (dying ReLU, Lu
    et al. 2019, https://arxiv.org/abs/1903.06733).

    Attributes:
        loss: The penalty of the last pass.
    """

    def __init__(self, network: TransformerNetwork):
        self.loss: Tensor
        network.up[-1].register_forward_hook(self.measure)

    def measure(self, layer: nn.Module, inputs: tuple[Tensor, ...], features: Tensor) -> None:
        """Measure features (B,C,H,W) before the ReLU."""
        highest = features.float().topk(HIGHEST_FEATURES, 1).values.mean(1)
        self.loss = F.relu(MIN_ACTIVATION - highest).mean()


def inactive_channels(style: Mapping[str, Tensor]) -> Tensor:
    """Return how far shifts are below ``MIN_SHIFT`` times their scales, summed over channels before a ReLU.

    A channel below it is zero nearly everywhere, and its gradient too; see ``InactiveFeatures``.

    Args:
        style: Parameters of a network by name. Only the scales and shifts of norms, (C,), count.
    """
    excess = [
        F.relu(MIN_SHIFT * style[name.replace(".bias", ".weight")].abs() - shift).sum()
        for name, shift in style.items()
        if name.endswith(".1.bias") and ".second." not in name  # no ReLU follows the second norm of a block
    ]
    return torch.stack(excess).sum()
