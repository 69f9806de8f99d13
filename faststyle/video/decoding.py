"""Decode video files and cameras with FFmpeg to upright RGB frames with exact times."""

import time
from collections.abc import Iterator
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Any

from faststyle.errors import InputError
from faststyle.video.clips import Clip, Frame, check_start, exact_seconds
from faststyle.video.containers import choose_video, decoder_for, ffmpeg_message, import_av, open_file
from faststyle.video.conversion import RgbConverter
from faststyle.video.deinterlacing import deinterlace, stream_parity
from faststyle.video.durations import breaks_off, end_of_last, estimated_count, video_length, whole_length
from faststyle.video.timing import Timing, claimed_timing, measure_timing, raw_timing

LIVE = ("http:", "https:", "rtsp:", "rtsps:", "rtp:", "rtmp:", "udp:", "srt:", "tcp:")
MAX_FRAME_PIXELS = 1 << 26  # 8192x8192
AVFMT_NOTIMESTAMPS = 0x0080  # raw streams
AVFMT_TS_DISCONT = 0x0200  # the clocks of such formats start anywhere


class VideoClip(Clip):
    """A file, a camera or a network stream that FFmpeg decodes."""

    def __init__(
        self,
        name: str,
        start: float,
        end: float,
        max_size: int | None,
        form: str | None = None,
        options: dict[str, str] | None = None,
        camera: bool = False,
        raw_rate: Fraction | None = None,
    ):
        """
        Args:
            name: A file, or a camera for FFmpeg.
            start, end: Seconds to read.
            max_size: Shrink frames whose longer side has more pixels.
            form, options: FFmpeg's format and options for a camera.
            camera: The name is a camera's.
            raw_rate: Frames per second of a stream without times.
        """
        super().__init__(name, 0, 0, Fraction(1))  # size and time base follow when it is open
        self.av, self.camera, self.start, self.end = import_av(), camera, start, end
        self.live = form is not None or name.startswith(LIVE)
        self.opening: dict[str, Any] = {"file": name, "format": form, "options": options or {}}
        if self.live:
            self.opening["timeout"] = (10, 10)  # seconds, which Ctrl-C waits for too
        self.open()
        self.begin = Fraction(self.container.start_time or 0, 1_000_000)
        self.timing = claimed_timing(self.stream) if camera else self.measure_timing(raw_rate)
        self.rate, self.step = self.timing.rate, self.timing.step
        try:
            first = self.find_first(start)
        except BaseException:
            self.container.close()
            raise
        self.first, self.to_rgb = first, RgbConverter(first, max_size)
        self.width, self.height = self.to_rgb.width, self.to_rgb.height
        self.colors = self.to_rgb.colors
        self.time_base = Fraction(1, 1_000_000) if self.live else self.stream.time_base
        aspect = self.stream.sample_aspect_ratio or Fraction(1)
        self.aspect = 1 / aspect if self.to_rgb.turned else aspect
        self.path = None if camera else Path(name)
        if start:
            self.origin = self.clock(first)
        elif self.container.format.flags & AVFMT_TS_DISCONT:
            self.origin = self.begin
        if end != inf:
            self.until = self.begin + exact_seconds(end) - self.origin
        if not self.live:
            self.count = self.estimate_count()

    def open(self) -> None:
        """Open the source and choose the video stream; frames start from the beginning."""
        av = self.av
        try:
            self.container = av.open(mode="r", **self.opening) if self.camera else open_file(self.name)
        except (av.FFmpegError, OSError, ValueError) as error:
            if self.camera:
                raise InputError(
                    f"there is no camera {self.name} ({ffmpeg_message(error)})", file=self.name
                ) from None
            raise InputError(
                f"{self.name} is not a video that can be read ({ffmpeg_message(error)})", file=self.name
            ) from None
        self.stream = choose_video(self.container)
        if self.stream is None:
            self.container.close()
            raise InputError(f"{self.name} has no video in it", file=self.name)
        self.decoder = decoder_for(self.stream)
        self.decoder.thread_type = "AUTO"
        self.decoder.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        # AVI has no times but the order of packets, which differs from the order of display for B-frames.
        self.unordered = self.container.format.name == "avi"
        self.raw = bool(self.container.format.flags & AVFMT_NOTIMESTAMPS)
        self.damage, frames = None, self.with_times(self.decode())
        parity = stream_parity(self.stream)
        self.decoded = deinterlace(frames, self.stream.time_base, parity, self.note_interlaced)

    def measure_timing(self, raw_rate: Fraction | None) -> Timing:
        """Measure when frames are shown, in a second reader of the file."""
        with open_file(self.name) as container:
            stream = choose_video(container)
            if not self.raw:
                return measure_timing(container, stream, self.unordered)
            timing = raw_timing(container, stream, raw_rate)
        if raw_rate is None:
            self.notes.append(
                f"the video holds no times, so that {float(timing.rate):g} frames per second are assumed: "
                "`fps` sets another rate"
            )
        return timing

    def estimate_count(self) -> int | None:
        """Return the number of frames between start and end, exact where the times of all are known."""
        if self.timing.times is None:
            length = self.length() or whole_length(self.container)
            return estimated_count(length, self.rate, self.stream.frames, self.start, self.end)
        start, end = (
            seconds if seconds in (0, inf) else exact_seconds(seconds) for seconds in (self.start, self.end)
        )
        return max(1, sum(start <= time - self.begin < end for time in self.timing.times))

    def with_times(self, frames: Iterator[Any]) -> Iterator[Any]:
        """Yield frames with growing pts, whatever the file says, so that none is lost."""
        base = self.stream.time_base
        step = max(1, round(self.frame_seconds() / base))
        last: int | None = None
        for frame in frames:
            pts, dts = frame.pts, frame.dts
            if self.raw:
                pts = None
            elif self.unordered or pts is None or (None not in (last, dts) and pts <= last < dts):
                pts = dts
            if last is None:
                pts = round(self.begin / base) if pts is None else pts
            elif pts is None or pts <= last - step:  # missing, or the clock was set back
                pts = last + step
            elif pts <= last:
                pts = last + 1
            else:
                step = pts - last
            frame.pts = last = pts
            yield frame

    def note_interlaced(self) -> None:
        note = "the video is interlaced: each frame is deinterlaced (bwdif)"
        if note not in self.notes:
            self.notes.append(note)

    def decode(self) -> Iterator[Any]:
        """Yield decoded frames; end at the first that cannot be decoded."""
        av, last = self.av, None
        try:
            for packet in self.container.demux(self.stream):
                try:
                    frames = self.decoder.decode(packet)
                except av.FFmpegError:
                    if last is not None:
                        raise
                    continue  # excerpts of broadcasts start between two keyframes
                for frame in frames:
                    last = frame
                    yield frame
        except (av.FFmpegError, OSError) as error:
            for frame in self.remaining():
                last = frame
                yield frame
            self.note_damage(last, ffmpeg_message(error))
            return
        if last is not None and not self.live:
            self.check_whole(last)

    def remaining(self) -> Iterator[Any]:
        """Yield the frames that the decoder still held when a later one failed."""
        try:
            yield from [f for f in self.decoder.decode(None) if not f.is_corrupt]
        except (self.av.FFmpegError, OSError):
            return

    def note_damage(self, last: Any, why: str) -> None:
        """Set ``damage`` to what is wrong after the last frame."""
        at = 0 if last is None else self.clock(last) - self.begin
        self.damage = f"{self.name} is damaged after {float(at):.1f} s: {why}"

    def check_whole(self, last: Any) -> None:
        """Note damage where a file is cut off; some demuxers end it without an error."""
        length, lasts = self.length(), (last.duration or 0) * self.stream.time_base
        if length is not None and breaks_off(length, self.clock(last) + lasts - self.begin, lasts):
            self.note_damage(last, f"it ends there, though it should last {float(length):.1f} s")

    def length(self) -> Fraction | None:
        """Return the seconds that the video should last; None if the file does not say."""
        return video_length(self.container, self.stream, self.begin)

    def find_first(self, start: float) -> Any:
        """Decode the first frame at a time in seconds or after it.

        Raises:
            InputError: There is none.
        """
        frame = self.seek(start) if start else next(self.decoded, None)
        if frame is None and start:
            raise InputError(
                f"{self.name} has no frame after {start:g} s: give an earlier `start`", file=self.name
            )
        if frame is None:
            raise InputError(
                f"no frame of {self.name} can be decoded: it is damaged, or in an unknown format",
                file=self.name,
            )
        return frame

    def seek(self, start: float) -> Any:
        """Decode the first frame at a time in seconds or after it; return None if there is none."""
        length, at = self.length(), self.begin + exact_seconds(start)
        if length is not None:
            check_start(self.name, start, length)
        try:
            if not self.raw:
                self.container.seek(int(at / self.stream.time_base), stream=self.stream)
            frame = next(self.decoded, None)
        except (self.av.FFmpegError, OSError):
            frame = None
        if frame is None or self.clock(frame) > at:
            self.container.close()  # the seek went too far: read from the beginning
            self.open()
            frame = next(self.decoded, None)
        while frame is not None and self.clock(frame) < at:
            frame = next(self.decoded, None)
        return frame

    def clock(self, frame: Any) -> Fraction:
        """Return a frame's time in seconds of the source's clock."""
        return frame.pts * self.stream.time_base

    def frames(self) -> Iterator[Frame]:
        if self.live:
            yield from self.arriving()
            return
        base = self.stream.time_base
        offset = round(self.origin / base)
        frame, self.first = self.first, None
        while frame is not None:
            # The next frame ends this one, because durations in files are often wrong.
            following = next(self.decoded, None)
            pts = frame.pts - offset
            if pts * base >= self.until:
                return
            end = self.last_end(frame) if following is None else following.pts - offset
            yield Frame(self.to_rgb(frame), pts, max(1, round(min(end, self.until / base)) - pts))
            frame = following

    def last_end(self, frame: Any) -> int:
        """Return the end of the last frame, in units of time_base."""
        base = self.stream.time_base
        step, lasts = self.frame_seconds(), (frame.duration or 0) * base
        lasts = step if lasts < step / 2 else lasts  # a header's rate, which can be nonsense
        length = None if self.damage else self.length()
        end = end_of_last(self.clock(frame) - self.begin, lasts, length, whole_length(self.container))
        return round((end + self.begin - self.origin) / base)

    def arriving(self) -> Iterator[Frame]:
        """Yield a camera's frames with the time of their arrival, without waiting for the next."""
        started, last = None, -1
        frame, self.first = self.first, None
        while frame is not None:
            now = time.monotonic()
            started = now if started is None else started
            last = max(last + 1, round((now - started) / self.time_base))
            yield Frame(self.to_rgb(frame), last)
            frame = next(self.decoded, None)

    def close(self) -> None:
        super().close()
        self.first, self.decoded = None, iter(())
        self.container.close()
