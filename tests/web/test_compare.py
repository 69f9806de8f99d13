"""Tests of the comparison of the fast and the slow method."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.support.images import draw_image, sample
from tests.support.networks import grams_of

pytest.importorskip("gradio")

from faststyle.errors import InputError
from faststyle.image.convert import scale_to
from faststyle.models import pretrained
from faststyle.models.card import StyleImage
from faststyle.models.checkpoint import save_model
from faststyle.web import compare, compare_tab, styles


@pytest.fixture
def painting(tmp_path) -> str:
    draw_image(64, 64).save(tmp_path / "painting.png")
    return str(tmp_path / "painting.png")


@pytest.fixture
def own_style(tmp_path, network, style, painting) -> styles.Style:
    """Return an untrained style of the painting."""
    card = replace(pretrained.read_cards()[styles.DEFAULT_STYLE], style=(StyleImage("painting"),))
    grams = grams_of(scale_to(Image.open(painting), card.training.style_size), "vgg19-caffe")
    save_model(tmp_path / "mine.safetensors", network, card, grams)
    return styles.Style("Mine", tmp_path / "mine.safetensors", Path(painting), None)


@pytest.mark.slow
def test_objective_of_the_slow_method_decreases(photo, painting, own_style):
    stages = list(compare.compare_methods(photo, painting, own_style, 48, 3))
    assert [slow.step for _, slow in stages] == [0, 1, 2, 3]
    objectives = [slow.objective for _, slow in stages]
    assert objectives == sorted(objectives, reverse=True) and objectives[-1] < objectives[0]
    fast, slow = stages[-1]
    assert fast.image.size == slow.image.size == (48, 32)
    assert fast.seconds > 0 and fast.objective > 0


def test_painting_of_another_style_is_refused_before_the_comparison(photo, tmp_path, style, own_style):
    sample("astronaut", 200).save(tmp_path / "other.jpg")
    for one in (style, own_style):
        with pytest.raises(InputError, match=r"other\.jpg is not the painting of .* choose its style"):
            next(compare.compare_methods(photo, str(tmp_path / "other.jpg"), one, 48, 3))
    *shown, (fast, slow, line) = compare_tab.run(
        photo, str(tmp_path / "other.jpg"), styles.DEFAULT_STYLE, 48, 3, {}
    )
    assert fast == slow == compare_tab.gr.skip() and 'class="wrong"' in line
    assert all("Step" not in line for *_, line in shown)


def test_comparison_needs_the_painting(photo, style):
    with pytest.raises(InputError, match="Add the painting of"):
        next(compare.compare_methods(photo, None, style._replace(painting=None), 48, 3))
