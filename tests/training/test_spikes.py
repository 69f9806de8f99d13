"""The loss term against spots in which a network hides a strong signal."""

import torch
from torch import nn

from faststyle.training.spikes import Spikes


def test_only_features_far_from_their_channels_mean_are_penalized():
    norm = nn.InstanceNorm2d(2)
    spikes = Spikes(norm)
    smooth = torch.rand(1, 2, 20, 20)
    norm(smooth)
    spot = smooth.clone()
    spot[0, 1, 3, 4] = 50.0
    norm(spot.requires_grad_())
    assert spikes.losses[0] == 0 < spikes.losses[1]
    spikes.losses[1].backward()
    assert spot.grad[0, 1, 3, 4] > 0 and not spot.grad[0, 0].any()
