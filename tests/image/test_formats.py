"""Tests of the formats that can be read on this machine."""

import builtins
import io

import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.image import formats
from faststyle.image.files import check_output, check_size, open_image
from tests.support.images import draw_image, max_difference

pillow_heif = pytest.importorskip("pillow_heif")


@pytest.fixture(autouse=True)
def fresh_formats():
    """Determine the readable formats anew, before and after each test."""
    formats.is_readable.cache_clear()
    yield
    formats.is_readable.cache_clear()


@pytest.fixture
def no_heif(monkeypatch):
    """Make the plugin for HEIF impossible to import, and unknown to Pillow."""
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "pillow_heif":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    Image.init()
    monkeypatch.setattr(Image, "OPEN", {name: value for name, value in Image.OPEN.items() if name != "HEIF"})


def heif(image: Image.Image, **options) -> bytes:
    """Return the bytes of a HEIC file."""
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, quality=100, chroma=444, **options)
    return stream.getvalue()


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"heix"])
@pytest.mark.parametrize("suffix", ["HEIC", "heif", "jpg"])
def test_heif_is_read_whatever_its_suffix_and_main_brand(tmp_path, brand, suffix):
    data = heif(draw_image(64, 48)).replace(b"ftypheic", b"ftyp" + brand)
    (tmp_path / f"a.{suffix}").write_bytes(data)
    opened = open_image(tmp_path / f"a.{suffix}")
    assert opened.mode == "RGB" and max_difference(opened, draw_image(64, 48)) < 12


def test_heif_is_upright_and_keeps_its_transparency(tmp_path):
    image, exif = draw_image(64, 48).convert("RGBA"), Image.Exif()
    image.putalpha(Image.linear_gradient("L").resize((64, 48)))
    exif[0x0112] = 6
    (tmp_path / "a.heic").write_bytes(heif(image, exif=exif.tobytes()))
    opened = open_image(tmp_path / "a.heic")
    assert opened.size == (48, 64) and opened.mode == "RGBA"
    assert (
        max_difference(opened.convert("RGB"), image.convert("RGB").transpose(Image.Transpose.ROTATE_270)) < 40
    )


def test_heif_without_its_plugin_gets_the_remedy(tmp_path, no_heif):
    (tmp_path / "IMG_1.HEIC").write_bytes(heif(draw_image(64, 48)))
    with pytest.raises(InputError, match=r"IMG_1\.HEIC is HEIF, .*pip install -e '\.\[heif\]'"):
        open_image(tmp_path / "IMG_1.HEIC")
    assert "HEIF" not in formats.readable_formats()


@pytest.mark.parametrize("part", ["avif", "webp", "jpg_2000"])
def test_format_that_pillow_was_built_without_is_not_promised(tmp_path, monkeypatch, part):
    monkeypatch.setattr(formats.features, "check", lambda name: name != part)
    lacking = next(name for name, needed in formats.PILLOW_PARTS.items() if needed == part)
    draw_image(64, 48).save(tmp_path / "a.jpg", lacking)
    with pytest.raises(InputError, match=f"is {lacking}, which cannot be read on this machine: pip install"):
        open_image(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match="expected JPEG") as caught:
        open_image(tmp_path / "b.jpg")
    assert lacking not in str(caught.value)


def test_format_that_pillow_cannot_write_is_not_promised(tmp_path, monkeypatch):
    Image.init()
    monkeypatch.setattr(Image, "SAVE", {name: save for name, save in Image.SAVE.items() if name != "WEBP"})
    for check in (check_output, lambda path: check_size(path, 8, 8)):
        with pytest.raises(InputError, match=r"a\.webp: .* end in one of \.jpg, .*\.tiff$") as caught:
            check(tmp_path / "a.webp")
        assert str(caught.value).count(".webp") == 1
        check(tmp_path / "a.png")


def test_every_promised_format_is_recognized_and_read(tmp_path):
    for name in formats.readable_formats():
        path = tmp_path / "no suffix"
        draw_image(64, 48).save(path, name)
        with path.open("rb") as file:
            found = formats.recognize(file.read(formats.MAGIC_BYTES))
        assert found == name or (name, found) == ("MPO", "JPEG")
        assert formats.is_image(path)
        assert open_image(path).size == (64, 48)


@pytest.mark.parametrize("text", [b"BMW is a text, however long the line goes on", b"P3 is a priority", b""])
def test_texts_are_no_images(tmp_path, text):
    (tmp_path / "a").write_bytes(text)
    assert not formats.is_image(tmp_path / "a")
