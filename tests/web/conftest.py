"""Fixtures of the web page's tests."""

from pathlib import Path

import pytest

from faststyle.web import styles


@pytest.fixture
def style() -> styles.Style:
    return styles.list_built_in_styles()[styles.DEFAULT_STYLE]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Return a video of half a second and 64 × 48 pixels, with a tone."""
    return make_test_video(tmp_path_factory, sound="aac")


@pytest.fixture(scope="module")
def silent(tmp_path_factory) -> Path:
    """Return the same video without sound, because Chromium's sound threads overload two cores."""
    return make_test_video(tmp_path_factory)


def make_test_video(tmp_path_factory, **options) -> Path:
    pytest.importorskip("av")
    from tests.support.videos import make_clip

    return make_clip(tmp_path_factory.mktemp("clips") / "walk.mp4", frames=12, **options)


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "results"
    place.mkdir()
    return place
