"""Tests with decompression bombs, damaged headers and playlists."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.image import vips
from faststyle.image.files import open_image
from faststyle.image.validation import check_pixel_count
from faststyle.image.vips import count_pixels
from faststyle.video.opening import is_animated, open_clip
from tests.support import hostile_bytes, hostile_images
from tests.support.images import draw_image
from tests.support.videos import make_clip


def test_decompression_bombs_are_refused_and_large_images_are_not():
    check_pixel_count(16_000_000, 100, "blank.png")
    check_pixel_count(100_000_000, 10_000_000, "photo.jpg")  # 10 pixels per byte, as with strong compression
    check_pixel_count(900_000_000, 2_700_000_000, "scan.tif")
    for pixels, size in ((17_000_000, 100), (900_000_000, 2_600_000), (2**62, 10**9)):
        with pytest.raises(InputError, match="decompression bombs"):
            check_pixel_count(pixels, size, "bomb.png")


def test_image_of_one_colour_is_not_a_bomb(tmp_path):
    Image.new("RGB", (3840, 2160), "white").save(tmp_path / "white.png")
    assert open_image(tmp_path / "white.png").size == (3840, 2160)


REFUSED = {  # bombs that Pillow would decode while it opens the file
    "many strips.tif": "its tags are larger",
    "many scans.jpg": "more than 500 segments",
    "13000x13000 16 bit.png": "decompression bombs",
}
PASSED_OVER = {  # sound images whose metadata is a bomb
    "heavy tags, odd head.tif": (4, 4),
    "heavy list of images.jpg": (40, 32),
    "heavy exif.jpg": (40, 32),
    "heavy exif.png": (40, 32),
    "heavy exif avif.jpg": (40, 32),
    "zTXt.png": (40, 32),
    "iTXt.png": (40, 32),
    "iCCP.png": (40, 32),
    "many zTXt.png": (40, 32),
    "10 MB tEXt.png": (40, 32),
    "50000 chunks.png": (40, 32),
}


@pytest.mark.slow
def test_bombs_in_headers_are_refused_before_pillow_reads_them(tmp_path, memory_limit):
    found = dict(hostile_images.bombs(1))
    for name, words in REFUSED.items():
        with pytest.raises(InputError, match=words):
            open_image(io.BytesIO(found[name]), name)
    for name, size in PASSED_OVER.items():
        if name in found:
            assert open_image(io.BytesIO(found[name]), name).size == size
    (tmp_path / "a.gif").write_bytes(found["heavy second page.gif"])
    assert not is_animated(tmp_path / "a.gif")  # so the second page is not decoded
    assert open_image(tmp_path / "a.gif").size == (4, 4)


def test_large_files_are_accepted_and_not_read_whole(tmp_path, memory_limit):
    path = tmp_path / "a.jpg"
    exif = hostile_bytes.exif(6)
    exif[0x9C9C] = bytes(40_000)
    draw_image(60, 40).save(path, "MPO", save_all=True, append_images=[draw_image(30, 20)], exif=exif)
    with path.open("ab") as file:
        file.truncate(1 << 30)  # phones append a video to the photo
    assert open_image(path).size == (40, 60)
    path.write_bytes(b"\xff\xd8\xff")
    with path.open("ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(InputError, match="no image data"):
        open_image(path)
    many = draw_image(60, 40).resize((2_000, 1_500))
    many.save(path, progressive=True, icc_profile=bytes(300_000))
    assert open_image(path).size == (2_000, 1_500)
    heavy = hostile_bytes.tiff([(256, 4, 1, 4), (700, 1, 2**31, 200)])
    (tmp_path / "a.tif").write_bytes(heavy)
    os.truncate(tmp_path / "a.tif", 3 << 30)
    with pytest.raises(InputError, match="its tags are larger"):
        open_image(tmp_path / "a.tif")


@pytest.mark.slow
def test_bombs_are_refused_by_libvips_too(tmp_path):
    pytest.importorskip("pyvips")
    for name, data in hostile_images.bombs(1):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="decompression bombs"):
        count_pixels(tmp_path / "30000x30000.png")
    assert count_pixels(tmp_path / "30000x30000.ppm") == 0


def test_svg_content_and_options_in_names_do_not_reach_libvips(tmp_path, monkeypatch):
    pytest.importorskip("pyvips")
    monkeypatch.setattr(vips, "MIN_VIPS_PIXELS", 1)
    (tmp_path / "a.png").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9000' height='9000'/>")
    assert count_pixels(tmp_path / "a.png") == 0
    draw_image(40, 30).save(tmp_path / "a[shrink=2].jpg")
    assert count_pixels(tmp_path / "a[shrink=2].jpg") == 1200


def test_long_animation_is_accepted_and_large_frames_are_refused(tmp_path):
    (tmp_path / "a.gif").write_bytes(hostile_bytes.gif(40, 30, 2_000))
    with open_clip(tmp_path / "a.gif") as video:
        assert video.count == 2_000
    for side in (3_000, 6_000):
        (tmp_path / "b.gif").write_bytes(hostile_bytes.gif(side, side, 2_000))
        with pytest.raises(InputError, match=r"b\.gif claims .* decompression bombs"):
            open_clip(tmp_path / "b.gif")


@pytest.mark.parametrize("orientation", [0, 9, 99])
def test_unknown_orientation_is_ignored(tmp_path, orientation):
    draw_image(40, 30).save(tmp_path / "a.png", exif=hostile_bytes.exif(orientation))
    assert np.array_equal(open_image(tmp_path / "a.png"), draw_image(40, 30))


def test_orientation_is_applied_although_other_tags_are_broken(tmp_path):
    tags = hostile_bytes.tiff([(0x0112, 3, 1, 6), (0x8769, 4, 1, 8), (0x9003, 2, 9_999, 60_000)], 8)
    draw_image(40, 30).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + tags)
    assert open_image(tmp_path / "a.jpg").size == (30, 40)


def test_frame_outside_the_canvas_does_not_enlarge_the_video(tmp_path):
    data = bytearray(hostile_bytes.gif(40, 30, 3))
    last = data.rindex(b"\x2c")
    data[last + 1 : last + 9] = b"\xff\xff\xff\xff\x01\x00\x01\x00"  # position (65535, 65535)
    (tmp_path / "a.gif").write_bytes(data)
    with open_clip(tmp_path / "a.gif") as video:
        assert [frame.pixels.shape for frame in video] == [(30, 40, 3)] * 2 and "damaged" in video.damage
    data[last + 1 : last + 5] = b"\xff\x2f\xff\x2f"  # position (12287, 12287)
    (tmp_path / "a.gif").write_bytes(data)
    with pytest.raises(InputError, match="decompression bombs"):
        open_clip(tmp_path / "a.gif")


def test_damaged_duration_is_ignored(tmp_path):
    path = make_clip(tmp_path / "a.webm", 3, codec="libvpx")
    path.write_bytes(path.read_bytes().replace(b"00:00:0", b"00:x0:0"))
    with open_clip(path) as video:
        assert len(list(video)) == 3


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile 'secret.mp4'\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n"]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_playlists_do_not_open_other_files(tmp_path, text, name):
    make_clip(tmp_path / "secret.mp4", 2)
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="is not a video that can be read"):
        open_clip(tmp_path / name)
