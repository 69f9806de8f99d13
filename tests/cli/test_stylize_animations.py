"""Tests of ``python infer.py --checkpoint`` with files of several images: animations and pages."""

import pytest
from PIL import Image

from tests.support.videos import SIZE, draw_moving_bar, frames_of


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "avif"])
def test_every_animated_image_is_a_video(infer_video, capsys, suffix):
    images = [Image.fromarray(draw_moving_bar(number)) for number in range(4)]
    images[0].save(f"moves.{suffix}", save_all=True, append_images=images[1:], duration=80)
    infer_video(f"moves.{suffix}")
    target = capsys.readouterr().out.strip()
    assert target == f"moves_small.{'gif' if suffix == 'gif' else 'mp4'}" and len(frames_of(target)) == 4


@pytest.mark.parametrize("suffix", ["tif", "mpo"])
def test_pages_are_no_frames_and_are_reported(infer_video, capsys, suffix):
    images = [Image.fromarray(draw_moving_bar(number)) for number in range(3)]
    images[0].save(f"scan.{suffix}", save_all=True, append_images=images[1:])
    infer_video(f"scan.{suffix}")
    printed = capsys.readouterr()
    assert printed.err.count(f"scan.{suffix} holds several images, and the first is used") == 1
    assert Image.open(printed.out.strip()).size == SIZE
