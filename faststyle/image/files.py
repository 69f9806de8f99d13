"""Reading and writing of image files."""

import os
import struct
from pathlib import Path
from typing import IO

from PIL import Image

from faststyle.errors import InputError, first_line, one_line
from faststyle.files import atomic_write, find_files
from faststyle.image.convert import to_opaque, to_rgb
from faststyle.image.formats import is_image
from faststyle.image.settings import MIN_FULL_CHROMA_QUALITY, FileSettings
from faststyle.image.truncated import read_truncated_jpeg
from faststyle.image.validation import decode, image_errors, open_header

# Pillow's formats that can be written, by file name suffix.
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
MAX_SIDES = {"JPEG": 65_500, "WEBP": 16_383}  # pixels; other formats hold any image
MISSING = "missing"  # key of the fraction of pixels that are missing in an image that was read
MAX_TRUNCATED_BYTES = 1 << 28  # of a JPEG that is read again to its end
MAX_MISSING = 0.05  # of the pixels, in an image to learn from


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
        InputError: The file is missing, no image, damaged, too large, or more than ``MAX_MISSING`` of its
            pixels are missing.
    """
    image = read_image(source, name, draft)
    if image.info.get(MISSING, 0) > MAX_MISSING:
        name = name or str(source)
        raise InputError(
            f"{name} is truncated: {missing_pixels(image)}; copy or download it again", file=name
        )
    return image


def read_image(
    source: str | Path | IO[bytes], name: str | None = None, draft: int | None = None
) -> Image.Image:
    """Read an image like ``open_image``, however many pixels are missing.

    Returns:
        The image. If pixels are missing at the end of a truncated JPEG, they are grey, and ``info[MISSING]``
        is their fraction.

    Raises:
        InputError: The file is missing, no image, damaged, or too large.
    """
    name = name or str(source)
    with image_errors(name):
        with open_header(source, name) as image:
            try:
                decode(image, draft)
                return to_rgb(image)
            except OSError:
                if image.format not in ("JPEG", "MPO") or count_bytes(source) > MAX_TRUNCATED_BYTES:
                    raise
        if isinstance(source, str | Path):
            data = Path(source).read_bytes()
        else:
            source.seek(0)
            data = source.read()
        truncated, missing = read_truncated_jpeg(data, name, draft)
        result = to_rgb(truncated)
        if missing:
            result.info[MISSING] = missing
        return result


def count_bytes(source: str | Path | IO[bytes]) -> int:
    """Return the length of a file in bytes."""
    return Path(source).stat().st_size if isinstance(source, str | Path) else source.seek(0, os.SEEK_END)


def missing_pixels(image: Image.Image) -> str | None:
    """Return how many pixels of an image are missing, in words; None if none is.

    Args:
        image: Image that ``read_image`` returned.
    """
    missing = image.info.get(MISSING, 0)
    share = "less than 1 %" if missing < 0.01 else f"{100 * missing:.0f} %"
    return f"{share} of its pixels are missing" if missing else None


def truncation_warning(source: str | Path, target: Path, missing: str) -> str:
    """Return the warning that a photo has missing pixels, and that its result is grey there.

    Args:
        source: The photo.
        target: Its result.
        missing: What ``missing_pixels`` returned.
    """
    return one_line(f"warning: {source} is truncated, and {missing}: {target} shows grey there")


def check_output(path: Path) -> None:
    """Check that a file of this name can be written.

    Raises:
        InputError: The suffix is none of ``FORMATS``, or this machine cannot write the format.
    """
    suffix = path.suffix.lower()
    Image.preinit()  # registers the common formats only, which is faster
    if FORMATS.get(suffix) not in Image.SAVE:
        Image.init()
    suffixes = [name for name, format in FORMATS.items() if format in Image.SAVE]
    if suffix not in suffixes:
        raise InputError(f"cannot write {path}: its name must end in one of {', '.join(suffixes)}")


def check_size(path: Path, width: int, height: int) -> None:
    """Check that an image of this size in pixels can be written to a file of this name.

    Commands call it before the work.

    Raises:
        InputError: As ``check_output``, or the image is too large for the format.
    """
    check_output(path)
    format = FORMATS[path.suffix.lower()]
    limit = MAX_SIDES.get(format)
    if limit is not None and max(width, height) > limit:
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
    check_size(path, *image.size)
    format = FORMATS[path.suffix.lower()]
    if format == "JPEG" and image.mode == "RGBA":
        image = to_opaque(image)
    options = {"quality": quality} if format in ("JPEG", "WEBP") else {}
    if format == "JPEG" and quality >= MIN_FULL_CHROMA_QUALITY:
        options["subsampling"] = 0
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
    return split_images(find_files(folder))[0]


def split_images(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return the images among files, and the other files, in the same order."""
    images, others = list[Path](), list[Path]()
    for path in files:
        (images if is_image(path) else others).append(path)
    return images, others
