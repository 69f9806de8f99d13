"""Generate a reproducible corpus of damaged and malicious image and video files."""

import functools
import io
import os
import pickle
import random
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

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
DEVICES = ("/dev/zero", "/dev/random")
MEGA = 1 << 20
# Information that infer.py prints.
NOTE = re.compile(r": (padded|scaled) to |left out$|are too many to stylize whole")


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


# Random damage


def truncated(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(len(data))])


def flipped(data: bytearray, chance: random.Random, last: int | None = None) -> bytes:
    """Flip one to eight random bits among the first ``last`` bytes."""
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(min(last or len(data), len(data)))] ^= 1 << chance.randrange(8)
    return bytes(data)


def flipped_header(data: bytearray, chance: random.Random) -> bytes:
    return flipped(data, chance, 64)


def zeroed(data: bytearray, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.randint(1, 200))
    return bytes(data[:start] + bytes(end - start) + data[end:])


def maximal(data: bytearray, chance: random.Random) -> bytes:
    """Replace four bytes near the start by the largest number, because headers hold lengths and sizes."""
    start = chance.randrange(min(len(data) - 4, 200))
    data[start : start + 4] = b"\xff\xff\xff\x7f" if chance.random() < 0.5 else b"\xff\xff\xff\xff"
    return bytes(data)


def repeated(data: bytearray, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return bytes(data[:start] + data[start : start + 300] * chance.randint(2, 20) + data[start:])


def shuffled(data: bytearray, chance: random.Random) -> bytes:
    parts = [data[at : at + 97] for at in range(0, len(data), 97)]
    rest = parts[1:]
    chance.shuffle(rest)
    return b"".join(map(bytes, parts[:1] + rest))


DAMAGES: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    truncated,
    flipped,
    flipped_header,
    zeroed,
    maximal,
    repeated,
    shuffled,
)


def damaged(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of ``count`` damaged files."""
    chance = random.Random(seed)
    whole = list(wholes().items())
    for number in range(count):
        suffix, data = whole[number % len(whole)]
        damage = chance.choice(DAMAGES)
        yield f"{number:04d} {damage.__name__}.{suffix}", damage(bytearray(data), chance)


# Decompression bombs: small files that expand to large data


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


def other_kinds(secret: Path) -> Iterator[tuple[str, bytes]]:
    """Yield files that are neither image nor video; some refer to ``secret`` or to the network."""

    class Run:
        def __reduce__(self):
            return (os.system, (f"touch '{secret}.ran'",))

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("a.png"), bytes(10 * MEGA), zipfile.ZIP_DEFLATED)
    svg = "<svg xmlns='http://www.w3.org/2000/svg' width='40000' height='40000'>"
    postscript = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(" + f"{secret}.ran) (w) file\n"
    plays = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    remote = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    texts = {
        "empty": "",
        "text": "not an image\n" * 50,
        "page": "<!doctype html><html><body>404 Not Found</body></html>",
        "drawing": f"{svg}<image href='file://{secret}'/></svg>",
        "drawing that laughs": f"<!DOCTYPE x [{lol_entities()}]>{svg}<text>&l9;</text></svg>",
        "postscript": postscript,
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "concat beside": f"ffconcat version 1.0\nfile '{secret.name}'\n",
        "play list": plays,
        "remote play list": remote,
        "session": "v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "manifest": f"<MPD><Period><BaseURL>file://{secret}</BaseURL></Period></MPD>",
    }
    for number, (name, text) in enumerate(texts.items()):
        for suffix in ("jpg", "mp4", ("png", "mkv", "gif", "tif", "avi", "webp")[number % 6]):
            yield f"{name}.{suffix}", text.encode()
    for suffix in ("jpg", "png", "mp4"):
        yield f"pickle.{suffix}", pickle.dumps(Run())
        yield f"archive.{suffix}", archive.getvalue()
        yield f"noise.{suffix}", random.Random(7).randbytes(5_000)
        yield f"a megabyte of zeros.{suffix}", bytes(MEGA)
    whole = wholes()
    for suffix, content in [("png", "jpg"), ("jpg", "png"), ("jpg", "mp4"), ("mp4", "png"), ("mkv", "gif")]:
        yield f"{content} in truth.{suffix}", whole[content]
    yield "webp in truth.mov", whole["moving.webp"]


def lol_entities() -> str:
    return "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol"}">' for n in range(10))


# Names

NAMES = [
    "with spaces  two.png",
    "new\nline.png",
    "tab\tand\rreturn.png",
    "\x1b[31mred\x1b]0;title\x07.png",
    "right\u202eto left.png",
    "caf\u00e9.png",
    "cafe\u0301.png",
    "\U0001f469\u200d\U0001f680 rocket.png",
    "-o.png",
    "--checkpoint.png",
    "%d.png",
    "a%00b{0}.png",
    "a[page=1].png",
    "a[1].png",
    "quote'\".png",
    "$HOME `id`.png",
    "x" * 251 + ".png",
    "\u6f22" * 83 + ".png",
    b"bytes \xff\xfe.png".decode(errors="surrogateescape"),
]


def good(folder: Path) -> list[Path]:
    """Write ten valid images and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"good {number}.jpg" for number in range(10)]
    for number, path in enumerate(paths):
        draw_image(48 + number, 64 - number, seed=number).save(path, quality=95)
    return paths


def make(folder: Path, count: int = 1_000, seed: int = 0, frames: int = 10_000) -> list[Path]:
    """Write at least ``count`` hostile files, and ten valid images, to a folder.

    Args:
        folder: Where to write the files.
        count: Minimum number of hostile files.
        seed: Seed of the random damage.
        frames: Number of frames of the largest animation; the time to stylize it grows with them.

    Returns:
        The paths of the hostile files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    good(folder)
    secret = folder.parent / "secret.mp4"
    secret.write_bytes(wholes()["mp4"])
    # Number the files, because the results of a.bmp and a.gif would both be a.png.
    files = [(f"bomb {number} {name}", data) for number, (name, data) in enumerate(bombs(frames))]
    files += [(f"odd {number} {name}", data) for number, (name, data) in enumerate(odd_images())]
    files += [(f"other {number} {name}", data) for number, (name, data) in enumerate(other_kinds(secret))]
    for suffix, content in (("png", "png"), ("mp4", "mp4")):
        files += [(f"{name[:-4]}.{suffix}", wholes()[content]) for name in NAMES]
    for number, name in enumerate(NAMES):  # The same names for files that cannot be read.
        files.append((f"{name[: len(name) // 2]}{number}.jpg", b"not an image"))
    special = {"folder.jpg": None, "dangling.jpg": folder / "nothing", "ring.jpg": folder / "ring.jpg"}
    special |= {"pipe.jpg": None, "pipe.mp4": None, "pipe gif.gif": None}
    for device in DEVICES:
        special |= {f"{Path(device).name}.{suffix}": Path(device) for suffix in ("png", "mp4", "gif")}
    files += damaged(max(0, count - len(files) - len(special)), seed)
    paths = []
    for name, data in files:
        paths.append(folder / name)
        paths[-1].write_bytes(data)
    for name, target in special.items():
        paths.append(folder / name)
        if target is not None:
            paths[-1].symlink_to(target)
        elif name.startswith("pipe"):
            os.mkfifo(paths[-1])
        else:
            paths[-1].mkdir()
    return paths


def verdict(code: int, printed: str, made: bool) -> str:
    """Classify how a command handled one hostile file.

    Args:
        code: Exit status of the command.
        printed: Everything that the command printed to stderr.
        made: Whether the command wrote a result.

    Returns:
        ``"picture"`` for a result without errors, ``"line"`` for one error or warning line with status 2,
        otherwise a description of the fault.
    """
    ends = [bar.split("\r")[-1] for bar in printed.split("\n")]  # Progress bars overwrite their own line.
    said = [line for line in ends if line.strip() and not re.search(r"\d+%\|| \[\d\d:\d\d", line)]
    if "Traceback" in printed:
        return f"traceback: {said[-1]}"
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202e]|\x1b(?!\[A)", printed):
        return f"control characters: {printed!r}"
    told = [line for line in said if line.startswith(("error: ", "warning: "))]
    notes = [line for line in said if line.startswith("engine: ") or NOTE.search(line)]
    if len(told) + len(notes) < len(said):
        return f"stray lines: {[line for line in said if line not in told + notes]}"
    if code == 0 and made and not told:
        return "picture"
    if code == 2 and len(told) == 1:
        return "line"
    return f"status {code}, {'a' if made else 'no'} result, and said: {said}"
