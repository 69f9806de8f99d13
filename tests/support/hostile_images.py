"""Generate decompression bombs, and unusual but valid images."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, PngImagePlugin

from tests.support.hostile_bytes import (
    IMAGE_FORMATS,
    MEGA,
    bmp_of,
    deflated,
    encoded,
    exif,
    gif,
    heavy_tiff,
    jpeg_of,
    jpeg_of_scans,
    jpeg_with_exif,
    jpeg_with_mpf_tags,
    plain_tiff,
    png,
    png_chunk,
    png_with,
    tiff,
    tiff_of_strips,
    webp_of,
)
from tests.support.images import draw_image


def bombs(frames: int) -> Iterator[tuple[str, bytes]]:
    rows = deflated(64 * MEGA)
    yield "30000x30000.png", png(30_000, 30_000, rows)
    yield "30000x30000 1 bit.png", png(30_000, 30_000, deflated(30_000 * 3751), bits=1, color=0)
    yield "2147483647x2147483647.png", png(2**31 - 1, 2**31 - 1, rows[:500])
    yield "9000x9000.png", png(9_000, 9_000, rows)
    yield "0x0.png", png(0, 0, rows[:100])
    yield "30000x30000.gif", gif(30_000, 30_000, 1)
    yield "65535x65535.gif", gif(65_535, 65_535, 3)
    yield "many frames.gif", gif(8, 8, frames)
    yield "many large frames.gif", gif(3_000, 3_000, 10_000)
    yield "30000x30000.tif", plain_tiff(30_000, 30_000)
    yield "4294967295x4294967295.tif", plain_tiff(2**32 - 1, 2**32 - 1)
    yield "30000x30000.jpg", jpeg_of(30_000, 30_000)
    yield "65535x65535.jpg", jpeg_of(65_535, 65_535)
    yield "16383x16383.webp", webp_of(16_383, 16_383)
    yield "30000x30000.bmp", bmp_of(30_000, 30_000)
    yield "2147483647 rows.bmp", bmp_of(40, 2**31 - 1)
    yield "minus 2147483648 rows.bmp", bmp_of(40, -(2**31))
    yield "30000x30000.ppm", b"P6 30000 30000 255\n" + bytes(100)
    yield "4e9 x 4e9.ppm", b"P6 4000000000 4000000000 255\n" + bytes(100)
    yield "long number.ppm", b"P6 " + b"9" * 100_000
    text = deflated(200 * MEGA)
    yield "zTXt.png", png_with(png_chunk(b"zTXt", b"Comment\0\0" + text))
    yield "iTXt.png", png_with(png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + text))
    yield "iCCP.png", png_with(png_chunk(b"iCCP", b"icc\0\0" + text))
    yield "many zTXt.png", png_with(png_chunk(b"zTXt", b"Comment\0\0" + deflated(MEGA - 1)) * 1_000)
    yield "10 MB tEXt.png", png_with(png_chunk(b"tEXt", b"Comment\0" + b"a" * 10 * MEGA))
    yield "50000 chunks.png", png_with(png_chunk(b"tEXt", b"a\0b") * 50_000)
    yield "50000 tags.tif", heavy_tiff(50_000, 16)
    yield "heavy tags.tif", heavy_tiff(3_000, MEGA)
    yield "million tags.tif", b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 1_000_000) + bytes(20) * 1_000_000
    yield "heavy exif.png", png_with(png_chunk(b"eXIf", heavy_tiff(3_000, MEGA)))
    yield "heavy exif.jpg", jpeg_with_exif(heavy_tiff(5_000, MEGA))
    yield "heavy tags, odd head.tif", b"II\0*" + heavy_tiff(600, MEGA)[4:]
    pages = plain_tiff(4, 4, after=8 + 2 + 12 * 8 + 4 + 64)
    start = len(pages) + 2 + 12 * 600 + 4
    second = b"".join(struct.pack("<HHII", 1000 + tag, 1, MEGA, start) for tag in range(600))
    yield "heavy second page.gif", pages + struct.pack("<H", 600) + second + bytes(4 + MEGA)
    yield "many strips.tif", tiff_of_strips(2_000_000)
    yield "heavy list of images.jpg", jpeg_with_mpf_tags(300)
    yield "many scans.jpg", jpeg_of_scans(25_000)
    if "AVIF" in Image.SAVE:
        yield "heavy exif avif.jpg", encoded(draw_image(40, 32), "AVIF", exif=heavy_tiff(600, MEGA))
    yield "13000x13000 16 bit.png", png(13_000, 13_000, rows + bytes(1_280_000), bits=16, color=6)
    yield "directories in a ring.tif", plain_tiff(4, 4, after=8)
    yield "exif in a ring.png", png_with(png_chunk(b"eXIf", tiff([(0x8769, 4, 1, 8)], 8)))


# Unusual but valid images that some programs write


def odd_images() -> Iterator[tuple[str, bytes]]:
    image, chance = draw_image(40, 32, seed=2), np.random.default_rng(0)
    yield "1x1.png", encoded(image.resize((1, 1)), "PNG")
    yield "1x20000.png", encoded(image.resize((1, 20_000)), "PNG")
    yield "20000x1.jpg", encoded(image.resize((20_000, 1)), "JPEG")
    yield "1x20000.tif", encoded(image.resize((1, 20_000)), "TIFF")
    yield "2x3.gif", encoded(image.resize((2, 3)), "GIF")
    for mode, kind, suffix in [
        ("1", "PNG", "png"),
        ("1", "TIFF", "tif"),
        ("L", "JPEG", "jpg"),
        ("LA", "PNG", "png"),
        ("P", "BMP", "bmp"),
        ("CMYK", "JPEG", "jpg"),
        ("CMYK", "TIFF", "tif"),
        ("YCbCr", "TIFF", "tif"),
        ("LAB", "TIFF", "tif"),
        ("RGBA", "WEBP", "webp"),
    ]:
        converted = Image.new("LAB", (40, 32), (120, 130, 140)) if mode == "LAB" else image.convert(mode)
        yield f"{mode}.{suffix}", encoded(converted, kind)
    yield "P transparent.png", encoded(image.quantize(16), "PNG", transparency=3)
    yield "P bytes.png", encoded(image.quantize(16), "PNG", transparency=bytes(range(16)))
    yield "P bytes.gif", encoded(image.quantize(16), "GIF", transparency=3)
    grey = chance.integers(0, 65_536, (32, 40), np.uint16)
    yield "I;16.png", encoded(Image.fromarray(grey), "PNG")
    yield "I;16.tif", encoded(Image.fromarray(grey), "TIFF")
    yield "16 bit colours.png", png(4, 2, zlib.compress(bytes(50)), bits=16)
    values = chance.normal(0.5, 1, (32, 40)).astype(np.float32)
    values[:, :3] = np.nan, np.inf, -np.inf
    yield "NaN.tif", encoded(Image.fromarray(values), "TIFF")
    yield "I.tif", encoded(Image.fromarray(chance.integers(-(2**31), 2**31, (32, 40), np.int32)), "TIFF")
    for orientation in (0, 9, 99, 65_535):
        yield f"orientation {orientation}.jpg", encoded(image, "JPEG", exif=exif(orientation))
    yield "orientation up.png", encoded(image, "PNG", exif=b"Exif\0\0" + tiff([(0x0112, 2, 3, 0x7075)]))
    ring = tiff([(0x0112, 3, 1, 6), (0x8769, 4, 1, 8), (0x8825, 4, 1, 8)], 8)
    yield "exif ring.jpg", encoded(image, "JPEG", exif=b"Exif\0\0" + ring)
    for name, data in (("none", b""), ("cut", ring[:11]), ("noise", chance.bytes(500))):
        yield f"exif {name}.jpg", encoded(image, "JPEG", exif=b"Exif\0\0" + data)
        yield f"exif {name}.webp", encoded(image, "WEBP", exif=b"Exif\0\0" + data)
    for name, data in (("zeros", bytes(300)), ("noise", chance.bytes(3_000)), ("text", b"acsp" * 100)):
        for suffix in ("jpg", "png", "tif", "webp"):
            yield f"icc {name}.{suffix}", encoded(image, IMAGE_FORMATS[suffix], icc_profile=data)
    many = PngImagePlugin.PngInfo()
    many.add_text("XML:com.adobe.xmp", "<x:xmpmeta>" + "<a>" * 5_000)
    yield "xmp.png", encoded(image, "PNG", pnginfo=many)
    laughs = f"<?xml version='1.0'?><!DOCTYPE x [{lol_entities()}]><x:xmpmeta xmlns:tiff='t'>&l9;</x:xmpmeta>"
    many = PngImagePlugin.PngInfo()
    many.add_itxt("XML:com.adobe.xmp", laughs)
    yield "billion laughs.png", encoded(image, "PNG", pnginfo=many)


def lol_entities() -> str:
    return "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol"}">' for n in range(10))
