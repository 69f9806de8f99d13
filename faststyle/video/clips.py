"""Clips in, frame after frame: video files, animated pictures, folders of frames, cameras."""

import re
from collections.abc import Iterator
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from faststyle.errors import InputError
from faststyle.images import READABLE

VIDEOS = "mp4 m4v mov qt mkv webm avi mpg mpeg m2v vob ts mts m2ts wmv asf flv f4v 3gp 3g2 ogv ogm mxf dv y4m"
SUFFIXES = {f".{name}" for name in VIDEOS.split()}
ANIMATED = (".gif", ".webp", ".png", ".apng")  # which may hold one picture or several
RATE = 25  # frames a second, of frames in a folder
NUMBER = re.compile(r"%0?\d*d")


class Frame(NamedTuple):
    """One picture of a clip.

    Attributes:
        pixels: (H,W,3) uint8 RGB, upright.
        pts: presentation time in the clip's time_base.
    """

    pixels: np.ndarray
    pts: int


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
        lasting: how long the frame that was given last is shown, in units of time_base; None if unknown.
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
        self.lasting: int | None = None
        self._iterator: Iterator[Frame] | None = None

    def frames(self) -> Iterator[Frame]:
        """Read the source; ``lasting`` is set before each frame."""
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
            lasts, self.lasting = self.lasting or 0, 1
            number = place if shown is None else number
            while shown is not None and number < place:
                yield Frame(shown.pixels, number)
                given, number = given + 1, number + 1
            shown, after = frame, round((frame.pts + lasts) * base * rate)
        while shown is not None and (number < after or not given):
            yield Frame(shown.pixels, number)
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
        raise InputError(f"{name} is {float(length):.2f} s long: start before that, not at {start:g} s")


def exact(seconds: float) -> Fraction:
    """Seconds as they were typed: 0.2 is 1/5."""
    return Fraction(seconds).limit_denominator(1_000_000)


def exact_rate(fps: float) -> Fraction:
    """Frames per second as a fraction; 29.97 and its like are multiples of 1000/1001."""
    if not 0 < fps <= 1000:
        raise InputError(f"{fps:g} frames per second are not possible: give a number from 1 to 1000")
    whole = round(fps * 1.001)
    if fps != round(fps) and abs(whole / 1.001 - fps) < 0.005:
        return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1000)


def is_animated(path: Path) -> bool:
    if path.suffix.lower() not in ANIMATED or not path.is_file():
        return path.suffix.lower() == ".gif"
    try:
        with Image.open(path) as image:
            return getattr(image, "is_animated", False)
    except (OSError, SyntaxError, ValueError):
        return False


def is_pattern(path: Path) -> bool:
    """Whether this stands for numbered pictures, as ``frames/%04d.png`` does; a file that exists is none."""
    return bool(NUMBER.search(path.name)) and path.suffix.lower() in READABLE and not path.exists()


def numbered(pattern: Path, number: int) -> Path:
    """The file of the frame of this number."""
    return pattern.with_name(NUMBER.sub(lambda field: field.group() % number, pattern.name))


def is_clip(path: Path) -> bool:
    """Whether this is a clip rather than a picture, by its suffix; of GIF, WebP and PNG, by their frames."""
    return path.suffix.lower() in SUFFIXES or is_pattern(path) or is_animated(path)


def open_clip(
    source: str | Path,
    start: float = 0,
    end: float | None = None,
    max_size: int | None = None,
    fps: float | None = None,
) -> Clip:
    """Open a clip.

    Args:
        source: a video file, an animated GIF, WebP or PNG, a folder of numbered frames, or a pattern of
            their names, such as ``frames/%04d.png``.
        start: seconds that are left out before.
        end: seconds at which it ends; its own end without.
        max_size: shrink frames, so that no side has more pixels; never enlarge.
        fps: constant frames per second; the clip's own times without, and for frames in a folder 25.

    Raises:
        InputError: no such file, no video in it, damaged from its beginning, or start after its end.
    """
    path, end = Path(source), inf if end is None else end
    if start < 0 or end <= start:
        raise InputError(f"a clip from {start:g} s to {end:g} s has no frames: give an end after the start")
    rate = None if fps is None else exact_rate(fps)
    from faststyle.video.stills import Animation, Numbered, numbered_files

    if path.is_dir() or is_pattern(path):
        return Numbered(str(path), numbered_files(path), rate or Fraction(RATE), start, end, max_size)
    if not path.exists():
        raise InputError(f"there is no file {path}")
    clip: Clip
    if is_animated(path):
        clip = Animation(path, start, end, max_size)
    else:
        from faststyle.video.decoding import VideoClip

        clip = VideoClip(str(path), start, end, max_size)
    if rate is not None:
        clip.resample(rate)
    return clip


def open_camera(source: str, max_size: int | None = None) -> Clip:
    """Open a camera.

    Args:
        source: "0" is the first one; or an address, device or file that FFmpeg opens.
        max_size: as in ``open_clip``.

    Raises:
        InputError: there is no such camera.
    """
    from faststyle.video.cameras import camera
    from faststyle.video.decoding import VideoClip

    name, form, options = camera(source)
    return VideoClip(name, 0, inf, max_size, form=form, options=options, camera=True)
