"""Tests of ``python infer.py --checkpoint`` with videos and frames."""

import errno
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from faststyle.cli import stylize_video
from faststyle.cli.main import infer as main
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import save_model
from faststyle.video.opening import open_clip
from faststyle.video.recorder import Recorder
from tests.support import ROOT
from tests.support.commands import expect_error_line, read_folder
from tests.support.images import draw_image
from tests.support.videos import SIZE, draw_moving_bar, inspect_video, make_clip


@pytest.fixture
def infer(tmp_path, monkeypatch, model):
    """Return ``python infer.py`` with the small model, run in a folder with the video a.mp4."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    make_clip(Path("a.mp4"), 8, sound="aac")
    options = ["--checkpoint", str(model), "--device=cpu", "--precision=fp32", "--engine=torch"]
    return lambda *arguments: main([*options, *map(str, arguments)])


def frames_of(path: Path | str, **options) -> list[np.ndarray]:
    with open_clip(path, **options) as video:
        return [frame.pixels for frame in video]


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def exit_status(run, *arguments) -> int:
    """Run the command, which must exit, and return its status."""
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    return caught.value.code


def make_frames(folder: str, count: int = 4, first: int = 7) -> list[str]:
    Path(folder).mkdir()
    names = [f"{number:04d}.png" for number in range(first, first + count)]
    for number, name in enumerate(names):
        Image.fromarray(draw_moving_bar(number)).save(Path(folder) / name)
    return names


# One video


def test_default_output_keeps_timestamps_and_audio(infer, capsys):
    infer("a.mp4")
    printed = capsys.readouterr()
    assert printed.out == "a_small.mp4\n"
    assert "engine: torch" in printed.err and "8/8" in printed.err and "frame" in printed.err
    before, after = inspect_video(Path("a.mp4")), inspect_video(Path("a_small.mp4"))
    assert (after.times, after.size) == (before.times, SIZE)
    assert [data for _, data in after.packets["audio"]] == [data for _, data in before.packets["audio"]]
    assert difference(frames_of("a.mp4")[0], frames_of("a_small.mp4")[0]) > 20
    assert sorted(read_folder(Path())) == ["a.mp4", "a_small.mp4"]


def test_frames_match_the_library(infer, model):
    infer("a.mp4", "-o", "out.mkv", "--codec", "ffv1")  # lossless
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
def test_output_path_of_a_video(infer, capsys, source, output, target):
    make_clip(
        Path(source), 3, codec="flv" if source.endswith("flv") else "libx264", base=Fraction(1, 1000), step=40
    )
    infer(source, *(["-o", output] if output else []))
    assert capsys.readouterr().out.strip() == target
    assert len(frames_of(target)) == 3


def test_strength_zero_returns_the_video_and_max_size_shrinks_it(infer):
    infer("a.mp4", "-o", "out.mp4", "--strength", 0, "--max-size", 32)
    got = frames_of("out.mp4")
    assert got[0].shape == (24, 32, 3)
    assert difference(got[3], frames_of("a.mp4", max_size=32)[3]) < 8


def test_preserve_color_keeps_a_grey_video_grey(infer):
    make_clip(
        Path("grey.mp4"),
        3,
        draw=lambda *frame: draw_moving_bar(*frame).mean(2, keepdims=True).astype(np.uint8).repeat(3, 2),
    )
    infer("grey.mp4", "-o", "plain.mp4")
    infer("grey.mp4", "-o", "kept.mp4", "--preserve-color")
    spread = [
        float(np.ptp(frames_of(name)[1].astype(int), axis=-1).mean()) for name in ("plain.mp4", "kept.mp4")
    ]
    assert spread[0] > 10 and spread[1] < 4


def test_start_end_and_fps_select_and_resample_frames(infer):
    infer("a.mp4", "-o", "out.mp4", "--start", "0:00.08", "--end", "0.24", "--fps", 50)
    times = inspect_video(Path("out.mp4")).times
    assert times == [Fraction(number, 50) for number in range(8)]


def test_codec_and_crf_reach_the_encoder(infer):
    infer("a.mp4", "-o", "fine.mp4", "--codec", "hevc", "--crf", 5)
    infer("a.mp4", "-o", "coarse.mp4", "--codec", "hevc", "--crf", 45)
    with av.open("fine.mp4") as container:
        assert container.streams.video[0].codec_context.name == "hevc"
    assert Path("coarse.mp4").stat().st_size < Path("fine.mp4").stat().st_size


def test_motion_blend_reaches_the_stylizer(infer, monkeypatch):
    seen = []
    video = Stylizer.video
    monkeypatch.setattr(
        Stylizer, "video", lambda *a, **k: seen.append(k) or video(*a, **{**k, "motion_blend": 0})
    )
    infer("a.mp4", "-o", "out.mp4", "--motion-blend", 0.5)
    assert [options["motion_blend"] for options in seen] == [0.5]


# Animated images and numbered frames


def test_animated_gif_stays_a_gif_and_still_gif_becomes_png(infer):
    images = [Image.fromarray(draw_moving_bar(number)) for number in range(3)]
    images[0].save("moves.gif", save_all=True, append_images=images[1:], duration=80)
    images[0].save("still.gif")
    infer("moves.gif", "still.gif")
    with Image.open("moves_small.gif") as image:
        assert image.n_frames == 3
    assert Image.open("still_small.png").size == SIZE


def test_video_is_converted_to_gif_and_to_frames_and_back(infer, capsys):
    infer("a.mp4", "-o", "out.gif")
    with Image.open("out.gif") as image:
        assert image.n_frames == 8
    infer("a.mp4", "-o", "frames/%03d.jpg")
    assert sorted(read_folder(Path("frames"))) == [f"{number:03d}.jpg" for number in range(1, 9)]
    capsys.readouterr()
    infer("frames/%03d.jpg", "-o", "back.mp4", "--fps", 10)
    assert capsys.readouterr().out == "back.mp4\n"
    assert inspect_video(Path("back.mp4")).times == [Fraction(number, 10) for number in range(8)]


def test_frames_keep_their_numbers_and_default_to_a_sibling_folder(infer, capsys):
    names = make_frames("shot")
    infer("shot/%04d.png")
    assert sorted(read_folder(Path("shot_small"))) == names
    infer("shot/%04d.png", "-o", "out")
    assert sorted(read_folder(Path("out"))) == names


def test_folder_of_frames_is_a_video_if_the_output_is_one(infer):
    names = make_frames("shot")
    infer("shot", "-o", "out.mp4")
    assert inspect_video(Path("out.mp4")).times == [Fraction(number, 25) for number in range(4)]
    infer("shot", "-o", "there/%05d.png")
    assert sorted(read_folder(Path("there"))) == [f"0{name}" for name in names]
    infer("shot", "-o", "images")  # each image on its own
    assert sorted(read_folder(Path("images"))) == names


# Several inputs


def test_images_and_videos_can_be_mixed(infer, capsys):
    draw_image(40, 30).save("b.png")
    infer("a.mp4", "b.png", "-o", "out")
    printed = capsys.readouterr()
    assert "2 of 2 images and videos stylized: out" in printed.out
    assert printed.err.count("engine: ") == 1
    assert sorted(read_folder(Path("out"))) == ["a.mp4", "b.png"]
    assert len(frames_of("out/a.mp4")) == 8


def test_folder_structure_is_kept_for_videos(infer, capsys):
    Path("trip/day").mkdir(parents=True)
    draw_image(40, 30).save("trip/b.png")
    make_clip(Path("trip/day/c.mkv"), 3)
    make_clip(Path("trip/.hidden.mp4"), 3)
    infer("trip", "-o", "out")
    assert sorted(read_folder(Path("out"))) == ["b.png", "day/c.mkv"]
    infer("trip")
    assert sorted(read_folder(Path("trip_small"))) == ["b.png", "day/c.mkv"]
    capsys.readouterr()
    infer("trip/day")
    assert capsys.readouterr().out.strip().endswith("trip/day_small/c.mkv")


def test_bad_video_does_not_stop_the_others(infer, capsys):
    Path("bad.mp4").write_bytes(b"not a video")
    assert exit_status(infer, "bad.mp4", "a.mp4", "-o", "out") == 2
    printed = capsys.readouterr()
    errors = [line for line in printed.err.replace("\r", "\n").splitlines() if "error:" in line]
    assert len(errors) == 1 and "bad.mp4" in errors[0]
    assert "1 of 2 videos stylized" in printed.out
    assert sorted(read_folder(Path("out"))) == ["a.mp4"]
    assert "bad.mp4" in expect_error_line(capsys, infer, "bad.mp4")


# Temporally consistent models, and refused combinations


def test_steady_model_is_used_for_videos_and_logged(infer, monkeypatch, capsys, network, tmp_path):
    from faststyle.models import find, pretrained

    for name in ("wave", "wave-steady"):
        save_model(tmp_path / f"{name}.safetensors", network, ModelCard(name=name))
    files = {name: tmp_path / f"{name}.safetensors" for name in ("wave", "wave-steady")}
    monkeypatch.setattr(pretrained, "steady_styles", lambda: {"wave-steady": files["wave-steady"]})
    loaded = []
    monkeypatch.setattr(
        Stylizer,
        "load",
        classmethod(lambda cls, name, **o: loaded.append(name) or cls(*find.load_model(files[name]), **o)),
    )
    draw_image(40, 30).save("b.png")
    infer("a.mp4", "b.png", "-o", "out", "--checkpoint", "wave")
    assert sorted(loaded) == ["wave", "wave-steady"]
    assert capsys.readouterr().err.count("wave-steady is used for videos: ") == 1
    loaded.clear()
    Path("wave").mkdir()  # a folder with the name of a style is not a model
    infer("a.mp4", "--checkpoint", "wave")
    assert loaded == ["wave-steady"] and Path("a_wave.mp4").exists()
    for name in ("wave-steady", "wave:1", str(files["wave"]), "wave-other"):
        assert stylize_video.model_for_videos(name) == name


def test_all_styles_and_optimization_refuse_videos(infer, capsys):
    assert "--checkpoint starry_night" in expect_error_line(capsys, infer, "a.mp4", "--checkpoint", "all")
    line = expect_error_line(capsys, main, ["a.mp4", "--style", "mosaic"])
    assert "--checkpoint MODEL" in line and "train.py" in line


def test_optimization_skips_videos_of_a_folder_with_a_warning(capsys, infer, random_vgg, painting):
    Path("trip").mkdir()
    draw_image(40, 30).save("trip/b.png")
    make_clip(Path("trip/c.mp4"), 3)
    main(["trip", "-o", "out", "--style", str(painting), "--size=32", "--steps=1", "--vgg", random_vgg])
    assert sorted(read_folder(Path("out"))) == ["b.png"]
    assert "videos in trip are left out (1)" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--tile 512", "--stroke-scale 2", "--quality 80"])
def test_image_option_with_only_videos_is_refused(infer, capsys, option):
    line = expect_error_line(capsys, infer, "a.mp4", *option.split())
    assert f"{option.split()[0]} is for images" in line
    assert sorted(read_folder(Path())) == ["a.mp4"]


@pytest.mark.parametrize(
    "option", ["--codec hevc", "--crf 20", "--fps 5", "--start 1", "--end 1", "--motion-blend 0.5"]
)
def test_video_option_with_only_images_is_refused(infer, capsys, option):
    draw_image(40, 30).save("b.png")
    assert f"{option.split()[0]} is for videos" in expect_error_line(capsys, infer, "b.png", *option.split())


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
def test_invalid_video_command_is_refused_before_stylizing(infer, capsys, arguments, words):
    draw_image(40, 30).save("b.png")
    Path("empty").mkdir()
    before = read_folder(Path())
    assert words in expect_error_line(capsys, infer, *arguments.split())
    assert read_folder(Path()) == before


def test_input_frames_and_partial_videos_are_not_overwritten(infer, capsys):
    make_frames("shot")
    Path("a.mp4").rename("out.part.mp4")
    before = read_folder(Path())
    for arguments in (
        ("shot", "-o", "shot/%04d.png"),
        ("shot/%04d.png", "-o", "shot"),
        ("out.part.mp4", "-o", "out.mp4"),
    ):
        assert "overwrite" in expect_error_line(capsys, infer, *arguments)
    assert read_folder(Path()) == before


def test_two_videos_with_the_same_output_are_refused(infer, capsys):
    make_clip(Path("a.wmv"), 3, codec="wmv2", base=Fraction(1, 25), step=1)
    assert "a.wmv" in expect_error_line(capsys, infer, "a.mp4", "a.wmv", "-o", "out")


def test_error_without_pyav_says_what_to_install(infer, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    draw_image(40, 30).save("b.png")
    names = make_frames("shot")
    infer("b.png")  # images and frames do not need PyAV
    infer("shot/%04d.png", "-o", "out/%04d.png")
    assert sorted(read_folder(Path("out"))) == names
    monkeypatch.setattr(Stylizer, "load", None)  # fails the test if a model is loaded
    assert "pip install -e '.[video]'" in expect_error_line(capsys, infer, "a.mp4")
    assert "pip install -e '.[video]'" in expect_error_line(capsys, infer, "a.mp4", "-o", "%d.png")


def test_videos_of_folders_are_skipped_with_a_warning_without_pyav(infer, capsys, monkeypatch):
    Path("trip").mkdir()
    draw_image(40, 30).save("trip/b.png")
    Path("a.mp4").rename("trip/c.mp4")
    images = [Image.fromarray(draw_moving_bar(number)) for number in range(3)]
    images[0].save("trip/d.gif", save_all=True, append_images=images[1:])
    monkeypatch.setitem(sys.modules, "av", None)
    infer("trip", "-o", "out")
    assert sorted(read_folder(Path("out"))) == ["b.png"]
    error = capsys.readouterr().err
    assert "pip install -e '.[video]': videos in folders are left out (2)" in error
    assert exit_status(infer, "trip", "trip/c.mp4", "-o", "new") == 2
    assert "error: video needs PyAV" in capsys.readouterr().err
    Path("trip/b.png").unlink()
    assert "pip install" in expect_error_line(capsys, infer, "trip", "-o", "new")
    assert not Path("new").exists()


# Damaged videos, full disks and interruptions


def test_truncated_video_is_stylized_up_to_the_damage(infer, capsys):
    make_clip(Path("cut.mkv"), 60, options={"g": "5"}, sound="aac")
    data = Path("cut.mkv").read_bytes()
    Path("cut.mkv").write_bytes(data[: len(data) // 2])
    assert exit_status(infer, "cut.mkv", "-o", "out.mp4") == 2
    printed = capsys.readouterr()
    assert printed.out == "out.mp4\n"
    assert printed.err.count("warning: cut.mkv is damaged after") == 1
    assert 5 < len(frames_of("out.mp4")) < 60
    assert not Path("out.part.mp4").exists()


def test_full_disk_leaves_a_playable_file(infer, capsys):
    make_clip(
        Path("long.mp4"),
        40,
        draw=lambda n, w, h: np.random.default_rng(n).integers(0, 255, (h, w, 3), np.uint8),
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        code = exit_status(infer, "long.mp4", "-o", "out.mp4", "--crf", 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(error) == 1
    assert "what could be written is in out.part.mp4" in error[0]
    assert not Path("out.mp4").exists()
    assert len(frames_of("out.part.mp4")) > 0


def test_full_disk_stops_one_video_and_not_the_others(infer, capsys, monkeypatch):
    write = Recorder.write

    def full(self, frame):
        if self.path.name == "a.mp4" and self.count == 5:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.partial))
        write(self, frame)

    monkeypatch.setattr(Recorder, "write", full)
    make_clip(Path("b.mp4"), 3)
    assert exit_status(infer, "a.mp4", "b.mp4", "-o", "out") == 2
    # A progress bar left open by another test writes cursor movements before the error.
    error = re.findall("error: .*", capsys.readouterr().err)
    assert error == ["error: out/a.mp4: No space left on device: what could be written is in out/a.part.mp4"]
    assert len(frames_of("out/a.part.mp4")) == 5 and len(frames_of("out/b.mp4")) == 3
    assert threading.active_count() < 4


# Slow down decoding, so that the signal arrives before the last frame.
SLOW = """
import sys, time
from faststyle.cli.main import infer as main
from faststyle.video.decoding import VideoClip
pixels = VideoClip.pixels
VideoClip.pixels = lambda *frame: time.sleep(0.02) or pixels(*frame)
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_ctrl_c_leaves_a_playable_file(infer, model):
    make_clip(Path("long.mp4"), 200)
    arguments = ["long.mp4", "-o", "out.mp4", "--checkpoint", model, "--engine=torch", "--device=cpu"]
    run = subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,  # so that Ctrl-C in the terminal does not reach this process
    )
    part = Path("out.part.mp4")
    limit = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size) and time.monotonic() < limit:
        time.sleep(0.02)
    for _ in range(2):  # the second Ctrl-C must not lose frames
        run.send_signal(signal.SIGINT)
        time.sleep(0.02)
    out, error = run.communicate(timeout=60)
    assert (run.returncode, out) == (130, "")
    lines = [line for line in error.replace("\r", "\n").splitlines() if line.startswith("stopped")]
    assert len(lines) == 1 and "out.part.mp4" in lines[0] and "Traceback" not in error
    count = int(lines[0].split("the ")[1].split(" frames")[0])
    assert len(frames_of("out.part.mp4")) == count < 200
    assert not Path("out.mp4").exists()


def test_second_ctrl_c_waits_for_the_threads_and_the_handler_is_restored(infer, capsys, monkeypatch):
    begin, ends = stylize_video.ahead, []

    def ahead(frames):
        taken = begin(frames)
        try:
            for number, frame in enumerate(taken):
                if number == 3:
                    os.kill(os.getpid(), signal.SIGINT)
                yield frame
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            taken.close()
            ends.append(threading.active_count())

    monkeypatch.setattr(stylize_video, "ahead", ahead)
    assert exit_status(infer, "a.mp4", "-o", "out.mp4") == 130
    assert ends and "stopped: the 3 frames so far are in out.part.mp4" in capsys.readouterr().err
    assert len(frames_of("out.part.mp4")) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_video_can_be_stylized_outside_the_main_thread(infer):
    with ThreadPoolExecutor(1) as pool:  # signal handlers can only be set in the main thread
        pool.submit(infer, "a.mp4", "-o", "out.mp4").result()
    assert len(frames_of("out.mp4")) == 8


def test_ctrl_c_skips_the_remaining_videos(infer, capsys, monkeypatch):
    write = Recorder.write

    def interrupted(self, frame):
        write(self, frame)
        if self.count == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "write", interrupted)
    make_clip(Path("b.mp4"), 6)
    assert exit_status(infer, "a.mp4", "b.mp4", "-o", "out") == 130
    assert "stopped: the 4 frames so far are in out/a.part.mp4" in capsys.readouterr().err
    assert sorted(read_folder(Path("out"))) == ["a.part.mp4"]


def test_recorder_notes_are_printed(infer, capsys):
    make_clip(Path("odd.mkv"), 3, size=(63, 47), pixels="yuv444p")
    infer("odd.mkv", "-o", "out.mp4")
    assert "out.mp4: 63x47 is odd" in capsys.readouterr().err
