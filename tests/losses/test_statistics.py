"""Tests of the style statistics on random features."""

import numpy as np
import pytest
import torch

from faststyle.losses.statistics import STATISTICS

BAGS = [name for name, statistic in STATISTICS.items() if not statistic.spatial]


def small(batch: int, seed: int, offset: float = 0.5, size: tuple[int, ...] = (9, 10)) -> torch.Tensor:
    """Return random features (batch,6,9,10) with a mean other than 0."""
    return torch.randn(batch, 6, *size, generator=torch.Generator().manual_seed(seed)) + offset


def measure(name: str, features: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """Compute the distance of (B,C,H,W) to (1,C,H,W) with the same random directions at each call."""
    statistic = STATISTICS[name]
    if not statistic.spatial:
        features, style = features.flatten(2), style.flatten(2)
    torch.manual_seed(0)
    return statistic.distance(statistic.represent(features), statistic.represent(style))


# Literal transcriptions of the papers' formulas, for one image's f (C,N) and s (C,M) in float64.


def slow_gram(f, s):
    def product(x):
        return sum(np.outer(column, column) for column in x.T) / x.shape[1]

    return ((product(f) - product(s)) ** 2).sum() / (product(s) ** 2).sum()


def slow_covariance(f, s):
    a, b = np.cov(f, bias=True), np.cov(s, bias=True)
    return ((a - b) ** 2).sum() / (b**2).sum()


def slow_moment(x, k):
    mean, std = x.mean(1), x.std(1)
    if k < 2:
        return (mean, std)[k]
    return np.array([(((row - m) / d) ** (k + 1)).mean() for row, m, d in zip(x, mean, std, strict=True)])


def slow_moments(f, s):
    difference = sum(((slow_moment(f, k) - slow_moment(s, k)) ** 2).sum() for k in range(2))
    return difference / sum((slow_moment(s, k) ** 2).sum() for k in range(2))


def slow_four_moments(f, s):
    moments = [(slow_moment(f, k), slow_moment(s, k)) for k in range(4)]
    return np.mean([((a - b) ** 2).sum() / (b**2).sum() for a, b in moments])


def slow_mmd(f, s, kernel):
    """Compute MMD over all pairs of positions, divided by the MMD of features that are all zero."""

    def mean(a, b):
        return np.mean([[kernel(x, y) for y in b.T] for x in a.T])

    zero = np.zeros((len(s), 1))
    difference, size = (mean(x, x) + mean(s, s) - 2 * mean(x, s) for x in (f, zero))
    return difference / size


def slow_polynomial(f, s):
    c = (s**2).sum(0).mean()
    return slow_mmd(f, s, lambda x, y: (x @ y + c) ** 2)


def slow_gaussian(f, s):
    spread = np.mean([[((x - y) ** 2).sum() for y in s.T] for x in s.T])
    return slow_mmd(f, s, lambda x, y: np.exp(-((x - y) ** 2).sum() / spread))


def slow_match(f, s):
    """Replace each channel's values by the style's of the same rank, with interpolated quantiles."""
    matched = np.empty_like(f)
    for row, values, wanted in zip(matched, f, s, strict=True):
        ranks = np.linspace(0, s.shape[1] - 1, f.shape[1])
        row[np.argsort(values)] = np.interp(ranks, np.arange(s.shape[1]), np.sort(wanted))
    return matched


def slow_histogram(f, s):
    return ((f - slow_match(f, s)) ** 2).mean() / (s**2).mean()


def slow_sliced(f, s):
    torch.manual_seed(0)
    directions = torch.randn(len(f), len(f)).double().numpy()
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return slow_histogram(directions @ f, directions @ s)


def slow_wasserstein(f, s):
    a, b = np.cov(f, bias=True), np.cov(s, bias=True)
    common = np.sqrt(np.linalg.eigvals(a @ b).real).sum()  # similar to B^½ A B^½
    difference = ((f.mean(1) - s.mean(1)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * common
    return difference / ((s.mean(1) ** 2).sum() + np.trace(b))


SLOW = {
    "gram": slow_gram,
    "covariance": slow_covariance,
    "moments": slow_moments,
    "moments-4": slow_four_moments,
    "mmd-linear": lambda f, s: slow_mmd(f, s, np.dot),
    "mmd-polynomial": slow_polynomial,
    "histogram": slow_histogram,
    "sliced-wasserstein": slow_sliced,
    "wasserstein": slow_wasserstein,
}


def test_every_bag_statistic_has_a_transcription():
    assert {*SLOW, "mmd-gaussian"} == set(BAGS)


@pytest.mark.parametrize("size", [(9, 10), (5, 7)])
@pytest.mark.parametrize("name", SLOW)
def test_distance_equals_the_formula(name, size):
    features, style = small(1, seed=1, offset=0.2), small(1, seed=2, size=size) * 1.5
    f, s = features[0].flatten(1).double().numpy(), style[0].flatten(1).double().numpy()
    assert measure(name, features, style).item() == pytest.approx(SLOW[name](f, s), rel=1e-4)


def test_random_fourier_features_approximate_the_gaussian_kernel():
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        f = torch.randn(1, 64, 5, 8, generator=generator)
        s = torch.randn(1, 64, 5, 6, generator=generator) * 1.5 + 0.4
        expected = slow_gaussian(f[0].flatten(1).double().numpy(), s[0].flatten(1).double().numpy())
        assert measure("mmd-gaussian", f, s).item() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("name", STATISTICS)
def test_distance_between_equal_features_is_zero(name):
    assert measure(name, small(1, seed=1), small(1, seed=1)).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", STATISTICS)
def test_distance_of_zero_features_is_about_one(name):
    nothing = measure(name, torch.zeros(1, 6, 9, 10), small(1, seed=1))
    # The distance of mrf is that of a single patch.
    assert nothing.item() == pytest.approx(1, abs=0.2 if name == "mrf" else 1e-3)


@pytest.mark.parametrize("name", STATISTICS)
def test_distance_of_a_batch_is_per_image(name):
    features, style = small(3, seed=1), small(1, seed=2)
    alone = torch.cat([measure(name, image[None], style) for image in features])
    torch.testing.assert_close(measure(name, features, style), alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", STATISTICS)
def test_distance_does_not_depend_on_feature_scale(name):
    features, style = small(2, seed=1), small(1, seed=2)
    scaled = measure(name, 10 * features, 10 * style)
    torch.testing.assert_close(scaled, measure(name, features, style), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", STATISTICS)
def test_distance_is_float32_under_autocast(name):
    features, style = small(2, seed=1), small(1, seed=2)
    with torch.autocast("cpu", torch.bfloat16):
        under = measure(name, features, style)
    assert under.dtype == torch.float32
    assert torch.equal(under, measure(name, features, style))


@pytest.mark.parametrize("name", BAGS)
def test_bag_statistics_do_not_depend_on_positions(name):
    features, style = small(2, seed=1), small(1, seed=2)
    shuffled = features.flatten(2)[:, :, torch.randperm(90)]
    torch.testing.assert_close(
        measure(name, shuffled, style), measure(name, features, style), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", BAGS)
def test_distance_between_images_of_different_sizes_can_be_small(name):
    style = small(1, seed=1, size=(40, 50))
    alike, other = small(1, seed=2, size=(60, 30)), 2 * small(1, seed=3, size=(60, 30)).exp()
    assert measure(name, alike, style) < 0.05 * measure(name, other, style)


@pytest.mark.parametrize("name", BAGS)
def test_gradient_is_finite_for_a_constant_channel(name):
    style = small(1, seed=2)
    style[:, 0] = 0
    for features in (style.clone(), torch.zeros_like(style), torch.full_like(style, 0.5)):
        features.requires_grad_()
        for target in (style, torch.zeros_like(style), torch.full_like(style, 0.5)):
            (gradient,) = torch.autograd.grad(measure(name, features, target).sum(), features)
            assert gradient.isfinite().all()
