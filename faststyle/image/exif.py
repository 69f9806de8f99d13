"""Tags of EXIF and TIFF: the orientation of an image, and limits that protect the decoder."""

import io
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, NamedTuple

from PIL import AvifImagePlugin
from PIL.JpegImagePlugin import MARKER

from faststyle.errors import InputError

EXIF_PREFIX = b"Exif\0\0"
MPF_PREFIX = b"MPF\0"  # index of a multi-picture JPEG, which consists of TIFF tags
ORIENTATION_TAG = 0x0112
STRIP_TAGS = 273, 324  # StripOffsets and TileOffsets
MAX_TAGS = 65_535  # in a directory of TIFF
MAX_TAG_BYTES = 1 << 26  # of all values together
MAX_STRAY_BYTES = 1 << 22  # of values outside the file; some ordinary images have a few
MAX_STRIPS = 1 << 18  # because Pillow makes an object of each
MAX_JPEG_SEGMENTS = 500  # because decoding a scan of 31 bytes can take as long as the whole image
MAX_METADATA_SEGMENTS = 20_000  # because Pillow keeps each; files with a depth map have hundreds
METADATA_MARKERS = {*range(0xE0, 0xF0), 0xFE}  # of applications, and comments
SEARCH_BYTES = 1 << 16  # read at a time to find the next marker of a JPEG
START_OF_SCAN, END_OF_IMAGE, APP1, APP2 = 0xDA, 0xD9, 0xE1, 0xE2
# Markers that have no length and no content, according to Pillow.
BARE_MARKERS = {marker & 255 for marker, (_, _, read) in MARKER.items() if read is None}
# Bytes of one value of TIFF's types 1 to 13, and of BigTIFF's types 16 to 18.
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
TYPE_BYTES |= {16: 8, 17: 8, 18: 8}


class TiffLayout(NamedTuple):
    """Layout of the directories of tags in a TIFF or a BigTIFF.

    Attributes:
        order: Byte order, as a character of ``struct``.
        start: Place of the offset of the first directory.
        offset: Offset of a directory.
        tag_count: Number of tags in a directory.
        tag: Number, type, count of values, and the values or their offset.
    """

    order: str
    start: int
    offset: struct.Struct
    tag_count: struct.Struct
    tag: struct.Struct


def read_layout(head: bytes | bytearray) -> TiffLayout:
    """Return the layout of a file of TIFF or of EXIF that begins with these bytes."""
    order = "<" if head[:2] == b"II" else ">"
    start, formats = (8, ("Q", "Q", "HHQ8s")) if b"+" in head[2:4] else (4, ("I", "H", "HHI4s"))
    return TiffLayout(order, start, *(struct.Struct(order + form) for form in formats))


def read_tags(file: IO[bytes]) -> tuple[str, list[tuple[int, int, int, bytes]]]:
    """Read the first directory of a TIFF or of EXIF.

    Returns:
        The byte order as a character of ``struct``, and the tags: number, type (a key of ``TYPE_BYTES``),
        count of values, and the values, or their offset if they take more than its 4 or 8 bytes.
        A damaged file has no tags, because Pillow reports what is wrong with it.
    """
    head = file.read(16)
    layout = read_layout(head)
    try:
        file.seek(layout.offset.unpack_from(head, layout.start)[0])
        (count,) = layout.tag_count.unpack(file.read(layout.tag_count.size))
    except (struct.error, OSError, OverflowError, ValueError):
        return layout.order, []
    size = layout.tag.size
    tags = file.read(min(count, MAX_TAGS + 1) * size)
    return layout.order, list(layout.tag.iter_unpack(tags[: len(tags) // size * size]))


def has_plausible_tags(file: IO[bytes], size: int) -> bool:
    """Return True if the first directory's values take little more than the file's bytes.

    Pillow reads the values of every tag, and many tags can point to the same bytes: a file of a megabyte can
    take 60 gigabytes of memory.

    Args:
        file: A TIFF, or EXIF.
        size: Length of ``file`` in bytes.
    """
    tags = read_tags(file)[1]
    held = sum(min(size, TYPE_BYTES.get(kind, 0) * count) for _, kind, count, _ in tags)
    strips = sum(count for number, _, count, _ in tags if number in STRIP_TAGS)
    return (
        len(tags) <= MAX_TAGS and held <= min(size, MAX_TAG_BYTES) + MAX_STRAY_BYTES and strips <= MAX_STRIPS
    )


def read_orientation(exif: bytes) -> int:
    """Return the orientation of EXIF from 1 to 8; 1, upright, if EXIF has none.

    Other tags may be damaged, because they are not read.
    """
    order, tags = read_tags(io.BytesIO(exif))
    for number, _, _, value in tags:
        if number == ORIENTATION_TAG:
            return struct.unpack_from(order + "H", value)[0]
    return 1


def read_avif_exif(data: bytes) -> bytes:
    """Return the EXIF of an AVIF, read by Pillow's decoder; empty if the data is no AVIF."""
    with suppress(ValueError, SyntaxError, RuntimeError):
        decoder = AvifImagePlugin._avif.AvifDecoder(data, "auto", 1)
        return (decoder.get_info()[4] or b"").removeprefix(EXIF_PREFIX)
    return b""


def read_jpeg_tags(file: IO[bytes], name: str) -> list[bytes]:
    """Read the blocks of tags in a JPEG.

    Args:
        file: The JPEG.
        name: Name of the file in error messages.

    Returns:
        The EXIF segments joined, as Pillow joins them, and the indexes of multi-picture files.

    Raises:
        InputError: The file has too many segments, or no image data.
    """
    exif, indexes, has_scan, last_end, junk = b"", [], False, 2, 0
    counts = [0, 0]  # of image data, and of metadata
    for marker, start, length in iterate_jpeg_segments(file):
        is_metadata = marker in METADATA_MARKERS
        limit = MAX_METADATA_SEGMENTS if is_metadata else MAX_JPEG_SEGMENTS
        counts[is_metadata] += 1
        if counts[is_metadata] > limit:
            raise InputError(f"{name} is damaged: it has more than {limit} segments or scans", file=name)
        if marker == END_OF_IMAGE and has_scan:
            break
        if has_scan:
            continue
        has_scan, last_end, junk = marker == START_OF_SCAN, start + length, junk + start - 4 - last_end
        if junk > SEARCH_BYTES:
            break
        if marker in (APP1, APP2):
            file.seek(start)
            content = file.read(length)
            if marker == APP1 and content.startswith(EXIF_PREFIX):
                exif += content[len(EXIF_PREFIX) :]
            if marker == APP2 and content.startswith(MPF_PREFIX):
                indexes.append(content[len(MPF_PREFIX) :])
    if not has_scan:  # Pillow would search the rest of the file byte by byte
        raise InputError(f"{name} is damaged: the JPEG contains no image data (no SOS marker)", file=name)
    return [exif, *indexes]


def iterate_jpeg_segments(file: IO[bytes]) -> Iterator[tuple[int, int, int]]:
    """Yield the segments of a JPEG, those between its scans included.

    Yields:
        Marker, offset of the content in bytes, and length of the content in bytes.
    """
    offset, has_scan = 2, False
    while True:
        file.seek(offset)
        block = file.read(SEARCH_BYTES)
        found = re.search(rb"\xff([^\0\xd0-\xd8\xff])(..)?", block, re.DOTALL)
        if found and (found[2] or len(block) < SEARCH_BYTES):
            marker, length = found[1][0], int.from_bytes(found[2] or b"", "big")
            is_bare, has_scan = marker in BARE_MARKERS, has_scan or marker == START_OF_SCAN
            yield marker, offset + found.start() + 4, 0 if is_bare else max(0, length - 2)
            offset += found.start() + 2 + (0 if is_bare else max(2, length))
        elif len(block) < SEARCH_BYTES or not has_scan:
            return
        else:
            offset += found.start() if found else SEARCH_BYTES - 1  # a marker can cross the end of the block
