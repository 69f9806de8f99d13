"""Tests of taking the newest frame of a source."""

import os
import sys
import threading
import time
from fractions import Fraction

import pytest

from faststyle.errors import InputError
from faststyle.video import live
from faststyle.video.live import Newest
from tests.support.cameras import Camera


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


def test_importing_live_imports_no_tkinter():
    code = "import sys, faststyle.video.live; assert 'tkinter' not in sys.modules"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0
