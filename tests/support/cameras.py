"""A simulated camera and windows without a display."""

import threading
import time
from fractions import Fraction

import numpy as np

from faststyle.video.clips import Clip, Frame
from tests.support.videos import SIZE, draw_moving_bar


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
