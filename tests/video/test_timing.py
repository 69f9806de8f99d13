"""Tests of videos whose header claims another rate than their frames have."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from faststyle.video import timing
from faststyle.video.opening import open_clip
from faststyle.video.recorder import Recorder
from tests.support.recordings import record
from tests.support.videos import draw_moving_bar, frame_number, inspect_video, make_clip, read_frames

MILLISECONDS = {"base": Fraction(1, 1000), "step": 40}
# A browser's recording: 30 frames a second, of which some are missing.
TIMES = [33 * number + number % 2 for number in range(120) if number % 5 != 3]
CODECS = {"webm": "libvpx", "mkv": "libx264", "mp4": "libx264", "ts": "libx264", "flv": "flv"}


def make_recording(path: Path, rate: int = 1000, times: list[int] = TIMES) -> Path:
    """Make a video with a claimed rate and other times."""
    codec = CODECS[path.suffix[1:]]
    return make_clip(path, times, codec=codec, rate=rate, **MILLISECONDS)


@pytest.mark.parametrize("rate", [1000, 1])
@pytest.mark.parametrize("suffix", CODECS)
def test_rate_is_that_of_the_frames_not_of_the_header(tmp_path, suffix, rate):
    path = make_recording(tmp_path / f"a.{suffix}", rate)
    frames, clip = read_frames(path)
    assert len(frames) == clip.count == len(TIMES)
    span = Fraction(TIMES[-1] - TIMES[0], 1000)
    assert abs(clip.rate * span / (len(TIMES) - 1) - 1) < 0.011
    assert 0.032 <= clip.step <= 0.034


def test_last_frame_of_a_browsers_recording_lasts_as_long_as_the_others(tmp_path):
    """Make a WebM without a duration, whose header's rate would show the last frame for a millisecond."""
    muxing = {"live": "1"}
    path = make_clip(tmp_path / "a.webm", TIMES, codec="libvpx", rate=1000, muxing=muxing, **MILLISECONDS)
    frames, clip = read_frames(path)
    assert clip.count == len(TIMES) and frames[-1].duration in (32, 33, 34)


@pytest.mark.parametrize("rate", [24, 25, 30, 60, 120, 240])
def test_rounded_times_confirm_the_exact_rate_of_the_header(tmp_path, rate):
    times = [round(number * 1000 / rate) for number in range(40)]
    with open_clip(make_recording(tmp_path / "a.mkv", rate, times)) as clip:
        assert clip.rate == rate and clip.step == Fraction(1, rate)


def test_count_of_a_part_is_exact(tmp_path):
    path = make_recording(tmp_path / "a.webm")
    frames, clip = read_frames(path, start=1, end=2)
    assert len(frames) == clip.count == sum(1000 <= time < 2000 for time in TIMES)


def test_long_file_is_not_read_to_its_end_to_measure_the_rate(tmp_path, monkeypatch):
    path = make_recording(tmp_path / "a.mkv")
    monkeypatch.setattr(timing, "MAX_PACKETS", 20)
    with open_clip(path) as clip:
        assert clip.timing.times is None and 0.032 <= clip.step <= 0.034


@pytest.mark.parametrize(
    "suffix, codec",
    [("mp4", None), ("mkv", None), ("webm", None), ("mp4", "hevc"), ("mp4", "av1"), ("mov", "prores")],
)
@pytest.mark.parametrize("rate", [1000, 1])
def test_keyframes_are_placed_by_time(tmp_path, suffix, codec, rate):
    source, target = make_recording(tmp_path / "a.webm", rate), tmp_path / f"b.{suffix}"
    record(source, target, codec)
    with av.open(str(target)) as container:
        keys = [packet.pts * packet.time_base for packet in container.demux(video=0) if packet.is_keyframe]
    gaps = [after - before for before, after in zip(keys, [*keys[1:], TIMES[-1] / 1000], strict=True)]
    assert keys[0] <= 0.04 and max(gaps) <= 1.1
    assert codec == "prores" or len(keys) == 4


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi"])
@pytest.mark.parametrize("sound", [None, "libopus"])
def test_killed_recording_loses_two_seconds_at_most(tmp_path, suffix, sound):
    """Read the unfinished file again and again. The sound ends early, and must not hold the frames back."""
    source = make_clip(tmp_path / "a.webm", 10, codec="libvpx", rate=1000, sound=sound, **MILLISECONDS)
    with open_clip(source) as clip, Recorder(tmp_path / f"b.{suffix}", clip) as recorder:
        frames = list(clip)
        for number in range(200):
            frame = frames[number % len(frames)]
            recorder.write(frame._replace(pts=number * 50, duration=50))
            if number % 10 == 9 and number > 40:
                assert number * 0.05 - last_time(recorder.partial) <= 2


def last_time(path: Path) -> float:
    """Return the time of the last frame that can be decoded."""
    return float(inspect_video(path).times[-1])


def test_avi_gets_the_rate_of_the_frames(tmp_path):
    source = make_recording(tmp_path / "a.webm", times=[33 * number for number in range(60)])
    assert record(source, tmp_path / "b.avi") == []
    frames, clip = read_frames(tmp_path / "b.avi")
    assert len(frames) == 60 and [frame_number(f.pixels) for f in frames[:28]] == list(range(28))
    assert abs(clip.rate - Fraction(1000, 33)) < 0.01


def test_constant_rate_is_counted_by_the_frames_times(tmp_path):
    frames, clip = read_frames(make_recording(tmp_path / "a.webm"), fps=10)
    assert abs(clip.count - len(frames)) <= 1 and len(frames) == 39
    assert np.array_equal([f.pts for f in frames], range(39))


def test_single_frame_has_a_plausible_rate(tmp_path):
    path = make_clip(tmp_path / "a.mkv", 1, rate=1000, draw=draw_moving_bar, **MILLISECONDS)
    frames, clip = read_frames(path)
    assert len(frames) == clip.count == 1 and clip.rate <= 1000
