"""Duration of a video by what the file claims, which is often missing or wrong."""

from fractions import Fraction
from math import inf
from typing import Any

from faststyle.video.clips import exact


def whole_length(container: Any) -> Fraction | None:
    """Seconds of the longest track, None if the file does not say."""
    if not container.duration:
        return None
    whole = Fraction(container.duration, 1_000_000)
    if "matroska" not in container.format.name:
        return whole
    return from_zero(whole, Fraction(container.start_time or 0, 1_000_000))


def from_zero(end: Fraction, begin: Fraction) -> Fraction:
    """A length of Matroska's, which counts from 0 wherever the file begins."""
    return end - begin if end > begin else end


def video_length(container: Any, stream: Any, begin: Fraction) -> Fraction | None:
    """Seconds that the video lasts after ``begin``, None if the file does not say."""
    whole = whole_length(container)
    if stream.duration:
        own = (stream.duration + (stream.start_time or 0)) * stream.time_base - begin
        return own if whole is None else min(own, whole)
    tag = stream.metadata.get("DURATION", "")
    try:
        hours, minutes, seconds = map(Fraction, tag.split(":"))
        return from_zero(hours * 3600 + minutes * 60 + seconds, begin)
    except (ValueError, ZeroDivisionError):  # there is none, or it is damaged
        pass
    return whole if len(container.streams) == 1 else None


def estimated_count(
    length: Fraction | None, rate: Fraction | None, frames: int, start: float, end: float
) -> int | None:
    """How many frames there are between two times; ``frames`` is what the file says of all, 0 if nothing."""
    if not start and end == inf and frames:
        return frames
    if length is None or not rate:
        return None
    until = length if end == inf else min(length, exact(end))
    return max(1, round((until - exact(start)) * rate))


def breaks_off(length: Fraction | None, ended: Fraction, lasts: Fraction) -> bool:
    """Whether a video ended before its length; ``lasts`` is what its last frame is shown for."""
    return length is not None and length - ended > max(Fraction(1, 4), length / 100, 3 * lasts)


def end_of_last(at: Fraction, lasts: Fraction, length: Fraction | None, whole: Fraction | None) -> Fraction:
    """When the last frame ends, in seconds; where the lengths are not after it, by its own.

    Args:
        at: when it begins.
        lasts: what it says of itself.
        length: of the video.
        whole: of the file.
    """
    if length is not None and length > at:
        return length
    return min(at + lasts, whole) if whole is not None and whole > at else at + lasts
