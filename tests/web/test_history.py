"""Tests of the settings that are undone, and kept over a reload."""

import pytest

pytest.importorskip("gradio")

from faststyle.web import history
from faststyle.web.styles import DEFAULT_STYLE


def record_all(*values) -> list:
    kept = []
    for one in values:
        kept, _ = history.record(kept, *one)
    return kept


def test_each_change_is_undone_by_one_step():
    kept = record_all(("ink", 1.0), ("ink", 1.0), ("picasso", 1.0), ("starry_night", 1.0))
    assert kept == [("ink", 1.0), ("picasso", 1.0), ("starry_night", 1.0)]
    kept, *values = history.step_back(kept)
    assert values == ["picasso", 1.0] and len(kept) == 2
    kept, *values = history.step_back(history.step_back(kept)[0])
    assert values == ["ink", 1.0] and len(kept) == 1  # the first values stay


def test_moving_slider_is_one_change():
    assert record_all(("ink", 1.0), ("ink", 0.9), ("ink", 0.8), ("ink", 0.75)) == [
        ("ink", 1.0),
        ("ink", 0.75),
    ]


def test_history_is_limited():
    assert len(record_all(*((f"style {number}", 1.0) for number in range(99)))) == history.MAX_HISTORY


def test_stored_settings_of_another_version_and_lost_styles_are_dropped():
    current = ["ink", 1.0, False]
    assert history.restore(None, *current) == [[tuple(current)], *current]
    assert history.restore(["picasso", 0.5], *current)[1:] == current
    assert history.restore(["picasso", 0.5, True], *current)[1:] == ["picasso", 0.5, True]
    assert history.restore(["gone", 0.5, True], *current)[1:] == [DEFAULT_STYLE, 0.5, True]
