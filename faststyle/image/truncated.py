"""JPEG files without their last bytes: the pixels that are there, and how many are missing."""

import io
import random

import numpy as np
from PIL import Image

from faststyle.image.exif import iterate_jpeg_segments
from faststyle.image.validation import decode, open_header

END_MARKER = b"\xff\xd9"
FILLER_BYTES = 1 << 16
UNWRITTEN = bytes(64)  # end of a download whose file was created at its full size
MAX_BLOCK_ROWS = 17  # rows that are decoded together, and one that their colours reach


def read_truncated_jpeg(data: bytes, name: str, draft: int | None) -> tuple[Image.Image, float]:
    """Decode a JPEG whose last bytes are missing. What cannot be decoded is grey.

    Args:
        data: The file.
        name: Name of the file in error messages.
        draft: As in ``files.open_image``.

    Returns:
        The image as Pillow opens it, decoded, and the fraction of its pixels that are missing. In a
        progressive JPEG these pixels can merely lack details.

    Raises:
        InputError: The file is damaged otherwise.
        OSError: Likewise.
    """
    if data.endswith(UNWRITTEN):
        data = data.rstrip(b"\0")
    data = data.rstrip(b"\xff")  # with the next byte it would be a marker, at which decoders stop
    for _, start, length in iterate_jpeg_segments(io.BytesIO(data)):
        if start + length > len(data):  # a header is cut, and the decoder would read the end as a part of it
            data = data[: start - 4]
    image = decode_bytes(data + END_MARKER, name, draft)
    # A pixel is missing if it depends on the bytes that follow the end of the data.
    other = np.asarray(decode_bytes(data + random_filler() + END_MARKER, name, draft))
    differs = (np.asarray(image) != other).reshape(image.height, image.width, -1).any(-1)
    rows = np.flatnonzero(differs.any(1))
    # The filler does not reach a large image's end, so that all rows below the first missing pixel count.
    below = image.height - rows[0] - MAX_BLOCK_ROWS if len(rows) else 0
    return image, max(float(differs.mean()), below / image.height)


def random_filler() -> bytes:
    """Return random bytes without 255, which begins a marker. A constant would take long at import."""
    return bytes(random.Random(0).choices(range(255), k=FILLER_BYTES))


def decode_bytes(data: bytes, name: str, draft: int | None) -> Image.Image:
    image = open_header(io.BytesIO(data), name)
    decode(image, draft)
    return image
