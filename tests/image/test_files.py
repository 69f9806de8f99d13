"""Tests of reading, writing and finding image files."""

import io
import subprocess
import sys

import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.files import FORMATS, find_images, open_image, save_image
from tests.support.images import draw_image, max_difference


def test_binary_file_object_is_read():
    stream = io.BytesIO()
    image = draw_image(30, 20)
    image.save(stream, "PNG")
    stream.seek(0)
    assert max_difference(open_image(stream), image) == 0


def write_unreadable(folder):
    """Write files that cannot be read as images."""
    whole = io.BytesIO()
    draw_image(80, 80).save(whole, "JPEG")
    png = io.BytesIO()
    draw_image(80, 80).save(png, "PNG")
    (folder / "text.jpg").write_text("not an image at all")
    (folder / "empty.png").write_bytes(b"")
    (folder / "truncated.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (folder / "truncated.png").write_bytes(png.getvalue()[: len(png.getvalue()) // 2])
    (folder / "folder.jpg").mkdir()


@pytest.mark.parametrize(
    "name", ["text.jpg", "empty.png", "truncated.jpg", "truncated.png", "folder.jpg", "missing.jpg"]
)
def test_unreadable_file_is_named(tmp_path, name):
    write_unreadable(tmp_path)
    with pytest.raises(InputError, match=name):
        open_image(tmp_path / name)


def test_error_for_another_format_lists_the_readable_ones(tmp_path):
    draw_image(8, 8).save(tmp_path / "a.tga")
    with pytest.raises(InputError, match=r"a\.tga is not an image .*JPEG, .*PNG"):
        open_image(tmp_path / "a.tga")


def test_image_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    draw_image(64, 64).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"bomb\.png is too large") as caught:
        open_image(tmp_path / "bomb.png")
    assert caught.value.parameters == ["max_size"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_written_and_read_back(tmp_path, suffix):
    # An image of one colour, because lossy formats change it by a level or two.
    image = Image.new("RGB", (33, 21), (200, 90, 30))
    path = tmp_path / "new folder" / f"a{suffix}"
    save_image(image, path, quality=100)
    with Image.open(path) as stored:
        assert stored.format == FORMATS[suffix]
    assert max_difference(open_image(path), image) <= 3


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_alpha_is_written_if_the_format_has_it(tmp_path, suffix):
    image = Image.new("RGBA", (16, 16), (10, 200, 30, 128))
    save_image(image, tmp_path / f"a{suffix}")
    assert open_image(tmp_path / f"a{suffix}").getpixel((8, 8))[3] == 128


def test_uppercase_suffix_is_accepted(tmp_path):
    save_image(Image.new("RGB", (8, 8)), tmp_path / "A.JPG")
    assert open_image(tmp_path / "A.JPG").size == (8, 8)


def test_transparent_image_becomes_white_in_a_jpeg(tmp_path):
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((200, 0, 0, 255), (0, 0, 16, 32))
    save_image(image, tmp_path / "a.jpg")
    opened = open_image(tmp_path / "a.jpg")
    assert opened.mode == "RGB"
    assert min(opened.getpixel((28, 16))) >= 250
    assert opened.getpixel((4, 16))[0] > 190


def test_quality_changes_the_size_of_the_file(tmp_path):
    for suffix in (".jpg", ".webp"):
        sizes = []
        for quality in (20, 95):
            save_image(draw_image(96, 96), tmp_path / f"a{suffix}", quality)
            sizes.append((tmp_path / f"a{suffix}").stat().st_size)
        assert sizes[0] < sizes[1]


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.gif"])
def test_unknown_suffix_is_refused_and_nothing_written(tmp_path, name):
    with pytest.raises(InputError, match=r"\.png"):
        save_image(Image.new("RGB", (8, 8)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_failing_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"the old file")

    def fill_the_disk(self, target, *args, **kwargs):
        target.write_bytes(b"half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_the_disk)
    with pytest.raises(OSError):
        save_image(draw_image(16, 16), path)
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_find_images_searches_subfolders_and_sorts(tmp_path):
    names = ["b.jpg", "a/z.PNG", "a/deep/er/c.webp", "c.jpeg"]
    others = [".hidden.jpg", ".thumbnails/d.jpg", "notes.txt", "a/._e.jpg"]
    for name in names + others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    found = find_images(tmp_path)
    assert found == sorted(tmp_path / name for name in names)


def test_find_images_below_a_hidden_folder(tmp_path):
    # Only hidden folders inside the searched one are skipped.
    folder = tmp_path / ".cache" / "photos"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"")
    assert find_images(folder) == [folder / "a.jpg"]


def test_only_commands_silence_pillow():
    code = """
import logging, warnings
import numpy  # which adds filters
before = list(warnings.filters)
from faststyle.image import validation
assert warnings.filters == before and not logging.getLogger("PIL").handlers
validation.silence_decoders()
warnings.warn_explicit("a warning of Pillow", UserWarning, "TiffImagePlugin.py", 1, "PIL.TiffImagePlugin")
logging.getLogger("PIL.TiffImagePlugin").warning("a message of Pillow")
"""
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stderr == ""
