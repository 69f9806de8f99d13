"""Tests of ``python infer.py --checkpoint`` with videos and frames."""

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from faststyle.cli import stylize_video
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import save_model
from tests.support.commands import exit_status, expect_error_line, read_folder
from tests.support.images import draw_image
from tests.support.videos import SIZE, draw_moving_bar, frames_of, inspect_video, make_clip, make_frames


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


# One video


def test_default_output_keeps_timestamps_and_audio(infer_video, capsys):
    infer_video("a.mp4")
    printed = capsys.readouterr()
    assert printed.out == "a_small.mp4\n"
    assert (
        re.search(r"^done: [\d.]+ s$", printed.err, re.M) and "8/8" in printed.err and "frame" in printed.err
    )
    before, after = inspect_video(Path("a.mp4")), inspect_video(Path("a_small.mp4"))
    assert (after.times, after.size) == (before.times, SIZE)
    assert [data for _, data in after.packets["audio"]] == [data for _, data in before.packets["audio"]]
    assert difference(frames_of("a.mp4")[0], frames_of("a_small.mp4")[0]) > 20
    assert sorted(read_folder(Path())) == ["a.mp4", "a_small.mp4"]


def test_frames_match_the_library(infer_video, model):
    infer_video("a.mp4", "-o", "out.mkv", "--codec", "ffv1")  # lossless
    stylize = Stylizer.load(model, device="cpu", precision="fp32", engine="torch")
    for got, want in zip(frames_of("out.mkv"), stylize.video("a.mp4"), strict=True):
        assert difference(got, want) == 0


@pytest.mark.parametrize(
    "source, output, target",
    [
        ("a.mkv", None, "a_small.mkv"),
        ("a.flv", None, "a_small.mp4"),  # FLV can be read and not written
        ("a.mkv", "out.webm", "out.webm"),
        ("a.mkv", "out", "out/a.mkv"),
        ("a.mkv", "new/out.mov", "new/out.mov"),
    ],
)
def test_output_path_of_a_video(infer_video, capsys, source, output, target):
    make_clip(
        Path(source), 3, codec="flv" if source.endswith("flv") else "libx264", base=Fraction(1, 1000), step=40
    )
    infer_video(source, *(["-o", output] if output else []))
    assert capsys.readouterr().out.strip() == target
    assert len(frames_of(target)) == 3


def test_strength_zero_returns_the_video_and_max_size_shrinks_it(infer_video):
    infer_video("a.mp4", "-o", "out.mp4", "--strength", 0, "--max-size", 32)
    got = frames_of("out.mp4")
    assert got[0].shape == (24, 32, 3)
    assert difference(got[3], frames_of("a.mp4", max_size=32)[3]) < 8


def test_preserve_color_keeps_a_grey_video_grey(infer_video):
    make_clip(
        Path("grey.mp4"),
        3,
        draw=lambda *frame: draw_moving_bar(*frame).mean(2, keepdims=True).astype(np.uint8).repeat(3, 2),
    )
    infer_video("grey.mp4", "-o", "plain.mp4")
    infer_video("grey.mp4", "-o", "kept.mp4", "--preserve-color")
    spread = [
        float(np.ptp(frames_of(name)[1].astype(int), axis=-1).mean()) for name in ("plain.mp4", "kept.mp4")
    ]
    assert spread[0] > 10 and spread[1] < 4


def test_start_end_and_fps_select_and_resample_frames(infer_video):
    infer_video("a.mp4", "-o", "out.mp4", "--start", "0:00.08", "--end", "0.24", "--fps", 50)
    times = inspect_video(Path("out.mp4")).times
    assert times == [Fraction(number, 50) for number in range(8)]


def test_codec_and_crf_reach_the_encoder(infer_video):
    infer_video("a.mp4", "-o", "fine.mp4", "--codec", "hevc", "--crf", 5)
    infer_video("a.mp4", "-o", "coarse.mp4", "--codec", "hevc", "--crf", 45)
    with av.open("fine.mp4") as container:
        assert container.streams.video[0].codec_context.name == "hevc"
    assert Path("coarse.mp4").stat().st_size < Path("fine.mp4").stat().st_size


def test_motion_blend_reaches_the_stylizer(infer_video, monkeypatch):
    seen = []
    video = Stylizer.video
    monkeypatch.setattr(
        Stylizer, "video", lambda *a, **k: seen.append(k) or video(*a, **{**k, "motion_blend": 0})
    )
    infer_video("a.mp4", "-o", "out.mp4", "--motion-blend", 0.5)
    assert [options["motion_blend"] for options in seen] == [0.5]


# Animated images and numbered frames


def test_animated_gif_stays_a_gif_and_still_gif_becomes_png(infer_video):
    images = [Image.fromarray(draw_moving_bar(number)) for number in range(3)]
    images[0].save("moves.gif", save_all=True, append_images=images[1:], duration=80)
    images[0].save("still.gif")
    infer_video("moves.gif", "still.gif")
    with Image.open("moves_small.gif") as image:
        assert image.n_frames == 3
    assert Image.open("still_small.png").size == SIZE


def test_video_is_converted_to_gif_and_to_frames_and_back(infer_video, capsys):
    infer_video("a.mp4", "-o", "out.gif", "--fps", 25)
    with Image.open("out.gif") as image:
        assert image.n_frames == 8
    infer_video("a.mp4", "-o", "frames/%03d.jpg")
    assert sorted(read_folder(Path("frames"))) == [f"{number:03d}.jpg" for number in range(1, 9)]
    capsys.readouterr()
    infer_video("frames/%03d.jpg", "-o", "back.mp4", "--fps", 10)
    assert capsys.readouterr().out == "back.mp4\n"
    assert inspect_video(Path("back.mp4")).times == [Fraction(number, 10) for number in range(8)]


def test_frames_keep_their_numbers_and_default_to_a_sibling_folder(infer_video, capsys):
    names = make_frames("shot")
    infer_video("shot/%04d.png")
    assert sorted(read_folder(Path("shot_small"))) == names
    infer_video("shot/%04d.png", "-o", "out")
    assert sorted(read_folder(Path("out"))) == names


def test_folder_of_frames_is_a_video_if_the_output_is_one(infer_video):
    names = make_frames("shot")
    infer_video("shot", "-o", "out.mp4")
    assert inspect_video(Path("out.mp4")).times == [Fraction(number, 25) for number in range(4)]
    infer_video("shot", "-o", "there/%05d.png")
    assert sorted(read_folder(Path("there"))) == [f"0{name}" for name in names]
    infer_video("shot", "-o", "images")  # each image on its own
    assert sorted(read_folder(Path("images"))) == names


# Several inputs


def test_images_and_videos_can_be_mixed(infer_video, capsys):
    draw_image(40, 30).save("b.png")
    infer_video("a.mp4", "b.png", "-o", "out", "--verbose")
    printed = capsys.readouterr()
    assert "2 of 2 images and videos stylized: out" in printed.out
    assert printed.err.count("engine: ") == 1
    assert sorted(read_folder(Path("out"))) == ["a.mp4", "b.png"]
    assert len(frames_of("out/a.mp4")) == 8


def test_folder_structure_is_kept_for_videos(infer_video, capsys):
    Path("trip/day").mkdir(parents=True)
    draw_image(40, 30).save("trip/b.png")
    make_clip(Path("trip/day/c.mkv"), 3)
    make_clip(Path("trip/.hidden.mp4"), 3)
    infer_video("trip", "-o", "out")
    assert sorted(read_folder(Path("out"))) == ["b.png", "day/c.mkv"]
    infer_video("trip")
    assert sorted(read_folder(Path("trip_small"))) == ["b.png", "day/c.mkv"]
    capsys.readouterr()
    infer_video("trip/day")
    assert capsys.readouterr().out.strip().endswith("trip/day_small/c.mkv")


def test_bad_video_does_not_stop_the_others(infer_video, capsys):
    Path("bad.mp4").write_bytes(b"not a video")
    assert exit_status(infer_video, "bad.mp4", "a.mp4", "-o", "out") == 2
    printed = capsys.readouterr()
    errors = [line for line in printed.err.replace("\r", "\n").splitlines() if "error:" in line]
    assert len(errors) == 1 and "bad.mp4" in errors[0]
    assert "1 of 2 videos stylized" in printed.out
    assert sorted(read_folder(Path("out"))) == ["a.mp4"]
    assert "bad.mp4" in expect_error_line(capsys, infer_video, "bad.mp4")


def test_steady_model_is_used_for_videos_and_logged(infer_video, monkeypatch, capsys, network, tmp_path):
    from faststyle.models import find, pretrained

    for name in ("wave", "wave-steady"):
        save_model(tmp_path / f"{name}.safetensors", network, ModelCard(name=name))
    files = {name: tmp_path / f"{name}.safetensors" for name in ("wave", "wave-steady")}
    monkeypatch.setattr(pretrained, "steady_styles", lambda: {"wave-steady": files["wave-steady"]})
    loaded = []
    monkeypatch.setattr(
        Stylizer,
        "load",
        classmethod(lambda cls, name, **o: loaded.append(name) or cls(find.read_model(files[name]), **o)),
    )
    draw_image(40, 30).save("b.png")
    infer_video("a.mp4", "b.png", "-o", "out", "--checkpoint", "wave")
    assert sorted(loaded) == ["wave", "wave-steady"]
    assert capsys.readouterr().err.count("wave-steady is used for videos: ") == 1
    loaded.clear()
    Path("wave").mkdir()  # a folder with the name of a style is not a model
    infer_video("a.mp4", "--checkpoint", "wave")
    assert loaded == ["wave-steady"] and Path("a_wave.mp4").exists()
    for name in ("wave-steady", "wave:1", str(files["wave"]), "wave-other"):
        assert stylize_video.model_for_videos(name) == name
