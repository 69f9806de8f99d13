"""Tests of files that hold several images."""

import struct

import pytest
from PIL import Image

from faststyle.image.pages import describe_several, holds_several
from tests.support.images import draw_image


def images(*sizes):
    return [draw_image(*size, seed) for seed, size in enumerate(sizes)]


@pytest.mark.parametrize("suffix", ["tif", "mpo", "gif", "png", "webp", "avif"])
def test_files_of_several_images_are_recognized(tmp_path, suffix):
    first, *others = images((40, 30), (40, 30), (40, 30))
    path = tmp_path / f"a.{suffix}"
    first.save(path, save_all=True, append_images=others)
    assert holds_several(path)
    assert describe_several(path) == (
        f"{path} holds several images, and the first is used: save the others as files of their own"
    )
    first.save(path)
    assert not holds_several(path) and describe_several(path) is None


@pytest.mark.parametrize("options", [{}, {"big_tiff": True}, {"compression": "tiff_lzw"}])
def test_pages_of_every_kind_of_tiff_are_found(tmp_path, options):
    first, second = images((40, 30), (64, 20))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second], **options)
    assert holds_several(tmp_path / "a.tif")


def test_big_endian_tiff(tmp_path):
    """Write two directories of one black pixel each."""
    tags = [(256, 3, 1, 1 << 16), (257, 3, 1, 1 << 16), (258, 3, 1, 8 << 16), (262, 3, 1, 1 << 16)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 1 << 16), (279, 4, 1, 1)]
    directory = struct.pack(">H", len(tags)) + b"".join(struct.pack(">HHII", *tag) for tag in tags)
    second = 10 + len(directory) + 4
    data = b"MM\0*" + struct.pack(">I", 10) + b"\0\0" + directory + struct.pack(">I", second)
    (tmp_path / "a.tif").write_bytes(data + directory + bytes(4))
    assert holds_several(tmp_path / "a.tif")
    (tmp_path / "ring.tif").write_bytes(data[:-4] + struct.pack(">I", 10))
    assert not holds_several(tmp_path / "ring.tif")


@pytest.mark.parametrize("kind", [1, 4, 5])
def test_previews_and_masks_of_a_tiff_are_no_pages(tmp_path, kind):
    first, second = images((40, 30), (20, 15))
    second.encoderinfo = {"tiffinfo": {254: kind}}
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert not holds_several(tmp_path / "a.tif")


def test_depth_map_beside_a_photo_is_no_second_photo(tmp_path):
    first, second = images((40, 30), (20, 15))
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second])
    assert not holds_several(tmp_path / "a.mpo")


def test_burst_in_a_heic_is_recognized(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    first, second = images((64, 48), (64, 48))
    first.save(tmp_path / "a.heic", save_all=True, append_images=[second])
    assert holds_several(tmp_path / "a.heic")
    first.save(tmp_path / "b.heic")
    assert not holds_several(tmp_path / "b.heic")


def test_damaged_file_holds_nothing(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + b"\xff" * 40)
    Image.new("RGB", (8, 8)).save(tmp_path / "b.tif")
    (tmp_path / "b.tif").write_bytes((tmp_path / "b.tif").read_bytes()[:100])
    for name in ("a.tif", "b.tif", "none.tif"):
        assert not holds_several(tmp_path / name)
