"""Tests of the frames of video files: number, times, size and damage."""

from fractions import Fraction
from types import SimpleNamespace

import av
import pytest

from faststyle.errors import InputError
from faststyle.video.clips import exact_rate
from faststyle.video.opening import open_clip
from tests.support.videos import (
    SIZE,
    draw_moving_bar,
    frame_number,
    inspect_video,
    make_clip,
    read_frames,
)


def test_frames_have_the_times_of_the_file(long_video):
    with open_clip(long_video.path, max_size=160) as clip:
        times = [frame.pts * clip.time_base for frame in clip]
    assert times == inspect_video(long_video.path).times
    assert len(times) == clip.count == long_video.frames
    assert clip.damage is None and clip.rate == 25 and clip.path == long_video.path


def test_clip_reports_its_properties(tmp_path):
    frames, clip = read_frames(make_clip(tmp_path / "a.mp4", 20))
    assert (clip.width, clip.height, clip.rate, clip.count) == (64, 48, 25, 20)
    assert [frame.pts * clip.time_base * 25 for frame in frames] == list(range(20))
    assert all(f.pixels.shape == (48, 64, 3) and f.pixels.flags.c_contiguous for f in frames)
    assert [frame_number(f.pixels) for f in frames] == list(range(20))  # None was overwritten.
    assert {frame.duration * clip.time_base for frame in frames} == {Fraction(1, 25)}


def test_variable_times_and_a_late_first_frame_are_kept(tmp_path):
    times = [640, 740, 2340, 2440, 5640, 6152, 20640, 21040]
    frames, clip = read_frames(make_clip(tmp_path / "a.mp4", times))
    assert [frame.pts * clip.time_base for frame in frames] == [Fraction(t, 12800) for t in times]


@pytest.mark.parametrize("base", [Fraction(1, 25), Fraction(1, 12800)])
def test_frames_without_pts_come_in_order_without_loss(tmp_path, base):
    step = round(1 / (25 * base))
    frames, clip = read_frames(make_clip(tmp_path / "a.avi", 20, base=base, step=step))  # Contains B-frames.
    assert [frame_number(frame.pixels) for frame in frames] == list(range(20))
    times = [frame.pts * clip.time_base for frame in frames]
    assert [time - times[0] for time in times] == [Fraction(n, 25) for n in range(20)]
    assert times[0] <= Fraction(2, 25)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0, 40, 40, 80, 120], [0, 40, 41, 80, 120]),  # Two equal times: the other frames keep theirs.
        ([(0, -80), (40, -40), (40, 0), (80, 40)], [0, 40, 41, 80]),
        ([(0, 0), (120, 40), (40, 160), (200, 200)], [0, 120, 160, 200]),
        ([0, 40, 80, 0, 40, 80], [0, 40, 80, 120, 160, 200]),  # The clock jumps back.
        ([None, None, None], [0, 40, 80]),
        ([0, 100, None, 160], [0, 100, 200, 201]),
    ],
)
def test_times_increase_strictly(tmp_path, given, expected):
    with open_clip(make_clip(tmp_path / "a.mkv", 2, base=Fraction(1, 1000), step=40)) as clip:
        both = [one if isinstance(one, tuple) else (one, None) for one in given]
        frames = [SimpleNamespace(pts=pts, dts=dts) for pts, dts in both]
        assert [frame.pts for frame in clip.with_times(frames)] == expected


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_part_has_exactly_the_frames_between_start_and_end(tmp_path, suffix):
    base = {"base": Fraction(1, 90000), "step": 3600}
    path = make_clip(tmp_path / f"a.{suffix}", 28, options={"g": "10"}, **base)
    frames = read_frames(path, start=0.5, end=0.8)[0]
    first = 13 if suffix != "ts" else frame_number(frames[0].pixels)  # The times of a TS do not start at 0.
    assert [frame_number(frame.pixels) for frame in frames] == list(range(first, first + len(frames)))
    assert abs(len(frames) - 7.5) <= 1 and first in (11, 12, 13)
    assert frames[0].pts == 0


def test_constant_rate_drops_and_repeats_frames(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 20)
    frames, clip = read_frames(path, fps=5)
    assert clip.time_base == Fraction(1, 5) and clip.count == 4
    assert [f.pts for f in frames] == [0, 1, 2, 3]
    frames, clip = read_frames(path, fps=50)
    assert [f.pts for f in frames] == list(range(40)) and clip.count == 40
    assert len(read_frames(path, fps=0.5)[0]) == 1
    assert exact_rate(29.97) == Fraction(30000, 1001) and exact_rate(12.5) == Fraction(25, 2)
    for fps in (0, 0.0003, 0.09, 1001):
        with pytest.raises(InputError) as caught:
            open_clip(path, fps=fps)
        assert caught.value.parameters == ["fps"]


def test_frames_shrink_to_even_sides_and_are_not_enlarged(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 2)
    assert read_frames(path, max_size=33)[0][0].pixels.shape == (24, 32, 3)
    assert read_frames(path, max_size=100)[0][0].pixels.shape == (48, 64, 3)


def test_truncated_video_yields_its_intact_frames(tmp_path):
    path = make_clip(tmp_path / "a.mkv", 100, base=Fraction(1, 1000), step=40, options={"g": "10"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, clip = read_frames(path)
    assert 20 < len(frames) < 80
    assert clip.damage is not None and f"{path} is damaged after" in clip.damage and "\n" not in clip.damage


def test_gap_in_a_video_ends_it_with_a_damage_report(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 100, codec="libx264", options={"g": "10"})
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    length = int.from_bytes(data[start - 4 : start], "big")
    data[start + length // 2 : start + length * 2 // 3] = bytes(length * 2 // 3 - length // 2)
    path.write_bytes(data)
    frames, clip = read_frames(path)
    assert 10 < len(frames) < 100 and clip.damage is not None


def test_frames_of_changing_size_are_scaled_to_the_first(tmp_path):
    parts = [
        make_clip(tmp_path / "a.ts", 10),
        make_clip(tmp_path / "b.ts", list(range(5120, 10240, 512)), size=(96, 72)),
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, _ = read_frames(path)
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)} and len(frames) > 10


def test_matroska_with_a_late_start_is_read_completely(tmp_path):
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(draw_moving_bar(number), "rgb24")
            frame.pts, frame.time_base = 25 * 1000 + number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames, clip = read_frames(path)
    assert len(frames) == 10 and clip.damage is None and clip.count in (None, 10)
