"""Tests of sound images whose metadata is too large to be read."""

import io
import random
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin, features

from faststyle.errors import InputError
from faststyle.image import metadata
from faststyle.image.exif import read_orientation
from faststyle.image.files import open_image
from faststyle.image.formats import readable_formats
from faststyle.image.metadata import minimal_exif, replace_exif, without_large_metadata
from tests.support.hostile_bytes import exif, heavy_tiff, png_chunk, tiff
from tests.support.images import display_p3_profile, draw_image, max_difference

MEGA = 1 << 20
TEXT = bytes(random.Random(0).choices(b"abcdefgh", k=2 * MEGA))


def png_of(*chunks: bytes, before: bool = True) -> io.BytesIO:
    """Return a PNG of ``draw_image(64, 48)`` with more chunks, before or after its pixels."""
    stream = io.BytesIO()
    draw_image(64, 48).save(stream, "PNG")
    data = stream.getvalue()
    place = 33 if before else len(data) - 12
    return io.BytesIO(data[:place] + b"".join(chunks) + data[place:])


def check_pixels(stream: io.BytesIO, tolerance: int = 0, turned: bool = False) -> None:
    """Check that a file shows ``draw_image(64, 48)``."""
    expected = draw_image(64, 48)
    expected = expected.transpose(Image.Transpose.ROTATE_270) if turned else expected
    opened = open_image(stream, "a.png")
    assert opened.size == expected.size and max_difference(opened.convert("RGB"), expected) <= tolerance


CHUNKS = {
    "tEXt": b"Comment\0" + TEXT,
    "zTXt": b"Comment\0\0" + zlib.compress(TEXT),
    "iTXt": b"Comment\0\0\0\0\0" + TEXT,
    "compressed iTXt": b"Comment\0\1\0en\0word\0" + zlib.compress(TEXT),
    "XMP": b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta>" + TEXT,
    "iCCP": b"profile\0\0" + zlib.compress(TEXT),
    "eXIf": exif(1).tobytes()[6:] + TEXT,
    "exIf of text": b"Raw profile type exif\0\0" + zlib.compress(TEXT),
}


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("name", CHUNKS)
def test_large_chunks_of_png_are_passed_over(name, before):
    kind = {"compressed iTXt": "iTXt", "XMP": "iTXt", "exIf of text": "zTXt"}.get(name, name).encode()
    check_pixels(png_of(png_chunk(kind, CHUNKS[name]), before=before))


@pytest.mark.parametrize("count", [70, 3_000])
def test_many_chunks_of_png_are_passed_over(count):
    chunk = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(MEGA - 1)))
    check_pixels(png_of(*[chunk] * count))
    check_pixels(png_of(*[chunk] * count, before=False))


def test_small_metadata_beside_a_large_one_stays():
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 100_000, zip=True)
    stream = io.BytesIO()
    options = {"exif": exif(6), "icc_profile": display_p3_profile(), "pnginfo": info}
    draw_image(64, 48).save(stream, "PNG", **options)
    data = stream.getvalue()
    large = io.BytesIO(data[:33] + png_chunk(b"zTXt", CHUNKS["zTXt"]) + data[33:])
    assert max_difference(open_image(large), open_image(io.BytesIO(data))) == 0
    assert without_large_metadata(io.BytesIO(data), "PNG", "a.png") is None


def test_animation_with_a_large_chunk_is_read(tmp_path):
    from faststyle.video.opening import open_clip

    stream = io.BytesIO()
    frames = [draw_image(64, 48, seed=seed) for seed in range(3)]
    frames[0].save(stream, "PNG", save_all=True, append_images=frames[1:], duration=40)
    data = stream.getvalue()
    (tmp_path / "a.png").write_bytes(data[:33] + png_chunk(b"zTXt", CHUNKS["zTXt"]) + data[33:])
    with open_clip(tmp_path / "a.png") as video:
        assert len(list(video)) == 3 and video.damage is None


def segments(marker: int, content: bytes, prefix: bytes = b"") -> bytes:
    """Return segments of a JPEG that hold a content in pieces, each after a prefix."""
    parts = [prefix + content[at : at + 65_000] for at in range(0, len(content), 65_000)]
    return b"".join(struct.pack(">BBH", 255, marker, len(part) + 2) + part for part in parts)


JPEG_METADATA = {
    "EXIF": segments(0xE1, heavy_tiff(2_000, MEGA), b"Exif\0\0"),
    "EXIF of noise": segments(0xE1, TEXT, b"Exif\0\0"),
    "XMP": segments(0xE1, b"<x:xmpmeta>" * 5_000, b"http://ns.adobe.com/xap/1.0/\0"),
    "600 parts of XMP": segments(0xE1, bytes(40 * MEGA), b"http://ns.adobe.com/xmp/extension/\0"),
    "profile": segments(0xE2, TEXT, b"ICC_PROFILE\0\1\1"),
    "list of images": segments(0xE2, tiff([(tag, 5, 3_600, 8_000) for tag in range(300)]), b"MPF\0"),
    "layers": segments(0xED, TEXT, b"Photoshop 3.0\0"),
    "comments": segments(0xFE, TEXT) + segments(0xFE, b"small") * 3_000,
}


@pytest.mark.parametrize("name", JPEG_METADATA)
def test_large_segments_of_jpeg_are_passed_over(name):
    stream = io.BytesIO()
    draw_image(64, 48).save(stream, "JPEG", quality=98, subsampling=0)
    data = stream.getvalue()
    check_pixels(io.BytesIO(data[:2] + JPEG_METADATA[name] + data[2:]), tolerance=20)


def heavy_exif(orientation: int | None) -> bytes:
    """Return EXIF of many tags that share a megabyte, and an orientation."""
    start = 8 + 2 + 12 * 601 + 4
    entries = [(1_000 + tag, 1, MEGA, start) for tag in range(600)]
    turned = [] if orientation is None else [(0x0112, 3, 1, orientation)]
    return b"Exif\0\0" + tiff([*turned, *entries], tail=bytes(MEGA))


def test_orientation_of_heavy_exif_in_a_jpeg_is_applied():
    draw_image(64, 48).save(stream := io.BytesIO(), "JPEG", quality=98, subsampling=0)
    whole = stream.getvalue()
    data = whole[:2] + segments(0xE1, heavy_exif(6)[6:], b"Exif\0\0") + whole[2:]
    check_pixels(io.BytesIO(data), tolerance=20, turned=True)


@pytest.mark.parametrize("options", [{"format": "PNG"}, {"format": "WEBP", "lossless": True}])
def test_orientation_of_heavy_exif_is_applied(options):
    draw_image(64, 48).save(stream := io.BytesIO(), exif=heavy_exif(6), **options)
    check_pixels(stream, turned=True)


def test_heavy_exif_of_an_avif_is_passed_over():
    if "AVIF" not in readable_formats():
        pytest.skip("needs AVIF")
    draw_image(64, 48).save(
        stream := io.BytesIO(), "AVIF", quality=95, subsampling="4:4:4", exif=heavy_exif(None)
    )
    check_pixels(stream, tolerance=30)
    small, exif = io.BytesIO(), heavy_exif(6)[6:]
    assert read_orientation(replace_exif(b"head" + exif + b"tail", exif)[4:]) == 6
    draw_image(64, 48).save(small, "AVIF", exif=minimal_exif(6))
    assert open_image(small).size == (48, 64)


def test_heavy_exif_of_a_heic_is_passed_over():
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(draw_image(64, 48)).save(stream, quality=98, chroma=444, exif=heavy_exif(None))
    check_pixels(stream, tolerance=30)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_large_tags_of_tiff_are_passed_over(order, big):
    tifffile = pytest.importorskip("tifffile")
    import numpy as np

    stream = io.BytesIO()
    tags = [(37_724, "B", 70 * MEGA, bytes(70 * MEGA), True)]  # Photoshop's layers
    tags += [(274, "H", 1, 6, True), (700, "B", MEGA, bytes(MEGA), True)]
    tifffile.imwrite(
        stream,
        np.asarray(draw_image(64, 48)),
        photometric="rgb",
        extratags=tags,
        bigtiff=big,
        byteorder=order,
        iccprofile=display_p3_profile(),
    )
    draw_image(64, 48).save(png := io.BytesIO(), "PNG", icc_profile=display_p3_profile())
    expected = open_image(png).transpose(Image.Transpose.ROTATE_270)
    assert max_difference(open_image(stream, "a.tif"), expected) == 0


@pytest.mark.parametrize("format", ["WEBP", "GIF", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("key", ["xmp", "icc_profile", "comment"])
def test_large_texts_and_profiles_of_other_formats(format, key):
    if format not in readable_formats():
        pytest.skip(f"needs {format}")
    stream = io.BytesIO()
    draw_image(64, 48).save(stream, format, **{key: TEXT})
    stream.seek(0)
    assert open_image(stream, "a").size == (64, 48)


def test_file_too_large_to_be_copied_is_refused(monkeypatch):
    monkeypatch.setattr(metadata, "MAX_COPIED_BYTES", 1_000)
    with pytest.raises(InputError, match=r"a\.png is damaged, or has layers: its tags are larger"):
        open_image(png_of(png_chunk(b"zTXt", CHUNKS["zTXt"])), "a.png")


@pytest.mark.skipif(not features.check("avif"), reason="needs AVIF")
def test_small_exif_is_left_alone():
    for format in ("JPEG", "AVIF", "TIFF", "PNG"):
        stream = io.BytesIO()
        draw_image(64, 48).save(stream, format, exif=exif(6))
        assert without_large_metadata(stream, format, "a") is None
