"""Small videos for tests, made with PyAV, and functions to inspect videos."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from PIL import Image

from faststyle.video.opening import open_clip

SIZE = (64, 48)
# PyAV 17, the newest for Python 3.10, converts BT.2020 with the wrong matrix.
BT2020 = pytest.mark.skipif(int(av.__version__.split(".")[0]) < 18, reason="needs PyAV 18 for BT.2020")
# The colours of the four quarters of a test card. Every colour matrix can represent them.
PATCHES = np.array([[[128, 128, 128], [180, 60, 60]], [[60, 160, 80], [70, 80, 190]]], np.uint8)
SWSCALE = {0: None, 1: 1, 5: 5, 6: 5, 9: 9}


def draw_test_card(width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray:
    """Draw a test card of four colour patches, (H,W,3) uint8."""
    rows, columns = np.arange(height) * 2 // height, np.arange(width) * 2 // width
    return PATCHES[rows[:, None], columns]


def draw_moving_bar(number: int, width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray:
    """Draw a bright bar on grey, (H,W,3) uint8. Its position encodes the frame's number."""
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[:, number * 2 % width : number * 2 % width + 8] = (200, 180, 120)
    return pixels


@dataclass(frozen=True)
class VideoOptions:
    """Content and encoding of a test video.

    Attributes:
        size: Width and height in pixels.
        codec: Name of the video encoder.
        pixels: Pixel format of the encoded frames.
        base: Time base of the pts in seconds.
        step: Pts between two frames, if the frames are given by their number.
        colors: Tags of the stream: matrix, range (1 limited, 2 full), primaries, transfer.
        matrix: Matrix to convert the pixels with. Default: the one in ``colors``.
        draw: Function that returns the pixels of a frame for its number, width and height.
        sound: Audio encoder. If given, add a tone as long as the video.
        onset: Seconds of silence before the tone.
        subtitles: Subtitle codec. If given, add a line every half second.
        aspect: Sample aspect ratio. Default: untagged.
        options: Options of the video encoder.
        muxing: Options of the container.
        rate: Frame rate of the stream in frames per second.
        chapters: Chapters in PyAV's form.
        font: Content of a font to attach.
        tags: Metadata of the video stream.
        field: Field that comes first in interlaced frames, tff or bff. Default: frames are progressive.
    """

    size: tuple[int, int] = SIZE
    codec: str = "libx264"
    pixels: str = "yuv420p"
    base: Fraction = Fraction(1, 12800)
    step: int = 512
    colors: tuple[int, int, int, int] = (2, 0, 2, 2)
    matrix: int | None = None
    draw: Callable[[int, int, int], np.ndarray] = draw_moving_bar
    sound: str | None = None
    onset: float = 0
    subtitles: str | None = None
    aspect: Fraction | None = None
    options: dict[str, str] = field(default_factory=dict)
    muxing: dict[str, str] = field(default_factory=dict)
    rate: int = 25
    chapters: list[dict] | None = None
    font: bytes | None = None
    tags: dict[str, str] = field(default_factory=dict)
    field: str | None = None


def make_clip(path: Path, frames: int | list[int] = 20, **options) -> Path:
    """Write a video.

    Args:
        path: File to write; its suffix selects the container.
        frames: Number of frames, or the pts of each frame.
        **options: Fields of ``VideoOptions``.

    Returns:
        The path of the video.
    """
    made = VideoOptions(**options)
    times = [i * made.step for i in range(frames)] if isinstance(frames, int) else frames
    length = float((times[-1] + made.step) * made.base)
    with av.open(str(path), "w", options=made.muxing) as container:
        container.metadata["title"] = "Made"
        stream = add_video(container, made)
        sound = line = None
        if made.sound is not None:
            sound = container.add_stream(made.sound, rate=48000)
            sound.metadata["language"], sound.bit_rate = "fra", 128_000
        if made.subtitles is not None:
            line = container.add_mux_stream(made.subtitles)
            line.metadata["language"] = "deu"
        if made.chapters:
            container.set_chapters(made.chapters)
        if made.font is not None:
            container.add_attachment("a.ttf", "application/x-truetype-font", made.font)
        packets = encode_frames(stream, made, times)
        packets += tone(sound, length, made.onset) if sound else []
        packets += lines(line, length, made.subtitles == "mov_text") if line else []
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path


def add_video(container, made: VideoOptions):
    stream = container.add_stream(made.codec, rate=made.rate, time_base=made.base, options=made.options)
    stream.metadata.update(made.tags)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = *made.size, made.pixels
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = made.colors
    if made.aspect is not None:
        context.sample_aspect_ratio = made.aspect
    return stream


def encode_frames(stream, made: VideoOptions, times: list[int]) -> list:
    reformatter, packets = VideoReformatter(), []
    matrix = made.colors[0] if made.matrix is None else made.matrix
    matrix = SWSCALE[matrix] if (made.matrix or made.colors[0]) != 2 else 5
    for number, pts in enumerate(times):
        pixels = np.ascontiguousarray(made.draw(number, *made.size))
        frame = reformatter.reformat(
            av.VideoFrame.from_ndarray(pixels, "rgba" if pixels.shape[2] == 4 else "rgb24"),
            format=made.pixels,
            dst_colorspace=matrix,
            src_color_range=2,
            dst_color_range=made.colors[1] or 1,
        )
        frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = made.colors
        frame = frame if made.field is None else mark_interlaced(frame, made.field)
        frame.pts, frame.time_base = pts, made.base
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def mark_interlaced(frame, first: str):
    graph = av.filter.Graph()
    size = {"width": frame.width, "height": frame.height, "format": frame.format.name}
    nodes = [
        graph.add_buffer(**size, time_base=Fraction(1)),
        graph.add("setfield", first),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    graph.push(frame)
    return graph.pull()


def tone(stream, seconds: float, onset: float = 0) -> list:
    samples = np.sin(np.arange(round(48000 * seconds)) * 440 * 2 * np.pi / 48000) * 0.3
    samples[: round(48000 * onset)] = 0
    size, packets = 960, []
    form, channels = stream.codec_context.format.name, stream.codec_context.layout.nb_channels
    for at in range(0, len(samples) - size + 1, size):
        part = np.stack([samples[at : at + size]] * channels)
        part = part.astype(np.float32) if "flt" in form else (part * 32767).astype(np.int16)
        part = part if form.endswith("p") else part.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), form, stream.codec_context.layout)
        frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def lines(stream, seconds: float, mp4: bool) -> list:
    packets = []
    for number in range(int(seconds * 2)):
        text = f"line {number}".encode()
        packet = av.Packet(struct.pack(">H", len(text)) + text if mp4 else text)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = number * 500
        packet.duration = 400
        packets.append(packet)
    return packets


class VideoContent(NamedTuple):
    """Decoded and demuxed content of a video file."""

    times: list[Fraction]
    length: Fraction
    size: tuple[int, int]
    packets: dict[str, list[tuple[Fraction, bytes]]]  # Of audio and subtitles: time and data.
    languages: dict[str, str | None]
    rotation: int


def inspect_video(path: Path) -> VideoContent:
    with av.open(str(path)) as container:
        frames, times, size, rotation = container.decode(video=0), [], (0, 0), 0
        for frame in frames:
            times.append(frame.pts * frame.time_base)
            size, rotation = (frame.width, frame.height), frame.rotation
        length = Fraction(container.duration or 0, 1_000_000)
    packets, languages = {}, {}
    with av.open(str(path)) as container:
        for stream in container.streams:
            if stream.type in ("audio", "subtitle"):
                packets[stream.type], languages[stream.type] = [], stream.language
        for packet in container.demux():
            if packet.stream.type in packets and packet.size:
                packets[packet.stream.type].append((packet.pts * packet.time_base, bytes(packet)))
    return VideoContent(times, length, size, packets, languages, rotation)


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Set the display matrix of the only track of an MP4 file."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def read_frames(source, **options):
    """Return all frames, and the ``Clip`` after the last one was read."""
    with open_clip(source, **options) as clip:
        return list(clip), clip


def patch_means(pixels: np.ndarray) -> np.ndarray:
    """Return the mean colour of each patch without its border, (2,2,3)."""
    h, w = pixels.shape[0] // 2, pixels.shape[1] // 2
    return np.array(
        [
            [pixels[y * h + 4 : y * h + h - 4, x * w + 4 : x * w + w - 4].mean((0, 1)) for x in (0, 1)]
            for y in (0, 1)
        ]
    )


def frame_number(pixels: np.ndarray) -> int:
    """Return the number of the frame that ``draw_moving_bar`` drew."""
    return int(np.argmax([np.mean(pixels[:, n * 2 : n * 2 + 8]) for n in range(28)]))


def frames_of(path: Path | str, **options) -> list[np.ndarray]:
    """Return the pixels of every frame of a video."""
    with open_clip(path, **options) as video:
        return [frame.pixels for frame in video]


def make_frames(folder: str, count: int = 4, first: int = 7) -> list[str]:
    """Write numbered frames to a new folder and return their names."""
    Path(folder).mkdir()
    names = [f"{number:04d}.png" for number in range(first, first + count)]
    for number, name in enumerate(names):
        Image.fromarray(draw_moving_bar(number)).save(Path(folder) / name)
    return names
