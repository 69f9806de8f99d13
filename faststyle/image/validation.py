"""Opening of image files, with limits that are checked before a decoder allocates memory."""

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
from typing import IO, NamedTuple

from PIL import Image

from faststyle.errors import InputError, first_line
from faststyle.files import check_not_special
from faststyle.image.formats import MAGIC_BYTES, check_readable, readable_formats, recognize
from faststyle.image.metadata import without_large_metadata
from faststyle.image.tiff import SampledTiff, needs_tifffile

MAX_PILLOW_PIXELS = 179_000_000  # Pillow raises DecompressionBombError above it
# An image may have FREE_PIXELS, and MAX_PIXELS_PER_BYTE more for each byte of its file. Photos have a few
# pixels per byte, up to 40 when enlarged and strongly compressed; line drawings have 130. Decompression bombs
# have 340 and more.
FREE_PIXELS, MAX_PIXELS_PER_BYTE = 16_000_000, 200
JPEG_MAGIC = b"\xff\xd8\xff"


def silence_decoders() -> None:
    """Suppress the warnings and log messages of Pillow and libtiff in this process.

    For the processes of a command, because exceptions report whatever matters.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    for name in ("PIL", "tifffile"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    with suppress(AttributeError, OSError):  # where libtiff is no shared library, it cannot be silenced
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


def open_header(source: str | Path | IO[bytes], name: str | None = None) -> Image.Image:
    """Open an image or animation without decoding it.

    Args:
        source: Path, or open binary file.
        name: Name of the file in error messages; default: the path.

    Raises:
        InputError: The file is missing, no image, damaged, or too large.
    """
    name = name or str(source)
    with image_errors(name):
        if isinstance(source, str | Path):
            check_not_special(source, name)
            with Path(source).open("rb") as file:
                header = inspect_header(file, name)
        else:
            header = inspect_header(source, name)
        if header.copy is not None:
            source = io.BytesIO(header.copy)
        try:
            if header.is_sampled:
                image: Image.Image = SampledTiff(source)
            else:
                image = Image.open(source, formats=header.formats)
        except Image.DecompressionBombError as error:
            check_pixel_count(int(re.findall(r"\d+", str(error))[0]), header.size, name)
            raise
        try:
            if isinstance(image, SampledTiff):
                check_samples(image, name)
            check_pixel_count(image.width * image.height * header.weight, header.size, name)
        except InputError:
            image.close()
            raise
        return image


def decode(image: Image.Image, draft: int | None) -> None:
    """Decode an opened image, a JPEG at a fraction of its size as ``draft`` of ``files.open_image`` says."""
    if draft is not None:
        image.draft("RGB", (draft, draft))
    image.load()


@contextmanager
def image_errors(name: str) -> Iterator[None]:
    """Raise InputError if an image cannot be read in the block.

    Args:
        name: Name of the file in the error message.

    Raises:
        InputError: The file is missing, no image, damaged, or too large.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"there is no file {name}", file=name) from None
    except IsADirectoryError:
        raise InputError(f"{name} is a folder, not an image", file=name) from None
    except Image.UnidentifiedImageError:
        raise InputError(
            f"{name} is not an image that can be read: expected {', '.join(readable_formats())}", file=name
        ) from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{name} is too large: at most {MAX_PILLOW_PIXELS / 1e6:.0f} megapixels can be read; make it "
            "smaller, or, if it is a JPEG, PNG, WebP or TIFF, stylize it with a trained model and without "
            "`max_size`, after pip install -e '.[large]'",
            file=name,
        ) from None
    # Pillow's decoders can raise any exception for a damaged file.
    except Exception as error:
        raise InputError(f"{name} is damaged or cannot be read ({first_line(error)})", file=name) from None


class Header(NamedTuple):
    """Facts on a file, found before Pillow opens it.

    Attributes:
        size: Length of the file in bytes.
        weight: How many pixels each of its pixels counts for: 2 in a PNG of 16 bits a channel, else 1.
        formats: Formats of Pillow to open it with.
        is_sampled: The file is a TIFF that ``SampledTiff`` opens.
        copy: Copy of the file without its large metadata, to be opened in its place; None if there is none.
    """

    size: int
    weight: int
    formats: tuple[str, ...]
    is_sampled: bool
    copy: bytes | None


def inspect_header(file: IO[bytes], name: str) -> Header:
    """Inspect a file before Pillow opens it, and rewind it.

    Files whose header would make Pillow allocate gigabytes are refused.

    Args:
        file: File to inspect.
        name: Name of the file in error messages.

    Raises:
        InputError: This machine cannot read the format; or the file is a WebP of too many pixels, a JPEG of
            too many scans, or the tags that a TIFF needs claim more bytes than it has.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(MAGIC_BYTES)
    file.seek(0)
    check_readable(head, name)
    kind = recognize(head)
    if kind == "WEBP":
        check_pixel_count(count_webp_pixels(head), size, name)
    try:
        copy = without_large_metadata(file, kind, name)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"{name} is damaged, or has layers: its tags are larger than the file, or than 64 MB ({error}); "
            "save it again without layers",
            file=name,
        ) from None
    if copy is not None:
        file = io.BytesIO(copy)
    file.seek(0)
    is_sampled = kind == "TIFF" and needs_tifffile(file, name)
    file.seek(0)
    # Only the recognized format: Pillow then imports no others, and no wrong plugin is tried.
    formats = (kind,) if kind else readable_formats()
    weight = 2 if kind == "PNG" and head[24] == 16 else 1
    return Header(size, weight, formats, is_sampled, copy)


def check_samples(image: SampledTiff, name: str) -> None:
    """Check that the samples of a TIFF take no more memory than the largest image that Pillow reads.

    Raises:
        InputError: They do.
    """
    size = image.width * image.height * image.bytes_per_pixel
    if size > 3 * MAX_PILLOW_PIXELS:
        raise InputError(
            f"{name} is too large: it has {size / 1e9:.1f} GB of samples, and at most "
            f"{3 * MAX_PILLOW_PIXELS / 1e9:.1f} GB can be read; save it as RGB of 8 bits",
            file=name,
        )


def check_pixel_count(pixels: int, size: int, name: str) -> None:
    """Check that an image has no more pixels than its file can plausibly hold.

    Args:
        pixels: Number of pixels.
        size: Length of the file in bytes.
        name: Name of the file in the error message.

    Raises:
        InputError: The file is a decompression bomb, or a huge image of nearly one colour.
    """
    if pixels > FREE_PIXELS + MAX_PIXELS_PER_BYTE * size:
        raise InputError(
            f"{name} claims {pixels / 1e6:,.0f} megapixels in {size / 1e6:,.3g} MB, as decompression bombs "
            "do: if it is an image, make it smaller, or save it as a TIFF without compression",
            file=name,
        )


def count_webp_pixels(head: bytes) -> int:
    """Return the number of pixels from the first 30 bytes of a WebP; 0 for an unknown kind of WebP."""
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
