"""Video files and cameras decoded by FFmpeg: upright RGB frames, with their exact times."""

import time
from collections.abc import Iterator
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from faststyle.errors import InputError, first_line
from faststyle.video.clips import Clip, Frame, check_start, exact
from faststyle.video.hdr import HLG, PQ, tone_map
from faststyle.video.tags import EXACT, FULL, SCALED, colors, upright

LIVE = ("http:", "https:", "rtsp:", "rtsps:", "rtp:", "rtmp:", "udp:", "srt:", "tcp:")
ANY_START = 0x0200  # FFmpeg's AVFMT_TS_DISCONT: clocks of such formats start anywhere


def import_av() -> Any:
    try:
        import av
    except ImportError:
        raise InputError("video needs PyAV: pip install -e '.[video]'") from None
    return av


def reason(error: Exception) -> str:
    """What FFmpeg says of an error, without number and file."""
    return getattr(error, "strerror", None) or first_line(error)


class VideoClip(Clip):
    """What FFmpeg decodes: a file, a camera, or a stream from the network."""

    def __init__(
        self,
        name: str,
        start: float,
        end: float,
        max_size: int | None,
        form: str | None = None,
        options: dict[str, str] | None = None,
        camera: bool = False,
    ):
        self.av, self.name, self.camera = import_av(), name, camera
        # A relative name with a colon would be an address to FFmpeg.
        self.opening: dict[str, Any] = {
            "file": name if camera else str(Path(name).absolute()),
            "format": form,
            "options": options or {},
        }
        self.live = form is not None or name.startswith(LIVE)
        if self.live:
            self.opening["timeout"] = (10, 10)  # seconds; Ctrl-C waits for them too
        self.open()
        self.begin = Fraction(self.container.start_time or 0, 1_000_000)
        try:
            first = self.find_first(start)
        except BaseException:
            self.container.close()
            raise
        damage, base = self.damage, self.stream.time_base
        self.first, self.turn = first, upright(first)
        size = (first.height, first.width) if self.turn[0] else (first.width, first.height)
        super().__init__(name, *size, Fraction(1, 1_000_000) if self.live else base, max_size)
        self.damage, self.start, self.end = damage, start, end
        self.size = (self.height, self.width) if self.turn[0] else (self.width, self.height)
        aspect = self.stream.sample_aspect_ratio or Fraction(1)
        self.aspect = 1 / aspect if self.turn[0] else aspect
        self.path = None if camera else Path(name)
        self.rate = self.stream.average_rate or self.stream.guessed_rate
        if start:
            self.origin = first.pts * base
        elif self.container.format.flags & ANY_START:
            self.origin = self.begin
        if end != inf:
            self.until = self.begin + exact(end) - self.origin
        self.hdr = first.color_trc if first.color_trc in (PQ, HLG) else None
        self.matrix, self.range, self.colors = colors(first, self.hdr is not None)
        self.reformatter = self.av.video.reformatter.VideoReformatter()
        self.count = None if self.live else self.estimate()

    def open(self) -> None:
        """Open the source, and choose the stream; frames begin anew."""
        av = self.av
        try:
            self.container = av.open(mode="r", **self.opening)
        except (av.FFmpegError, OSError, ValueError) as error:
            if self.camera:
                raise InputError(f"there is no camera {self.name} ({reason(error)})") from None
            raise InputError(f"{self.name} is not a video that can be read ({reason(error)})") from None
        picture = av.stream.Disposition.attached_pic  # a cover
        videos = [s for s in self.container.streams.video if s.codec_context and not s.disposition & picture]
        if not videos:
            self.container.close()
            raise InputError(f"{self.name} has no video in it")
        best = self.container.streams.best("video")
        self.stream = next((s for s in videos if best is not None and s.index == best.index), videos[0])
        self.stream.thread_type = "AUTO"
        for other in self.container.streams:
            if other.index != self.stream.index:
                other.discard = av.stream.Discard.all
        self.damage, self.decoded = None, self.decode()

    def decode(self) -> Iterator[Any]:
        """Frames as they come; at the first that cannot be decoded they end."""
        av, last = self.av, None
        try:
            for packet in self.container.demux(self.stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    if last is not None:
                        raise
                    continue  # what was cut out of a broadcast begins between two key frames
                for frame in frames:
                    last = frame
                    yield frame
        except (av.FFmpegError, OSError) as error:
            for frame in self.remaining():
                last = frame
                yield frame
            self.broken(last, reason(error))
            return
        if last is not None and not self.live:
            self.check_whole(last)

    def remaining(self) -> Iterator[Any]:
        """Frames that the decoder still held when a later one broke."""
        try:
            yield from [f for f in self.stream.codec_context.decode(None) if not f.is_corrupt]
        except (self.av.FFmpegError, OSError):
            return

    def broken(self, last: Any, why: str) -> None:
        at = 0 if last is None or last.pts is None else last.pts * self.stream.time_base - self.begin
        self.damage = f"{self.name} is damaged after {float(at):.1f} s: {why}"

    def check_whole(self, last: Any) -> None:
        """Some demuxers end a file that was cut off without a word."""
        length, base = self.length(), self.stream.time_base
        if length is None or last.pts is None:
            return
        lasts = (last.duration or 0) * base
        if length - (last.pts * base + lasts - self.begin) > max(Fraction(1, 4), length / 100, 3 * lasts):
            self.broken(last, f"it ends there, though it should last {float(length):.1f} s")

    def length(self) -> Fraction | None:
        """Seconds that the video lasts, None if the file does not say."""
        stream, container, base = self.stream, self.container, self.stream.time_base
        whole = Fraction(container.duration, 1_000_000) if container.duration else None
        if stream.duration:
            own = (stream.duration + (stream.start_time or 0)) * base - self.begin
            return own if whole is None else min(own, whole)
        tag = stream.metadata.get("DURATION", "")
        if tag.count(":") == 2:
            hours, minutes, seconds = tag.split(":")
            return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds)
        return whole if len(container.streams) == 1 else None

    def estimate(self) -> int | None:
        length, whole = self.length(), self.container.duration
        if not self.start and self.end == inf and self.stream.frames:
            return self.stream.frames
        length = Fraction(whole, 1_000_000) if length is None and whole else length
        if length is None or not self.rate:
            return None
        end = length if self.end == inf else min(length, exact(self.end))
        return max(1, round((end - exact(self.start)) * self.rate))

    def find_first(self, start: float) -> Any:
        """The first frame at a time or after it."""
        frame, length = None, self.length()
        if start:
            if length is not None:
                check_start(self.name, start, length)
            at = self.begin + exact(start)
            try:
                self.container.seek(int(at / self.stream.time_base), stream=self.stream)
                frame = next(self.decoded, None)
            except (self.av.FFmpegError, OSError):
                frame = None
            if frame is None or self.clock(frame) > at:
                self.container.close()  # a seek that went too far: read from the beginning
                self.open()
                frame = next(self.decoded, None)
            while frame is not None and self.clock(frame) < at:
                frame = next(self.decoded, None)
        else:
            frame = next(self.decoded, None)
        if frame is None and start:
            raise InputError(f"{self.name} has no frame after {start:g} s: give an earlier start")
        if frame is None:
            raise InputError(f"no frame of {self.name} can be decoded: it is damaged, or of an unknown kind")
        return frame

    def clock(self, frame: Any) -> Fraction:
        return (frame.pts or 0) * self.stream.time_base

    def frames(self) -> Iterator[Frame]:
        if self.live:
            yield from self.arriving()
            return
        base, last = self.stream.time_base, -inf
        offset, step = round(self.origin / base), round(1 / (self.rate * base)) if self.rate else 1
        frame, self.first = self.first, None
        while frame is not None:
            # The next one tells how long this is shown: what files say of it is often wrong.
            following = next(self.decoded, None)
            pts = self.time(frame, last, offset, step)
            if pts * base >= self.until:
                return
            end = self.last_end(frame, pts, step)
            if following is not None:
                end = self.time(following, pts, offset, step)
            self.lasting = max(1, round(min(end, self.until / base)) - pts)
            if pts > last:  # two frames at one time cannot be written
                last = pts
                yield Frame(self.pixels(frame), pts)
            frame = following

    def time(self, frame: Any, last: float, offset: int, step: int) -> int:
        """A frame's pts in the clip; after the last one's where it has none."""
        if frame.pts is not None:
            return frame.pts - offset
        return 0 if last == -inf else int(last) + step

    def last_end(self, frame: Any, pts: int, step: int) -> int:
        """When the last frame ends, in the clip's units."""
        base, length, whole = self.stream.time_base, self.length(), self.container.duration
        if length is not None and self.damage is None:
            end = round((self.begin + length - self.origin) / base)
            if end > pts:
                return end
        whole_end = round((self.begin + Fraction(whole or 0, 1_000_000) - self.origin) / base)
        own = pts + (frame.duration or step)
        return min(own, whole_end) if whole_end > pts else own

    def arriving(self) -> Iterator[Frame]:
        """A camera's frames, by the clock: the next one is not waited for."""
        started, last = None, -1
        frame, self.first = self.first, None
        while frame is not None:
            now = time.monotonic()
            started = now if started is None else started
            last = max(last + 1, round((now - started) / self.time_base))
            yield Frame(self.pixels(frame), last)
            frame = next(self.decoded, None)

    def pixels(self, frame: Any) -> np.ndarray:
        """(H,W,3) uint8 RGB, upright, of the clip's size."""
        alpha = frame.format.has_palette or any(c.is_alpha for c in frame.format.components)
        rgb = self.reformatter.reformat(
            frame,
            *self.size,
            "rgba" if alpha else "rgb24",
            src_colorspace=None if frame.format.is_rgb else self.matrix,
            src_color_range=self.range,
            dst_color_range=FULL,
            interpolation=EXACT if self.size == (frame.width, frame.height) else SCALED,
        ).to_ndarray()
        if alpha:  # laid on white
            weight = rgb[..., 3:].astype(np.uint16)
            rgb = ((rgb[..., :3] * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)
        if self.hdr is not None:
            rgb = tone_map(np.ascontiguousarray(rgb), self.hdr)
        turned, flip_x, flip_y = self.turn
        rgb = rgb.swapaxes(0, 1) if turned else rgb
        return np.ascontiguousarray(rgb[:: -1 if flip_y else 1, :: -1 if flip_x else 1])

    def close(self) -> None:
        super().close()
        self.first, self.decoded = None, iter(())
        self.container.close()
