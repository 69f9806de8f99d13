"""The loss terms against features that are zero, in places and in whole channels."""

import torch

from faststyle.models.network import TransformerNetwork
from faststyle.training.inactive import InactiveFeatures, inactive_channels


def test_places_without_active_features_are_penalized_until_some_are_active():
    network = TransformerNetwork()
    inactive, photos = InactiveFeatures(network), torch.rand(1, 3, 64, 64)
    shift = network.up[-1].layers[1].bias
    torch.nn.init.constant_(shift, 5.0)
    network(photos)
    assert inactive.loss == 0
    torch.nn.init.constant_(shift, -10.0)
    image = network(photos)
    assert (image - image[..., :1, :1]).abs().max() < 1e-6  # of one colour
    assert inactive.loss > 1
    inactive.loss.backward()
    assert (shift.grad <= 0).all() and shift.grad.sum() < -0.9


def test_channels_that_are_zero_nearly_everywhere_are_penalized():
    shift = torch.tensor([0.0, -1.4, -2.0, -4.0], requires_grad=True)
    scale = torch.tensor([1.0, -1.0, 1.0, -2.0])
    style = {"up.0.1.weight": scale, "up.0.1.bias": shift, "last.bias": torch.full((3,), -9.0)}
    style |= {"residual.0.second.1.weight": scale, "residual.0.second.1.bias": shift}  # no ReLU follows
    loss = inactive_channels(style)
    assert loss == 0.5 + 1.0
    loss.backward()
    assert shift.grad.tolist() == [0, 0, -1, -1]
