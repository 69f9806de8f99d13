"""Tests of the published objectives against the formulas of their publications."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.image.convert import to_tensor
from faststyle.losses.objective import Objective
from faststyle.losses.presets import PRESETS
from faststyle.losses.vgg import VGG
from tests.support.images import sample

PUBLISHED = [name for name, preset in PRESETS.items() if preset.style is not None]


@pytest.fixture(scope="module")
def vgg() -> VGG:
    return VGG("vgg19-caffe")


def square(name: str) -> Tensor:
    """Crop a sample photo to (1,3,64,64)."""
    image = sample(name, 128)
    return to_tensor(image.crop((20, 8, 84, 72)))[None]


@pytest.fixture(scope="module")
def images() -> dict[str, Tensor]:
    """Return three images of one size: the evaluated one, its photo, and the style."""
    photo = square("astronaut")
    noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(0))
    return {"picture": 0.7 * photo + 0.3 * noise, "photo": photo, "style": square("coffee")}


def flat(features: Tensor) -> Tensor:
    """Reshape (1,N,h,w) to the papers' F: N filters by M positions, in float64."""
    return features[0].flatten(1).double()


def squared_differences(image: Tensor) -> float:
    """Sum the squared differences of vertical and horizontal neighbours in [0, 255] (seed 004)."""
    x = 255 * image[0].double()
    vertical = ((x[:, 1:, :] - x[:, :-1, :]) ** 2).sum()
    horizontal = ((x[:, :, 1:] - x[:, :, :-1]) ** 2).sum()
    return (vertical + horizontal).item()


# Arguments of each formula: f, p and s are the features of the image, the photo and the style by layer,
# reshaped by ``flat``. a, b and t are the weights of content, style and total variation. w holds the weights
# of the style layers.


def gatys(f, p, s, image, a, b, t, w) -> float:
    # Seeds 000, 002 and 003: L_content = ½ Σ (F − P)², E_l = 1/(4 N² M²) Σ (G − A)², Σ w_l E_l.
    content = 0.5 * ((f["relu4_2"] - p["relu4_2"]) ** 2).sum()
    style = 0.0
    for layer in ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"):
        n, m = f[layer].shape
        g, target = f[layer] @ f[layer].T, s[layer] @ s[layer].T
        style += w[layer] * ((g - target) ** 2).sum() / (4 * n**2 * m**2)
    return (a * content + b * style).item() + t * squared_differences(image)


def coursera(f, p, s, image, a, b, t, w) -> float:
    # Seed 001: 1/(4 n_H n_W n_C) Σ (a_C − a_G)², and λ / (4 n_C² (n_H n_W)²) Σ (G_S − G_G)².
    n_c, positions = f["relu4_2"].shape
    content = ((p["relu4_2"] - f["relu4_2"]) ** 2).sum() / (4 * positions * n_c)
    style = 0.0
    for layer in ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"):
        n_c, positions = f[layer].shape
        difference = s[layer] @ s[layer].T - f[layer] @ f[layer].T
        style += w[layer] * (difference**2).sum() / (4 * n_c**2 * positions**2)
    return (a * content + b * style).item() + t * squared_differences(image)


def cs231n(f, p, s, image, a, b, t, w) -> float:
    # Seed 004: w_c Σ (F − P)², Σ_l w_l Σ (G − A)², w_t × the squared differences of neighbours.
    content = ((f["relu3_3"] - p["relu3_3"]) ** 2).sum()
    style = 0.0
    for layer in ("relu1_2", "relu2_2", "relu3_3", "relu4_3"):
        style += w[layer] * ((f[layer] @ f[layer].T - s[layer] @ s[layer].T) ** 2).sum()
    return (a * content + b * style).item() + t * squared_differences(image)


def johnson(f, p, s, image, a, b, t, w) -> float:
    # Johnson et al. 2016, equations 2 to 4.
    content = ((f["relu3_3"] - p["relu3_3"]) ** 2).sum() / f["relu3_3"].numel()
    style = 0.0
    for layer in ("relu1_2", "relu2_2", "relu3_3", "relu4_3"):
        size = f[layer].numel()
        style += w[layer] * (((f[layer] @ f[layer].T - s[layer] @ s[layer].T) / size) ** 2).sum()
    return (a * content + b * style).item() + t * squared_differences(image)


FORMULAS = {"gatys": gatys, "coursera": coursera, "cs231n": cs231n, "johnson": johnson}


def test_every_published_preset_has_a_formula_in_this_file():
    assert sorted(FORMULAS) == sorted(PUBLISHED)


def test_preset_weights_equal_the_published_weights():
    # Gatys et al. 2016, §3: α/β = 10⁻³ and w_l = 1/5; the course: 10, 40 and λ = 0.2.
    for name, ratio in (("gatys", 1e-3), ("coursera", 10 / 40)):
        preset = PRESETS[name]
        assert preset.content_weight / preset.style_weight == pytest.approx(ratio)
        assert list(preset.style_layers.values()) == [0.2] * 5 and preset.tv_weight == 0


OWN_WEIGHTS = {"content_weight": 3.0, "style_weight": 0.5, "tv_weight": 1e-3}


@pytest.mark.parametrize("weights", [{}, OWN_WEIGHTS], ids=["the preset's weights", "own weights"])
@pytest.mark.parametrize("name", FORMULAS)
def test_objective_equals_the_published_formula(name, weights, vgg, images):
    objective = Objective(preset=name, **weights)
    with torch.no_grad():
        features = {key: vgg(image, objective.layers) for key, image in images.items()}
        objective.set_style([features["style"]])
        total = objective(images["picture"], features["picture"], features["photo"])["total"].item()
    f, p, s = (
        {layer: flat(value) for layer, value in features[key].items()}
        for key in ("picture", "photo", "style")
    )
    preset = PRESETS[name]
    own = weights or {term: getattr(preset, term) for term in OWN_WEIGHTS}
    expected = FORMULAS[name](f, p, s, images["picture"], *own.values(), preset.style_layers)
    assert total == pytest.approx(expected, rel=1e-5)


def test_style_of_another_size_is_normalized_by_its_own_size(vgg, images):
    # Gatys' formula has one M. Tiling a painting to four times its size does not change its style.
    objective = Objective(preset="gatys", content_weight=0, style_layers={"relu3_1": 1.0})
    with torch.no_grad():
        features = {key: vgg(image, ["relu3_1"]) for key, image in images.items()}
    styles = [features["style"], {"relu3_1": features["style"]["relu3_1"].repeat(1, 1, 2, 2)}]
    totals = []
    for style in styles:
        objective.set_style([style])
        totals.append(objective(images["picture"], features["picture"], {})["total"].item())
    assert totals[1] == pytest.approx(totals[0], rel=1e-5)


# Seed 003's gradients with respect to the activations, through the ReLU


def pre_activation(vgg: VGG, image: Tensor, before: str, layer: str) -> Tensor:
    """Compute the input of ``layer``'s ReLU from the features of the layer before it in its block."""
    with torch.no_grad():
        x = vgg(image, [before])[before]
        weight, bias = vgg.get_buffer(f"{layer}_weight"), vgg.get_buffer(f"{layer}_bias")
        return F.conv2d(x, weight, bias, padding=1).requires_grad_()


LAYERS = [("relu1_1", "relu1_2"), ("relu3_1", "relu3_2"), ("relu4_1", "relu4_2")]


@pytest.mark.parametrize("before, layer", LAYERS)
def test_content_gradient_is_f_minus_p_where_f_is_positive(vgg, images, before, layer):
    z = pre_activation(vgg, images["picture"], before, layer)
    objective = Objective(preset="gatys", content_weight=1, style_weight=0, content_layers={layer: 1.0})
    with torch.no_grad():
        photo = vgg(images["photo"], [layer])
    objective(images["picture"], {layer: F.relu(z)}, photo)["total"].backward()
    f, p = F.relu(z.detach()), photo[layer]
    expected = torch.where(f > 0, f - p, 0)
    assert 0.02 < (f > 0).float().mean() < 0.98
    torch.testing.assert_close(z.grad, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("before, layer", LAYERS)
def test_style_gradient_is_the_closed_form_where_f_is_positive(vgg, images, before, layer):
    z = pre_activation(vgg, images["picture"], before, layer)
    objective = Objective(preset="gatys", content_weight=0, style_weight=1, style_layers={layer: 1.0})
    with torch.no_grad():
        style = vgg(images["style"], [layer])
    objective.set_style([style])
    objective(images["picture"], {layer: F.relu(z)}, {})["total"].backward()
    f, s = flat(F.relu(z.detach())), flat(style[layer])
    n, m = f.shape
    gradient = (f.T @ (f @ f.T - s @ s.T)).T / (n**2 * m**2)
    expected = torch.where(f > 0, gradient, 0)
    torch.testing.assert_close(
        flat(z.grad), expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item(), check_dtype=False
    )
