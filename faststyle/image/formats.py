"""The image formats that can be read on this machine, recognized by the first bytes of a file."""

import functools
import re
from contextlib import suppress
from pathlib import Path

from PIL import Image, features

from faststyle.errors import InputError

# Formats of Pillow that may be read, whatever the suffix of the file, each with the part of Pillow that it
# needs. EPS and others are left out because Pillow would start Ghostscript for them.
PILLOW_PARTS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "zlib", "WEBP": "webp", "TIFF": None, "GIF": None}
PILLOW_PARTS |= {"BMP": None, "PPM": None, "AVIF": "avif", "JPEG2000": "jpg_2000", "HEIF": None}
# Files of other suffixes are recognized by their first bytes.
SUFFIXES = (
    "jpg jpeg jpe jfif mpo png apng webp tif tiff gif bmp dib ppm pgm pbm pnm avif heic heif hif jp2 j2k"
)
READABLE_SUFFIXES = {f".{name}" for name in SUFFIXES.split()}
MAGIC_BYTES = 64
MAGICS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0|II\0\*|MM\0[*+]|MM\*\0",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{8}.{4}[\x0c(4@l|8]\0\0\0",  # the length of its second header excludes texts
    "PPM": rb"P[1-6fy]\s+(#|\d)",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}


@functools.cache
def is_readable(format: str) -> bool:
    """Return True if a format of ``PILLOW_PARTS`` can be read here. For HEIF, register its plugin first."""
    Image.preinit()  # the common formats; importing all takes as long as stylizing a photo
    if format == "HEIF":
        with suppress(ImportError):  # also raised by the first call if the plugin's own library is missing
            import pillow_heif

            pillow_heif.libheif_version()
            pillow_heif.register_heif_opener()
    elif format not in Image.OPEN:
        Image.init()
    part = PILLOW_PARTS[format]
    return format in Image.OPEN and (part is None or bool(features.check(part)))


def readable_formats() -> tuple[str, ...]:
    """Return the formats of ``PILLOW_PARTS`` that can be read here."""
    return tuple(filter(is_readable, PILLOW_PARTS))


def recognize(head: bytes) -> str | None:
    """Return the format that a file's first ``MAGIC_BYTES`` show; None if it is none of ``PILLOW_PARTS``."""
    if head[4:8] == b"ftyp":  # a box of brands: the main one, a version, and compatible ones
        length = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[at : at + 4] for at in (8, *range(16, length, 4))}
        return "AVIF" if brands & AVIF_BRANDS else "HEIF" if brands & HEIF_BRANDS else None
    return next((name for name, magic in MAGICS.items() if re.match(magic, head, re.DOTALL)), None)


def check_readable(head: bytes, name: str) -> None:
    """Check that this machine can read the format of a file, if its first bytes show one.

    Raises:
        InputError: It cannot; the message says what to install.
    """
    format = recognize(head)
    if format is None or is_readable(format):
        return
    remedy = "pip install -e '.[heif]'" if format == "HEIF" else "pip install --force-reinstall pillow"
    raise InputError(f"{name} is {format}, which cannot be read on this machine: {remedy}", file=name)


def is_image(path: Path) -> bool:
    """Return True for the suffix of an image, and for a file whose first bytes are those of one."""
    if path.suffix.lower() in READABLE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return recognize(file.read(MAGIC_BYTES)) is not None
    except OSError:
        return False
