"""Tests of GIFs: colours, size, rate, and the size of their files."""

from fractions import Fraction

import numpy as np
import pytest

from faststyle.video.gif import COLORS, GifPalette, gif_rate
from tests.support.images import draw_image
from tests.support.recordings import record
from tests.support.videos import make_clip, read_frames


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(25, Fraction(25, 2)), (30, 15), (60, 15), (24, 12), (15, 15), (12, 12), (50, Fraction(25, 2))],
)
def test_gif_shows_every_nth_frame(rate, expected):
    assert gif_rate(Fraction(rate)) == expected


def draw_noise(seed: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.asarray(draw_image(width, height, seed))


def test_palette_is_kept_while_it_serves():
    palette = GifPalette()
    palette(draw_noise(1))
    first = palette.colors
    moved = draw_noise(1)[:, ::-1].copy()
    palette(moved)
    assert palette.colors is first
    palette(np.full((48, 64, 3), (255, 0, 255), np.uint8))
    assert palette.colors is not first


def test_frames_are_close_to_their_colours():
    frame = GifPalette()(draw_noise(3))
    indices, palette = frame.to_ndarray()
    assert indices.max() < COLORS and palette[-1, 0] == 0 and (palette[:-1, 0] == 255).all()
    assert np.abs(palette[indices][..., 1:].astype(int) - draw_noise(3)).mean() < 8


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (7, 3)])
def test_tiny_frames_have_a_palette(size):
    width, height = size
    assert GifPalette()(draw_noise(1, width, height)).width == width


def test_still_background_takes_little_space(tmp_path):
    def draw(number: int, width: int, height: int) -> np.ndarray:
        pixels = draw_noise(1, width, height).copy()
        pixels[20:30, number * 2 : number * 2 + 8] = (200, 30, 30)
        return pixels

    size = {"size": (160, 120), "codec": "ffv1", "pixels": "bgr0", "colors": (0, 0, 2, 2), "matrix": 0}
    times = {"base": Fraction(1, 100), "step": 8}
    record(make_clip(tmp_path / "one.mkv", 1, draw=draw, **size, **times), tmp_path / "one.gif")
    record(make_clip(tmp_path / "all.mkv", 20, draw=draw, **size, **times), tmp_path / "all.gif")
    one, whole = ((tmp_path / f"{name}.gif").stat().st_size for name in ("one", "all"))
    assert whole < 2 * one
    frames, _ = read_frames(tmp_path / "all.gif")
    assert len(frames) == 20
    for number in (0, 10, 19):
        assert np.abs(frames[number].pixels.astype(int) - draw(number, 160, 120)).mean() < 8
