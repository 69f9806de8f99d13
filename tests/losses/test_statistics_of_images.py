"""Tests of the style statistics on VGG features of images."""

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image, ImageOps

from faststyle.losses.statistics import STATISTICS, gram
from faststyle.losses.vgg import VGG
from faststyle.optimization.optimization import Optimization

OWN_LAYERS = {"relu1_2": 0.25, "relu2_2": 0.25, "relu3_3": 0.25, "relu4_3": 0.25}


def photo(name: str, size: int) -> torch.Tensor:
    """Load one of scikit-image's photos and crop it to (1,3,size,size)."""
    path = next((Path(skimage.__file__).parent / "data").glob(f"{name}.*"))
    image = ImageOps.fit(Image.open(path).convert("RGB"), (size, size))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].contiguous() / 255


@pytest.fixture(scope="module")
def vgg() -> VGG:
    return VGG("vgg19-caffe", layers=["relu4_3"])


def represent(name: str, vgg: VGG, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Compute the statistic of the images at each of its layers."""
    statistic = STATISTICS[name]
    with torch.autocast("cpu", torch.bfloat16):
        features = vgg(images, statistic.layers or OWN_LAYERS)
    return {k: statistic.represent(x if statistic.spatial else x.flatten(2)) for k, x in features.items()}


def style_of(name: str, vgg: VGG, style: torch.Tensor, photo: torch.Tensor) -> dict[str, torch.Tensor]:
    """Compute the target of the statistic at each layer."""
    swap = STATISTICS[name].swap
    with torch.no_grad():
        target = represent(name, vgg, style)
        if swap is None:
            return target
        return {layer: swap(x, target[layer]) for layer, x in represent(name, vgg, photo).items()}


def distance(name: str, vgg: VGG, images: torch.Tensor, target: dict[str, torch.Tensor]) -> torch.Tensor:
    layers = STATISTICS[name].layers or OWN_LAYERS
    ours = represent(name, vgg, images)
    distances = [
        weight * STATISTICS[name].distance(ours[k], target[k]).mean() for k, weight in layers.items()
    ]
    return torch.stack(distances).sum()


@pytest.mark.slow
@pytest.mark.parametrize("name", STATISTICS)
def test_gradient_is_finite_for_grey_images_and_at_the_target(name, vgg):
    grey, real = torch.full((1, 3, 64, 64), 0.5), photo("coffee", 64)
    for picture, style in ((grey, grey), (grey, real), (real, grey), (real, real)):
        target = style_of(name, vgg, style, picture)
        image = picture.clone().requires_grad_()
        total = distance(name, vgg, image, target)
        total.backward()
        assert total.isfinite()
        assert image.grad is not None
        assert image.grad.isfinite().all()


def test_gram_distance_equals_mmd_with_quadratic_kernel_on_vgg_features(vgg):
    # Li et al., "Demystifying neural style transfer", IJCAI 2017, equation 9
    with torch.no_grad():
        ours, theirs = (vgg(photo(name, 48), OWN_LAYERS) for name in ("astronaut", "coffee"))
    for layer in OWN_LAYERS:
        f, s = ours[layer], theirs[layer]
        x, y = f[0].flatten(1).double(), s[0].flatten(1).double()
        discrepancy = sum(
            sign * (a.T @ b).square().mean() for sign, a, b in ((1, x, x), (1, y, y), (-2, x, y))
        )
        matching = (gram(f) - gram(s)).double().square().sum()
        assert matching.item() == pytest.approx(discrepancy.item(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", STATISTICS)
def test_optimizing_a_statistic_reduces_its_distance(name):
    content, painting = photo("astronaut", 128)[0], photo("coffee", 128)[0]
    options = {"statistic": name, "content_weight": 0, "tv_weight": 0, "device": "cpu", "scales": 1}
    if STATISTICS[name].layers is None:
        options["style_layers"] = OWN_LAYERS
    # A photo does not contain all patches of another one, so their distance stays far from 0.
    bound = 0.5 if STATISTICS[name].spatial else 0.2
    distances = []
    for step in Optimization(content, painting, steps=150, **options):
        distances.append(step.terms["style"])
        if distances[-1] <= bound * distances[0]:
            break
    assert distances[-1] <= bound * distances[0]
