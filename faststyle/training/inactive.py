"""Loss terms against features that are zero: in places that get one colour, and in whole channels."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.models.network import TransformerNetwork

INACTIVE_WEIGHT = 2.0  # of the loss
ACTIVE_FEATURES = 3  # of each place, at least
MIN_ACTIVATION = 0.2  # standard deviations of a channel, in the mean of these features
LOWEST_SHIFT = -1.5  # of a channel, in units of its scale: 7 % of a normal distribution remain above zero


class InactiveFeatures:
    """Penalizes places where all features of the last level are zero.

    Such a place has the colour of the last layer's bias. The loss cannot change it, because the gradient of a
    ReLU is zero there (dying ReLU, Lu et al. 2019, https://arxiv.org/abs/1903.06733). Skies and walls
    get grey patches.

    Attributes:
        loss: The penalty of the last pass.
    """

    def __init__(self, network: TransformerNetwork):
        self.loss: Tensor
        network.up[-1].register_forward_hook(self.measure)

    def measure(self, layer: nn.Module, inputs: tuple[Tensor, ...], features: Tensor) -> None:
        """Measure features (B,C,H,W) before the ReLU."""
        highest = features.float().topk(ACTIVE_FEATURES, 1).values.mean(1)
        self.loss = F.relu(MIN_ACTIVATION - highest).mean()


def inactive_channels(style: Mapping[str, Tensor]) -> Tensor:
    """Return how far the norms' shifts are below ``LOWEST_SHIFT``, summed over the channels before a ReLU.

    Such a channel is zero nearly everywhere. Nothing teaches it otherwise, as in ``InactiveFeatures``.

    Args:
        style: Scales and shifts of the norms, (C,), by name.
    """
    excess = [
        F.relu(LOWEST_SHIFT * style[name.replace(".bias", ".weight")].abs() - shift).sum()
        for name, shift in style.items()
        if name.endswith(".1.bias") and ".second." not in name  # no ReLU follows the second norm of a block
    ]
    return torch.stack(excess).sum()
