import pytest
import torch

from faststyle.image.convert import to_tensor
from faststyle.image.warp import in_bounds_mask, warp
from faststyle.training.module import StyleTransfer
from faststyle.training.synthetic_motion import random_flow, simulate_next_frame, temporal_loss
from tests.support.images import draw_image

PHOTO = to_tensor(draw_image(40, 32))[None]
PHOTOS = torch.stack([to_tensor(draw_image(64, 64, seed)) for seed in range(2)])


def shift(x: float, y: float, height: int = 32, width: int = 40) -> torch.Tensor:
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(1, 2, height, width)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_a_shift_by_whole_pixels_moves_them_exactly(mode):
    moved = warp(PHOTO, shift(3, -2), mode)
    assert torch.allclose(moved[..., 2:, :-3], PHOTO[..., :-2, 3:], atol=1e-5)


def test_half_a_pixel_is_the_mean_of_two():
    moved = warp(PHOTO, shift(0.5, 0))
    assert torch.allclose(moved[..., :-1], (PHOTO[..., :-1] + PHOTO[..., 1:]) / 2, atol=1e-5)


def test_pixels_from_outside_the_image_are_not_valid():
    valid = in_bounds_mask(shift(3, -2))
    assert valid.shape == (1, 1, 32, 40)
    assert valid[..., 2:, :-3].all() and not valid[..., :2, :].any() and not valid[..., -3:].any()


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (300, 200)])
def test_flows_are_smooth_and_differ(size):
    flow = random_flow(8, *size, torch.Generator().manual_seed(0))
    assert flow.shape == (8, 2, *size)
    assert (flow[0] - flow[1]).abs().max() > 1
    within = flow - flow.mean((2, 3), keepdim=True)
    assert within.square().mean().sqrt() > 0.5  # it bends, and does not only shift
    assert flow.diff(dim=3).abs().max() < 1.5 and flow.diff(dim=2).abs().max() < 1.5
    assert 1 < flow.abs().max() < 40


def test_same_seed_gives_the_same_motion():
    flows = [random_flow(2, 40, 40, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*flows)


def test_next_frame_is_moved_with_noise_added():
    photos = PHOTO.expand(16, -1, -1, -1)
    flow = shift(1, 0).expand(16, -1, -1, -1)
    noise = simulate_next_frame(photos, flow, torch.Generator().manual_seed(0)) - warp(photos, flow)
    spread = noise.std((1, 2, 3))
    assert 0 < spread.min() < 0.5 * spread.max() < 0.02
    assert noise.mean().abs() < 1e-3


def test_temporal_loss_is_zero_for_expected_frames():
    flow = random_flow(1, 32, 40, torch.Generator().manual_seed(0))
    expected = warp(PHOTO, flow)
    assert temporal_loss(expected, expected, in_bounds_mask(flow)) == 0
    assert temporal_loss(PHOTO, expected, in_bounds_mask(flow)) > 0.01


def test_temporal_loss_ignores_contrast_and_invalid_pixels():
    valid = torch.ones(1, 1, 32, 40)
    valid[..., 30:] = 0
    other = PHOTO.flip(2).clone()
    full = temporal_loss(other, PHOTO, valid)
    assert torch.allclose(temporal_loss(other / 2, PHOTO / 2, valid), full)
    other[..., 30:] = 5
    assert torch.allclose(temporal_loss(other, PHOTO, valid), full)


def test_temporal_loss_of_blank_images_without_valid_pixels_is_finite():
    blank = torch.zeros(1, 3, 8, 8)
    assert temporal_loss(blank, blank, torch.zeros(1, 1, 8, 8)) == 0


def test_temporal_weight_adds_a_temporal_term(random_vgg, painting):
    torch.manual_seed(0)
    plain = StyleTransfer([str(painting)], style_size=64, blocks=1, vgg=random_vgg)
    steady = StyleTransfer([str(painting)], style_size=64, blocks=1, vgg=random_vgg, temporal_weight=3.0)
    steady.load_state_dict(plain.state_dict())
    for module in (plain, steady):
        module.setup("fit")
    without, terms = plain.losses(PHOTOS, first_seed=5), steady.losses(PHOTOS, first_seed=5)
    assert "temporal" not in without and terms["temporal"] > 0
    assert torch.allclose(terms["style"], without["style"], rtol=1e-3)
    assert torch.allclose(terms["total"], without["total"] + 3 * terms["temporal"], rtol=1e-3)
    assert torch.equal(steady.losses(PHOTOS, first_seed=5)["temporal"], terms["temporal"])
    assert not torch.equal(steady.losses(PHOTOS, first_seed=6)["temporal"], terms["temporal"])


def test_training_lowers_the_temporal_term(random_vgg, painting):
    torch.manual_seed(0)
    module = StyleTransfer([str(painting)], style_size=64, blocks=1, vgg=random_vgg, temporal_weight=100.0)
    module.setup("fit")
    optimizer = torch.optim.Adam(module.network.parameters(), 2e-3)
    before = module.losses(PHOTOS, first_seed=99)["temporal"].item()
    for step in range(20):
        optimizer.zero_grad()
        module.losses(PHOTOS, first_seed=step)["total"].backward()
        optimizer.step()
    assert module.losses(PHOTOS, first_seed=99)["temporal"].item() < 0.7 * before
