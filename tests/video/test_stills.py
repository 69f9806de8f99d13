"""Tests of animated images and of frames in numbered files."""

from fractions import Fraction

import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.video.opening import is_clip, open_clip
from tests.support.videos import (
    draw_moving_bar,
    frame_number,
    read_frames,
)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "avif"])
def test_animated_images_keep_their_times_on_white_background(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    images = [Image.fromarray(draw_moving_bar(n)).convert("RGBA") for n in range(5)]
    for image in images:
        image.putpixel((0, 0), (0, 0, 0, 0))
    durations = [40, 100, 60, 200, 80]
    kind = {"webp": {"lossless": True}, "gif": {"disposal": 2}, "avif": {"quality": 100}}.get(suffix, {})
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, **kind)
    assert is_clip(path)
    frames, clip = read_frames(path)
    assert [f.pts * clip.time_base * 1000 for f in frames] == [0, 40, 140, 200, 400]
    assert [f.duration for f in frames] == durations
    assert clip.count == 5 and clip.path is None
    assert [frame_number(f.pixels) for f in frames] == list(range(5))
    assert all(f.pixels[0, 0].min() >= 250 for f in frames)
    part, clip = read_frames(path, start=0.14, end=0.4)
    assert [f.pts for f in part] == [0, 60] and clip.count == 2


def test_numbered_frames_are_read_in_numerical_order(tmp_path):
    for n in (1, 2, 10, 9):
        Image.fromarray(draw_moving_bar(n)).save(tmp_path / f"f{n}.png")
    frames, clip = read_frames(tmp_path)
    assert [frame_number(f.pixels) for f in frames] == clip.numbers == [1, 2, 9, 10]
    assert clip.rate == 25 and [f.pts for f in frames] == [0, 1, 2, 3] and clip.count == 4
    frames, clip = read_frames(tmp_path / "f%d.png", fps=12, start=0.1, max_size=32)
    assert clip.numbers == [9, 10] and clip.time_base == Fraction(1, 12)
    assert frames[0].pixels.shape == (24, 32, 3)
    with pytest.raises(InputError, match="there are no numbered images"):
        open_clip(tmp_path / "g%04d.png")
    Image.fromarray(draw_moving_bar(3, 32, 32)).save(tmp_path / "f11.png")
    with pytest.raises(InputError, match=r"f11\.png has 32x32"):
        read_frames(tmp_path)


def test_frame_number_is_read_at_the_patterns_field(tmp_path):
    for n in (1, 2, 10):
        Image.fromarray(draw_moving_bar(n)).save(tmp_path / f"{n}_v2.png")
    frames, clip = read_frames(tmp_path / "%d_v2.png")
    assert [frame_number(f.pixels) for f in frames] == clip.numbers == [1, 2, 10]
    frames, clip = read_frames(tmp_path / "%d_v2.png", start=0.04)
    assert clip.numbers == [2, 10]


def test_frame_folder_of_several_shots_has_no_numbers(tmp_path):
    for n, name in enumerate(("a1", "a2", "b1")):
        Image.fromarray(draw_moving_bar(n)).save(tmp_path / f"{name}.png")
    frames, clip = read_frames(tmp_path)
    assert [frame_number(f.pixels) for f in frames] == [0, 1, 2] and clip.numbers is None
