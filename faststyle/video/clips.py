"""Base class of all sources of video: frames with times, one after another."""

from collections.abc import Iterator
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np

from faststyle.errors import InputError

RATE = 25  # frames per second of a folder of frames


class Frame(NamedTuple):
    """One frame of a video.

    Attributes:
        pixels: (H,W,3) uint8 RGB, upright.
        pts: Presentation time in units of the video's time_base.
        duration: How long the frame is shown, in units of time_base; None where unknown.
    """

    pixels: np.ndarray
    pts: int
    duration: int | None = None


class Colors(NamedTuple):
    """Colour tags of ITU-T H.273 that a recorder should write. The default is BT.709."""

    matrix: int = 1
    primaries: int = 1
    transfer: int = 1


class Clip:
    """An iterator of ``Frame`` in constant memory, which can be read once, and a context manager.

    Attributes:
        name: Name in error messages.
        width, height: Size in pixels, upright.
        time_base: Seconds of one unit of ``Frame.pts``.
        rate: Mean frames per second; None if unknown.
        step: Typical seconds from one frame to the next, at a variable rate; None if unknown.
        count: Estimated number of frames to come; None if unknown.
        notes: Lines for the user on what is unusual about the video. They can mention parameters.
        damage: None, or after the last frame one line that says what is damaged and where.
        path: File whose sound and subtitles can be copied; None if there is none.
        start, end: Seconds of the source to read.
        origin: Seconds of the source's own clock at which ``pts`` is 0.
        until: Seconds after ``origin`` at which reading ends.
        aspect: Width over height of a pixel.
        colors: Tags for a recording.
        numbers: Numbers of the frames' files, in order; None if frames have none.
    """

    def __init__(self, name: str, width: int, height: int, time_base: Fraction, max_size: int | None = None):
        self.name, self.time_base = name, time_base
        self.width, self.height = shrunk_size(width, height, max_size)
        self.rate: Fraction | None = None
        self.step: Fraction | None = None
        self.count: int | None = None
        self.notes: list[str] = []
        self.damage: str | None = None
        self.path: Path | None = None
        self.start, self.end, self.origin = 0.0, inf, Fraction(0)
        self.until: Fraction | float = inf
        self.aspect, self.colors = Fraction(1), Colors()
        self.numbers: list[int] | None = None
        self._iterator: Iterator[Frame] | None = None

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the source."""
        raise NotImplementedError

    def frame_seconds(self) -> Fraction:
        """Return the typical seconds from one frame to the next; a guess where nothing is known."""
        return self.step or 1 / (self.rate or Fraction(RATE))

    def resample(self, rate: Fraction) -> None:
        """Yield frames at a constant rate from now on: some are dropped, or repeated."""
        read, base = self.frames(), self.time_base
        if self.count is not None and self.rate:
            self.count = max(1, round(self.count * rate / self.rate))
        self.rate, self.step, self.time_base, self.numbers = rate, None, 1 / rate, None
        self._iterator = self._resampled(read, base)

    def _resampled(self, frames: Iterator[Frame], base: Fraction) -> Iterator[Frame]:
        shown, given, number, after = None, 0, 0, 0
        rate = self.rate or Fraction(RATE)
        for frame in frames:
            place = round(frame.pts * base * rate)
            number = place if shown is None else number
            while shown is not None and number < place:
                yield Frame(shown.pixels, number, 1)
                given, number = given + 1, number + 1
            shown, after = frame, round((frame.pts + (frame.duration or 0)) * base * rate)
        while shown is not None and (number < after or not given):
            yield Frame(shown.pixels, number, 1)
            given, number = given + 1, number + 1

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if self._iterator is None:
            self._iterator = self.frames()
        return next(self._iterator)

    def close(self) -> None:
        """Close the source and end the iteration."""
        self._iterator = iter(())

    def __enter__(self) -> "Clip":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def shrunk_size(width: int, height: int, max_size: int | None) -> tuple[int, int]:
    """Return width and height with at most ``max_size`` pixels on the longer side; even where it shrinks."""
    if max_size is None or max(width, height) <= max_size:
        return width, height
    share = max_size // 2 * 2 / max(width, height)
    return max(2, round(width * share / 2) * 2), max(2, round(height * share / 2) * 2)


def check_start(name: str, start: float, length: Fraction | float) -> None:
    """Check that a start time lies within a video's length in seconds.

    Raises:
        InputError: It does not.
    """
    if start >= length:
        raise InputError(
            f"{name} is {float(length):.2f} s long: give a `start` before that, not {start:g} s", file=name
        )


def exact_seconds(seconds: float) -> Fraction:
    """Return seconds as the user typed them: 0.2 is 1/5."""
    return Fraction(seconds).limit_denominator(1_000_000)


def exact_rate(fps: float) -> Fraction:
    """Return frames per second as a fraction; 29.97 and the like are multiples of 1000/1001.

    Raises:
        InputError: The rate is out of range.
    """
    if not 0.1 <= fps <= 1000:
        raise InputError(f"`fps` must be a number from 0.1 to 1000, not {fps:g}")
    whole = round(fps * 1.001)
    if fps != round(fps) and abs(whole / 1.001 - fps) < 0.005:
        return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1000)
