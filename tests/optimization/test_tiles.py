"""The objective evaluated in tiles, compared with whole images."""

import pytest
import torch
import torch.nn.functional as F

from faststyle.losses.objective import Objective
from faststyle.losses.vgg import VGG
from faststyle.optimization import tiles
from faststyle.optimization.descent import descend, has_whole_grams
from faststyle.optimization.tiles import TiledEvaluation


@pytest.fixture
def parts(random_vgg, monkeypatch):
    """A photo, an image of it, VGG and an objective, with tiles of 96 pixels."""
    monkeypatch.setattr(tiles, "TILE_SIZE", 96)
    rng = torch.Generator().manual_seed(0)
    objective = Objective()
    vgg = VGG(random_vgg, layers=objective.layers)
    painting = torch.rand(1, 3, 128, 160, generator=rng)
    photo = F.interpolate(torch.rand(1, 3, 30, 40, generator=rng), (301, 411), mode="bicubic").clamp(0, 1)
    image = (photo + 0.1 * torch.randn(photo.shape, generator=rng)).clamp(0, 1)
    objective.set_style([vgg(painting, objective.existing(128, 160))])
    return photo, image, vgg, objective


def test_terms_and_gradient_are_those_of_the_whole_image(parts):
    photo, image, vgg, objective = parts
    terms, gradient = TiledEvaluation(photo, vgg, objective)(image)
    whole = image.clone().requires_grad_()
    features = vgg(whole, objective.layers_at(301, 411))
    expected = objective(whole, features, vgg(photo, objective.content_layers))
    expected["total"].backward()
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-4), name
    assert (gradient - whole.grad).norm() < 1e-4 * whole.grad.norm()


def test_descent_in_tiles_has_the_totals_of_the_whole_image(parts, monkeypatch):
    photo, image, vgg, objective = parts
    whole = [step.terms["total"] for step in descend(image, photo, vgg, objective, 3)]
    monkeypatch.setattr("faststyle.optimization.descent.MAX_WHOLE_PIXELS", 1000)
    monkeypatch.setattr(VGG, "forward", refuse_large_images(VGG.forward))
    tiled = [step.terms["total"] for step in descend(image, photo, vgg, objective, 3)]
    assert tiled == pytest.approx(whole, rel=1e-3)


def refuse_large_images(forward):
    """Wrap VGG's ``forward`` to fail on images larger than a tile with its halo."""

    def checked(self, images, layers):
        assert max(images.shape[-2:]) <= 96 + 2 * tiles.HALO
        return forward(self, images, layers)

    return checked


def test_only_gram_matrices_without_regions_can_be_summed_over_tiles(parts):
    objective = parts[3]
    assert has_whole_grams(objective)
    objective.regions = [torch.ones(1, 1, 8, 8)]
    assert not has_whole_grams(objective)
    assert not has_whole_grams(Objective(statistic="moments"))
    assert not has_whole_grams(Objective(preset="gatys"))
