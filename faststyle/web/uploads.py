"""Decoding of uploaded images, and HTML that shows images."""

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image

from faststyle.errors import InputError
from faststyle.image.convert import limit_size
from faststyle.image.files import open_image
from faststyle.image.validation import open_header

MAX_PIXELS = 64_000_000  # of an upload: 190 MB when decoded
MAX_UPLOAD_SIZE = "50mb"
MAX_PAINTING_SIDE = 1024  # pixels; larger paintings are reduced before a training


def find_upload(path: str | None, what: str) -> str:
    """Return the path of an upload.

    Raises:
        InputError: Nothing was uploaded, or the file was deleted.
    """
    if path is None:
        raise InputError(f"Add a {what} first.")
    if not Path(path).exists():
        raise InputError(
            f"The {what} {Path(path).name} was deleted from the server in the meantime: add it again."
        )
    return path


def remove_folder(line: str, path: str) -> str:
    """Remove the server's folder from an upload's path in a message."""
    return line.replace(path, Path(path).name)


def open_upload(path: str | None, what: str, size: int | None = None) -> Image.Image:
    """Read an uploaded image, after a check of its size.

    Args:
        path: Path of the upload; None if nothing was uploaded.
        what: The expected content, for error messages: photo or painting.
        size: Maximum longer side in pixels; a larger image is reduced. By default the size is kept.

    Raises:
        InputError: Nothing was uploaded, or the file is no image or has more than ``MAX_PIXELS``.
    """
    path = find_upload(path, what)
    name = Path(path).name
    with open_header(path, name) as header:
        pixels = header.width * header.height
    if pixels > MAX_PIXELS:
        raise InputError(
            f"{name} has {pixels / 1e6:.0f} megapixels, and the page accepts at most {MAX_PIXELS / 1e6:.0f}: "
            "reduce its size first."
        )
    return limit_size(open_image(path, name, draft=size), size)


def encode_data_uri(image: Image.Image, quality: int = 90) -> str:
    """Return an image as a data URI, which the browser shows without a request: JPEG, or WebP for RGBA."""
    stream = io.BytesIO()
    kind = "WEBP" if image.mode == "RGBA" else "JPEG"
    image.save(stream, kind, quality=quality)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def render_figure(image: Image.Image, alt: str, caption: str) -> str:
    """Return HTML of an image with a caption."""
    return (
        f'<figure><img src="{encode_data_uri(image)}" alt="{escape(alt)}" width="{image.width}" '
        f'height="{image.height}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def render_slider(before: Image.Image, after: Image.Image) -> str:
    """Return HTML of two images of one size, one on top of the other, with a before-and-after slider."""
    shape = f'width="{before.width}" height="{before.height}"'
    return (
        f'<figure style="--ratio: {before.width / before.height:.4f}">'
        f'<img src="{encode_data_uri(after)}" alt="The stylized photo" {shape} class="after">'
        f'<img src="{encode_data_uri(before)}" alt="The original photo" {shape} class="before">'
        '<span class="line" aria-hidden="true"></span>'
        '<input type="range" min="0" max="100" step="1" value="50" '
        'aria-label="Before and after: visible part of the original photo, in percent">'
        "</figure>"
    )
