"""The slow baseline's way down: what it lowers, how often, and from where."""

import math
from itertools import islice

import pytest
import torch

from faststyle.errors import InputError
from faststyle.image.convert import to_tensor
from faststyle.inference.stylizer import Stylizer
from faststyle.losses.vgg import VGG
from faststyle.optimization import descent
from faststyle.optimization.optimization import Optimization, Step, descend, optimize
from tests.support.images import chroma, draw_picture, sample

REAL = {"device": "cpu", "precision": "fp32"}


@pytest.fixture
def quick(random_vgg) -> dict:
    """Options of a run where only the plumbing matters."""
    return {"size": 48, "steps": 3, "vgg": random_vgg, **REAL}


def photo(width: int = 64, height: int = 48) -> torch.Tensor:
    return to_tensor(draw_picture(width, height, seed=1))


def style() -> torch.Tensor:
    return to_tensor(draw_picture(56, 40, seed=9))


def totals(steps: list[Step]) -> list[float]:
    return [step.terms["total"] for step in steps]


@pytest.fixture(scope="module")
def real() -> Optimization:
    """Twenty-five steps of the default optimizer on a real photo, gone through."""
    run = Optimization(sample("astronaut", 96), sample("coffee", 96), size=64, steps=25, **REAL)
    run.way = list(run)
    return run


# With the real VGG


@pytest.mark.slow
def test_lbfgs_lowers_the_objective(real):
    way = totals(real.way)
    assert way[10] < 0.6 * way[0]
    assert min(way) < 0.5 * way[0]
    assert real.way[-1].terms["style"] < 0.3 * real.way[0].terms["style"]


@pytest.mark.slow
def test_adam_lowers_the_objective():
    run = Optimization(
        sample("astronaut", 96), sample("coffee", 96), size=64, steps=15, optimizer="adam", **REAL
    )
    way = totals(list(run))
    assert way[-1] < 0.7 * way[0]


def test_there_is_one_evaluation_more_than_steps_and_each_has_its_number(real):
    assert [step.number for step in real.way] == list(range(26))


def test_step_0_is_the_photo_exactly(real):
    assert torch.equal(real.way[0].picture, real.photo)
    assert real.way[0].terms["content"] == 0


def test_every_picture_is_one_and_has_the_terms_that_it_is_given(real):
    # Measured anew, with a VGG of its own.
    vgg = VGG(layers=real.objective.layers)
    with torch.no_grad():
        content = vgg(real.photo, real.objective.content_layers)
        for step in real.way[::5]:
            assert step.picture.min() >= 0 and step.picture.max() <= 1
            terms = real.objective(step.picture, vgg(step.picture, real.objective.layers), content)
            assert step.terms == {name: pytest.approx(v.item(), rel=1e-4) for name, v in terms.items()}


def test_result_is_the_picture_with_the_lowest_objective(real):
    best = min(real.way, key=lambda step: step.terms["total"])
    assert torch.equal(real.picture, best.picture)
    assert (to_tensor(real.result()) - best.picture[0]).abs().max() <= 0.51 / 255


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"preset": "gatys"}, {"preset": "johnson"}, {"statistic": "moments"}])
def test_other_objectives_fall_too(options):
    run = Optimization(sample("astronaut", 64), sample("coffee", 64), size=48, steps=6, **options, **REAL)
    way = totals(list(run))
    assert min(way) < 0.9 * way[0]


def test_style_swap_serves_here():
    options = {"statistic": "style-swap", "style_layers": {"relu2_1": 1.0}, **REAL}
    way = totals(
        list(Optimization(sample("astronaut", 48), sample("coffee", 48), size=48, steps=5, **options))
    )
    assert min(way) < 0.9 * way[0]


def test_preserved_colours_are_the_photos():
    muted = 0.5 + 0.3 * (to_tensor(sample("astronaut", 48)) - 0.5)
    result = optimize(muted, to_tensor(sample("coffee", 48)), steps=5, preserve_color=True, **REAL)
    inside = (result.amin(0) > 0.01) & (result.amax(0) < 0.99)
    assert inside.float().mean() > 0.8
    assert (chroma(result) - chroma(muted)).abs()[:, inside].max() < 1e-5
    assert (result - muted).abs().mean() > 0.003


# From where


@pytest.mark.parametrize("init", ["content", "noise", "content+noise"])
def test_each_start_is_what_its_name_says(quick, init):
    photograph = photo()
    first = next(iter(Optimization(photograph, style(), init=init, **quick))).picture[0]
    noise = next(iter(Optimization(photograph, style(), init="noise", **quick))).picture[0]
    shares = {"content": (1, 0), "noise": (0, 1), "content+noise": (0.6, 0.4)}[init]
    assert torch.allclose(first, shares[0] * photograph + shares[1] * noise, atol=1e-6)
    assert noise.min() >= 0 and noise.max() <= 1 and 0.25 < noise.std() < 0.33


def test_model_gives_the_start(quick, model):
    run = Optimization(
        photo(),
        style(),
        init_model=Stylizer.load(model, device="cpu", precision="fp32"),
        init="noise",
        **quick,
    )
    expected = Stylizer.load(model, "cpu", "fp32")(photo())
    assert torch.allclose(next(iter(run)).picture[0], expected, atol=1e-6)


def test_seed_changes_the_noise_and_the_same_seed_gives_the_same_picture(quick):
    results = [optimize(photo(), style(), init="noise", seed=seed, **quick) for seed in (1, 1, 2)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


# The steps


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_vgg_runs_no_oftener_than_there_are_evaluations(quick, monkeypatch, optimizer, steps):
    run = Optimization(photo(), style(), optimizer=optimizer, **{**quick, "steps": steps})
    sizes, forward = [], run.vgg.forward
    monkeypatch.setattr(run.vgg, "forward", lambda *given: sizes.append(1) or forward(*given))
    way = list(run)
    assert len(way) == steps + 1
    assert len(sizes) == steps + 1 + 2  # and once each for the style and the content


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_learning_rate_0_moves_nothing_and_a_larger_one_more(quick, optimizer):
    def moved(rate):
        options = {**quick, "steps": 1, "optimizer": optimizer, "learning_rate": rate}
        return (list(Optimization(photo(), style(), **options))[-1].picture[0] - photo()).abs().mean().item()

    assert moved(0.0) == 0
    assert 0 < moved(0.001) < moved(0.01)


def test_objective_that_is_not_a_number_is_told(quick):
    with pytest.raises(InputError, match="not a number at step 0"):
        optimize(photo(), style(), style_weight=1e300, **quick)


def test_image_that_becomes_nan_is_reported(quick, monkeypatch):
    adam = descent.OPTIMIZERS["adam"]
    monkeypatch.setitem(descent.OPTIMIZERS, "adam", lambda pixels, rate: adam(pixels, math.inf))
    with pytest.raises(InputError, match="not a number at step 1"):
        optimize(photo(), style(), optimizer="adam", **quick)


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_result_after_an_early_end_is_the_best_picture_so_far(quick, stop):
    options = {**quick, "steps": 8, "optimizer": "adam", "learning_rate": 0.3}  # which goes up and down
    run = Optimization(photo(), style(), **options)
    way = list(islice(run, stop))
    assert torch.equal(run.result(), min(way, key=lambda step: step.terms["total"]).picture[0])


def test_result_before_the_first_step_is_the_start(quick):
    run = Optimization(photo(), style(), **quick)
    assert torch.equal(run.result(), photo())


def test_average_is_the_running_mean_of_the_pictures(quick):
    options = {**quick, "steps": 6, "optimizer": "adam", "learning_rate": 0.1}
    plain = list(Optimization(photo(), style(), **options))
    run = Optimization(photo(), style(), average=0.5, **options)
    way = list(run)
    assert totals(way) == totals(plain)
    mean = way[0].picture
    for step in way[1:]:
        mean = 0.5 * mean + 0.5 * step.picture
    assert torch.allclose(run.result(), mean[0], atol=1e-6)


def test_long_average_of_a_short_run_is_the_plain_mean(quick):
    # With no bias to the start: 0.99 would keep nine tenths of it after ten steps.
    run = Optimization(photo(), style(), average=0.99, optimizer="adam", **quick)
    way = list(run)
    mean = torch.stack([step.picture[0] for step in way]).mean(0)
    assert torch.allclose(run.result(), mean, atol=1e-6)


# Several sizes


def test_sizes_double_and_the_coarse_ones_have_more_steps(quick):
    run = Optimization(photo(96, 64), style(), **{**quick, "steps": 10, "scales": 3})
    way = list(run)
    widths = [step.picture.shape[-1] for step in way]
    assert sorted(set(widths)) == [24, 48, 96]
    assert widths == sorted(widths)
    # One evaluation more than updates at each, and the numbers count the updates.
    assert [widths.count(width) for width in (24, 48, 96)] == [6, 4, 3]
    assert [step.number for step in way] == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10]
    assert run.result().shape == (3, 64, 96)


def test_each_scale_goes_on_from_the_one_before(quick):
    run = Optimization(photo(96, 64), style(), init="noise", **{**quick, "steps": 6, "scales": 2})
    way = list(run)
    before = min((s for s in way if s.picture.shape[-1] == 48), key=lambda step: step.terms["total"])
    first = next(step for step in way if step.picture.shape[-1] == 96)
    shrunk = torch.nn.functional.interpolate(
        first.picture, before.picture.shape[-2:], mode="bilinear", antialias=True
    )
    # White noise would be no more alike than by chance.
    assert torch.corrcoef(torch.stack([shrunk.flatten(), before.picture.flatten()]))[0, 1] > 0.9


def test_result_after_an_end_at_a_coarse_scale_has_the_full_size(quick):
    run = Optimization(photo(96, 64), style(), **{**quick, "steps": 6, "scales": 2})
    next(iter(run))
    assert run.result().shape == (3, 64, 96)


def test_more_scales_than_steps_still_end_at_the_full_size(quick):
    run = Optimization(photo(96, 64), style(), **{**quick, "steps": 2, "scales": 3})
    assert [step.picture.shape[-1] for step in run][-1] == 96


def test_descend_alone_takes_tensors_and_leaves_them(quick):
    run = Optimization(photo(), style(), **quick)
    run.set_style(run.photo, 1.0)
    start = torch.rand(run.photo.shape, generator=torch.Generator().manual_seed(0))
    before = start.clone()
    way = list(descend(start, run.photo, run.vgg, run.objective, 4))
    assert len(way) == 5 and torch.equal(start, before)
    assert min(totals(way)) < way[0].terms["total"]


def test_statistic_that_draws_gives_the_same_picture_again_and_leaves_the_global_generator_alone(quick):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    options = {**quick, "statistic": "sliced-wasserstein", "init": "noise"}
    first, second = (optimize(photo(), style(), **options) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(1), expected)
