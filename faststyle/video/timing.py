"""Rate of a video by the times of its frames, because what a header claims can be nonsense."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from statistics import median_low
from typing import Any, NamedTuple

from faststyle.video.clips import RATE
from faststyle.video.containers import import_av

# Limits of what is read to measure a rate: about a minute of most videos, which takes little time.
MAX_PACKETS, MAX_BYTES = 4000, 1 << 26
MAX_RATE = 1000  # frames per second; a header that claims more is not believed


class Timing(NamedTuple):
    """When the frames of a video are shown.

    Attributes:
        rate: Mean frames per second.
        step: Typical seconds from one frame to the next. It differs from 1 / rate at a variable rate.
        times: Seconds of every frame, sorted; None if the file was not read to its end.
    """

    rate: Fraction
    step: Fraction
    times: list[Fraction] | None


def claimed_rates(stream: Any) -> list[Fraction]:
    """Return the plausible frame rates that a stream's header claims."""
    return [rate for rate in (stream.average_rate, stream.guessed_rate) if rate and 0 < rate <= MAX_RATE]


def claimed_timing(stream: Any) -> Timing:
    """Return the timing by the header, for streams whose packets have no times."""
    rate = next(iter(claimed_rates(stream)), Fraction(RATE))
    return Timing(rate, 1 / rate, None)


def raw_timing(container: Any, stream: Any, rate: Fraction | None) -> Timing:
    """Return the timing of a raw stream, which has no times.

    Args:
        container: Open at its beginning; its packets are counted.
        stream: The video.
        rate: Frames per second. By default what the stream itself claims, or 25.
    """
    rate = rate or next(iter(claimed_rates(stream)), Fraction(RATE))
    count = 0
    for packet in readable(container, stream):
        count += packet.size > 0
        if count > MAX_PACKETS:
            return Timing(rate, 1 / rate, None)
    return Timing(rate, 1 / rate, [number / rate for number in range(count)])


def measure_timing(container: Any, stream: Any, by_dts: bool) -> Timing:
    """Measure the timing of a stream by the packets at the beginning of its file.

    Args:
        container: Open at its beginning; read up to ``MAX_PACKETS`` and ``MAX_BYTES``.
        stream: The video.
        by_dts: Packets have no times but those of decoding.
    """
    ticks, whole = read_ticks(container, stream, by_dts)
    base, claimed = stream.time_base, claimed_rates(stream)
    steps = [after - before for before, after in pairwise(ticks)]
    if not steps:
        return claimed_timing(stream)._replace(times=[tick * base for tick in ticks] if whole else None)
    step, mean = median_low(steps) * base, Fraction(ticks[-1] - ticks[0], len(steps)) * base
    # A header's rate is more exact than rounded times where the times agree with it.
    step = confirmed(claimed, step, min(base, step / 20))
    return Timing(
        1 / confirmed(claimed, mean, mean / 100), step, [t * base for t in ticks] if whole else None
    )


def confirmed(rates: list[Fraction], seconds: Fraction, tolerance: Fraction) -> Fraction:
    """Return the seconds of a frame by the first rate within the tolerance, else the measured seconds."""
    return next((1 / rate for rate in rates if abs(1 / rate - seconds) <= tolerance), seconds)


def read_ticks(container: Any, stream: Any, by_dts: bool) -> tuple[list[int], bool]:
    """Return the distinct times of frames, sorted, in units of time_base; and True if all were read."""
    ticks: set[int] = set()
    size = 0
    for number, packet in enumerate(readable(container, stream)):
        if number >= MAX_PACKETS or size >= MAX_BYTES:
            return sorted(ticks), False
        tick = packet.dts if by_dts or packet.pts is None else packet.pts
        size += packet.size
        if tick is not None and packet.size:
            ticks.add(tick)
    return sorted(ticks), True


def readable(container: Any, stream: Any) -> Iterator[Any]:
    """Yield a stream's packets up to the first that cannot be read; damage is reported when it is decoded."""
    try:
        yield from container.demux(stream)
    except (import_av().FFmpegError, OSError):
        return
