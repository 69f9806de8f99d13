"""Refining a model's image."""

import numpy as np
import pytest
import torch
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.convert import to_tensor
from faststyle.models.find import find_grams
from faststyle.optimization.optimization import Optimization
from faststyle.optimization.refine import refine, refinement
from tests.support.images import draw_image, sample
from tests.support.networks import grams_of

PHOTO, PAINTING = draw_image(96, 72, seed=1), draw_image(80, 64, seed=9)


@pytest.fixture
def quick(random_vgg) -> dict:
    return {"vgg": random_vgg, "device": "cpu", "precision": "fp32"}


def test_refinement_starts_from_the_image_and_lowers_the_objective(quick):
    image = draw_image(96, 72, seed=3)
    run = refinement(image, PHOTO, PAINTING, 8, **quick)
    steps = list(run)
    assert torch.allclose(steps[0].picture, to_tensor(image)[None], atol=1e-6)
    assert len(steps) == 9
    assert run.best < steps[0].terms["total"]
    assert run.result().size == image.size


def test_gram_matrices_give_the_result_of_the_painting(quick, monkeypatch):
    monkeypatch.setattr("faststyle.losses.painting.STYLE_SIZE", 80)
    by_painting = refine(PHOTO, PHOTO, PAINTING, 3, **quick)
    by_grams = refine(PHOTO, PHOTO, grams_of(PAINTING, quick["vgg"]), 3, **quick)
    assert np.abs(np.asarray(by_painting, float) - np.asarray(by_grams, float)).max() <= 1


def test_larger_images_are_refined_coarse_to_fine(quick, monkeypatch):
    monkeypatch.setattr("faststyle.optimization.refine.COARSE_SIZE", 64)
    image = draw_image(256, 192, seed=3)
    widths = [step.picture.shape[-1] for step in refinement(image, PHOTO, PAINTING, 10, **quick)]
    assert [widths.count(width) - 1 for width in (64, 128, 256)] == [10, 6, 4]


def test_larger_image_keeps_its_details(quick, monkeypatch):
    monkeypatch.setattr("faststyle.optimization.refine.COARSE_SIZE", 64)
    image = draw_image(128, 96, seed=3)
    run = refinement(image, PHOTO, PAINTING, 1, style_weight=0, content_weight=1e-6, tv_weight=0, **quick)
    steps = list(run)
    first = next(step for step in steps if step.picture.shape[-1] == 128)
    moved = (steps[0].picture - steps[1].picture).abs().max()
    assert (first.picture - to_tensor(image)[None]).abs().mean() < moved


def test_refining_changes_the_image_at_any_scale_of_the_gradient(quick):
    for weight in (1e-6, 1.0, 1e6):
        result = refine(
            PHOTO, PHOTO, PAINTING, 3, style_weight=weight, content_weight=0, tv_weight=0, **quick
        )
        assert np.abs(np.asarray(result, float) - np.asarray(PHOTO, float)).mean() > 0.5


def test_painting_of_one_colour_makes_no_large_loss(quick):
    run = refinement(PHOTO, PHOTO, Image.new("RGB", (64, 64), (3, 3, 3)), 2, **quick)
    assert all(step.terms["style"] < 100 for step in run)


@pytest.mark.slow
def test_built_in_styles_carry_their_painting():
    photo = sample("chelsea", 128)
    run = refinement(photo, photo, find_grams("starry_night"), 10, device="cpu")
    totals = [step.terms["total"] for step in run]
    assert run.best == min(totals) < 0.75 * totals[0]


def test_evaluations_below_1_are_refused(quick):
    for number in (0, -1, 1.5, "3", None):
        with pytest.raises(InputError, match="at least 1"):
            refinement(PHOTO, PHOTO, PAINTING, number, **quick)


def test_arguments_that_are_no_images_are_refused(quick):
    for image, photo in ((np.zeros((8, 8, 3)), PHOTO), (PHOTO, "photo.jpg")):
        with pytest.raises(InputError, match="expected an opened PIL image"):
            refine(image, photo, PAINTING, 1, **quick)
    with pytest.raises(InputError, match="expected a model's name or file"):
        refine(PHOTO, PHOTO, None, 1, **quick)


def test_image_too_small_for_vgg_is_refused(quick):
    small = draw_image(16, 4, seed=1)
    with pytest.raises(InputError, match="16x4 is too small"):
        refine(small, small, PAINTING, 2, **quick)


def test_narrow_image_has_fewer_sizes(quick):
    run = Optimization(draw_image(512, 40, seed=1), PAINTING, size=512, steps=2, **quick)
    assert run.sizes == [256, 512]


def test_gram_matrices_of_another_objective_are_refused(quick):
    grams = grams_of(PAINTING, quick["vgg"])
    other = {layer: torch.zeros(1, 3, 3) for layer in grams}
    with pytest.raises(InputError, match="another VGG"):
        refine(PHOTO, PHOTO, other, 1, **quick)
    with pytest.raises(InputError, match="share none of the layers"):
        refine(PHOTO, PHOTO, {"relu1_2": grams["relu1_1"]}, 1, **quick)
    with pytest.raises(InputError, match="statistic gram"):
        refine(PHOTO, PHOTO, grams, 1, statistic="moments", **quick)


def test_result_after_an_end_at_a_coarse_size_keeps_the_details(quick, monkeypatch):
    monkeypatch.setattr("faststyle.optimization.refine.COARSE_SIZE", 64)
    image = draw_image(256, 192, seed=3)
    run = refinement(image, PHOTO, PAINTING, 3, **quick)
    next(iter(run))
    assert np.abs(np.asarray(run.result(), float) - np.asarray(image, float)).mean() < 1
