"""Write frames to a video file, an animated GIF or numbered images, with times, sound and colours."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from faststyle.errors import InputError, first_line
from faststyle.files import shorten_name
from faststyle.image.files import FORMATS as IMAGE_FORMATS
from faststyle.image.files import save_image
from faststyle.video.clips import Clip, Frame
from faststyle.video.containers import ffmpeg_message, import_av
from faststyle.video.encoders import Encoder, find_encoder, restored_priority
from faststyle.video.gif import GifPalette
from faststyle.video.opening import is_pattern, numbered
from faststyle.video.tags import SCALED
from faststyle.video.tracks import Tracks

# FFmpeg's format for each suffix.
FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".gif": "gif",
}
KEYFRAME_SECONDS = 1  # with what the encoder holds, a kill or a power cut costs two seconds at most


def check_recording(path: Path, codec: str | None = None, crf: float | None = None) -> None:
    """Check before the work that a video can be written; codec and crf are as for ``Recorder``.

    Raises:
        InputError: The suffix is unknown, there is no such encoder for it, or PyAV is missing.
    """
    encoder_for(path, codec, crf)


def encoder_for(path: Path, codec: str | None, crf: float | None) -> Encoder | None:
    """Return the encoder for a file; None for numbered images.

    Raises:
        InputError: As for ``check_recording``.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS and is_pattern(path):
        if suffix not in IMAGE_FORMATS:
            raise InputError(
                f"cannot write {path}: frames' names must end in one of {', '.join(IMAGE_FORMATS)}"
            )
        if codec is not None or crf is not None:
            given = "`codec`" if codec is not None else "`crf`"
            raise InputError(f"{path} are images, which have no codec: leave out {given}")
        return None
    if suffix not in FORMATS:
        raise InputError(
            f"cannot write {path}: a video's name must end in one of {', '.join(FORMATS)}, or be a pattern "
            "of images such as out/%05d.png"
        )
    return find_encoder(FORMATS[suffix], suffix, codec, crf)


def part_of(path: Path) -> Path:
    """Return the name of a file while it is being written."""
    return path.with_name(f"{shorten_name(path.stem)}.part{path.suffix}")


class Recorder:
    """A context manager that writes frames, and copies sound, subtitles and chapters of the source.

    When its context ends, the file is finished and renamed to ``path``. After an exception the frames so far
    are finished as well as possible, and stay as ``partial``.

    Attributes:
        partial: The file while it is written, such as ``out.part.mp4``.
        notes: Lines for the user on what was padded or left out.
        count: Number of frames written.
    """

    def __init__(self, path: Path, clip: Clip, codec: str | None = None, crf: float | None = None):
        """
        Args:
            path: A video file, a GIF, or a pattern of images such as ``out/%05d.png``.
            clip: Source of the frames, with their time_base, rate, colours and sound.
            codec: A key of ``CODECS``, or an encoder of FFmpeg. By default chosen by the suffix.
            crf: Quality as the encoder counts it, lower is better. By default one that suits the encoder.

        Raises:
            InputError: As for ``check_recording``.
            OSError: The file cannot be written.
        """
        self.encoder, self.path = encoder_for(path, codec, crf), path
        self.notes: list[str] = []
        self.partial = path if self.encoder is None else part_of(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.clip, self.crf = clip, crf
        self.count = 0
        self.video: Video | None = None

    def write(self, frame: Frame) -> None:
        """Write a frame; ``pts`` must grow from frame to frame.

        Raises:
            OSError: The disk is full, or the file cannot be written.
            InputError: The encoder or the format refuses the frame.
        """
        if self.encoder is None:
            numbers = self.clip.numbers
            number = numbers[frame.pts] if numbers is not None else self.count + 1
            save_image(Image.fromarray(frame.pixels), numbered(self.path, number))
        else:
            with self.ffmpeg_errors():
                if self.video is None:
                    self.partial.unlink(missing_ok=True)  # a symlink would lead elsewhere
                    self.video = Video(self.partial, self.encoder, self.clip, frame, self.crf, self.notes)
                if not self.video.write(frame):
                    return
        self.count += 1

    @contextmanager
    def ffmpeg_errors(self) -> Iterator[None]:
        """Raise FFmpeg's errors as InputError, except those of the operating system."""
        av = import_av()
        try:
            yield
        except av.FFmpegError as error:
            if self.encoder is None or isinstance(error, OSError):
                raise
            what = f"{self.encoder.name} cannot write {self.path.suffix.lower()} of this video"
            codec = "" if self.encoder.form == "gif" else "take another `codec`, or "
            raise InputError(f"{what} ({ffmpeg_message(error)}): {codec}lower `max_size`") from error

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.video is None:
            return
        if kind is None:
            with self.ffmpeg_errors():
                self.video.finish()
            self.partial.replace(self.path)
            return
        second: Exception | None = None  # the first error is the one to report
        try:
            self.video.finish(whole=False)
        except Exception as other:
            second = other
        if not self.partial.exists() or not self.partial.stat().st_size:
            self.partial.unlink(missing_ok=True)
        elif second is not None:
            self.notes.append(f"{self.partial} could not be finished ({first_line(second)})")


class Video:
    """A video file that is being written: encoder, muxer, and the other tracks in step."""

    def __init__(
        self, path: Path, encoder: Encoder, clip: Clip, first: Frame, crf: float | None, notes: list[str]
    ):
        av = import_av()
        self.av, self.clip, self.encoder, self.notes = av, clip, encoder, notes
        self.suffix = path.suffix.lower()
        height, width = first.pixels.shape[:2]
        self.scaled = encoder.square and clip.aspect != 1
        if self.scaled:
            width = round(width * clip.aspect)
        self.width, self.height = width, height
        if encoder.even:
            self.width, self.height = width + width % 2, height + height % 2
        if self.scaled:
            what = f"{encoder.title} in {self.suffix}"
            notes.append(
                f"pixels are not square, which {what} cannot store: scaled to {self.width}x{self.height}"
            )
        elif (self.width, self.height) != (width, height):
            what = f"{width}x{height} is odd, and {encoder.title} wants even sides"
            notes.append(f"{what}: padded to {self.width}x{self.height}")
        self.container = av.open(str(path.absolute()), "w", format=encoder.form, options=encoder.muxing)
        self.base = encoder.time_base(clip)
        self.stream = encoder.add_to(self.container, clip, self.width, self.height, self.base, crf)
        self.tracks = Tracks(clip, self.container, encoder.form, self.suffix, notes)
        self.reformatter, self.scaler = (av.video.reformatter.VideoReformatter() for _ in range(2))
        self.palette = GifPalette() if encoder.pixels == "pal8" else None
        self.durations: dict[int, int] = {}  # of frames still in the encoder
        self.held: tuple[Any, int] | None = None  # the last frame, until the next one ends it
        self.default_duration = max(1, round(clip.frame_seconds() / self.base))
        self.next_keyframe = 0  # pts, because the number of frames in a second can vary
        self.last_duration = first.duration  # of the newest frame, even a dropped one, in units of the source
        self.dropped = 0

    def write(self, frame: Frame) -> bool:
        """Write a frame; return False where a format with coarse times has no time for it."""
        self.last_duration = frame.duration
        pts = round(frame.pts * self.clip.time_base / self.base)
        if self.held is not None:
            if pts <= self.held[1]:
                self.dropped += 1
                return False
            self.encode(pts - self.held[1])
        self.held = self.convert(frame.pixels), pts
        return True

    def convert(self, pixels: np.ndarray) -> Any:
        """Pad or scale (H,W,3) uint8, and convert it to the encoder's pixel format."""
        height, width = pixels.shape[:2]
        if not self.scaled and (width, height) != (self.width, self.height):
            pixels = np.pad(pixels, ((0, self.height - height), (0, self.width - width), (0, 0)), "edge")
        rgb = self.av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(pixels), "rgb24")
        if self.scaled:
            rgb = self.scaler.reformat(rgb, self.width, self.height, interpolation=SCALED)
        if self.palette is not None:
            return self.palette(rgb.to_ndarray())
        return self.encoder.convert(rgb, self.reformatter, self.clip.colors)

    def encode(self, lasts: int) -> None:
        """Encode the frame that is held, with its duration."""
        if self.held is None:
            return
        frame, pts = self.held
        frame.pts, frame.time_base = pts, self.base
        if pts >= self.next_keyframe:
            frame.pict_type = self.av.video.frame.PictureType.I
            self.next_keyframe = pts + round(KEYFRAME_SECONDS / self.base)
        self.durations[pts], self.held = lasts, None
        with restored_priority():  # the first frame opens the encoder
            packets = self.stream.encode(frame)
        self.mux(packets)

    def mux(self, packets: list[Any]) -> None:
        """Write packets, and the other tracks up to their time."""
        for packet in packets:
            packet.duration = self.durations.pop(packet.pts, self.default_duration)
            time = packet.dts * packet.time_base
            self.container.mux(packet)
            self.tracks.copy_until(time)

    def finish(self, whole: bool = True) -> None:
        """Write what is held, and the other tracks; those of an incomplete video up to its last frame."""
        if self.dropped:
            frames = "1 frame" if self.dropped == 1 else f"{self.dropped} frames"
            self.notes.append(f"{frames} had no time of their own in {self.suffix}: left out")
        try:
            duration, end = self.last_duration, Fraction(0)
            lasts = round(duration * self.clip.time_base / self.base) if duration else self.default_duration
            if self.held is not None:
                end = (self.held[1] + max(1, lasts)) * self.base
            self.encode(max(1, lasts))
            self.mux(self.stream.encode(None))
            self.tracks.copy_until(None if whole and self.clip.damage is None else end)
            self.tracks.finish()
        finally:
            self.tracks.close()
            self.container.close()
