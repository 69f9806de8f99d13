"""Tests of the lines that ``python infer.py --checkpoint`` prints about unusual videos."""

from fractions import Fraction
from pathlib import Path

from tests.support.videos import frames_of, inspect_video, make_clip


def test_raw_stream_is_stylized_whole_and_its_rate_reported(infer, capsys):
    base = {"base": Fraction(1, 25), "step": 1}
    make_clip(Path("a.h264"), 12, **base)
    infer("a.h264")
    printed = capsys.readouterr()
    line = (
        "a.h264: the video holds no times, so that 25 frames per second are assumed: --fps sets another rate"
    )
    assert line in printed.err and printed.out.strip() == "a_small.mp4"
    assert len(frames_of("a_small.mp4")) == 12
    infer("a.h264", "-o", "b.mp4", "--fps", 50)
    assert "no times" not in capsys.readouterr().err
    assert inspect_video(Path("b.mp4")).times == [Fraction(number, 50) for number in range(12)]


def test_video_without_a_suffix_is_found_in_a_folder(infer, capsys):
    Path("trip").mkdir()
    make_clip(Path("a.mp4"), 4).rename("trip/walk")
    make_clip(Path("a.mkv"), 4, base=Fraction(1, 1000), step=40).rename("trip/run.jpg")
    infer("trip", "-o", "out")
    assert "2 of 2 videos" in capsys.readouterr().out
    assert sorted(path.name for path in Path("out").iterdir()) == ["run.mp4", "walk.mp4"]


def test_deinterlacing_and_new_sound_are_reported(infer, capsys):
    make_clip(Path("a.mp4"), 10, sound="aac", options={"x264-params": "tff=1"}, field="tff")
    infer("a.mp4", "-o", "b.webm")
    printed = capsys.readouterr().err
    assert "a.mp4: the video is interlaced: each frame is deinterlaced (bwdif)" in printed
    assert "b.webm: sound in aac cannot be stored in .webm: encoded again as Opus" in printed
    assert inspect_video(Path("b.webm")).packets["audio"]
