"""Build files by their bytes: small valid ones, and parts of PNG, TIFF, GIF, JPEG, WebP and BMP."""

import functools
import io
import struct
import tempfile
import zlib
from fractions import Fraction
from pathlib import Path

from PIL import Image

from tests.support.images import draw_image
from tests.support.videos import make_clip

IMAGE_FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP", "gif": "GIF"}
IMAGE_FORMATS |= {"jpeg": "JPEG", "jfif": "JPEG", "tiff": "TIFF", "ppm": "PPM"}
VIDEO_FORMATS: dict[str, dict] = {
    "mp4": {},
    "mkv": {},
    "avi": {"codec": "mpeg4"},
    "mov": {},
    "webm": {"codec": "libvpx"},
}
VIDEO_FORMATS |= {"ts": {"codec": "mpeg2video", "base": Fraction(1, 25), "step": 1}, "flv": {"codec": "flv1"}}
MEGA = 1 << 20


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@functools.cache
def wholes() -> dict[str, bytes]:
    """Return small valid files by suffix. The damaged files are derived from them."""
    image = draw_image(40, 32, seed=1)
    found = {suffix: encoded(image, kind) for suffix, kind in IMAGE_FORMATS.items()}
    found["progressive.jpg"] = encoded(image, "JPEG", progressive=True, exif=exif(6))
    found["alpha.png"] = encoded(image.convert("RGBA"), "PNG", exif=exif(3))
    found["packed.tif"] = encoded(image, "TIFF", compression="tiff_lzw", exif=exif(8))
    moving = [draw_image(40, 32, seed) for seed in range(3)]
    for suffix, kind in (("moving.gif", "GIF"), ("moving.webp", "WEBP"), ("moving.png", "PNG")):
        found[suffix] = encoded(moving[0], kind, save_all=True, append_images=moving[1:], duration=40)
    Image.init()
    for kind in ("AVIF", "JPEG2000", "MPO"):  # Pillow reads these formats under any image suffix.
        if kind in Image.SAVE_ALL or kind in Image.SAVE:
            more = {"save_all": True, "append_images": moving[1:]} if kind == "MPO" else {}
            found[f"{kind.lower()}.jpg"] = encoded(moving[0], kind, **more)
    with tempfile.TemporaryDirectory() as folder:
        for suffix, options in VIDEO_FORMATS.items():
            # Some formats otherwise write random numbers into their headers.
            muxing = {"fflags": "+bitexact"}
            path = make_clip(Path(folder) / f"a.{suffix}", 3, size=(32, 16), muxing=muxing, **options)
            found[suffix] = path.read_bytes()
    return found


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, body: bytes, bits: int = 8, color: int = 2, extra: bytes = b"") -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def png_with(extra: bytes) -> bytes:
    """Insert chunks after the header of a valid PNG."""
    data = wholes()["png"]
    return data[:33] + extra + data[33:]


def tiff(entries: list[tuple[int, int, int, int]], after: int = 0, tail: bytes = b"") -> bytes:
    """Build a TIFF.

    Args:
        entries: Tag, type, count, and value or offset of each directory entry.
        after: Offset of the next directory; 0 for none.
        tail: Bytes that follow the directory.
    """
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", after) + tail


def plain_tiff(width: int, height: int, **more) -> bytes:
    size = 8 + 2 + 12 * 8 + 4
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, size), (277, 3, 1, 1), (279, 4, 1, min(width * height, 2**32 - 1))]
    return tiff(entries, tail=bytes(64), **more)


def heavy_tiff(tags: int, each: int) -> bytes:
    """Build a TIFF with ``tags`` extra tags that all refer to the same ``each`` bytes."""
    start = 8 + 2 + 12 * (tags + 8) + 4
    entries = [(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, start), (277, 3, 1, 1), (279, 4, 1, 16)]
    entries += [(1000 + tag, 1, each, start) for tag in range(tags)]
    return tiff(entries, tail=bytes(each))


def deflated(size: int) -> bytes:
    """Compress ``size`` zero bytes."""
    packer, block = zlib.compressobj(9), bytes(MEGA)
    parts = [packer.compress(block) for _ in range(size // MEGA)]
    return b"".join([*parts, packer.compress(bytes(size % MEGA)), packer.flush()])


def gif(width: int, height: int, frames: int) -> bytes:
    """Build a GIF with one-pixel frames on a canvas of the given size."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    control = b"\x21\xf9\x04\x00\x02\x00\x00\x00"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return head + (control + frame) * frames + b"\x3b"


def jpeg_of(width: int, height: int) -> bytes:
    """Build a small JPEG whose header claims the given size."""
    data = bytearray(wholes()["jpg"])
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_with_exif(data: bytes) -> bytes:
    """Build a JPEG whose EXIF data is split into several segments, which readers join."""
    parts = [b"Exif\0\0" + data[at : at + 65_000] for at in range(0, len(data), 65_000)]
    whole = encoded(draw_image(40, 32), "JPEG")
    start = whole.index(b"\xff\xdb")  # Without JFIF, readers look for the resolution in EXIF.
    segments = [b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts]
    return whole[:2] + b"".join(segments) + whole[start:]


def jpeg_with_mpf_tags(tags: int) -> bytes:
    """Build a JPEG whose MPF image list has ``tags`` extra tags that share their bytes."""
    start, whole = 8 + 2 + 12 * tags + 4, wholes()["jpg"]
    part = b"MPF\0" + tiff([(tag, 5, 3_600, start) for tag in range(tags)], tail=bytes(8 * 3_600))
    return whole[:2] + b"\xff\xe2" + struct.pack(">H", len(part) + 2) + part + whole[2:]


def jpeg_of_scans(scans: int, side: int = 4_000) -> bytes:
    """Build a blank progressive JPEG that repeats its last scan ``scans`` times."""
    whole = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * scans + whole[-2:]


def tiff_of_strips(strips: int) -> bytes:
    """Build a TIFF with one tag of ``strips`` values, each of which a reader turns into an object."""
    start = 8 + 2 + 12 * 8 + 4
    entries = [(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 1, strips, start), (277, 3, 1, 1), (279, 4, 1, 16)]
    return tiff(entries, tail=bytes(strips))


def webp_of(width: int, height: int) -> bytes:
    """Build a small lossless WebP of one colour whose header claims the given size."""
    data = bytearray(encoded(Image.new("RGB", (16, 16), "red"), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    bits = int.from_bytes(data[at : at + 4], "little") >> 28 << 28
    data[at : at + 4] = (bits | (height - 1) << 14 | (width - 1)).to_bytes(4, "little")
    return bytes(data)


def bmp_of(width: int, height: int) -> bytes:
    data = bytearray(wholes()["bmp"])
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)
