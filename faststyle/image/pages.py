"""Find files that hold several images: frames of an animation, pages of a TIFF, photos of a burst."""

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import IO

from PIL import Image

from faststyle.image.exif import read_layout
from faststyle.image.validation import open_header

SUBFILE_TAG = 254
REDUCED, MASK = 1, 4  # bits of its value: a smaller copy, a transparency mask
MAX_DIRECTORIES = 1000  # of a TIFF, to look at


def holds_several(path: Path) -> bool:
    """Return True for a file of several images. Previews and depth maps do not count.

    Return False for a file that cannot be read, because the error is raised when the image is opened.
    """
    with suppress(Exception), open_header(path) as image:
        if image.format == "TIFF":  # Pillow would read all tags of the second page
            with path.open("rb") as file:
                return has_second_page(file)
        if image.format == "MPO":
            count = getattr(image, "n_frames", 1)
            return any(mpo_size(image, number, path) == image.size for number in range(1, count))
        return getattr(image, "is_animated", False)
    return False


def describe_several(path: Path) -> str | None:
    """Return a line for the user about a file of several images of which one is used, or None."""
    if not holds_several(path):
        return None
    return f"{path} holds several images, and the first is used: save the others as files of their own"


def mpo_size(image: Image.Image, number: int, path: Path) -> tuple[int, int]:
    """Return the size of one image of a multi-picture JPEG."""
    image.seek(number)
    with path.open("rb") as file:
        file.seek(image.offset)  # type: ignore[attr-defined]
        with Image.open(file, formats=["JPEG"]) as one:
            return one.size


def has_second_page(file: IO[bytes]) -> bool:
    """Return True for a TIFF with two directories that are neither smaller copies nor masks."""
    head = file.read(16)
    layout = read_layout(head)
    (offset,) = layout.offset.unpack_from(head, layout.start)
    pages, seen = 0, set[int]()
    while offset and offset not in seen and len(seen) < MAX_DIRECTORIES:
        seen.add(offset)
        file.seek(offset)
        (count,) = layout.tag_count.unpack(file.read(layout.tag_count.size))
        length = count * layout.tag.size
        if file.tell() + length > file.seek(0, os.SEEK_END):
            return False
        file.seek(offset + layout.tag_count.size)
        tags = {tag: value for tag, _, _, value in layout.tag.iter_unpack(file.read(length))}
        kind = struct.unpack_from(layout.order + "I", tags.get(SUBFILE_TAG, bytes(8)))[0]
        pages += not kind & (REDUCED | MASK)
        if pages > 1:
            return True
        (offset,) = layout.offset.unpack(file.read(layout.offset.size))
    return False
