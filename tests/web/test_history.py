"""Tests of the settings that are undone, and kept over a reload."""

import pytest

pytest.importorskip("gradio")

import gradio as gr

from faststyle.web import history


@pytest.fixture
def controls() -> list:
    return [gr.Radio(["ink", "picasso", "starry_night"]), gr.Slider(0, 1), gr.Checkbox()]


def record_all(controls, *values) -> list:
    kept = [values[0]]
    for one in values:
        kept, _ = history.record(controls, kept, *one)
    return kept


def test_each_change_is_undone_by_one_step(controls):
    ink, picasso, starry = (("ink", 1, False), ("picasso", 1, False), ("starry_night", 1, False))
    kept = record_all(controls, ink, ink, picasso, starry)
    assert kept == [ink, picasso, starry]
    kept, *values = history.step_back(kept)
    assert tuple(values) == picasso and len(kept) == 2
    kept, *values = history.step_back(history.step_back(kept)[0])
    assert tuple(values) == ink and len(kept) == 1  # the first values stay


def test_moving_slider_is_one_change(controls):
    kept = record_all(controls, *(("ink", strength, False) for strength in (1, 0.9, 0.5, 0)))
    assert kept == [("ink", 1, False), ("ink", 0, False)]  # a browser sends 0 for 0.0


def test_history_is_limited(controls):
    assert len(record_all(controls, *((f"style {number}", 1, False) for number in range(99)))) == 50


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (None, ["ink", 1, False]),
        (["picasso", 0.5], ["ink", 1, False]),  # of another version
        (["picasso", 0.5, True], ["picasso", 0.5, True]),
        (["gone", 0.5, True], ["ink", 0.5, True]),
        (["picasso", 2, "yes"], ["picasso", 1, False]),
    ],
)
def test_stored_settings_that_are_not_offered_are_dropped(controls, stored, expected):
    assert history.restore(controls, stored, "ink", 1, False) == [[tuple(expected)], *expected]
