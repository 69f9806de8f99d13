"""The steps of the per-image baseline: descent, starts and sizes."""

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
from tests.support.images import chroma, draw_image, sample

REAL = {"device": "cpu", "precision": "fp32"}


@pytest.fixture
def quick(random_vgg) -> dict:
    """Options of a run with few steps and random VGG weights."""
    return {"size": 48, "steps": 3, "vgg": random_vgg, **REAL}


def photo(width: int = 64, height: int = 48) -> torch.Tensor:
    return to_tensor(draw_image(width, height, seed=1))


def style() -> torch.Tensor:
    return to_tensor(draw_image(56, 40, seed=9))


def totals(steps: list[Step]) -> list[float]:
    return [step.terms["total"] for step in steps]


@pytest.fixture(scope="module")
def finished() -> tuple[Optimization, list[Step]]:
    """A finished optimization of a real photo, with 25 steps of the default optimizer, and its steps."""
    run = Optimization(sample("astronaut", 96), sample("coffee", 96), size=64, steps=25, **REAL)
    return run, list(run)


# With the real VGG


@pytest.mark.slow
def test_lbfgs_lowers_the_objective(finished):
    steps = finished[1]
    found = totals(steps)
    assert found[10] < 0.6 * found[0]
    assert min(found) < 0.5 * found[0]
    assert steps[-1].terms["style"] < 0.3 * steps[0].terms["style"]


@pytest.mark.slow
def test_adam_lowers_the_objective():
    run = Optimization(
        sample("astronaut", 96), sample("coffee", 96), size=64, steps=15, optimizer="adam", **REAL
    )
    found = totals(list(run))
    assert found[-1] < 0.7 * found[0]


def test_there_is_one_evaluation_more_than_updates(finished):
    assert [step.number for step in finished[1]] == list(range(26))


def test_step_0_is_the_photo_exactly(finished):
    run, steps = finished
    assert torch.equal(steps[0].picture, run.photo)
    assert steps[0].terms["content"] == 0


def test_terms_of_a_step_are_those_of_its_image(finished):
    run, steps = finished
    vgg = VGG(layers=run.objective.layers)
    with torch.no_grad():
        content = vgg(run.photo, run.objective.content_layers)
        for step in steps[::5]:
            assert step.picture.min() >= 0 and step.picture.max() <= 1
            terms = run.objective(step.picture, vgg(step.picture, run.objective.layers), content)
            assert step.terms == {name: pytest.approx(v.item(), rel=1e-4) for name, v in terms.items()}


def test_result_is_the_image_with_the_lowest_objective(finished):
    run, steps = finished
    best = min(steps, key=lambda step: step.terms["total"])
    assert torch.equal(run.image, best.picture)
    assert (to_tensor(run.result()) - best.picture[0]).abs().max() <= 0.51 / 255


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"preset": "gatys"}, {"preset": "johnson"}, {"statistic": "moments"}])
def test_other_objectives_are_lowered(options):
    run = Optimization(sample("astronaut", 64), sample("coffee", 64), size=48, steps=6, **options, **REAL)
    found = totals(list(run))
    assert min(found) < 0.9 * found[0]


def test_style_swap_is_lowered():
    options = {"statistic": "style-swap", "style_layers": {"relu2_1": 1.0}, **REAL}
    run = Optimization(sample("astronaut", 48), sample("coffee", 48), size=48, steps=5, **options)
    found = totals(list(run))
    assert min(found) < 0.9 * found[0]


def test_preserve_color_keeps_the_chroma_of_the_photo():
    muted = 0.5 + 0.3 * (to_tensor(sample("astronaut", 48)) - 0.5)
    result = optimize(muted, to_tensor(sample("coffee", 48)), steps=5, preserve_color=True, **REAL)
    inside = (result.amin(0) > 0.01) & (result.amax(0) < 0.99)
    assert inside.float().mean() > 0.8
    assert (chroma(result) - chroma(muted)).abs()[:, inside].max() < 1e-5
    assert (result - muted).abs().mean() > 0.003


# The start


@pytest.mark.parametrize("init", ["content", "noise", "content+noise"])
def test_init_mixes_photo_and_noise(quick, init):
    photograph = photo()
    first = next(iter(Optimization(photograph, style(), init=init, **quick))).picture[0]
    noise = next(iter(Optimization(photograph, style(), init="noise", **quick))).picture[0]
    shares = {"content": (1, 0), "noise": (0, 1), "content+noise": (0.6, 0.4)}[init]
    assert torch.allclose(first, shares[0] * photograph + shares[1] * noise, atol=1e-6)
    assert noise.min() >= 0 and noise.max() <= 1 and 0.25 < noise.std() < 0.33


def test_init_model_makes_the_start(quick, model):
    run = Optimization(
        photo(),
        style(),
        init_model=Stylizer.load(model, device="cpu", precision="fp32"),
        init="noise",
        **quick,
    )
    expected = Stylizer.load(model, "cpu", "fp32")(photo())
    assert torch.allclose(next(iter(run)).picture[0], expected, atol=1e-6)


def test_result_from_noise_depends_on_the_seed_alone(quick):
    results = [optimize(photo(), style(), init="noise", seed=seed, **quick) for seed in (1, 1, 2)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


# The steps


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_vgg_runs_once_for_each_evaluation(quick, monkeypatch, optimizer, steps):
    run = Optimization(photo(), style(), optimizer=optimizer, **{**quick, "steps": steps})
    calls, forward = [], run.vgg.forward
    monkeypatch.setattr(run.vgg, "forward", lambda *given: calls.append(1) or forward(*given))
    assert len(list(run)) == steps + 1
    assert len(calls) == steps + 1 + 2  # once more for the style, and once for the content


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_larger_learning_rate_changes_more(quick, optimizer):
    def change(rate):
        options = {**quick, "steps": 1, "optimizer": optimizer, "learning_rate": rate}
        return (list(Optimization(photo(), style(), **options))[-1].picture[0] - photo()).abs().mean().item()

    assert change(0.0) == 0
    assert 0 < change(0.001) < change(0.01)


def test_infinite_objective_raises(quick):
    with pytest.raises(InputError, match="not a number at step 0"):
        optimize(photo(), style(), style_weight=1e300, **quick)


def test_image_that_becomes_nan_raises(quick, monkeypatch):
    adam = descent.OPTIMIZERS["adam"]
    monkeypatch.setitem(descent.OPTIMIZERS, "adam", lambda pixels, rate: adam(pixels, math.inf))
    with pytest.raises(InputError, match="not a number at step 1"):
        optimize(photo(), style(), optimizer="adam", **quick)


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_result_after_an_early_end_is_the_best_image_so_far(quick, stop):
    options = {
        **quick,
        "steps": 8,
        "optimizer": "adam",
        "learning_rate": 0.3,
    }  # the objective is not monotonic
    run = Optimization(photo(), style(), **options)
    steps = list(islice(run, stop))
    assert torch.equal(run.result(), min(steps, key=lambda step: step.terms["total"]).picture[0])


def test_result_before_the_first_step_is_the_start(quick):
    run = Optimization(photo(), style(), **quick)
    assert torch.equal(run.result(), photo())


def test_average_is_the_running_mean_of_the_images(quick):
    options = {**quick, "steps": 6, "optimizer": "adam", "learning_rate": 0.1}
    plain = list(Optimization(photo(), style(), **options))
    run = Optimization(photo(), style(), average=0.5, **options)
    steps = list(run)
    assert totals(steps) == totals(plain)
    mean = steps[0].picture
    for step in steps[1:]:
        mean = 0.5 * mean + 0.5 * step.picture
    assert torch.allclose(run.result(), mean[0], atol=1e-6)


def test_long_average_of_a_short_run_is_the_plain_mean(quick):
    # A decay of 0.99 from the first step on would keep nine tenths of the start after ten steps.
    run = Optimization(photo(), style(), average=0.99, optimizer="adam", **quick)
    mean = torch.stack([step.picture[0] for step in run]).mean(0)
    assert torch.allclose(run.result(), mean, atol=1e-6)


# Several sizes


def test_sizes_double_and_the_coarse_ones_have_more_steps(quick):
    run = Optimization(photo(96, 64), style(), **{**quick, "steps": 10, "scales": 3})
    steps = list(run)
    widths = [step.picture.shape[-1] for step in steps]
    assert sorted(set(widths)) == [24, 48, 96]
    assert widths == sorted(widths)
    # Each size has one evaluation more than updates, and the numbers count the updates.
    assert [widths.count(width) for width in (24, 48, 96)] == [6, 4, 3]
    assert [step.number for step in steps] == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10]
    assert run.result().shape == (3, 64, 96)


def test_each_size_starts_from_the_result_of_the_last(quick):
    run = Optimization(photo(96, 64), style(), init="noise", **{**quick, "steps": 6, "scales": 2})
    steps = list(run)
    before = min((s for s in steps if s.picture.shape[-1] == 48), key=lambda step: step.terms["total"])
    first = next(step for step in steps if step.picture.shape[-1] == 96)
    shrunk = torch.nn.functional.interpolate(
        first.picture, before.picture.shape[-2:], mode="bilinear", antialias=True
    )
    # White noise would not be correlated.
    assert torch.corrcoef(torch.stack([shrunk.flatten(), before.picture.flatten()]))[0, 1] > 0.9


def test_result_after_an_end_at_a_coarse_size_has_the_full_size(quick):
    run = Optimization(photo(96, 64), style(), **{**quick, "steps": 6, "scales": 2})
    next(iter(run))
    assert run.result().shape == (3, 64, 96)


def test_more_scales_than_steps_still_end_at_the_full_size(quick):
    run = Optimization(photo(96, 64), style(), **{**quick, "steps": 2, "scales": 3})
    assert [step.picture.shape[-1] for step in run][-1] == 96


def test_descend_does_not_change_its_start(quick):
    run = Optimization(photo(), style(), **quick)
    run.set_style(run.photo, 1.0)
    start = torch.rand(run.photo.shape, generator=torch.Generator().manual_seed(0))
    before = start.clone()
    steps = list(descend(start, run.photo, run.vgg, run.objective, 4))
    assert len(steps) == 5 and torch.equal(start, before)
    assert min(totals(steps)) < steps[0].terms["total"]


def test_random_statistic_is_reproducible_and_leaves_the_global_generator_alone(quick):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    options = {**quick, "statistic": "sliced-wasserstein", "init": "noise"}
    first, second = (optimize(photo(), style(), **options) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(1), expected)
