"""Tests of cameras: the newest frame, the window, and ``python infer.py --camera``."""

import os
import signal
import sys
import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from faststyle.cli import stylize_camera
from faststyle.cli.main import infer as main
from faststyle.errors import InputError
from faststyle.inference.video import VideoStylizer
from faststyle.video import live
from faststyle.video.clips import Clip, Frame
from faststyle.video.live import Newest, Window, show_frames
from tests.support.commands import expect_error_line
from tests.support.videos import SIZE, draw_moving_bar, inspect_video, make_clip


class Camera(Clip):
    """A simulated camera.

    Args:
        count: Number of frames. Default: unlimited.
        silent: Whether the camera blocks after its last frame instead of ending.
        every: Time between two frames in seconds.
    """

    def __init__(self, count: int | None = None, silent: bool = False, every: float = 0.005):
        super().__init__("camera 0", *SIZE, Fraction(1, 1_000_000))
        self.max_frames, self.silent, self.every = count, silent, every
        self.given, self.closed, self.awake = 0, False, threading.Event()
        self.taken, self.interrupted = 0, 0.0  # Number of stylized frames, and the time of the signal.

    def frames(self):
        begun = time.monotonic()
        while self.max_frames is None or self.given < self.max_frames:
            time.sleep(self.every)
            yield Frame(draw_moving_bar(self.given), round((time.monotonic() - begun) * 1_000_000))
            self.given += 1
        if self.silent:
            self.awake.wait()

    def close(self):
        super().close()
        self.closed = True


class FakeWindow:
    """A window without a display, which closes after ``max_frames`` frames."""

    def __init__(self, title: str = "", max_frames: int = 5):
        self.images: list[np.ndarray] = []
        self.updates, self.closed, self.max_frames = 0, False, max_frames

    def show(self, pixels):
        self.images.append(pixels)
        self.closed = len(self.images) >= self.max_frames

    def update(self):
        self.updates += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True


@pytest.fixture
def infer(tmp_path, monkeypatch, model):
    """Return a function that runs ``infer.py --camera 0`` with the small model in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
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
    monkeypatch.setattr(stylize_camera, "open_camera", lambda source, max_size: camera)
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


# The newest frame


def test_only_the_newest_frame_is_taken_and_the_last_one_is_kept():
    ready = threading.Event()

    def source():
        yield from range(5)
        ready.set()
        time.sleep(0.3)
        yield 9

    with Newest(source()) as newest:
        ready.wait()
        time.sleep(0.05)
        assert list(newest) == [4, 9]
    assert not newest.thread.is_alive()


def test_source_error_is_raised_after_its_items():
    def source():
        yield 1
        raise InputError("unplugged")

    with Newest(source()) as newest:
        newest.thread.join()
        assert newest.take() == 1
        with pytest.raises(InputError, match="unplugged"):
            newest.take()


def test_source_that_cannot_be_iterated_or_closed_does_not_block():
    class Broken:
        def __init__(self, line: str):
            self.line, self.closed = line, False

        def __iter__(self):
            if self.line == "no camera":
                raise InputError(self.line)
            return self

        def __next__(self):
            raise StopIteration if self.line == "stuck" else InputError(self.line)

        def close(self):
            self.closed = True
            raise InputError("stuck")

    for line in ("no camera", "unplugged", "stuck"):
        source = Broken(line)
        with Newest(source) as newest:
            with pytest.raises(InputError, match=line):
                newest.take(30)
            assert newest.over and source.closed


def test_rate_and_time_base_are_those_of_the_source():
    camera = Camera(1)
    camera.rate = Fraction(30)
    with Newest(camera) as newest, Newest(iter([])) as other:
        assert (newest.rate, newest.time_base) == (30, camera.time_base)
        assert (other.rate, other.time_base) == (None, None)


def test_stopping_closes_the_source_and_wakes_the_consumer():
    camera = Camera(2)
    camera.silent = True
    with Newest(camera) as newest:
        threading.Timer(0.2, newest.stop).start()
        taken = list(newest)
        camera.awake.set()
    assert 1 <= len(taken) <= 2 and camera.closed


def test_silent_source_does_not_block(monkeypatch):
    monkeypatch.setattr(live, "JOIN_TIMEOUT", 0.1)
    camera = Camera(1, silent=True)
    begun = time.monotonic()
    with Newest(camera) as newest:
        assert newest.take() is not None
        assert newest.take(0.05) is None
    assert time.monotonic() - begun < 10
    camera.awake.set()


# The window


def test_window_is_updated_while_no_frame_arrives():
    camera, window = Camera(1, silent=True), FakeWindow()
    with Newest(camera) as newest:
        threading.Timer(0.2, newest.stop).start()
        assert len(list(show_frames(newest, window))) == 1
        camera.awake.set()
    assert window.updates > 5


def test_missing_display_or_tkinter_error_suggests_output(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform == "linux":
        pytest.importorskip("tkinter")
        with pytest.raises(InputError, match=r"no display.*`output`"):
            Window("title")
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(InputError, match=r"needs tkinter.*`output`"):
        Window("title")


class FakeTkinter:
    """A stand-in for the parts of tkinter that ``Window`` uses."""

    TclError = RuntimeError

    class Tk:
        def __init__(self):
            self.keys, self.alive, FakeTkinter.root = {}, True, self

        title = configure = update = lambda self, *_, **__: None

        def bind(self, key, action):
            self.keys[key] = action

        def protocol(self, name, action):
            self.keys[name] = lambda _: action()

        def destroy(self):
            assert self.alive
            self.alive = False

    class Label:
        def __init__(self, root, **_):
            self.image = None

        def pack(self, **_):
            pass

        def configure(self, image):
            self.image = image


@pytest.mark.parametrize("key", ["q", "<Escape>", "WM_DELETE_WINDOW"])
def test_window_is_closed_by_a_key_or_its_button(monkeypatch, key):
    imagetk = pytest.importorskip("PIL.ImageTk")
    monkeypatch.setitem(sys.modules, "tkinter", FakeTkinter)
    monkeypatch.setattr(imagetk, "PhotoImage", lambda image, master: image)
    with Window("title") as window, Newest(Camera()) as newest:
        for number, frame in enumerate(show_frames(newest, window)):
            assert np.array_equal(np.asarray(window.label.image), frame.pixels)
            if number == 2:
                FakeTkinter.root.keys[key](None)
        assert number == 2 and window.closed
    assert not FakeTkinter.root.alive


def test_importing_live_imports_no_tkinter():
    code = "import sys, faststyle.video.live; assert 'tkinter' not in sys.modules"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0


# The command


def test_live_window_runs_until_it_is_closed(infer, camera, monkeypatch, capsys):
    windows = []
    monkeypatch.setattr(stylize_camera, "Window", lambda title: windows.append(FakeWindow()) or windows[0])
    infer()
    assert len(windows[0].images) == 5
    assert windows[0].images[0].shape == (48, 64, 3)
    assert camera.closed and list(Path().iterdir()) == []
    printed = capsys.readouterr()
    assert printed.out == "" and "engine: torch" in printed.err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_closes_the_window(infer, camera, monkeypatch):
    monkeypatch.setattr(stylize_camera, "Window", lambda title: FakeWindow(max_frames=10**9))
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
    monkeypatch.setattr(stylize_camera, "Window", lambda title: window)
    infer("-o", "out.mp4", "--preview")
    assert len(inspect_video(Path("out.mp4")).times) == len(window.images) == 5


def test_recording_does_not_open_a_window(infer, camera, monkeypatch):
    monkeypatch.setattr(stylize_camera, "Window", None)
    camera.max_frames = 5
    infer("-o", "out.gif")
    assert Path("out.gif").exists()


def test_full_disk_keeps_the_frames_recorded_so_far(infer, camera, monkeypatch, capsys):
    write = stylize_camera.Recorder.write

    def full(self, frame):
        if self.count == 5:
            raise OSError(28, "No space left on device", str(self.partial))
        write(self, frame)

    monkeypatch.setattr(stylize_camera.Recorder, "write", full)
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
    monkeypatch.setattr(stylize_camera, "open_camera", lambda *_: pytest.fail("opened"))
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
