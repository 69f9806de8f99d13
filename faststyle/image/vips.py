"""Reading and writing of images larger than memory, by libvips and through memory-mapped files of raw pixels.

``pip install -e '.[large]'`` installs libvips. Without it, Pillow reads every image whole.
"""

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from faststyle.errors import InputError, first_line
from faststyle.files import atomic_write, shorten_name
from faststyle.image.files import FORMATS, check_size
from faststyle.image.settings import MIN_FULL_CHROMA_QUALITY, FileSettings
from faststyle.image.truncated import END_MARKER
from faststyle.image.validation import JPEG_MAGIC, check_pixel_count, open_header

MAX_UNTILED_PIXELS = 50_000_000  # larger images are tiled however much memory there is
MIN_VIPS_PIXELS = MAX_UNTILED_PIXELS  # Pillow reads smaller images
# The loaders of libvips that may be used, by the first bytes of a file. Others would run scripts in drawings.
LOADERS = {JPEG_MAGIC: "jpegload", b"\x89PNG": "pngload", b"RIFF": "webpload"}
LOADERS |= {magic: "tiffload" for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")}


def is_temporary_folder(path: Path) -> bool:
    """Return True for a folder that ``mapped_images`` makes; a killed process leaves such folders behind."""
    return path.suffix == ".strips" and path.name.startswith(".") and path.is_dir()


def open_lazily(path: Path, **options: str) -> Any:
    """Open an image in libvips without decoding it.

    Args:
        path: Image to open.
        options: Options of libvips's loader.

    Returns:
        A ``pyvips.Image``, or None if no loader of ``LOADERS`` reads the file.

    Raises:
        pyvips.Error: The image is damaged.
    """
    os.environ.setdefault("VIPS_WARNING", "no")  # exceptions report whatever matters
    import pyvips

    with path.open("rb") as file:
        head = file.read(4)
    loader = next((loader for magic, loader in LOADERS.items() if head.startswith(magic)), None)
    # Call the loader by name. ``Image.new_from_file`` would parse "[...]" in a file name as options.
    return loader and getattr(pyvips.Image, loader)(os.fsencode(path), **options)


def count_pixels(path: Path) -> int:
    """Return the number of pixels of a large image from its header; 0 if libvips should not read it.

    libvips is asked only about images that Pillow finds large, because importing it takes time.

    Raises:
        InputError: The file is a decompression bomb.
    """
    if importlib.util.find_spec("pyvips") is None or not path.is_file():
        return 0
    with suppress(InputError), open_header(path) as header:
        if header.width * header.height < MIN_VIPS_PIXELS:
            return 0
    import pyvips

    try:
        image = open_lazily(path)
    except pyvips.Error:
        return 0
    # libvips takes other samples for 8 bits, and mixes grey and alpha in planes.
    if not image or image.format not in ("uchar", "ushort") or image.bands > 4:
        return 0
    if image.bands == 2 and image.get("vips-loader").startswith("tiff"):
        return 0
    pixels = image.width * image.height
    check_pixel_count(pixels, path.stat().st_size, str(path))
    return pixels


def decode_to_file(path: Path, raw: Path) -> tuple[np.ndarray, str | None]:
    """Decode an image into a file of raw pixels, upright and in sRGB like ``files.open_image``.

    CMYK without a profile can differ from Pillow's, because libvips converts it by a profile of its own.

    Args:
        path: Image to decode.
        raw: File to write, of three or four bytes a pixel.

    Returns:
        The file mapped into memory, (H,W,3), or (H,W,4) if the image has transparency. A warning if pixels
        are missing at the end of a JPEG, else None; these pixels are grey.

    Raises:
        InputError: The image is damaged.
    """
    import pyvips

    try:
        try:
            return decode(path, raw, "error"), None
        except pyvips.Error:
            ended = raw.with_suffix(".jpg")
            if not add_end_marker(path, ended):
                raise
        try:
            return decode(ended, raw, "warning"), None
        except pyvips.Error:
            return decode(ended, raw, "error"), "pixels are missing at its end"
    except pyvips.Error as error:
        raise InputError(f"{path} is damaged or cannot be read ({first_line(error)})", file=path) from None


def add_end_marker(path: Path, ended: Path) -> bool:
    """Copy a JPEG and add the marker of its end; return False for another file."""
    with path.open("rb") as file:
        if file.read(len(JPEG_MAGIC)) != JPEG_MAGIC:
            return False
    shutil.copyfile(path, ended)
    with ended.open("ab") as file:
        file.write(END_MARKER)
    return True


def decode(path: Path, raw: Path, fail_on: str) -> np.ndarray:
    """Decode an image into a file of raw pixels, and map it into memory.

    Args:
        path: Image to decode.
        raw: File to write.
        fail_on: Damage that is an error, as libvips names it.

    Raises:
        pyvips.Error: The image is damaged.
    """
    image = open_lazily(path)
    # A rotated image cannot be read from top to bottom: libvips decodes it into a temporary file first.
    is_rotated = image.get_typeof("orientation") and image.get("orientation") != 1
    options = {"access": "random" if is_rotated else "sequential", "fail_on": fail_on}
    image = open_lazily(path, **options).autorot()
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True, intent="perceptual", depth=8)
    else:
        image = image.colourspace("srgb")
    image = image.cast("uchar")
    image.rawsave(os.fsencode(raw))
    return np.memmap(raw, np.uint8, "r+", shape=(image.height, image.width, image.bands))


def check_decodable(path: Path) -> None:
    """Check that an image can be decoded to its end, in little memory.

    Raises:
        InputError: The image is damaged.
    """
    import pyvips

    try:
        open_lazily(path, access="sequential", fail_on="error").avg()
    except pyvips.Error as error:
        raise InputError(f"{path} is damaged ({first_line(error)})", file=path) from None


def encode_from_file(pixels: np.memmap, path: Path, quality: int = FileSettings.quality) -> None:
    """Write an image from a file of raw pixels, like ``files.save_image``.

    Args:
        pixels: A whole file mapped into memory, (H,W,3) or (H,W,4).
        path: File to write; its suffix decides the format.
        quality: Quality of JPEG and WebP, from 1 to 100.

    Raises:
        InputError: The suffix is none of ``FORMATS``, or the image is too large for the format.
    """
    import pyvips

    height, width, bands = pixels.shape
    check_size(path, width, height)
    format = FORMATS[path.suffix.lower()]
    pixels.flush()
    image = pyvips.Image.rawload(os.fsencode(str(pixels.filename)), width, height, bands, access="sequential")
    image = image.copy(interpretation="srgb")
    if format == "JPEG" and bands == 4:
        image = image.flatten(background=255)
    options: dict[str, object] = {}
    if format in ("JPEG", "WEBP"):
        options["Q"] = quality
    if format == "JPEG":
        options["subsample_mode"] = "off" if quality >= MIN_FULL_CHROMA_QUALITY else "on"
    if format == "TIFF":
        options["bigtiff"] = pixels.nbytes >= 1 << 32
    save = getattr(image, f"{format.lower()}save")
    with atomic_write(path, flush=False) as temporary:
        try:
            save(os.fsencode(temporary), **options)
        except pyvips.Error as error:
            raise InputError(
                f"{width}x{height} pixels cannot be written to {path} ({first_line(error)}): write a .tif"
            ) from None


@contextmanager
def mapped_images(
    source: Path, target: Path, quality: int = FileSettings.quality
) -> Iterator[tuple[np.ndarray, np.ndarray, str | None]]:
    """Yield the pixels of an image and of its result, both in memory-mapped files; then write the result.

    The files lie beside ``target``, because the system's temporary folder can be in memory. They are deleted
    at the end.

    Args:
        source: Image to read.
        target: Image to write; its suffix decides the format.
        quality: Quality of JPEG and WebP, from 1 to 100.

    Yields:
        The image's pixels; pixels of the same shape for the caller to fill, with the transparency already
        copied; and the warning of ``decode_to_file``.

    Raises:
        InputError: The image is damaged, or the result is too large for its format.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=target.parent,
        prefix=f".{shorten_name(target.name)}.",
        suffix=".strips",
        ignore_cleanup_errors=True,
    ) as folder:
        photo, warning = decode_to_file(source, Path(folder) / "photo")
        check_size(target, photo.shape[1], photo.shape[0])
        result = np.memmap(Path(folder) / "result", np.uint8, "w+", shape=photo.shape)
        result[..., 3:] = photo[..., 3:]
        yield photo, result, warning
        encode_from_file(result, target, quality)
