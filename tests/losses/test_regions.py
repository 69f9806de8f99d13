"""Tests of styles that apply to a region: guided statistics (Gatys et al. 2017, §4.2)."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.errors import InputError
from faststyle.losses.objective import Objective, inside
from faststyle.losses.statistics import STATISTICS

BAGS = [name for name, statistic in STATISTICS.items() if not statistic.spatial]
SPATIAL = [name for name, statistic in STATISTICS.items() if statistic.spatial]
LAYER = "relu1_1"


def random_features(seed: int, height: int = 12, width: int = 16) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {LAYER: torch.rand(1, 5, height, width, generator=generator)}


def random_mask(seed: int, height: int = 12, width: int = 16) -> Tensor:
    return (torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed)) > 0.6).float()


def distance(features, styles, regions=None, parts=None, statistic="gram", **options) -> float:
    objective = Objective(content_weight=0, style_layers={LAYER: 1.0}, statistic=statistic, **options)
    objective.set_style(styles, None, regions, parts)
    torch.manual_seed(0)  # For the random directions of sliced-wasserstein.
    return objective(torch.zeros(1, 3, 4, 4), features, {})["style"].item()


def guided_gram(features: Tensor, mask: Tensor) -> Tensor:
    """Return the Gram matrix of T∘F, divided by the number of positions in T."""
    masked = (mask * features)[0].flatten(1).double()
    return masked @ masked.T / mask.sum().item()


def test_guided_distance_uses_gram_matrices_of_masked_features():
    features, style = random_features(1), random_features(2, 9, 11)
    mask, part = random_mask(3), random_mask(4, 9, 11)
    g, a = guided_gram(features[LAYER], mask), guided_gram(style[LAYER], part)
    expected = math.log1p((g - a).square().mean() / a.square().mean())
    assert distance(features, [style], [mask], [part]) == pytest.approx(expected, rel=1e-5)


def test_guided_distance_of_published_presets_uses_masked_features():
    features, style = random_features(1), random_features(2)
    mask, part = random_mask(3), random_mask(4)
    g, a = guided_gram(features[LAYER], mask), guided_gram(style[LAYER], part)
    gatys = (g - a).square().mean().item() / 4
    assert distance(features, [style], [mask], [part], preset="gatys") == pytest.approx(gatys, rel=1e-5)
    # CS231n's Gram matrices are sums over positions, here those in the region.
    sums = (mask.sum() * (g - a)).square().sum().item()
    found = distance(features, [style], [mask], [part], preset="cs231n", style_weight=1.0)
    assert found == pytest.approx(sums, rel=1e-5)


@pytest.mark.parametrize("statistic", BAGS)
def test_region_that_covers_everything_changes_nothing(statistic):
    features, style = random_features(1), random_features(2, 9, 11)
    everything, part = torch.ones(1, 1, 50, 70), torch.ones(1, 1, 3, 3)
    plain = distance(features, [style], statistic=statistic)
    guided = distance(features, [style], [everything], [part], statistic=statistic)
    assert guided == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("statistic", BAGS)
def test_features_outside_the_region_do_not_matter(statistic):
    features, style, mask = random_features(1), random_features(2), random_mask(3)
    part = random_mask(4)
    before = distance(features, [style], [mask], [part], statistic=statistic)
    other = {LAYER: torch.where(mask > 0, features[LAYER], 9.0)}
    other_style = {LAYER: torch.where(part > 0, style[LAYER], 9.0)}
    after = distance(other, [other_style], [mask], [part], statistic=statistic)
    assert after == pytest.approx(before, rel=1e-5)
    inside_changed = {LAYER: torch.where(mask > 0, 2 * features[LAYER], features[LAYER])}
    changed = distance(inside_changed, [style], [mask], [part], statistic=statistic)
    assert changed != pytest.approx(before, rel=1e-2)


@pytest.mark.parametrize("statistic", ["gram", "histogram"])
def test_each_style_has_its_own_region(statistic):
    features, styles = random_features(1), [random_features(2), random_features(3, 9, 11)]
    mask = random_mask(4)
    masks = [mask, 1 - mask]
    both = distance(features, styles, masks, statistic=statistic)
    alone = [
        distance(features, [style], [region], statistic=statistic)
        for style, region in zip(styles, masks, strict=True)
    ]
    assert both == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_styles_with_and_without_region_can_be_combined():
    features, styles, mask = random_features(1), [random_features(2), random_features(3)], random_mask(4)
    expected = (distance(features, styles[:1]) + distance(features, styles[1:], [mask])) / 2
    assert distance(features, styles, [None, mask]) == pytest.approx(expected, rel=1e-5)


def test_large_mask_is_shrunk_to_the_layers_size():
    mask = F.interpolate(random_mask(1), scale_factor=8)
    features = random_features(2)[LAYER]
    assert torch.equal(inside(features, mask), features.flatten(2)[:, :, random_mask(1).flatten() > 0])


def test_tiny_region_keeps_at_least_one_position():
    mask = torch.zeros(1, 1, 400, 400)
    mask[..., 250:253, 120:123] = 1
    assert inside(random_features(1)[LAYER], mask).shape == (1, 5, 1)


def test_region_applies_to_all_images_of_a_batch():
    features = torch.cat([random_features(seed)[LAYER] for seed in (1, 2)])
    assert inside(features, random_mask(3)).shape == (2, 5, int(random_mask(3).sum()))


@pytest.mark.parametrize("statistic", SPATIAL)
@pytest.mark.parametrize("which", ["regions", "style_regions"])
def test_spatial_statistic_rejects_a_region_and_names_the_alternatives(statistic, which):
    objective = Objective(style_layers={LAYER: 1.0}, statistic=statistic)
    with pytest.raises(InputError, match="masks go with") as caught:
        objective.set_style([random_features(1)], photo=random_features(2), **{which: [random_mask(3)]})
    assert all(name in str(caught.value) for name in BAGS)
    assert not any(name in str(caught.value) for name in SPATIAL)
    objective.set_style([random_features(1)], photo=random_features(2), **{which: [None]})


def test_style_swap_without_a_photo_is_rejected():
    objective = Objective(style_layers={LAYER: 1.0}, statistic="style-swap")
    with pytest.raises(InputError, match="style-swap"):
        objective.set_style([random_features(1)])


def test_style_swap_targets_the_photo_if_the_style_is_the_photo():
    photo = random_features(1)
    objective = Objective(content_weight=0, style_layers={LAYER: 1.0}, statistic="style-swap")
    objective.set_style([photo], photo=photo)
    assert objective(torch.zeros(1, 3, 4, 4), photo, {})["style"] == pytest.approx(0, abs=1e-6)
