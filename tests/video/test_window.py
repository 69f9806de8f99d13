"""Tests of the window that shows frames."""

import sys
import threading

import numpy as np
import pytest

from faststyle.errors import InputError
from faststyle.video.live import Newest, Window, show_frames
from tests.support.cameras import Camera, FakeTkinter, FakeWindow


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
