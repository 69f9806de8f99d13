import numpy as np
import pytest
import torch

from faststyle.errors import InputError
from faststyle.losses.patches import (
    MAX_STYLE_PATCHES,
    deep_correlation,
    mrf,
    patches,
    style_patches,
    style_swap,
)
from faststyle.losses.statistics import STATISTICS


def features(batch: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(seed))


def slow_patches(x, rows, columns):
    """Return patches (C,3,3) of one image's features (C,H,W) by the position of their upper left corner."""
    return {(y, z): x[:, y : y + 3, z : z + 3] for y in rows for z in columns}


def slow_nearest(patch, candidates):
    def correlation(candidate):
        return (patch * candidate).sum() / np.sqrt((patch**2).sum() * (candidate**2).sum())

    return max(candidates, key=correlation)


def every(x):
    return slow_patches(x, range(x.shape[1] - 2), range(x.shape[2] - 2))


def test_mrf_is_the_distance_to_the_nearest_patches():
    ours, style = features(2, 7, 8, seed=1), 1.5 * features(1, 6, 9, seed=2)
    candidates = list(every(style[0].double().numpy()).values())
    expected = []
    for image in ours.double().numpy():
        # Stride 2, plus the last column of patches, because 8 is even.
        found = slow_patches(image, (0, 2, 4), (0, 2, 4, 5)).values()
        squares = [((patch - slow_nearest(patch, candidates)) ** 2).mean() for patch in found]
        expected.append(np.mean(squares) / np.mean(np.square(candidates)))
    assert mrf(ours, style).tolist() == pytest.approx(expected, rel=1e-5)


def test_mrf_gradient_reaches_every_position():
    for height, width in ((7, 7), (8, 9), (9, 10), (3, 4)):
        ours = features(1, height, width, seed=1).requires_grad_()
        mrf(ours, features(1, 8, 8, seed=2)).sum().backward()
        assert ours.grad is not None
        assert (ours.grad != 0).all()


def test_style_swap_averages_the_overlaps_of_the_nearest_patches():
    ours, style = features(2, 6, 7, seed=1), features(1, 5, 8, seed=2)
    candidates = list(every(style[0].double().numpy()).values())
    expected = np.zeros(ours.shape)
    for target, image in zip(expected, ours.double().numpy(), strict=True):
        count = np.zeros((6, 7))
        for (y, x), patch in every(image).items():
            target[:, y : y + 3, x : x + 3] += slow_nearest(patch, candidates)
            count[y : y + 3, x : x + 3] += 1
        target /= count
    torch.testing.assert_close(style_swap(ours, style), torch.from_numpy(expected).float())


def test_style_swap_of_a_style_with_itself_is_identity():
    style = features(1, 6, 7)
    torch.testing.assert_close(style_swap(style, style), style)
    swap = STATISTICS["style-swap"].swap
    assert swap is not None
    assert STATISTICS["style-swap"].distance(style, swap(style, style)).item() < 1e-10


def test_deep_correlation_is_the_mean_product_with_the_shifted_map():
    x = features(2, 11, 13)
    expected = torch.zeros(2, 4, 9, 17)
    for down in range(9):
        for right in range(-8, 9):
            for y in range(11 - down):
                for z in range(max(0, -right), min(13, 13 - right)):
                    product = x[:, :, y, z] * x[:, :, y + down, z + right]
                    expected[:, :, down, right + 8] += product / ((11 - down) * (13 - abs(right)))
    torch.testing.assert_close(deep_correlation(x), expected, rtol=1e-4, atol=1e-5)


def test_deep_correlation_finds_the_period_of_stripes():
    stripes = torch.zeros(1, 1, 40, 40)
    stripes[..., ::4] = 1
    along = deep_correlation(stripes)[0, 0, 0]  # Horizontal shifts from −8 to 8.
    assert ((along > 0.2).nonzero().flatten() - 8).tolist() == [-8, -4, 0, 4, 8]


def test_deep_correlation_is_zero_for_shifts_beyond_the_map():
    small = deep_correlation(features(1, 4, 5))
    torch.testing.assert_close(small[:, :, 4:], torch.zeros(1, 4, 5, 17), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["mrf", "deep-correlation"])
def test_distance_between_images_of_different_sizes_can_be_small(name):
    tile = features(1, 4, 6)
    ours, style = tile.repeat(1, 1, 4, 3), tile.repeat(1, 1, 5, 4)
    statistic = STATISTICS[name]
    alike = statistic.distance(statistic.represent(ours), statistic.represent(style))
    other = statistic.distance(statistic.represent(features(1, 16, 18, seed=1)), statistic.represent(style))
    assert alike < 0.1 * other


def test_large_style_uses_a_fixed_sample_of_patches():
    style = features(1, 60, 70)
    sample = style_patches(style)
    assert sample.shape == (MAX_STYLE_PATCHES, 4, 3, 3)
    assert torch.equal(sample, style_patches(style))
    whole = patches(style)[0].movedim(0, 2).flatten(0, 1).flatten(1)
    assert len(sample.flatten(1).unique(dim=0)) == MAX_STYLE_PATCHES
    assert (torch.cdist(sample.flatten(1)[:20], whole).min(1).values < 1e-2).all()


def test_features_smaller_than_a_patch_are_rejected():
    with pytest.raises(InputError, match="larger image"):
        mrf(features(1, 2, 5), features(1, 8, 8))
