"""Tests of video commands that are refused, and of videos that are skipped."""

import sys
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from faststyle.cli.main import infer as main
from faststyle.inference.stylizer import Stylizer
from tests.support.commands import exit_status, expect_error_line, read_folder
from tests.support.images import draw_image
from tests.support.videos import draw_moving_bar, make_clip, make_frames


def test_all_styles_and_optimization_refuse_videos(infer_video, capsys):
    assert "--checkpoint starry_night" in expect_error_line(
        capsys, infer_video, "a.mp4", "--checkpoint", "all"
    )
    line = expect_error_line(capsys, main, ["a.mp4", "--style", "mosaic"])
    assert "a.mp4 is a video, and --style takes images" in line and "--checkpoint starry_night" in line


def test_optimization_skips_videos_of_a_folder_with_a_warning(capsys, infer_video, random_vgg, painting):
    Path("trip").mkdir()
    draw_image(40, 30).save("trip/b.png")
    make_clip(Path("trip/c.mp4"), 3)
    main(["trip", "-o", "out", "--style", str(painting), "--size=32", "--steps=1", "--vgg", random_vgg])
    assert sorted(read_folder(Path("out"))) == ["b.png"]
    assert "videos in trip are left out (1)" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--tile 512", "--stroke-scale 2", "--quality 80"])
def test_image_option_with_only_videos_is_refused(infer_video, capsys, option):
    line = expect_error_line(capsys, infer_video, "a.mp4", *option.split())
    assert f"{option.split()[0]} is for images" in line
    assert sorted(read_folder(Path())) == ["a.mp4"]


@pytest.mark.parametrize(
    "option", ["--codec hevc", "--crf 20", "--fps 5", "--start 1", "--end 1", "--motion-blend 0.5"]
)
def test_video_option_with_only_images_is_refused(infer_video, capsys, option):
    draw_image(40, 30).save("b.png")
    assert f"{option.split()[0]} is for videos" in expect_error_line(
        capsys, infer_video, "b.png", *option.split()
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("a.mp4 -o out.xyz", ".mp4"),
        ("a.mp4 -o out.png", "%05d.png"),
        ("a.mp4 -o a.mp4", "overwrite"),
        ("a.mp4 -o .", "overwrite"),
        ("a.mp4 --codec h265x", "h265x"),
        ("a.mp4 --codec prores -o out.webm", "prores"),
        ("a.mp4 --codec ffv1 --crf 20 -o out.mkv", "crf"),
        ("a.mp4 -o %d.png --codec hevc", "--codec"),
        ("a.mp4 --start 5", "start before that"),
        ("a.mp4 b.png -o out.mp4", "folder"),
        ("a.mp4 b.png -o %d.png", "folder"),
        ("a.mp4 --codec hevc --crf 60", "libx265 has no --crf 60: give a number from 0 to 51"),
        ("nowhere.mp4", "there is no file or folder nowhere.mp4"),
        ("nowhere.gif", "there is no file or folder nowhere.gif"),
        ("nowhere/%04d.png", "there are no numbered images named nowhere/%04d.png"),
        ("b.png -o out.mp4", ".jpg"),
        ("empty -o out.mp4", "empty"),
        ("empty", "images or videos"),
    ],
)
def test_invalid_video_command_is_refused_before_stylizing(infer_video, capsys, arguments, words):
    draw_image(40, 30).save("b.png")
    Path("empty").mkdir()
    before = read_folder(Path())
    assert words in expect_error_line(capsys, infer_video, *arguments.split())
    assert read_folder(Path()) == before


def test_input_frames_and_partial_videos_are_not_overwritten(infer_video, capsys):
    make_frames("shot")
    Path("a.mp4").rename("out.part.mp4")
    before = read_folder(Path())
    for arguments in (
        ("shot", "-o", "shot/%04d.png"),
        ("shot/%04d.png", "-o", "shot"),
        ("out.part.mp4", "-o", "out.mp4"),
    ):
        assert "overwrite" in expect_error_line(capsys, infer_video, *arguments)
    assert read_folder(Path()) == before


def test_two_videos_with_the_same_output_are_refused(infer_video, capsys):
    make_clip(Path("a.wmv"), 3, codec="wmv2", base=Fraction(1, 25), step=1)
    assert "a.wmv" in expect_error_line(capsys, infer_video, "a.mp4", "a.wmv", "-o", "out")


def test_error_without_pyav_says_what_to_install(infer_video, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    draw_image(40, 30).save("b.png")
    names = make_frames("shot")
    infer_video("b.png")  # images and frames do not need PyAV
    infer_video("shot/%04d.png", "-o", "out/%04d.png")
    assert sorted(read_folder(Path("out"))) == names
    monkeypatch.setattr(Stylizer, "load", None)  # fails the test if a model is loaded
    assert "pip install -e '.[video]'" in expect_error_line(capsys, infer_video, "a.mp4")
    assert "pip install -e '.[video]'" in expect_error_line(capsys, infer_video, "a.mp4", "-o", "%d.png")


def test_videos_of_folders_are_skipped_with_a_warning_without_pyav(infer_video, capsys, monkeypatch):
    Path("trip").mkdir()
    draw_image(40, 30).save("trip/b.png")
    Path("a.mp4").rename("trip/c.mp4")
    images = [Image.fromarray(draw_moving_bar(number)) for number in range(3)]
    images[0].save("trip/d.gif", save_all=True, append_images=images[1:])
    monkeypatch.setitem(sys.modules, "av", None)
    infer_video("trip", "-o", "out")
    assert sorted(read_folder(Path("out"))) == ["b.png"]
    error = capsys.readouterr().err
    assert "pip install -e '.[video]': videos in folders are left out (2)" in error
    assert exit_status(infer_video, "trip", "trip/c.mp4", "-o", "new") == 2
    assert "error: video needs PyAV" in capsys.readouterr().err
    Path("trip/b.png").unlink()
    assert "pip install" in expect_error_line(capsys, infer_video, "trip", "-o", "new")
    assert not Path("new").exists()
