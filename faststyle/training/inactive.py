"""The loss term against places where a network paints one colour."""

import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.models.network import TransformerNetwork

INACTIVE_WEIGHT = 2.0  # of the loss
ACTIVE_FEATURES = 3  # of each place, at least
MIN_ACTIVATION = 0.2  # standard deviations of a channel, in the mean of these features


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
