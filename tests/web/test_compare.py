"""Tests of the comparison of the fast and the slow method."""

import pytest

from tests.support.images import draw_image

pytest.importorskip("gradio")

from faststyle.errors import InputError
from faststyle.web import compare


@pytest.mark.slow
def test_objective_of_the_slow_method_decreases(photo, tmp_path, style):
    draw_image(64, 64).save(tmp_path / "painting.png")
    stages = list(compare.compare_methods(photo, str(tmp_path / "painting.png"), style, 48, 3))
    assert [slow.step for _, slow, _ in stages] == [0, 1, 2, 3]
    objectives = [slow.objective for _, slow, _ in stages]
    assert objectives == sorted(objectives, reverse=True) and objectives[-1] < objectives[0]
    fast, slow, notes = stages[-1]
    assert fast.image.size == slow.image.size == (48, 32)
    assert fast.seconds > 0 and fast.objective > 0
    assert any("not the file that the model was trained on" in note for note in notes)


def test_comparison_needs_the_painting(photo, style):
    with pytest.raises(InputError, match="Add the painting of"):
        next(compare.compare_methods(photo, None, style._replace(painting=None), 48, 3))
