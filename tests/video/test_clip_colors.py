"""Tests of the colours, orientation and pixel aspect of frames that are read."""

from fractions import Fraction

import numpy as np
import pytest

from faststyle.video import hdr
from tests.support.videos import (
    BT2020,
    PATCHES,
    draw_test_card,
    make_clip,
    patch_means,
    read_frames,
    set_display_matrix,
)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),
        ((-1, 0, 0, -1), lambda a: np.rot90(a, 2)),
        ((0, -1, 1, 0), lambda a: np.rot90(a)),
        ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
    ],
)
def test_rotated_frames_are_turned_upright(tmp_path, matrix, expected):
    path = make_clip(tmp_path / "a.mp4", 2, draw=lambda n, w, h: draw_test_card(w, h))
    stored = read_frames(path)[0][0].pixels
    set_display_matrix(path, *matrix)
    frames, clip = read_frames(path)
    assert np.array_equal(frames[0].pixels, expected(stored))
    assert frames[0].pixels.shape == (clip.height, clip.width, 3)
    small = read_frames(path, max_size=32)[1]
    assert max(small.width, small.height) == 32


def test_non_square_pixels_are_reported(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 2, aspect=Fraction(4, 3))
    assert read_frames(path)[1].aspect == Fraction(4, 3)
    assert read_frames(set_display_matrix(path, 0, 1, -1, 0))[1].aspect == Fraction(3, 4)


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels", "colors", "matrix"),
    [
        ("mp4", "libx264", "yuv420p", (6, 1, 6, 6), None),
        ("mp4", "libx264", "yuv420p", (1, 1, 1, 1), None),
        ("mp4", "libx264", "yuv420p", (2, 0, 2, 2), 6),
        ("mp4", "libx264", "yuvj420p", (1, 2, 1, 1), None),
        ("mp4", "libx264", "yuvj420p", (6, 2, 6, 6), None),
        ("mp4", "libx264", "yuv444p", (6, 1, 6, 6), None),
        pytest.param("mkv", "libx264", "yuv420p10le", (9, 1, 9, 14), None, marks=BT2020),
        ("mkv", "ffv1", "yuv422p10le", (5, 1, 2, 2), None),
        ("mkv", "ffv1", "bgr0", (0, 0, 2, 2), 0),
        ("mov", "png", "rgb24", (0, 0, 2, 2), 0),
        ("mov", "prores_ks", "yuva444p10le", (1, 1, 1, 1), None),
    ],
)
def test_colour_matrix_range_and_depth_are_respected(tmp_path, suffix, codec, pixels, colors, matrix):
    options = {"crf": "4"} if codec == "libx264" else {}
    draw = lambda n, w, h: draw_test_card(w, h)  # noqa: E731
    path = tmp_path / f"a.{suffix}"
    make_clip(path, 2, codec=codec, pixels=pixels, colors=colors, matrix=matrix, draw=draw, options=options)
    frames, clip = read_frames(path)
    assert np.abs(patch_means(frames[0].pixels) - PATCHES).max() <= 2
    assert clip.colors.matrix == (colors[0] if colors[0] in (1, 5, 6, 9) else 1 if matrix == 0 else 6)


def test_untagged_large_frames_are_read_as_bt_709(tmp_path):
    draw = lambda n, w, h: draw_test_card(w, h)  # noqa: E731
    path = make_clip(tmp_path / "a.mp4", 1, size=(1280, 720), matrix=1, draw=draw)
    frames, clip = read_frames(path)
    assert np.abs(patch_means(frames[0].pixels) - PATCHES).max() <= 2 and clip.colors == (1, 1, 1)


@pytest.mark.parametrize("transfer", [hdr.PQ, hdr.HLG])
def test_high_dynamic_range_is_tone_mapped(tmp_path, transfer):
    # Code values in [0, 1] of black, mid-grey, white (203 nits) and a highlight of 1000 nits.
    codes = {hdr.PQ: (0, 0.38, 0.581, 0.752), hdr.HLG: (0, 0.38, 0.75, 1)}[transfer]
    bars = np.repeat(np.array(codes) * 255, 16).round().astype(np.uint8)
    draw = lambda n, w, h: np.repeat(np.repeat(bars[None, :, None], h, 0), 3, 2)  # noqa: E731
    path = tmp_path / "a.mkv"
    make_clip(path, 1, pixels="yuv420p10le", colors=(9, 1, 9, transfer), draw=draw, options={"crf": "4"})
    frames, clip = read_frames(path)
    levels = frames[0].pixels[:, 6::16][:, :4].astype(int)  # (H,4,3)
    assert np.ptp(levels, axis=2).max() <= 2  # Greys stay grey.
    black, grey, white, light = levels.mean((0, 2))
    assert black <= 3 and 80 <= grey <= 130 and 200 <= white <= 240 and light >= 250
    assert clip.colors == (1, 1, 1)
