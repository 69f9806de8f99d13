"""Duration of a video by what the file claims, which is often missing or wrong."""

from fractions import Fraction
from math import inf
from typing import Any

from faststyle.video.clips import exact_seconds


def whole_length(container: Any) -> Fraction | None:
    """Return the seconds of the longest track; None if the file does not say."""
    if not container.duration:
        return None
    whole = Fraction(container.duration, 1_000_000)
    if "matroska" not in container.format.name:
        return whole
    return from_zero(whole, Fraction(container.start_time or 0, 1_000_000))


def from_zero(end: Fraction, begin: Fraction) -> Fraction:
    """Convert a duration of Matroska, which counts from 0, to one that counts from the file's beginning."""
    return end - begin if end > begin else end


def video_length(container: Any, stream: Any, begin: Fraction) -> Fraction | None:
    """Return the seconds that the video lasts after ``begin``; None if the file does not say."""
    whole = whole_length(container)
    if stream.duration:
        own = (stream.duration + (stream.start_time or 0)) * stream.time_base - begin
        return own if whole is None else min(own, whole)
    tag = stream.metadata.get("DURATION", "")
    try:
        hours, minutes, seconds = map(Fraction, tag.split(":"))
        return from_zero(hours * 3600 + minutes * 60 + seconds, begin)
    except (ValueError, ZeroDivisionError):  # missing or damaged
        pass
    return whole if len(container.streams) == 1 else None


def estimated_count(
    length: Fraction | None, rate: Fraction | None, frames: int, start: float, end: float
) -> int | None:
    """Estimate the number of frames between two times.

    Args:
        length: Seconds of the video; None if unknown.
        rate: Frames per second; None if unknown.
        frames: Number of all frames by the file; 0 if it does not say.
        start, end: Seconds to read.
    """
    if not start and end == inf and frames:
        return frames
    if length is None or not rate:
        return None
    until = length if end == inf else min(length, exact_seconds(end))
    return max(1, round((until - exact_seconds(start)) * rate))


def breaks_off(length: Fraction | None, ended: Fraction, lasts: Fraction) -> bool:
    """Return True where a video ended before its length.

    Args:
        length: Seconds by the file; None if unknown.
        ended: Seconds at which the last frame ended.
        lasts: Seconds that the last frame is shown.
    """
    return length is not None and length - ended > max(Fraction(1, 4), length / 100, 3 * lasts)


def end_of_last(at: Fraction, lasts: Fraction, length: Fraction | None, whole: Fraction | None) -> Fraction:
    """Return the end of the last frame in seconds, by the first duration that lies after its beginning.

    Args:
        at: Beginning of the frame.
        lasts: Duration of the frame by its own tag.
        length: Duration of the video; None if unknown.
        whole: Duration of the file; None if unknown.
    """
    if length is not None and length > at:
        return length
    return min(at + lasts, whole) if whole is not None and whole > at else at + lasts
