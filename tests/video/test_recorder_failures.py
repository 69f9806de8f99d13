"""Tests of recordings that fail or are interrupted."""

import os
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from faststyle.errors import InputError
from faststyle.video import encoders
from faststyle.video.clips import Clip, Frame
from faststyle.video.opening import open_clip
from faststyle.video.recorder import Recorder, check_recording
from tests.support import ROOT
from tests.support.videos import make_clip, read_frames


def test_encoder_error_gives_one_line(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 3, base=Fraction(1, 90000), step=3600)
    with (
        pytest.raises(InputError, match=r"^mpeg4 cannot write \.mp4 of this video \(Invalid argument\)"),
        open_clip(source) as clip,
        Recorder(tmp_path / "b.mp4", clip, "mpeg4") as recorder,
    ):
        for frame in clip:
            recorder.write(frame)
    assert recorder.notes == [] and sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]


def test_too_wide_gif_gives_one_line_with_a_remedy(tmp_path):
    clip = Clip("wide", 70_000, 2, Fraction(1, 25))
    with (
        pytest.raises(InputError, match=r"gif cannot write \.gif .*: lower `max_size`$"),
        Recorder(tmp_path / "a.gif", clip) as recorder,
    ):
        recorder.write(Frame(np.zeros((2, 70_000, 3), np.uint8), 0, 1))
    assert list(tmp_path.iterdir()) == []


def test_missing_default_encoder_is_named(monkeypatch):
    monkeypatch.setitem(encoders.DEFAULT_ENCODERS, "mp4", "h264_of_no_pyav")
    with pytest.raises(InputError, match="no encoder h264_of_no_pyav: take another `codec`"):
        check_recording(Path("a.mp4"))


def test_unwritable_formats_are_rejected_before_recording():
    for path, codec, message in (
        ("a.xyz", None, "a video's name must end in one of .mp4"),
        ("a", None, "a video's name must end in"),
        ("a.mp4", "h265x", "no codec is named 'h265x': choose from h264, hevc"),
        ("a.mp4", "aac", "no codec is named 'aac'"),
        ("a.webm", "h264", "h264 does not go into .webm"),
        ("a.mov", "vp9", "vp9 does not go into .mov"),
        ("a.mp4", "prores", "prores does not go into .mp4"),
        ("a.gif", "h264", "h264 does not go into .gif"),
        ("%05d.png", "h264", "are images, which have no codec"),
        ("%05d.bmp", None, "frames' names must end in one of"),
    ):
        with pytest.raises(InputError, match=message):
            check_recording(Path(path), codec)
    for path, codec in (
        ("a.mp4", None),
        ("a.webm", None),
        ("a.mkv", "av1"),
        ("%05d.jpg", None),
        ("a.gif", None),
    ):
        check_recording(Path(path), codec)
    for codec, most in ((None, 51), ("hevc", 51), ("av1", 63), ("vp9", 63)):
        check_recording(Path("a.mp4"), codec, most)
        with pytest.raises(InputError, match=f"{most + 1}: give a number from 0 to {most}") as caught:
            check_recording(Path("a.mp4"), codec, most + 1)
        assert caught.value.parameters == ["crf"]
    if "h264_nvenc" in av.codecs_available and not Path("/dev/nvidia0").exists():
        with pytest.raises(InputError, match="h264_nvenc does not work on this machine"):
            check_recording(Path("a.mp4"), "h264_nvenc")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "gif"])
def test_recording_stays_playable_after_an_error(tmp_path, suffix, error):
    source = make_clip(tmp_path / "a.mp4", 20, sound="aac")
    target = tmp_path / f"b.{suffix}"
    target.write_text("the old one")
    with pytest.raises(error), open_clip(source) as clip, Recorder(target, clip) as recorder:
        for number, frame in enumerate(clip):
            if number == 10:
                raise error
            recorder.write(frame)
    assert target.read_text() == "the old one"
    assert recorder.partial == tmp_path / f"b.part.{suffix}"
    assert len(read_frames(recorder.partial)[0]) == 10


def test_recording_without_frames_leaves_no_file(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 5)
    with pytest.raises(KeyboardInterrupt), open_clip(source) as clip, Recorder(tmp_path / "b.mp4", clip):
        raise KeyboardInterrupt
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_full_disk_raises_one_oserror_and_leaves_a_playable_part(tmp_path, suffix):
    source = make_clip(tmp_path / "a.mp4", 200, options={"g": "25"})
    target = tmp_path / f"b.{suffix}"
    program = f"""
        import resource, signal, sys
        import numpy as np
        from pathlib import Path
        from faststyle.video.clips import Frame
        from faststyle.video.opening import open_clip
        from faststyle.video.recorder import Recorder
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        noise = np.random.default_rng(0)
        try:
            with open_clip({str(source)!r}) as video, Recorder(Path({str(target)!r}), video) as r:
                for frame in video:
                    r.write(Frame(noise.integers(0, 256, frame.pixels.shape, dtype=np.uint8), frame.pts))
        except OSError as error:
            print("one error:", error)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0 and "one error:" in done.stdout, done.stderr
    assert not target.exists()
    frames = read_frames(tmp_path / f"b.part.{suffix}")[0]
    assert len(frames) >= 20 and frames[0].pts == 0


def test_unwritable_path_raises_oserror(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 3)
    (tmp_path / "b.part.mp4").mkdir()
    with pytest.raises(OSError), open_clip(source) as clip, Recorder(tmp_path / "b.mp4", clip) as recorder:
        for frame in clip:
            recorder.write(frame)
