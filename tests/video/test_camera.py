"""Tests of ``python infer.py --camera``."""

import os
import signal
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import av
import pytest

from faststyle.cli import camera as camera_module
from faststyle.cli import stylize_video
from faststyle.cli.main import infer as main
from faststyle.inference.video import VideoStylizer
from faststyle.video import live
from tests.support.cameras import Camera, FakeWindow
from tests.support.commands import expect_error_line
from tests.support.videos import inspect_video, make_clip


@pytest.fixture
def infer(work, model):
    """Return a function that runs ``infer.py --camera 0`` with the small model in an empty folder."""
    flags = ["--checkpoint", str(model), "--device=cpu", "--engine=torch", "--camera", "0"]
    return lambda *arguments: main([*flags, *map(str, arguments)])


@pytest.fixture
def camera(monkeypatch) -> Camera:
    camera, original = Camera(), VideoStylizer.__call__

    def counted(self, frames):
        result = original(self, frames)
        camera.taken += 1
        return result

    monkeypatch.setattr(VideoStylizer, "__call__", counted)
    monkeypatch.setattr(camera_module, "open_camera", lambda source, max_size: camera)
    yield camera
    camera.awake.set()


def interrupt(camera: Camera, number: int = signal.SIGINT) -> None:
    """Send a signal to this process once the camera has yielded three frames and some are stylized."""

    def work() -> None:
        while camera.given < 3 or camera.taken < (1 if camera.silent else 3):
            time.sleep(0.01)
        camera.interrupted = time.monotonic()
        os.kill(os.getpid(), number)

    threading.Thread(target=work, daemon=True).start()


def test_live_window_runs_until_it_is_closed(infer, camera, monkeypatch, capsys):
    windows = []
    monkeypatch.setattr(camera_module, "Window", lambda title: windows.append(FakeWindow()) or windows[0])
    infer()
    assert len(windows[0].images) == 5
    assert windows[0].images[0].shape == (48, 64, 3)
    assert camera.closed and list(Path().iterdir()) == []
    printed = capsys.readouterr()
    assert printed.out == "" and "engine: " not in printed.err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_closes_the_window(infer, camera, monkeypatch):
    monkeypatch.setattr(camera_module, "Window", lambda title: FakeWindow(max_frames=10**9))
    interrupt(camera)
    infer()
    assert camera.closed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_the_recording(infer, camera, capsys, number):
    interrupt(camera, number)
    infer("-o", "out.mp4")
    assert capsys.readouterr().out == "out.mp4\n"
    assert [path.name for path in Path().iterdir()] == ["out.mp4"]
    times = inspect_video(Path("out.mp4")).times
    assert 1 < len(times) <= camera.given + 1
    assert camera.closed


@pytest.mark.slow
def test_excess_frames_are_dropped_and_times_are_arrival_times(infer, camera, monkeypatch):
    original = VideoStylizer.__call__

    def slow(self, frames):
        time.sleep(0.1)
        if camera.taken == 7:
            camera.max_frames = 0  # The camera ends.
        return original(self, frames)

    monkeypatch.setattr(VideoStylizer, "__call__", slow)
    infer("-o", "out.mp4")
    times = inspect_video(Path("out.mp4")).times
    assert 8 <= len(times) < 12 and camera.given > 2 * len(times)
    steps = [float(after - before) for before, after in pairwise(times)]
    assert min(steps[1:-1]) > 0.08


def test_silent_camera_does_not_delay_ctrl_c(infer, camera, monkeypatch):
    monkeypatch.setattr(live, "JOIN_TIMEOUT", 0.1)
    camera.max_frames, camera.silent = 3, True
    interrupt(camera)
    infer("-o", "out.mp4")
    assert time.monotonic() - camera.interrupted < 10
    assert len(inspect_video(Path("out.mp4")).times) >= 1


def test_preview_shows_the_recorded_frames(infer, camera, monkeypatch):
    window = FakeWindow()
    monkeypatch.setattr(camera_module, "Window", lambda title: window)
    infer("-o", "out.mp4", "--preview")
    assert len(inspect_video(Path("out.mp4")).times) == len(window.images) == 5


def test_recording_does_not_open_a_window(infer, camera, monkeypatch):
    monkeypatch.setattr(camera_module, "Window", None)
    camera.max_frames = 5
    infer("-o", "out.gif")
    assert Path("out.gif").exists()


def test_full_disk_keeps_the_frames_recorded_so_far(infer, camera, monkeypatch, capsys):
    write = stylize_video.Recorder.write

    def full(self, frame):
        if self.count == 5:
            raise OSError(28, "No space left on device", str(self.partial))
        write(self, frame)

    monkeypatch.setattr(stylize_video.Recorder, "write", full)
    with pytest.raises(SystemExit) as caught:
        infer("-o", "out.mp4")
    assert caught.value.code == 2
    assert (
        "error: out.mp4: No space left on device: what could be written is in out.part.mp4"
        in capsys.readouterr().err
    )
    assert len(inspect_video(Path("out.part.mp4")).times) == 5 and camera.closed


def test_camera_can_be_a_file_or_an_address(infer, monkeypatch):
    make_clip(Path("a.mkv"), 8)
    main_flags = ["--camera", "a.mkv", "-o", "out.mp4", "--max-size", "32"]
    infer(*main_flags)
    assert inspect_video(Path("out.mp4")).size == (32, 24)


def test_camera_is_not_opened_if_the_model_cannot_be_loaded(infer, monkeypatch, capsys):
    monkeypatch.setattr(camera_module, "open_camera", lambda *_: pytest.fail("opened"))
    Path("bad.safetensors").write_bytes(b"no model")
    assert "bad.safetensors" in expect_error_line(
        capsys, infer, "-o", "out.mp4", "--checkpoint", "bad.safetensors"
    )


def test_camera_number_opens_video4linux(infer, monkeypatch):
    make_clip(Path("a.mkv"), 8)
    real, seen = av.open, []

    def opened(file, *arguments, **options):
        if file == "/dev/video0":
            seen.append(options["format"])
            return real("a.mkv", "r")
        return real(file, *arguments, **options)

    monkeypatch.setattr(av, "open", opened)
    monkeypatch.setattr(sys, "platform", "linux")
    infer("-o", "out.mp4")
    assert seen == ["v4l2"]
    assert 1 <= len(inspect_video(Path("out.mp4")).times) <= 8


@pytest.mark.parametrize(
    "options, message",
    [
        ("-o out.mp4", "there is no camera"),
        ("-o out.xyz", ".mp4"),
        ("-o out.mp4 --codec h265x", "h265x"),
        ("", "display"),
    ],
)
def test_invalid_camera_options_give_one_error_line(infer, capsys, monkeypatch, options, message):
    monkeypatch.delenv("DISPLAY", raising=False)
    assert message in expect_error_line(capsys, infer, *options.split())
    assert list(Path().iterdir()) == []
