"""The figure of what each layer of VGG keeps."""

import numpy as np
import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.losses.presets import FIVE
from faststyle.optimization import reconstruct as module
from faststyle.optimization.optimization import Optimization
from faststyle.optimization.reconstruct import CAPTION_HEIGHT, GAP, draw_columns, reconstruct
from tests.support.images import draw_image, sample

PHOTO, PAINTING = draw_image(48, 32, seed=1), draw_image(40, 48, seed=9)
REAL = {"device": "cpu", "precision": "fp32"}


@pytest.fixture
def quick(random_vgg) -> dict:
    """Options of a run with few steps and random VGG weights."""
    return {"size": 32, "steps": 2, "vgg": random_vgg, **REAL}


@pytest.fixture
def runs(monkeypatch) -> list[dict]:
    """The options of every optimization, in order."""
    given = []

    class Recorded(Optimization):
        def __init__(self, photo, painting, **options):
            given.append(options)
            super().__init__(photo, painting, **options)

    monkeypatch.setattr(module, "Optimization", Recorded)
    return given


def test_content_is_of_one_layer_and_style_of_all_layers_up_to_it(quick, runs):
    reconstruct(PHOTO, PAINTING, ("relu1_1", "relu2_1", "relu3_1"), **quick)
    content, style = runs[::2], runs[1::2]
    assert [run["content_layers"] for run in content] == [{"relu1_1": 1}, {"relu2_1": 1}, {"relu3_1": 1}]
    assert [list(run["style_layers"]) for run in style] == [
        ["relu1_1"],
        ["relu1_1", "relu2_1"],
        ["relu1_1", "relu2_1", "relu3_1"],
    ]
    assert all(sum(run["style_layers"].values()) == pytest.approx(1) for run in style)
    assert all(run["style_weight"] == run["tv_weight"] == 0 for run in content)
    assert all(run["content_weight"] == run["tv_weight"] == 0 for run in style)
    assert all(run["init"] == "noise" for run in runs)


def test_options_reach_every_optimization(quick, runs):
    reconstruct(PHOTO, PAINTING, ("relu1_1",), pooling="avg", seed=3, **quick)
    assert len(runs) == 2
    for run in runs:
        assert run["pooling"] == "avg" and run["seed"] == 3
        assert run["steps"] == 2 and run["size"] == run["style_size"] == 32


def test_figure_has_a_column_for_the_originals_and_one_for_each_layer(quick):
    layers = ("relu1_1", "relu2_1")
    figure = reconstruct(PHOTO, PAINTING, layers, **quick)
    height = round(32 * 32 / 48)
    assert figure.mode == "RGB"
    assert figure.size == (GAP + 3 * (32 + GAP), CAPTION_HEIGHT + 3 * GAP + 2 * height)
    above = figure.crop((GAP, CAPTION_HEIGHT + GAP, GAP + 32, CAPTION_HEIGHT + GAP + height))
    expected = PHOTO.resize((32, height), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(above, int) - np.asarray(expected, int)).max() == 0


def test_default_layers_are_those_of_gatys(quick, runs):
    reconstruct(PHOTO, PAINTING, **{**quick, "steps": 1})
    assert [next(iter(run["content_layers"])) for run in runs[::2]] == list(FIVE)


def test_preset_and_statistic_can_be_chosen(quick):
    for options in ({"preset": "gatys"}, {"statistic": "covariance"}):
        reconstruct(PHOTO, PAINTING, ("relu1_1",), **quick, **options)


def test_images_of_other_modes_are_accepted(quick):
    photo = PHOTO.copy()
    photo.putalpha(128)
    assert reconstruct(photo, PAINTING.convert("L"), ("relu1_1",), **quick).mode == "RGB"


def test_unknown_layer_is_named(quick):
    with pytest.raises(InputError, match="relu9_9"):
        reconstruct(PHOTO, PAINTING, ("relu9_9",), **quick)


def test_captions_and_images_do_not_overlap():
    wide, small = Image.new("RGB", (64, 16), "red"), Image.new("RGB", (16, 12), "blue")
    pixels = np.asarray(draw_columns([("one", wide, small), ("two", wide, small)]))
    red, blue = (pixels == (255, 0, 0)).all(-1), (pixels == (0, 0, 255)).all(-1)
    assert red.sum() == 2 * 64 * 16 and blue.sum() == 2 * 16 * 12
    assert not (red | blue)[: CAPTION_HEIGHT + GAP].any()


def test_shallow_layer_keeps_more_of_the_photo_than_a_deep_one():
    photo, painting = sample("astronaut", 48), sample("coffee", 48)
    options = {"size": 48, "steps": 25, "init": "noise", "style_weight": 0, "tv_weight": 0, **REAL}
    correlations = []
    for layer in ("relu1_1", "relu4_1"):
        run = Optimization(photo, painting, content_layers={layer: 1}, **options)
        for _ in run:
            pass
        pair = np.stack([np.asarray(run.result(), float).ravel(), np.asarray(photo, float).ravel()])
        correlations.append(np.corrcoef(pair)[0, 1])
    assert correlations[0] > 0.95 > correlations[1]
