"""Tests of raw streams, and of videos whose suffix says nothing or something wrong."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from faststyle.video.opening import is_clip, open_clip
from tests.support.recordings import record
from tests.support.videos import draw_moving_bar, frame_number, inspect_video, make_clip, read_frames

# FFmpeg's muxer and encoder for each suffix.
RAW = {
    "h264": ("h264", "libx264"),
    "hevc": ("hevc", "libx265"),
    "mjpeg": ("mjpeg", "mjpeg"),
    "m4v": ("m4v", "mpeg4"),
    "m2v": ("mpeg2video", "mpeg2video"),
    "obu": ("obu", "libsvtav1"),
}


def make_raw(path: Path, kind: str, frames: int = 20) -> Path:
    """Write a stream without a container, of 25 frames per second."""
    form, codec = RAW[kind]
    pixels = "yuvj420p" if kind == "mjpeg" else "yuv420p"
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw_moving_bar(number), "rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", RAW)
def test_raw_stream_is_read_to_its_end_in_order(tmp_path, kind):
    path = make_raw(tmp_path / f"a.{kind}", kind)
    assert is_clip(path)
    frames, clip = read_frames(path)
    assert [frame_number(frame.pixels) for frame in frames] == list(range(20)) and clip.damage is None
    assert [frame.pts * clip.time_base for frame in frames] == [Fraction(n, 25) for n in range(20)]
    assert abs(clip.count - 20) <= 1
    assert clip.notes == [
        "the video holds no times, so that 25 frames per second are assumed: `fps` sets another rate"
    ]
    record(path, tmp_path / "b.mp4")
    assert len(inspect_video(tmp_path / "b.mp4").times) == 20


@pytest.mark.parametrize("kind", RAW)
def test_rate_of_a_raw_stream_can_be_given(tmp_path, kind):
    frames, clip = read_frames(make_raw(tmp_path / f"a.{kind}", kind), fps=10, start=0.45, end=1.05)
    assert [frame_number(frame.pixels) for frame in frames] == list(range(5, 11))
    assert [frame.pts * clip.time_base for frame in frames] == [Fraction(n, 10) for n in range(6)]
    assert clip.rate == 10 and clip.notes == []


@pytest.mark.parametrize("name", ["a.bin", "a.txt", "a.jpg", "a.gif", "a.png", "a", "a.mp4", "a.bmp"])
@pytest.mark.parametrize("kind", ["h264", "mjpeg", "mp4", "mkv"])
def test_content_decides_whatever_the_suffix_says(tmp_path, kind, name):
    path = tmp_path / name
    if kind in RAW:
        make_raw(path, kind)
    else:
        make_clip(tmp_path / f"b.{kind}", 20).rename(path)
    assert is_clip(path)
    assert [frame_number(frame.pixels) for frame in read_frames(path)[0]] == list(range(20))


def test_images_are_no_videos_whatever_the_suffix_says(tmp_path):
    image = Image.fromarray(draw_moving_bar(3))
    for format in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"):
        for suffix in ("mp4", "mjpeg", "jpg", "bin"):
            path = tmp_path / f"a.{suffix}"
            image.save(path, format)
            assert not is_clip(path)


def test_jpeg_with_further_images_is_no_video(tmp_path):
    """Make what phones write: a thumbnail in the header, a list of images, and a smaller one at the end."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    image.save(tmp_path / "stereo.mpo", save_all=True, append_images=[image])
    assert not is_clip(tmp_path / "stereo.mpo")
    first, second = io.BytesIO(), io.BytesIO()
    image.save(first, "JPEG")
    image.resize((16, 12)).save(second, "JPEG")
    (tmp_path / "depth.jpg").write_bytes(first.getvalue() + second.getvalue())
    assert not is_clip(tmp_path / "depth.jpg")
    thumbnail = b"\xff\xe1" + (len(second.getvalue()) + 2).to_bytes(2, "big") + second.getvalue()
    (tmp_path / "exif.jpg").write_bytes(first.getvalue()[:2] + thumbnail + first.getvalue()[2:])
    assert not is_clip(tmp_path / "exif.jpg")


def test_other_files_are_no_videos(tmp_path):
    for name, data in {
        "a.txt": b"Dear Theo, " * 1000,
        "a.bin": np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8).tobytes(),
        "a": b"",
        "list.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "song.bin": make_sound(tmp_path / "b.m4a").read_bytes(),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert not is_clip(tmp_path / name), name


def make_sound(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def test_suffix_decides_for_missing_and_damaged_files(tmp_path):
    (tmp_path / "a.h264").write_bytes(b"no video")
    assert is_clip(tmp_path / "a.h264") and is_clip(tmp_path / "none.hevc")
    assert not is_clip(tmp_path / "none.jpg")


def test_container_with_times_is_not_called_raw(tmp_path):
    for suffix, codec in (("mp4", "libx264"), ("ts", "libx264"), ("ivf", "libvpx"), ("avi", "mpeg4")):
        with open_clip(
            make_clip(tmp_path / f"a.{suffix}", 5, codec=codec, base=Fraction(1, 25), step=1)
        ) as clip:
            assert clip.notes == []
