"""Opening picture files: what they claim of themselves, looked at before a decoder believes it."""

import ctypes
import io
import logging
import os
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from PIL import AvifImagePlugin, Image
from PIL.JpegImagePlugin import MARKER

from faststyle.errors import InputError, first_line
from faststyle.files import check_not_special

# What is wrong with a file the exceptions say, or it does not matter: Pillow warns too, and logs, and its
# libtiff writes to stderr, which can be told where libtiff is a library of its own.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())
with suppress(AttributeError, OSError):
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)

# Pillow's formats that are read, whatever a file's suffix; HEIF where a plugin brings it. Others stay out:
# for EPS it would run Ghostscript.
KINDS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "JPEG2000", "HEIF")
MOST_PIXELS = 179_000_000  # beyond which Pillow refuses
# A picture may have so many pixels, and so many more for each byte of its file. Photos have a few for a byte,
# 40 where they were enlarged and pressed hard, and plans of thin lines 130; bombs have 340 and more.
PIXELS, PIXELS_PER_BYTE = 16_000_000, 200
EXIF, ORIENTATION = b"Exif\0\0", 0x0112
AVIF = (b"avif", b"avis", b"mif1", b"msf1")  # how Pillow knows it
MOST_TAGS = 65_535  # in a directory of TIFF
MOST_TAGGED = 1 << 26  # bytes of their values
BROKEN = 1 << 22  # bytes of values that point astray, as a few of ordinary pictures do
MOST_STRIPS = 1 << 18  # of a TIFF, each of which becomes an object
STRIPS = 273, 324  # the tags of their places, and of tiles'
MOST_SEGMENTS = 500  # of a JPEG: a scan may have 31 bytes, and takes as long as the picture has pixels
BLOCK = 1 << 16  # bytes that are searched at a time
SCAN, END = 0xDA, 0xD9
LONE = {marker & 255 for marker, (_, _, read) in MARKER.items() if read is None}  # as Pillow reads them
# Bytes of one value of TIFF's types 1 to 13, and of BigTIFF's 16 to 18.
TYPES = dict(zip((*range(1, 14), 16, 17, 18), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 8, 8, 8), strict=True))
# Libvips's readers of what it is given; others it has would run scripts in drawings.
JPEG = b"\xff\xd8\xff"
LOADERS = {JPEG: "jpegload", b"\x89PNG": "pngload", b"RIFF": "webpload"}
LOADERS |= {start: "tiffload" for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")}


def open_header(source: str | Path | IO[bytes], name: str | None = None) -> Image.Image:
    """Open a picture's file, or an animation's, of which nothing is decoded yet; as of ``open_image``."""
    name = name or str(source)
    with told(name):
        if isinstance(source, str | Path):
            check_not_special(source, name)
            with Path(source).open("rb") as file:
                size, deep = check_claims(file, name)
        else:
            size, deep = check_claims(source, name)
        Image.init()
        try:
            image = Image.open(source, formats=[kind for kind in KINDS if kind in Image.OPEN])
        except Image.DecompressionBombError as error:
            check_pixels(int(re.findall(r"\d+", str(error))[0]), size, name)
            raise
        try:
            check_pixels(image.width * image.height * deep, size, name)
        except InputError:
            image.close()
            raise
        return image


@contextmanager
def told(name: str) -> Iterator[None]:
    """Say in a line why a picture cannot be read.

    Raises:
        InputError: as of ``open_image``.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"there is no file {name}", file=name) from None
    except IsADirectoryError:
        raise InputError(f"{name} is a folder, not a picture", file=name) from None
    except Image.UnidentifiedImageError:
        raise InputError(
            f"{name} is not a picture that can be read: {', '.join(KINDS)} can", file=name
        ) from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{name} is too large: at most {MOST_PIXELS / 1e6:.0f} megapixels are read here; make it "
            "smaller, or, if it is a JPEG, PNG, WebP or TIFF, stylize it with a trained model and without "
            "`max_size`, after pip install -e '.[large]'",
            file=name,
        ) from None
    # Pillow's decoders raise whatever a damaged file makes them stumble over.
    except Exception as error:
        raise InputError(f"{name} is damaged or cannot be read ({first_line(error)})", file=name) from None


def check_claims(file: IO[bytes], name: str) -> tuple[int, int]:
    """Refuse a file of which reading the header alone would take gigabytes; it is left at its start.

    Returns:
        How many bytes it has, and for how many pixels one of it counts: one of 16 bits is two.

    Raises:
        InputError: a WebP that is a bomb, a JPEG of too many scans, or a TIFF or EXIF of more tags
            than it has room for.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(30)
    file.seek(0)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        check_pixels(webp_pixels(head), size, name)
    fit = True
    if head[:3] == JPEG:
        fit = all(tags_fit(io.BytesIO(tags), len(tags)) for tags in jpeg_tags(file, name))
    elif head[:2] in (b"II", b"MM"):
        fit = tags_fit(file, size)
    elif head[4:8] == b"ftyp" and head[8:12] in AVIF and AvifImagePlugin.SUPPORTED:
        exif = avif_exif(file.read())
        fit = tags_fit(io.BytesIO(exif), len(exif))
    if not fit:
        raise InputError(
            f"{name} is damaged, or has layers: its tags are larger than it, or than 64 MB", file=name
        )
    file.seek(0)
    return size, 2 if head[:4] == b"\x89PNG" and head[24] == 16 else 1


def check_pixels(pixels: int, size: int, name: str) -> None:
    """Refuse a picture of more pixels than a file of ``size`` bytes may have.

    Raises:
        InputError: a decompression bomb, or a picture that is nearly blank.
    """
    if pixels > PIXELS + PIXELS_PER_BYTE * size:
        raise InputError(
            f"{name} claims {pixels / 1e6:,.0f} megapixels in {size / 1e6:,.3g} MB, as decompression bombs "
            "do: if it is an image, make it smaller, or save it as a TIFF without compression",
            file=name,
        )


def webp_pixels(head: bytes) -> int:
    """Pixels by the first 30 bytes of a WebP; 0 where they do not say."""
    kind, head = head[12:16], head.ljust(30, b"\0")
    if kind == b"VP8X":
        return (int.from_bytes(head[24:27], "little") + 1) * (int.from_bytes(head[27:30], "little") + 1)
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return (width & 0x3FFF) * (height & 0x3FFF)
    return 0


def jpeg_tags(file: IO[bytes], name: str) -> list[bytes]:
    """What a JPEG has of TIFF's tags: EXIF, joined as Pillow does, and that of pictures that follow it.

    Raises:
        InputError: it has too many segments, or no scan.
    """
    exif, others, scanned, past, junk = b"", [], False, 2, 0
    for count, (marker, start, length) in enumerate(segments(file)):
        if count > MOST_SEGMENTS:
            raise InputError(
                f"{name} is damaged: it has more than {MOST_SEGMENTS} segments, or scans", file=name
            )
        if marker == END and scanned:
            break
        if scanned:
            continue
        scanned, past, junk = marker == SCAN, start + length, junk + start - 4 - past
        if junk > BLOCK:
            break
        if marker in (0xE1, 0xE2):
            file.seek(start)
            content = file.read(length)
            if marker == 0xE1 and content.startswith(EXIF):
                exif += content[len(EXIF) :]
            if marker == 0xE2 and content.startswith(b"MPF\0"):
                others.append(content[4:])
    if not scanned:  # Pillow would look for it byte by byte
        raise InputError(f"{name} is damaged: there is no scan in it", file=name)
    return [exif, *others]


def segments(file: IO[bytes]) -> Iterator[tuple[int, int, int]]:
    """A JPEG's markers, each with the place and the length of its content, and those between its scans."""
    at, scanned = 2, False
    while True:
        file.seek(at)
        block = file.read(BLOCK)
        found = re.search(rb"\xff([^\0\xd0-\xd8\xff])(..)?", block, re.DOTALL)
        if found and (found[2] or len(block) < BLOCK):
            marker, length = found[1][0], int.from_bytes(found[2] or b"", "big")
            lone, scanned = marker in LONE, scanned or marker == SCAN
            yield marker, at + found.start() + 4, 0 if lone else max(0, length - 2)
            at += found.start() + 2 + (0 if lone else max(2, length))
        elif len(block) < BLOCK or not scanned:
            return
        else:
            at += found.start() if found else BLOCK - 1  # a marker may lie across


def avif_exif(data: bytes) -> bytes:
    """The EXIF of an AVIF, as Pillow gets it; nothing of what is none, of which it says so."""
    with suppress(ValueError, SyntaxError, RuntimeError):
        decoder = AvifImagePlugin._avif.AvifDecoder(data, "auto", 1)
        return (decoder.get_info()[4] or b"").removeprefix(EXIF)
    return b""


def tags(data: IO[bytes]) -> tuple[str, list[tuple[int, int, int, bytes]]]:
    """A TIFF's, or EXIF's, first directory: the order of bytes, and each tag, type, count and value."""
    head = data.read(16)
    order, big = ("<" if head[:2] == b"II" else ">"), head[2:3] == b"+"
    try:
        data.seek(struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0])
        count = struct.unpack(order + ("Q" if big else "H"), data.read(8 if big else 2))[0]
    except (struct.error, OSError, OverflowError, ValueError):
        return order, []  # Pillow says what is wrong
    form = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    entries = data.read(min(count, MOST_TAGS + 1) * form.size)
    return order, list(form.iter_unpack(entries[: len(entries) // form.size * form.size]))


def tags_fit(data: IO[bytes], size: int) -> bool:
    """Whether the first directory of a TIFF, or of EXIF, holds little more than the whole has bytes.

    Pillow reads every tag's value, and many may point to the same bytes: a megabyte becomes 60 gigabytes.
    """
    found = tags(data)[1]
    held = sum(min(size, TYPES.get(kind, 0) * count) for _, kind, count, _ in found)
    strips = sum(count for tag, _, count, _ in found if tag in STRIPS)
    return len(found) <= MOST_TAGS and held <= min(size, MOST_TAGGED) + BROKEN and strips <= MOST_STRIPS


def orientation(exif: bytes) -> int:
    """That of EXIF, whatever is wrong with the rest of it; 1, upright, where it does not say."""
    order, found = tags(io.BytesIO(exif))
    values = [struct.unpack_from(order + "H", value)[0] for tag, _, _, value in found if tag == ORIENTATION]
    return values[0] if values else 1
