"""Pictures on their way from a browser and back."""

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image

from faststyle.errors import InputError
from faststyle.image.convert import limit_size
from faststyle.image.files import open_image

MAX_PIXELS = 64_000_000  # of an upload: decoded, 190 MB
MAX_UPLOAD = "50mb"
# Of Pillow's formats. Others stay out: for EPS it runs Ghostscript, on what a stranger wrote.
FORMATS = {"JPEG", "MPO", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "GIF", "BMP", "PPM"}


def open_upload(path: str | None, what: str, size: int | None = None) -> Image.Image:
    """Read an uploaded picture; no more of it is decoded than is needed.

    Args:
        path: where the upload lies; None where there is none.
        what: what it should be, in a message: photo or painting.
        size: bring its longer side down to so many pixels.

    Raises:
        InputError: nothing was uploaded, or no picture, one in none of ``FORMATS``, or one of more
            than ``MAX_PIXELS``.
    """
    if path is None:
        raise InputError(f"Add a {what} first.")
    name = Path(path).name
    if not Path(path).exists():
        raise InputError(f"The {what} {name} was cleared in the meantime: add it again.")
    try:
        with Image.open(path) as header:  # which decodes nothing yet
            kind, pixels = header.format, header.width * header.height
    except Exception:
        kind, pixels = "JPEG", 0  # open_image says what is wrong
    if kind not in FORMATS:
        raise InputError(f"{name} is of the kind {kind}: make it a JPEG or PNG first.")
    if pixels > MAX_PIXELS:
        raise InputError(
            f"{name} has {pixels / 1e6:.0f} megapixels, and {MAX_PIXELS / 1e6:.0f} are the most here: "
            "make it smaller first."
        )
    return limit_size(open_image(path, name, draft=size), size)


def data_uri(picture: Image.Image, quality: int = 90) -> str:
    """A picture as text that a page can show without asking for a file: JPEG, or WebP with alpha."""
    stream = io.BytesIO()
    kind = "WEBP" if picture.mode == "RGBA" else "JPEG"
    picture.save(stream, kind, quality=quality)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def figure(picture: Image.Image, alt: str, caption: str) -> str:
    """HTML of a picture and what is to be said about it."""
    return (
        f'<figure><img src="{data_uri(picture)}" alt="{escape(alt)}" width="{picture.width}" '
        f'height="{picture.height}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def slider(before: Image.Image, after: Image.Image) -> str:
    """HTML of two pictures of one size, one over the other, and a slider between them."""
    shape = f'width="{before.width}" height="{before.height}"'
    return (
        f'<figure style="--ratio: {before.width / before.height:.4f}">'
        f'<img src="{data_uri(after)}" alt="The stylized photo" {shape} class="after">'
        f'<img src="{data_uri(before)}" alt="The photo as it was" {shape} class="before">'
        '<span class="line" aria-hidden="true"></span>'
        '<input type="range" min="0" max="100" step="1" value="50" '
        'aria-label="Before and after: how much of the photo as it was is shown, in percent">'
        "</figure>"
    )
