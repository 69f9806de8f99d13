"""What a clip is, whatever it comes from: frames with times, one after another."""

from collections.abc import Iterator
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np

from faststyle.errors import InputError

RATE = 25  # frames a second, of frames in a folder


class Frame(NamedTuple):
    """One picture of a clip.

    Attributes:
        pixels: (H,W,3) uint8 RGB, upright.
        pts: presentation time in the clip's time_base.
        duration: How long the frame is shown, in units of time_base; None where unknown.
    """

    pixels: np.ndarray
    pts: int
    duration: int | None = None


class Colors(NamedTuple):
    """Colour tags as in ITU-T H.273, of what a recorder should write; those of BT.709 without any."""

    matrix: int = 1
    primaries: int = 1
    transfer: int = 1


class Clip:
    """A context manager, and an iterator of ``Frame`` in constant memory, which is passed over once.

    Attributes:
        name: for messages.
        width, height: pixels, upright.
        time_base: seconds of one unit of ``Frame.pts``.
        rate: mean frames per second, None if unknown.
        count: estimated number of frames that will come, None if unknown.
        damage: None, or after the last frame one line that says what broke and where.
        path: file whose sound and subtitles may be copied; None where there is none.
        start, end: seconds of the source that are wanted.
        origin: seconds of the source's own clock at which ``pts`` is 0.
        until: seconds after ``origin`` at which what is wanted ends.
        aspect: width over height of a pixel.
        colors: tags for what is written.
        numbers: those of the files of frames, in order; None where frames have none.
    """

    def __init__(self, name: str, width: int, height: int, time_base: Fraction, max_size: int | None = None):
        self.name, self.time_base = name, time_base
        self.width, self.height = shrunk(width, height, max_size)
        self.rate: Fraction | None = None
        self.count: int | None = None
        self.damage: str | None = None
        self.path: Path | None = None
        self.start, self.end, self.origin = 0.0, inf, Fraction(0)
        self.until: Fraction | float = inf
        self.aspect, self.colors = Fraction(1), Colors()
        self.numbers: list[int] | None = None
        self._iterator: Iterator[Frame] | None = None

    def frames(self) -> Iterator[Frame]:
        """Read the source."""
        raise NotImplementedError

    def resample(self, rate: Fraction) -> None:
        """Give frames at a constant rate: some are left out, or given twice."""
        read, base = self.frames(), self.time_base
        if self.count is not None and self.rate:
            self.count = max(1, round(self.count * rate / self.rate))
        self.rate, self.time_base, self.numbers = rate, 1 / rate, None
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
        """Close the source; no more frames come."""
        self._iterator = iter(())

    def __enter__(self) -> "Clip":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def shrunk(width: int, height: int, max_size: int | None) -> tuple[int, int]:
    """The size of a picture with a longer side of ``max_size`` pixels at most, even where it shrinks."""
    if max_size is None or max(width, height) <= max_size:
        return width, height
    share = max_size // 2 * 2 / max(width, height)
    return max(2, round(width * share / 2) * 2), max(2, round(height * share / 2) * 2)


def check_start(name: str, start: float, length: Fraction | float) -> None:
    if start >= length:
        raise InputError(
            f"{name} is {float(length):.2f} s long: give a `start` before that, not {start:g} s", file=name
        )


def exact(seconds: float) -> Fraction:
    """Seconds as they were typed: 0.2 is 1/5."""
    return Fraction(seconds).limit_denominator(1_000_000)


def exact_rate(fps: float) -> Fraction:
    """Frames per second as a fraction; 29.97 and its like are multiples of 1000/1001."""
    if not 0.1 <= fps <= 1000:
        raise InputError(f"`fps` must be a number from 0.1 to 1000, not {fps:g}")
    whole = round(fps * 1.001)
    if fps != round(fps) and abs(whole / 1.001 - fps) < 0.005:
        return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1000)
