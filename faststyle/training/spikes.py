"""The loss term against spots in which a network hides a strong signal."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_DEVIATIONS = 5.0  # standard deviations of a feature from its channel's mean, without a penalty


class Spikes:
    """Penalizes features that are far from the mean of their channel.

    With instance norm a network can hide a strong signal in a small spot, which becomes a white drop in the
    image (Karras et al. 2020, https://arxiv.org/abs/1912.04958).

    Attributes:
        losses: The penalty of each norm in the last pass.
    """

    def __init__(self, network: nn.Module):
        self.losses: list[Tensor] = []
        for norm in network.modules():
            if isinstance(norm, nn.InstanceNorm2d):
                norm.register_forward_pre_hook(self.measure)

    def measure(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()
        variance, mean = torch.var_mean(x, (2, 3), keepdim=True)
        excess = F.relu((x - mean).abs() * (variance + 1e-5).rsqrt() - MAX_DEVIATIONS)
        self.losses.append(excess.square().mean())
