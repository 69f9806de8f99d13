"""The loss term against a mesh in the cells of the upsampling."""

import torch

from faststyle.training.mesh import CELL, mesh_loss


def test_pattern_that_repeats_in_the_cells_is_penalized_and_noise_is_not():
    torch.manual_seed(0)
    noise = 0.5 + 0.1 * torch.randn(2, 3, 128, 160)
    assert mesh_loss(noise) < 0.02 and mesh_loss(noise[..., :48, :48]) < 0.05
    pattern = torch.rand(3, CELL, CELL).repeat(1, 32, 40)
    assert mesh_loss(noise * 0 + pattern) > 0.9
    assert mesh_loss(noise + 0.2 * pattern) > 0.1
    assert mesh_loss(noise * 0) == 0


def test_slopes_and_other_periods_are_not_penalized():
    torch.manual_seed(0)
    x = torch.arange(128.0)
    slope = (x / 128).expand(1, 3, 128, 128)
    assert mesh_loss(slope + 0.01 * torch.randn(1, 3, 128, 128)) < 0.05
    for period in (5, 6, 7):
        waves = 0.5 + 0.4 * (2 * torch.pi * x / period).sin().expand(1, 3, 128, 128)
        assert mesh_loss(waves) < 0.05


def test_gradient_reduces_the_pattern_and_leaves_the_rest():
    torch.manual_seed(0)
    texture = 0.1 * torch.randn(1, 3, 64, 64)
    pattern = 0.05 * torch.randn(3, CELL, CELL).repeat(1, 16, 16)
    image = (0.5 + texture + pattern).requires_grad_()
    mesh_loss(image).backward()
    assert (image.grad * pattern).sum() > 0
    assert (image.grad * texture).sum().abs() < 0.2 * (image.grad * pattern).sum()
