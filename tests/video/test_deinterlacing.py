"""Tests of interlaced videos: each frame holds two moments in alternate rows."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tests.support.recordings import record
from tests.support.videos import (
    PATCHES,
    draw_test_card,
    inspect_video,
    make_clip,
    patch_means,
    read_frames,
    set_display_matrix,
)

GREY, WHITE, STEP, BAR = 60, 200, 8, 16
TIMES = {"base": Fraction(1, 25), "step": 1}


def draw_fields(first: int):
    """Return a function that draws a bar at two moments, the earlier in rows of this parity."""

    def draw(number: int, width: int, height: int) -> np.ndarray:
        pixels = np.full((height, width, 3), GREY, np.uint8)
        for moment in (0, 1):
            left = (2 * number + moment) * STEP
            pixels[(first + moment) % 2 :: 2, left : left + BAR] = WHITE
        return pixels

    return draw


# PyAV 17, the newest for Python 3.10, does not pass on what the container says.
ORDER = pytest.mark.skipif(int(av.__version__.split(".")[0]) < 18, reason="needs PyAV 18")
KINDS = [
    ("ts", "mpeg2video", "yuv420p", {"flags": "+ilme+ildct", "b": "4M"}, "tff"),
    ("ts", "mpeg2video", "yuv420p", {"flags": "+ilme+ildct", "b": "4M"}, "bff"),
    ("mkv", "libx264", "yuv420p", {"x264-params": "tff=1", "crf": "4"}, "tff"),
    ("mp4", "libx264", "yuv420p", {"x264-params": "bff=1", "crf": "4"}, "bff"),
    ("mov", "prores_ks", "yuv422p10le", {"flags": "+ilme+ildct"}, "tff"),
    ("mkv", "ffv1", "yuv420p", {}, "bff"),
    ("mkv", "rawvideo", "yuv420p", {"field_order": "tt"}, "tff"),
    # These formats mark no frame, but their container can say the order.
    pytest.param("mkv", "mjpeg", "yuvj420p", {"field_order": "tt", "qmax": "2"}, "tff", marks=ORDER),
    pytest.param("mov", "png", "rgb24", {"field_order": "bb"}, "bff", marks=ORDER),
]


@pytest.mark.parametrize(("suffix", "codec", "pixels", "options", "first"), KINDS)
def test_interlaced_frames_show_one_moment(tmp_path, suffix, codec, pixels, options, first):
    colors, matrix = ((0, 0, 2, 2), 0) if pixels == "rgb24" else ((2, 0, 2, 2), None)
    shape = {"size": (160, 64), "colors": colors, "matrix": matrix, **TIMES}
    encoding = {"codec": codec, "pixels": pixels, "options": options, "field": first}
    draw = draw_fields(0 if first == "tff" else 1)
    frames, clip = read_frames(make_clip(tmp_path / f"a.{suffix}", 8, draw=draw, **shape, **encoding))
    assert len(frames) == 8 and clip.notes == ["the video is interlaced: each frame is deinterlaced (bwdif)"]
    assert np.ptp([frame.duration for frame in frames]) == 0
    for number in range(1, 7):
        rows = frames[number].pixels[8:-8, :, 0].astype(int)
        left = 2 * number * STEP
        assert rows[:, left + 1 : left + BAR - 1].min() > 150  # the bar at the first moment
        assert rows[:, left + BAR + 2 : left + BAR + STEP].max() < 130  # and not at the second


def test_recording_of_an_interlaced_video_keeps_frames_times_and_colours(tmp_path):
    options = {"options": {"x264-params": "tff=1", "crf": "4"}, "field": "tff"}
    colors = {"colors": (1, 1, 1, 1), "draw": lambda n, w, h: draw_test_card(w, h)}
    source = make_clip(tmp_path / "a.mp4", 10, sound="aac", **options, **colors)
    record(source, tmp_path / "b.mp4")
    before, after = inspect_video(source), inspect_video(tmp_path / "b.mp4")
    assert after.times == before.times and after.packets == before.packets
    frames, clip = read_frames(source)
    assert np.abs(patch_means(frames[5].pixels) - PATCHES).max() <= 3 and clip.colors == (1, 1, 1)
    frames, _ = read_frames(source, start=0.2)
    assert len(frames) == 5 and frames[0].pts == 0
    turned = set_display_matrix(make_clip(tmp_path / "c.mp4", 2, **options), 0, 1, -1, 0)
    frames, _ = read_frames(turned)
    assert frames[0].pixels.shape == (64, 48, 3)


def test_progressive_frames_stay_as_they_are(tmp_path):
    path = make_clip(tmp_path / "a.mkv", 4, codec="ffv1", draw=draw_fields(0), **TIMES)
    frames, clip = read_frames(path)
    assert clip.notes == [] and np.abs(np.diff(frames[0].pixels[:, 2, 0].astype(int))).max() > 100


def test_size_can_change_in_an_interlaced_stream(tmp_path):
    parts = []
    for number, size in enumerate([(64, 48), (96, 72)]):
        options = {"codec": "mpeg2video", "options": {"flags": "+ilme+ildct"}, "size": size, "field": "tff"}
        times = list(range(number * 10, number * 10 + 10))
        parts.append(make_clip(tmp_path / f"{number}.ts", times, **options, **TIMES).read_bytes())
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    frames, clip = read_frames(tmp_path / "both.ts")
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)} and len(frames) > 15
    assert len(clip.notes) == 1
