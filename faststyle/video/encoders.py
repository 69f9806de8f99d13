"""Video encoders, their settings, and the containers that they write."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, NamedTuple

from faststyle.errors import InputError
from faststyle.registry import choose
from faststyle.video.clips import RATE, Clip, Colors
from faststyle.video.containers import ffmpeg_message, import_av
from faststyle.video.tags import BT470BG, EXACT, FULL, LIMITED, SWSCALE

# x264 competes with the network for CPU time. These settings take about 40 % of the time of preset veryfast
# and produce files about 10 % larger.
X264 = {"preset": "superfast", "x264-params": "cabac=0:weightp=0:weightb=0:b-adapt=0"}
# FFmpeg's encoder for each codec that the user can name.
CODECS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
    "ffv1": "ffv1",
}
DEFAULT_ENCODERS = {"webm": "libvpx-vp9", "gif": "gif"}  # by container; libx264 elsewhere
VP9 = {"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "b": "0"}
OPTIONS = {
    "libx264": X264,
    "libx265": {"preset": "superfast", "x265-params": "log-level=error"},
    "libsvtav1": {"preset": "10"},
    "libvpx-vp9": VP9,
    "prores_ks": {"profile": "hq"},
    "ffv1": {"level": "3", "slicecrc": "1"},
    "mjpeg": {"qmin": "2", "qmax": "3"},
}
CRF = {"libx264": 18, "libx265": 20, "libsvtav1": 26, "libvpx-vp9": 24}
MAX_CRF = {"libx264": 51, "libx265": 51, "libsvtav1": 63, "libvpx-vp9": 63}
QUALITY_OPTIONS = {"_nvenc": "cq", "_qsv": "global_quality"}  # options of hardware encoders in place of crf
DEFAULT_QUALITY = 20
# Options of encoders that otherwise answer a request for a keyframe with an image that no seek can use.
FORCED_KEYFRAMES = {"libx265": "forced-idr", "_nvenc": "forced-idr", "_qsv": "forced_idr"}
MAX_KEYFRAME_DISTANCE = 250  # frames; for encoders that ignore the requests, and slow videos
ODD_SIZES = {"libvpx", "libvpx-vp9", "ffv1", "gif"}  # encoders that take odd sides
# Encoders whose streams do not store the pixel aspect themselves.
NO_PIXEL_ASPECT = {"libvpx", "libvpx-vp9", "libsvtav1", "ffv1"}
PIXELS = ("pal8", "yuv420p", "nv12", "yuv422p10le", "yuv422p", "yuv444p", "bgr0", "rgb24", "yuvj420p")
# A file that is cut off stays playable; a finished one is an ordinary file.
MOVIE = {"movflags": "hybrid_fragmented+frag_keyframe+delay_moov", "use_editlist": "1"}
MATROSKA = {"avoid_negative_ts": "disabled", "cluster_time_limit": "1000"}
MUXING = {"mp4": MOVIE, "mov": MOVIE, "matroska": MATROSKA, "webm": MATROSKA}
# A killed process loses what FFmpeg holds back: written bytes, and packets while another track has none.
UNBUFFERED = {"flush_packets": "1", "max_interleave_delta": "100000"}
TRIAL = Clip("a test video", 256, 256, Fraction(1, RATE))


@contextmanager
def restored_priority() -> Iterator[None]:
    """Restore this thread's priority: SVT-AV1, opened by root, sets real-time priority."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != before:
            os.sched_setscheduler(0, before, parameter)


class Encoder(NamedTuple):
    """An encoder and its settings for a container.

    Attributes:
        name: FFmpeg's name of the encoder.
        form: FFmpeg's name of the container.
        pixels: Pixel format of the frames.
    """

    name: str
    form: str
    pixels: str

    @property
    def title(self) -> str:
        """The codec's name for messages."""
        return {"libx264": "H.264", "libx265": "HEVC", "libsvtav1": "AV1"}.get(self.name, self.name)

    @property
    def even(self) -> bool:
        """True if sides must be even."""
        return self.name not in ODD_SIZES and self.pixels.startswith(("yuv42", "nv12", "yuvj42"))

    @property
    def square(self) -> bool:
        """True if pixels must be square, because neither stream nor container stores their aspect."""
        return self.name == "gif" or (self.name in NO_PIXEL_ASPECT and self.form in ("matroska", "webm"))

    @property
    def muxing(self) -> dict[str, str]:
        """Options of the container's muxer."""
        return MUXING.get(self.form, {}) | UNBUFFERED

    def time_base(self, clip: Clip) -> Fraction:
        """Return the unit of times in seconds: AVI has a constant rate, GIF hundredths of a second."""
        if self.form == "gif":
            return Fraction(1, 100)
        return clip.frame_seconds() if self.form == "avi" else clip.time_base

    def add_to(
        self, container: Any, clip: Clip, width: int, height: int, base: Fraction, crf: float | None
    ) -> Any:
        """Add the video stream to a container, and return it."""
        av = import_av()
        rate = (clip.rate or Fraction(RATE)).limit_denominator(100_000)
        os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 would print forty lines
        forced = {option: "1" for end, option in FORCED_KEYFRAMES.items() if self.name.endswith(end)}
        options = OPTIONS.get(self.name, {}) | forced | self.quality(crf)
        stream = container.add_stream(self.name, rate=rate, options=options, time_base=base)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, self.pixels
        context.sample_aspect_ratio = Fraction(1) if self.square else clip.aspect
        context.gop_size = 1 if self.name == "ffv1" else MAX_KEYFRAME_DISTANCE
        if self.form == "avi":
            context.max_b_frames = 0
        if self.name == "libx265" and self.form in ("mp4", "mov"):
            context.codec_tag = "hvc1"
        if not av.VideoFormat(self.pixels).is_rgb and self.form != "gif":
            context.colorspace, context.color_range = self.matrix(clip.colors), self.range
            context.color_primaries, context.color_trc = clip.colors.primaries, clip.colors.transfer
        context.thread_type = "AUTO"
        return stream

    def matrix(self, colors: Colors) -> int:
        """Return the colour matrix: the source's own, but JPEG has only one."""
        return BT470BG if self.name == "mjpeg" else colors.matrix

    @property
    def range(self) -> int:
        """The range of the pixel values."""
        return FULL if self.pixels.startswith("yuvj") else LIMITED

    def quality(self, crf: float | None) -> dict[str, str]:
        """Return the encoder's own option for quality.

        Raises:
            InputError: The encoder has no crf, or not in this range.
        """
        other = next((option for end, option in QUALITY_OPTIONS.items() if self.name.endswith(end)), None)
        if self.name not in CRF and other is None:
            if crf is not None:
                raise InputError(f"{self.name} has no `crf`: leave it out, or take one of {', '.join(CRF)}")
            return {}
        maximum = MAX_CRF.get(self.name)
        if crf is not None and maximum is not None and not 0 <= crf <= maximum:
            raise InputError(f"{self.name} has no `crf` {crf:g}: give a number from 0 to {maximum}")
        return {other or "crf": f"{CRF.get(self.name, DEFAULT_QUALITY) if crf is None else crf:g}"}

    def convert(self, rgb: Any, reformatter: Any, colors: Colors) -> Any:
        """Convert an RGB frame to the encoder's pixel format, in the source's colour matrix."""
        yuv = reformatter.reformat(
            rgb,
            format=self.pixels,
            dst_colorspace=SWSCALE[self.matrix(colors)],
            src_color_range=FULL,
            dst_color_range=self.range,
            interpolation=EXACT,
        )
        yuv.colorspace, yuv.color_range = self.matrix(colors), self.range
        yuv.color_primaries, yuv.color_trc = colors.primaries, colors.transfer
        return yuv


def find_encoder(form: str, suffix: str, codec: str | None, crf: float | None = None) -> Encoder:
    """Return an encoder by its name, or the default one of a container.

    Raises:
        InputError: There is no such encoder; or it does not work here, at this quality or with this
            container.
    """
    av = import_av()
    name = DEFAULT_ENCODERS.get(form, "libx264") if codec is None else CODECS.get(codec, codec)
    if form == "gif" and name != "gif":
        raise InputError(f"{codec} does not go into .gif: leave out `codec`, or take .mp4")
    if name not in av.codecs_available or not is_encoder(name):
        if codec is not None:
            choose("codec", codec, {**CODECS, "or an encoder of FFmpeg's": ""})
        raise InputError(f"this PyAV has no encoder {name}: take another `codec`")
    own = [f.name for f in av.codec.Codec(name, "w").video_formats or []]
    pixels = next((f for f in PIXELS if f in own), own[0] if own else "yuv420p")
    pixels = own[0] if own and own[0].startswith("yuvj") else pixels
    encoder = Encoder(name, form, "bgr0" if name == "ffv1" else pixels)
    encoder.quality(crf)
    refusal = InputError(f"{codec or name} does not go into {suffix}: take .mkv, or another `codec`")
    try:
        trial = av.open(io.BytesIO(), "w", format=form)
        encoder.add_to(trial, TRIAL, 256, 256, Fraction(1, RATE), crf)
    except ValueError:
        raise refusal from None
    try:
        with restored_priority():
            trial.streams.video[0].codec_context.open()
    except av.FFmpegError as error:
        what = f"{codec or name}{'' if crf is None else f' with crf {crf:g}'}"
        why = f"does not work on this machine ({ffmpeg_message(error)})"
        raise InputError(f"{what} {why}: take another `codec`{'' if crf is None else ' or `crf`'}") from None
    try:
        trial.start_encoding()
    except (av.FFmpegError, OSError):
        raise refusal from None
    return encoder


def is_encoder(name: str) -> bool:
    """Return True for the name of a video encoder of this PyAV."""
    av = import_av()
    try:
        return av.codec.Codec(name, "w").type == "video"
    except (av.FFmpegError, ValueError):
        return False
