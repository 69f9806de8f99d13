"""Reading and writing of image files."""

import struct
from pathlib import Path
from typing import IO

from PIL import Image

from faststyle.errors import InputError, first_line
from faststyle.files import atomic_write, find_files
from faststyle.image.convert import to_rgb
from faststyle.image.formats import is_image
from faststyle.image.settings import FileSettings
from faststyle.image.validation import image_errors, open_header

# Pillow's formats that can be written, by file name suffix.
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
MAX_SIDES = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535}  # pixels; other formats hold any image


def open_image(
    source: str | Path | IO[bytes], name: str | None = None, draft: int | None = None
) -> Image.Image:
    """Read an image, upright and in sRGB.

    Args:
        source: Path, or open binary file.
        name: Name of the file in error messages; default: the path.
        draft: Decode a JPEG at a fraction of its size if both sides keep at least this many pixels, which is
            several times as fast. Default: the full size.

    Returns:
        RGB, or RGBA if the image has transparency, 8 bits a channel.

    Raises:
        InputError: The file is missing, no image, damaged, or too large.
    """
    name = name or str(source)
    with image_errors(name), open_header(source, name) as image:
        if draft is not None:
            image.draft("RGB", (draft, draft))
        image.load()
        return to_rgb(image)


def check_output(path: Path) -> None:
    """Check that a file of this name can be written.

    Raises:
        InputError: The suffix is none of ``FORMATS``.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"cannot write {path}: its name must end in one of {', '.join(FORMATS)}")


def check_size(path: Path, width: int, height: int) -> None:
    """Check before the work that a file's format can hold an image of this size.

    Raises:
        InputError: It cannot.
    """
    format = FORMATS.get(path.suffix.lower(), path.suffix[1:].upper())
    if max(width, height) > (limit := MAX_SIDES.get(format, max(width, height))):
        raise InputError(
            f"{path} cannot hold {width}x{height} pixels, because {format} has at most {limit:,} on a side: "
            "give a name that ends in .png or .tif",
            file=path,
        )


def save_image(image: Image.Image, path: str | Path, quality: int = FileSettings.quality) -> None:
    """Write an image in the format of the file's suffix, and create missing parent folders.

    Args:
        image: RGB or RGBA. In a JPEG, which has no transparency, the background becomes white.
        path: File to write.
        quality: Quality of JPEG and WebP, from 1 to 100.

    Raises:
        InputError: The suffix is none of ``FORMATS``, or the format cannot hold the image.
        OSError: The file cannot be written, for example on a full disk.
    """
    path = Path(path)
    check_output(path)
    check_size(path, *image.size)
    format = FORMATS[path.suffix.lower()]
    if format == "JPEG" and image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    options = {"quality": quality} if format in ("JPEG", "WEBP") else {}
    if format == "JPEG" and quality >= 90:
        options["subsampling"] = 0  # because brush strokes have sharp colour edges
    with atomic_write(path, flush=False) as temporary:
        try:
            image.save(temporary, format=format, **options)
        # Encoders raise exceptions of several classes; only those with a number are of the system.
        except (OSError, ValueError, RuntimeError, struct.error, OverflowError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            message = f"{path} cannot be written ({first_line(error)}): give a name that ends in .png"
            raise InputError(message, file=path) from None


def find_images(folder: Path) -> list[Path]:
    """Return the sorted paths of the image files under a folder, without hidden files."""
    return find_files(folder, is_image)
