"""Which encoder writes which container, and how each is set."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from faststyle.errors import InputError
from faststyle.registry import choose
from faststyle.video.clips import RATE, Clip, Colors
from faststyle.video.decoding import import_av, reason
from faststyle.video.tags import BT470BG, EXACT, FULL, LIMITED, SWSCALE

# The network wants the same processor: of x264's work two fifths are left so, beside its preset veryfast, and
# files are larger by a tenth.
X264 = {"preset": "superfast", "x264-params": "cabac=0:weightp=0:weightb=0:b-adapt=0"}
# What a person may ask for, to FFmpeg's encoders.
CODECS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
    "ffv1": "ffv1",
}
USUAL = {"webm": "libvpx-vp9", "gif": "gif"}  # by container; libx264 elsewhere
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
CRF_MOST = {"libx264": 51, "libx265": 51, "libsvtav1": 63, "libvpx-vp9": 63}
QUALITY = {"_nvenc": "cq", "_qsv": "global_quality"}  # hardware's own option instead of crf
QUALITY_ELSEWHERE = 20
ANY_SIZE = {"libvpx", "libvpx-vp9", "ffv1", "gif"}  # encoders that take odd sides
SHAPELESS = {
    "libvpx",
    "libvpx-vp9",
    "libsvtav1",
    "ffv1",
}  # whose streams do not tell the pixels' aspect themselves
PIXELS = ("pal8", "yuv420p", "nv12", "yuv422p10le", "yuv422p", "yuv444p", "bgr0", "rgb24", "yuvj420p")
# A file that is cut off stays playable, and becomes an ordinary one when it is finished.
MOVIE = {"movflags": "hybrid_fragmented+frag_keyframe+delay_moov", "use_editlist": "1"}
MUXING = {"mp4": MOVIE, "mov": MOVIE, "matroska": {"avoid_negative_ts": "disabled"}}
MUXING["webm"] = MUXING["matroska"]
TRIAL = Clip("a trial", 256, 256, Fraction(1, RATE))


@contextmanager
def usual_priority() -> Iterator[None]:
    """Take back what SVT-AV1, opened by root, gives its thread, and so its children: real-time priority."""
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
    """An encoder as it is set for a container."""

    name: str
    form: str  # FFmpeg's name of the container
    pixels: str  # of the frames that it takes

    @property
    def title(self) -> str:
        return {"libx264": "H.264", "libx265": "HEVC", "libsvtav1": "AV1"}.get(self.name, self.name)

    @property
    def even(self) -> bool:
        return self.name not in ANY_SIZE and self.pixels.startswith(("yuv42", "nv12", "yuvj42"))

    @property
    def square(self) -> bool:
        """Whether pixels must be square, for want of a place that says otherwise."""
        return self.name == "gif" or (self.name in SHAPELESS and self.form in ("matroska", "webm"))

    @property
    def muxing(self) -> dict[str, str]:
        return MUXING.get(self.form, {})

    def time_base(self, clip: Clip) -> Fraction:
        """AVI has frames at a constant rate, GIF hundredths of a second."""
        if self.form == "gif":
            return Fraction(1, 100)
        return 1 / (clip.rate or Fraction(RATE)) if self.form == "avi" else clip.time_base

    def add_to(self, container: Any, clip: Clip, width: int, height: int, base: Fraction, crf: float | None):
        """Add the video's stream."""
        av = import_av()
        rate = (clip.rate or Fraction(RATE)).limit_denominator(100_000)
        os.environ.setdefault("SVT_LOG", "1")  # or else it tells of itself in forty lines
        options = dict(OPTIONS.get(self.name, {})) | self.quality(crf)
        stream = container.add_stream(self.name, rate=rate, options=options, time_base=base)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, self.pixels
        context.sample_aspect_ratio = Fraction(1) if self.square else clip.aspect
        context.gop_size = max(1, round(2 * rate))  # two seconds: what a seek, or a power cut, costs at most
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
        """The clip's own; JPEG knows but one."""
        return BT470BG if self.name == "mjpeg" else colors.matrix

    @property
    def range(self) -> int:
        return FULL if self.pixels.startswith("yuvj") else LIMITED

    def quality(self, crf: float | None) -> dict[str, str]:
        """The encoder's own option for quality."""
        other = next((option for end, option in QUALITY.items() if self.name.endswith(end)), None)
        if self.name not in CRF and other is None:
            if crf is not None:
                raise InputError(f"{self.name} has no `crf`: leave it out, or take one of {', '.join(CRF)}")
            return {}
        most = CRF_MOST.get(self.name)
        if crf is not None and most is not None and not 0 <= crf <= most:
            raise InputError(f"{self.name} has no `crf` {crf:g}: give a number from 0 to {most}")
        return {other or "crf": f"{CRF.get(self.name, QUALITY_ELSEWHERE) if crf is None else crf:g}"}

    def convert(self, rgb: Any, reformatter: Any, colors: Colors) -> Any:
        """RGB to what the encoder takes, in the clip's matrix."""
        if self.pixels == "pal8":
            return with_palette(rgb.to_ndarray())
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


def with_palette(pixels: np.ndarray) -> Any:
    """(H,W,3) uint8 in 256 colours of its own, dithered."""
    picture = Image.fromarray(pixels).quantize(256)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255  # opaque
    colors = np.array(picture.getpalette(), np.uint8).reshape(-1, 3)
    palette[: len(colors), 1:] = colors
    return import_av().VideoFrame.from_ndarray((np.array(picture), palette), "pal8")


def find_encoder(form: str, suffix: str, codec: str | None, crf: float | None = None) -> Encoder:
    """An encoder by its name, or the usual one of a container.

    Raises:
        InputError: no such encoder, or it does not work here, or not at this quality, or does not go into
            this container.
    """
    av = import_av()
    name = USUAL.get(form, "libx264") if codec is None or form == "gif" else CODECS.get(codec, codec)
    if form == "gif" and codec not in (None, "gif"):
        raise InputError(f"{codec} does not go into .gif: leave out `codec`, or take .mp4")
    if name not in av.codecs_available or not is_encoder(name):
        if codec not in CODECS:
            choose("codec", str(codec), {**CODECS, "or an encoder of FFmpeg's": ""})
        raise InputError(f"this PyAV has no {name} to write {codec}: take another `codec`")
    own = [f.name for f in av.codec.Codec(name, "w").video_formats or []]
    pixels = next((f for f in PIXELS if f in own), own[0] if own else "yuv420p")
    pixels = own[0] if own and own[0].startswith("yuvj") else pixels
    encoder = Encoder(name, form, "bgr0" if name == "ffv1" else pixels)
    encoder.quality(crf)
    try:
        trial = av.open(io.BytesIO(), "w", format=form)
        encoder.add_to(trial, TRIAL, 256, 256, Fraction(1, RATE), crf)
    except ValueError:
        raise InputError(f"{codec} does not go into {suffix}: take .mkv, or another `codec`") from None
    try:
        with usual_priority():
            trial.streams.video[0].codec_context.open()
    except av.FFmpegError as error:
        what = f"{codec or name}{'' if crf is None else f' with crf {crf:g}'}"
        raise InputError(f"{what} does not work on this machine ({reason(error)})") from None
    try:
        trial.start_encoding()
    except (av.FFmpegError, OSError):
        raise InputError(f"{codec} does not go into {suffix}: take .mkv, or another `codec`") from None
    return encoder


def is_encoder(name: str) -> bool:
    av = import_av()
    try:
        return av.codec.Codec(name, "w").type == "video"
    except (av.FFmpegError, ValueError):
        return False
