import pytest
import torch

from faststyle.image.convert import to_tensor
from faststyle.image.warp import in_bounds_mask, warp
from faststyle.training.synthetic_motion import disturb, random_flow, unsteadiness
from tests.support.images import draw_picture

PHOTO = to_tensor(draw_picture(40, 32))[None]


def shift(x: float, y: float, height: int = 32, width: int = 40) -> torch.Tensor:
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(1, 2, height, width)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_a_shift_by_whole_pixels_moves_them_exactly(mode):
    moved = warp(PHOTO, shift(3, -2), mode)
    assert torch.allclose(moved[..., 2:, :-3], PHOTO[..., :-2, 3:], atol=1e-5)


def test_half_a_pixel_is_the_mean_of_two():
    moved = warp(PHOTO, shift(0.5, 0))
    assert torch.allclose(moved[..., :-1], (PHOTO[..., :-1] + PHOTO[..., 1:]) / 2, atol=1e-5)


def test_what_comes_from_beyond_the_rim_is_not_valid():
    valid = in_bounds_mask(shift(3, -2))
    assert valid.shape == (1, 1, 32, 40)
    assert valid[..., 2:, :-3].all() and not valid[..., :2, :].any() and not valid[..., -3:].any()


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (300, 200)])
def test_every_sample_moves_smoothly_and_in_its_own_way(size):
    flow = random_flow(8, *size, torch.Generator().manual_seed(0))
    assert flow.shape == (8, 2, *size)
    assert (flow[0] - flow[1]).abs().max() > 1
    within = flow - flow.mean((2, 3), keepdim=True)
    assert within.square().mean().sqrt() > 0.5  # it bends, and does not only shift
    assert flow.diff(dim=3).abs().max() < 1.5 and flow.diff(dim=2).abs().max() < 1.5
    assert 1 < flow.abs().max() < 40


def test_the_same_chance_gives_the_same_motion():
    flows = [random_flow(2, 40, 40, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*flows)


def test_disturbed_is_moved_with_some_noise():
    photos = PHOTO.expand(16, -1, -1, -1)
    flow = shift(1, 0).expand(16, -1, -1, -1)
    noise = disturb(photos, flow, torch.Generator().manual_seed(0)) - warp(photos, flow)
    spread = noise.std((1, 2, 3))
    assert 0 < spread.min() < 0.5 * spread.max() < 0.02
    assert noise.mean().abs() < 1e-3


def test_what_is_where_it_is_expected_is_steady():
    flow = random_flow(1, 32, 40, torch.Generator().manual_seed(0))
    expected = warp(PHOTO, flow)
    assert unsteadiness(expected, expected, in_bounds_mask(flow)) == 0
    assert unsteadiness(PHOTO, expected, in_bounds_mask(flow)) > 0.01


def test_contrast_does_not_count_and_invalid_pixels_neither():
    valid = torch.ones(1, 1, 32, 40)
    valid[..., 30:] = 0
    other = PHOTO.flip(2).clone()
    full = unsteadiness(other, PHOTO, valid)
    assert torch.allclose(unsteadiness(other / 2, PHOTO / 2, valid), full)
    other[..., 30:] = 5
    assert torch.allclose(unsteadiness(other, PHOTO, valid), full)


def test_blank_pictures_and_no_valid_pixel_are_finite():
    blank = torch.zeros(1, 3, 8, 8)
    assert unsteadiness(blank, blank, torch.zeros(1, 1, 8, 8)) == 0
