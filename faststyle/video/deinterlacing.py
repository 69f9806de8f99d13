"""Deinterlace frames with FFmpeg's bwdif, where the stream says that they are interlaced."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from faststyle.video.containers import import_av

# Codecs that do not mark interlaced frames. For these, the container's tag counts.
UNMARKED = {"ffv1", "ffvhuff", "huffyuv", "utvideo", "mjpeg", "jpeg2000", "png", "qtrle"}
TOP_FIRST, BOTTOM_FIRST = (2, 5), (3, 4)  # FFmpeg's field orders by the field that is shown first
MIN_SIDE = 4  # pixels; bwdif takes no smaller frames


def stream_parity(stream: Any) -> str | None:
    """Return the field that the container says is shown first, tff or bff; None if the frames say it."""
    context = stream.codec_context
    if context.name not in UNMARKED:
        return None
    order = getattr(context, "field_order", 0)  # PyAV 17 has none
    return "tff" if order in TOP_FIRST else "bff" if order in BOTTOM_FIRST else None


def deinterlace(
    frames: Iterator[Any], time_base: Fraction, parity: str | None, report: Callable[[], object]
) -> Iterator[Any]:
    """Yield each frame with its time; an interlaced one as one progressive frame.

    Args:
        frames: Decoded frames.
        time_base: Seconds of one unit of the frames' pts.
        parity: Field that comes first in all frames; None if each frame says whether it is interlaced.
        report: Called before the first interlaced frame.
    """
    graph, shape = None, None
    for frame in frames:
        if graph is not None and shape_of(frame) != shape:
            graph.push(None)
            yield from pull(graph, time_base)
            graph = None
        interlaced = (parity or frame.interlaced_frame) and min(frame.width, frame.height) >= MIN_SIDE
        if graph is None and not interlaced:
            yield frame
            continue
        if graph is None:
            report()
            graph, shape = build_graph(frame, time_base, parity), shape_of(frame)
        graph.push(frame)
        yield from pull(graph, time_base)
    if graph is not None:
        graph.push(None)
        yield from pull(graph, time_base)


def shape_of(frame: Any) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def build_graph(frame: Any, time_base: Fraction, parity: str | None) -> Any:
    """Return a filter for frames like the given one."""
    graph = import_av().filter.Graph()
    width, height, form = shape_of(frame)
    source = graph.add_buffer(width=width, height=height, format=form, time_base=time_base)
    which = "interlaced" if parity is None else "all"
    bwdif = graph.add("bwdif", f"mode=send_frame:parity={parity or 'auto'}:deint={which}")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph


def pull(graph: Any, time_base: Fraction) -> Iterator[Any]:
    """Yield the frames that a filter has ready, with times in the given unit."""
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, EOFError):
            return
        frame.pts = round(frame.pts * frame.time_base / time_base)  # bwdif counts in half units
        frame.time_base = time_base
        yield frame
