import math

import pytest
import torch

from faststyle.errors import InputError
from faststyle.losses.objective import Objective
from faststyle.losses.presets import PRESETS
from faststyle.losses.statistics import gram

CONTENT, STYLE = {"relu3_3": 1.0}, {"relu1_2": 0.5, "relu3_3": 2.0}


def random_features(batch: int, seed: int, size: int = 12) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "relu1_2": torch.rand(batch, 4, size, size, generator=generator),
        "relu3_3": torch.rand(batch, 6, size // 4, size // 4, generator=generator),
    }


def random_images(batch: int, seed: int = 5) -> torch.Tensor:
    return torch.rand(batch, 3, 12, 12, generator=torch.Generator().manual_seed(seed))


def make(preset: str = "relative", **options) -> Objective:
    objective = Objective(content_layers=CONTENT, style_layers=STYLE, preset=preset, **options)
    objective.set_style([random_features(1, seed=1)])
    return objective


@pytest.mark.parametrize("preset", PRESETS)
def test_every_term_is_zero_for_identical_images(preset):
    objective = make(preset)
    features = random_features(1, seed=1)
    flat = torch.full((1, 3, 12, 12), 0.3)
    for name, value in objective(flat, features, features).items():
        assert value == pytest.approx(0, abs=1e-9), name


def test_relative_terms_do_not_depend_on_feature_scale():
    plain, scaled = make(), Objective(content_layers=CONTENT, style_layers=STYLE)
    style, features, content = (random_features(2, seed) for seed in (1, 2, 3))
    first = {layer: value[:1] for layer, value in style.items()}
    plain.set_style([first])
    scaled.set_style([{layer: 10 * value for layer, value in first.items()}])
    images = random_images(2)
    a = plain(images, features, content)
    b = scaled(
        images,
        {layer: 10 * value for layer, value in features.items()},
        {layer: 10 * value for layer, value in content.items()},
    )
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=1e-4), name


def test_relative_content_is_a_fraction_of_the_target_and_style_is_logarithmic():
    objective = make()
    features, content, images = random_features(1, 2), random_features(1, 3), random_images(1)
    terms = objective(images, features, content)
    f, p = features["relu3_3"], content["relu3_3"]
    assert terms["content"] == pytest.approx((((f - p) ** 2).mean() / (p**2).mean()).item(), rel=1e-5)
    style = 0.0
    for layer, weight in STYLE.items():
        target = gram(random_features(1, seed=1)[layer])
        share = ((gram(features[layer]) - target) ** 2).mean() / (target**2).mean()
        expected = math.log1p(share.item())
        assert terms[f"style_{layer}"] == pytest.approx(expected, rel=1e-5)
        style += weight * expected
    assert terms["style"] == pytest.approx(style, rel=1e-5)
    down = (images[:, :, 1:] - images[:, :, :-1]).abs().mean()
    across = (images[..., 1:] - images[..., :-1]).abs().mean()
    assert terms["variation"] == pytest.approx((down + across).item(), rel=1e-5)


def test_johnson_terms_are_the_papers_equations():
    # Johnson et al. 2016, equation 2, equations 3 and 4, and the sum of squares for TV.
    objective = make("johnson")
    features, content, images = random_features(1, 2), random_features(1, 3), random_images(1)
    terms = objective(images, features, content)
    f, p = features["relu3_3"], content["relu3_3"]
    c, h, w = f.shape[1:]
    assert terms["content"] == pytest.approx(((f - p) ** 2).sum().item() / (c * h * w), rel=1e-5)
    style = 0.0
    for layer, weight in STYLE.items():
        c, h, w = features[layer].shape[1:]
        ours, theirs = features[layer][0], random_features(1, seed=1)[layer][0]
        a = torch.einsum("ahw,bhw->ab", ours, ours) / (c * h * w)
        b = torch.einsum("ahw,bhw->ab", theirs, theirs) / (c * h * w)
        style += weight * torch.linalg.matrix_norm(a - b).square().item()
    assert terms["style"] == pytest.approx(style, rel=1e-4)
    pixels = 255 * images.double()
    variation = ((pixels[:, :, 1:] - pixels[:, :, :-1]) ** 2).sum()
    variation += ((pixels[..., 1:] - pixels[..., :-1]) ** 2).sum()
    assert terms["variation"] == pytest.approx(variation.item(), rel=1e-5)


def test_total_is_the_weighted_sum():
    objective = make(content_weight=2.0, style_weight=3.0, tv_weight=0.5)
    terms = objective(random_images(2), random_features(2, 2), random_features(2, 3))
    expected = 2.0 * terms["content"] + 3.0 * terms["style"] + 0.5 * terms["variation"]
    assert torch.allclose(terms["total"], expected)


def test_style_term_is_the_weighted_sum_over_layers():
    terms = make()(random_images(1), random_features(1, 2), random_features(1, 3))
    expected = sum(weight * terms[f"style_{layer}"] for layer, weight in STYLE.items())
    assert torch.allclose(terms["style"], expected)


def test_content_term_is_the_weighted_sum_over_layers():
    def content(layers):
        objective = Objective(content_layers=layers, style_layers=STYLE)
        objective.set_style([random_features(1, seed=1)])
        return objective(random_images(1), random_features(1, 2), random_features(1, 3))["content"]

    both = content({"relu1_2": 0.25, "relu3_3": 4.0})
    assert torch.allclose(both, 0.25 * content({"relu1_2": 1.0}) + 4 * content({"relu3_3": 1.0}))


@pytest.mark.parametrize("preset", PRESETS)
def test_batch_terms_are_the_mean_over_its_images(preset):
    objective = make(preset)
    images, features, content = random_images(3), random_features(3, 2), random_features(3, 3)
    together = objective(images, features, content)
    singles = [
        objective(
            images[i : i + 1],
            {layer: value[i : i + 1] for layer, value in features.items()},
            {layer: value[i : i + 1] for layer, value in content.items()},
        )
        for i in range(3)
    ]
    for name, value in together.items():
        assert torch.allclose(value, torch.stack([terms[name] for terms in singles]).mean(), rtol=1e-4), name


@pytest.mark.parametrize("preset", PRESETS)
def test_gradient_is_finite_and_reaches_features_and_images(preset):
    objective = make(preset)
    images = random_images(2).requires_grad_()
    features = {layer: value.requires_grad_() for layer, value in random_features(2, 2).items()}
    objective(images, features, random_features(2, 3))["total"].backward()
    for tensor in (images, *features.values()):
        assert tensor.grad.isfinite().all()
    for tensor in features.values():
        assert (tensor.grad != 0).any()
    # The images' own gradient comes only from total variation, which not every preset has.
    assert (images.grad != 0).any() == (objective.tv_weight > 0)


STYLES = [random_features(1, seed=1), random_features(1, seed=7, size=20)]


def style_terms(styles, blend=None, preset="relative") -> dict[str, torch.Tensor]:
    """Return the style terms of two random images against the given styles."""
    objective = Objective(content_layers=CONTENT, style_layers=STYLE, preset=preset)
    objective.set_style(styles, blend)
    terms = objective(random_images(2), random_features(2, 2), random_features(2, 3))
    return {name: term for name, term in terms.items() if name.startswith("style")}


@pytest.mark.parametrize("preset", PRESETS)
def test_blend_is_the_weighted_sum_of_style_distances(preset):
    # Each distance is relative to its own style, so that larger features get no more weight.
    first, second = (style_terms([style], preset=preset) for style in STYLES)
    for name, term in style_terms(STYLES, [3, 1], preset).items():
        assert term == pytest.approx((0.75 * first[name] + 0.25 * second[name]).item(), rel=1e-5), name


def test_blend_weights_are_equal_by_default():
    plain, equal = style_terms(STYLES), style_terms(STYLES, [5, 5])
    assert plain.keys() == equal.keys()
    for name in plain:
        assert torch.equal(plain[name], equal[name])


def test_blend_with_all_weight_on_one_style_equals_that_style():
    blended, alone = style_terms(STYLES, [0, 1]), style_terms(STYLES[1:])
    for name in alone:
        assert torch.allclose(blended[name], alone[name])


@pytest.mark.parametrize("blend", [[1.0], [1.0, 1.0, 1.0], [0.0, 0.0], [2.0, -1.0], [float("nan"), 1.0]])
def test_bad_blend_is_rejected(blend):
    objective = Objective(content_layers=CONTENT, style_layers=STYLE)
    with pytest.raises(InputError, match="blend"):
        objective.set_style([random_features(1, 1), random_features(1, 7)], blend)


def test_style_can_be_replaced_and_is_not_in_the_state_dict():
    objective = make()
    objective.set_style([random_features(1, seed=8)])
    assert torch.equal(objective.style_0_relu1_2, gram(random_features(1, seed=8)["relu1_2"]))
    assert objective.state_dict() == {}
    assert list(objective.parameters()) == []


def test_layers_lists_all_required_vgg_layers():
    assert make().layers == {"relu1_2", "relu3_3"}


def test_unknown_preset_suggests_the_nearest():
    with pytest.raises(InputError, match="did you mean 'johnson'"):
        Objective(preset="jonson")


def test_unknown_statistic_suggests_the_nearest():
    with pytest.raises(InputError, match="did you mean 'covariance'"):
        Objective(statistic="covarianse")


@pytest.mark.parametrize("preset", ["gatys", "coursera", "cs231n", "johnson"])
def test_another_statistic_with_a_published_formula_is_rejected(preset):
    Objective(preset=preset, statistic="gram")
    with pytest.raises(InputError, match="made of Gram matrices"):
        Objective(preset=preset, statistic="moments")


@pytest.mark.parametrize("term", ["content", "style", "tv"])
@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_weight_below_0_is_rejected(term, weight):
    with pytest.raises(InputError, match=f"{term}_weight"):
        Objective(**{f"{term}_weight": weight})


def test_term_of_weight_zero_needs_no_layers():
    content, style = make(style_weight=0), make(content_weight=0)
    assert content.layers == set(CONTENT) and style.layers == set(STYLE)
    images, features = random_images(1), random_features(1, 2)
    terms = content(images, {layer: features[layer] for layer in CONTENT}, random_features(1, 3))
    assert terms["style"] == 0 and terms["content"] > 0
    assert not any(name.startswith("style_") for name in terms)
    terms = style(images, features, {})
    assert terms["content"] == 0 and terms["style"] > 0


def test_content_and_style_weights_cannot_both_be_zero():
    with pytest.raises(InputError) as caught:
        Objective(content_weight=0, style_weight=0)
    assert caught.value.parameters == ["content_weight", "style_weight"]


def test_zero_total_variation_weight_keeps_the_other_terms():
    terms = make(tv_weight=0)(random_images(1), random_features(1, 2), random_features(1, 3))
    assert torch.allclose(terms["total"], terms["content"] + 3 * terms["style"])
