"""Tests of videos with transparency, which are laid on white in every container."""

from fractions import Fraction

import numpy as np
import pytest

from tests.support.recordings import record
from tests.support.videos import make_clip, read_frames

RED = (200, 60, 60)
MILLISECONDS = {"base": Fraction(1, 1000), "step": 40}


def draw_sticker(number: int, width: int, height: int) -> np.ndarray:
    """Draw an opaque disc that moves, on transparent black, (H,W,4) uint8."""
    pixels = np.zeros((height, width, 4), np.uint8)
    y, x = np.mgrid[:height, :width]
    pixels[(y - height / 2) ** 2 + (x - width / 3 - number) ** 2 < (height / 4) ** 2] = (*RED, 255)
    return pixels


def sticker(path, codec: str, pixels: str):
    """Write six frames of the sticker."""
    rgb = pixels in ("argb", "rgba", "bgra", "gbrap")
    colors, matrix = ((0, 0, 2, 2), 0) if rgb else ((2, 0, 2, 2), None)
    tags = {"alpha_mode": "1"} if codec.startswith("libvpx") else {}
    encoding = {"crf": "10", "b": "1M", "auto-alt-ref": "0"} if tags else {}
    times = MILLISECONDS if path.suffix in (".webm", ".mkv") else {}
    options = {"colors": colors, "matrix": matrix, "draw": draw_sticker, "options": encoding, "tags": tags}
    return make_clip(path, 6, codec=codec, pixels=pixels, **options, **times)


KINDS = [
    ("webm", "libvpx", "yuva420p"),
    ("webm", "libvpx-vp9", "yuva420p"),
    ("mkv", "libvpx", "yuva420p"),
    ("mkv", "libvpx-vp9", "yuva420p"),
    ("mkv", "ffv1", "bgra"),
    ("mkv", "ffv1", "yuva444p"),
    ("mov", "qtrle", "argb"),
    ("mov", "png", "rgba"),
    ("mov", "prores_ks", "yuva444p10le"),
    ("avi", "png", "rgba"),
    ("avi", "utvideo", "gbrap"),
    ("nut", "rawvideo", "rgba"),
]


@pytest.mark.parametrize(("suffix", "codec", "pixels"), KINDS)
def test_transparent_parts_are_white_in_every_container(tmp_path, suffix, codec, pixels):
    frames, clip = read_frames(sticker(tmp_path / f"a.{suffix}", codec, pixels))
    assert len(frames) == 6 and clip.damage is None
    for number in (0, 5):
        image = frames[number].pixels.astype(int)
        assert image[2:10, 2:-2].min() >= 250 and image[-10:-2, 2:-2].min() >= 250
        assert np.abs(image[24, 21 + number] - RED).max() <= 12


@pytest.mark.parametrize(("suffix", "codec", "pixels"), KINDS)
def test_colour_below_transparent_pixels_does_not_spread_where_frames_shrink(tmp_path, suffix, codec, pixels):
    frames, _ = read_frames(sticker(tmp_path / f"a.{suffix}", codec, pixels), max_size=22)
    # A mixture of red and white has at least red's values; black would lower them.
    lossless = codec in ("ffv1", "qtrle", "png", "rawvideo", "utvideo")
    assert (frames[0].pixels.reshape(-1, 3).min(0) >= np.array(RED) - (16 if lossless else 45)).all()


def test_part_and_recording_of_a_transparent_webm_are_complete(tmp_path):
    source = sticker(tmp_path / "a.webm", "libvpx-vp9", "yuva420p")
    assert len(read_frames(source, start=0.08)[0]) == 4
    assert record(source, tmp_path / "b.mp4") == []
    frames, _ = read_frames(tmp_path / "b.mp4")
    assert len(frames) == 6 and frames[3].pixels[2:10].min() >= 245


def test_webm_without_transparency_is_decoded_by_ffmpeg(tmp_path):
    path = make_clip(tmp_path / "a.webm", 3, codec="libvpx-vp9", **MILLISECONDS)
    assert read_frames(path)[1].decoder.name == "vp9"
