"""Copies of image files without metadata that is too large to be read. The orientation stays."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import IO

from PIL import Image

from faststyle.image.exif import (
    APP1,
    APP2,
    EXIF_PREFIX,
    MAX_TAGS,
    MPF_PREFIX,
    ORIENTATION_TAG,
    START_OF_SCAN,
    has_plausible_tags,
    iterate_jpeg_segments,
    read_avif_exif,
    read_jpeg_tags,
    read_layout,
    read_orientation,
    read_tags,
)

MAX_COPIED_BYTES = 1 << 29  # of a file that is copied without its metadata
MAX_TEXT_BYTES = 1 << 20  # of a PNG's chunk, as Pillow accepts it
MAX_TEXTS_BYTES = 1 << 25  # of all chunks of text and profiles in a PNG
PNG_TEXTS = {b"tEXt": 1, b"zTXt": 2, b"iTXt": 0, b"iCCP": 2}  # zero bytes before compressed content
# Tags of a TIFF that are needed to decode it, and its ICC profile.
TIFF_TAGS = {254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 283, 284, 292, 293, 296, 317}
TIFF_TAGS |= {320, 322, 323, 324, 325, 332, 338, 339, 347, 512, 513, 514, 515, 519, 520, 521, 529, 530, 531}
TIFF_TAGS |= {532, 34675}


def without_large_metadata(file: IO[bytes], kind: str | None, name: str) -> bytes | None:
    """Return a file without the metadata that would take too much memory, or that Pillow would refuse.

    Args:
        file: The file.
        kind: Its format, as of ``formats.recognize``.
        name: Name of the file in error messages.

    Returns:
        The copy; None if the metadata is small enough.

    Raises:
        InputError: A JPEG has too many segments, or no image data.
        ValueError: The metadata cannot be left out.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if kind == "JPEG":
        tags = read_jpeg_tags(file, name)
        if all(has_plausible_tags(io.BytesIO(part), len(part)) for part in tags):
            return None
        return cut(file, jpeg_tags(file), 2, jpeg_exif(read_orientation(tags[0])))
    if kind == "PNG":
        parts = list(large_png_chunks(file, size))
        return cut(file, parts) if parts else None
    if kind == "TIFF" and not has_plausible_tags(file, size):
        return with_few_tags(file)
    if kind == "AVIF":
        data = file.read()
        exif = read_avif_exif(data)
        if not has_plausible_tags(io.BytesIO(exif), len(exif)):
            return replace_exif(data, exif)
    return None


def cut(file: IO[bytes], parts: list[tuple[int, int]], place: int = 0, insertion: bytes = b"") -> bytes:
    """Return the content of a file without some parts, and with other bytes at a place before them.

    Raises:
        ValueError: The file is too large to be copied.
    """
    if file.seek(0, os.SEEK_END) > MAX_COPIED_BYTES:
        raise ValueError("too large")
    file.seek(0)
    data = file.read()
    kept, start = [data[:place], insertion], place
    for begin, end in parts:
        kept.append(data[start:begin])
        start = end
    return b"".join([*kept, data[start:]])


def minimal_exif(orientation: int) -> bytes:
    """Return EXIF, without its prefix, that holds an orientation only."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return exif.tobytes().removeprefix(EXIF_PREFIX)


def jpeg_exif(orientation: int) -> bytes:
    """Return a JPEG's segment of EXIF that holds an orientation only."""
    content = EXIF_PREFIX + minimal_exif(orientation)
    return struct.pack(">BBH", 255, APP1, len(content) + 2) + content


def jpeg_tags(file: IO[bytes]) -> list[tuple[int, int]]:
    """Return the places of a JPEG's EXIF and of its index of images."""
    found = []
    for marker, start, length in iterate_jpeg_segments(file):
        if marker == START_OF_SCAN:
            break
        file.seek(start)
        if marker in (APP1, APP2) and file.read(6).startswith((EXIF_PREFIX, MPF_PREFIX)):
            found.append((start - 4, start + length))
    return found


def large_png_chunks(file: IO[bytes], size: int) -> Iterator[tuple[int, int]]:
    """Yield the places of the chunks in a PNG whose text or profile is too large for Pillow."""
    place, total = 8, 0
    while place + 12 <= size:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        end = place + length + 12
        if kind in PNG_TEXTS:
            expanded = length
            if total <= MAX_TEXTS_BYTES and length <= MAX_TEXT_BYTES:
                expanded = max(length, expanded_length(file.read(length), PNG_TEXTS[kind]))
            total += expanded
            if expanded > MAX_TEXT_BYTES or total > MAX_TEXTS_BYTES:
                yield place, end
        place = end


def expanded_length(content: bytes, zeros: int) -> int:
    """Return the decompressed length of a PNG's chunk, at most one byte more than ``MAX_TEXT_BYTES``.

    Args:
        content: Content of the chunk: a key word, zero bytes, and compressed data.
        zeros: Number of zero bytes; 0 for the fields of iTXt.
    """
    rest = content.partition(b"\0")[2]
    if zeros == 0:  # two bytes, the language, the key word in it, the text
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2] if rest[:1] == b"\1" else b""
    else:
        rest = rest[zeros - 1 :]
    try:
        return len(zlib.decompressobj().decompress(rest, MAX_TEXT_BYTES + 1))
    except zlib.error:  # Pillow ignores text that is damaged or not compressed
        return 0


def with_few_tags(file: IO[bytes]) -> bytes:
    """Return a TIFF whose directory has only the tags of its first image that are needed to decode it.

    Raises:
        ValueError: The file is too large to be copied, or these tags are themselves too large.
    """
    data = bytearray(cut(file, []))
    file.seek(0)
    kept = [tag for tag in read_tags(file)[1][:MAX_TAGS] if tag[0] in TIFF_TAGS]
    layout = read_layout(data)
    table = layout.tag_count.pack(len(kept)) + b"".join(layout.tag.pack(*tag) for tag in kept)
    table += layout.offset.pack(0)  # there is no other directory
    (place,) = layout.offset.unpack_from(data, layout.start)
    data[place : place + len(table)] = table
    if not has_plausible_tags(io.BytesIO(data), len(data)):
        raise ValueError("the tags of its pixels are too large")
    return bytes(data)


def replace_exif(data: bytes, exif: bytes) -> bytes:
    """Return a file with EXIF of the same length that holds the orientation only.

    Raises:
        ValueError: The EXIF does not lie in one piece.
    """
    if exif not in data:
        raise ValueError("its EXIF is in pieces")
    return data.replace(exif, minimal_exif(read_orientation(exif)).ljust(len(exif), b"\0"))
