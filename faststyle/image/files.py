"""Read and write image files."""

from pathlib import Path
from typing import IO

from PIL import Image

from faststyle.errors import InputError
from faststyle.files import atomic_write, find_files
from faststyle.image.convert import to_rgb
from faststyle.image.validation import open_header, told

# What may be written, by the file name's suffix.
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
READABLE = {*FORMATS, ".bmp", ".gif", ".jfif", ".ppm"}


def open_image(
    source: str | Path | IO[bytes], name: str | None = None, draft: int | None = None
) -> Image.Image:
    """Read a picture, upright and in sRGB.

    Args:
        source: a file's path, or an open binary file.
        name: what errors call it; its path without it.
        draft: decode a JPEG that is much larger at a fraction of its size, no side below so many
            pixels: several times as fast.

    Returns:
        RGB, or RGBA where the picture has transparency, 8 bits a channel.

    Raises:
        InputError: the file is missing, no picture, or damaged.
    """
    name = name or str(source)
    with told(name), open_header(source, name) as image:
        if draft is not None:
            image.draft("RGB", (draft, draft))
        image.load()
        return to_rgb(image)


def check_output(path: Path) -> str:
    """Name Pillow's format for a file to be written, by its suffix.

    Raises:
        InputError: no format has this suffix.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"cannot write {path}: its name must end in one of {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def save_image(image: Image.Image, path: str | Path, quality: int = 92) -> None:
    """Write a picture, making its folder; the format follows the name's suffix.

    Args:
        image: RGB or RGBA; JPEG, which has no transparency, gets it laid on white.
        path: where to.
        quality: of JPEG and WebP, 1…100.

    Raises:
        InputError: the suffix is not one of ``FORMATS``.
    """
    path = Path(path)
    kind = check_output(path)
    if kind == "JPEG" and image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    options = {"quality": quality} if kind in ("JPEG", "WEBP") else {}
    if kind == "JPEG" and quality >= 90:
        options["subsampling"] = 0  # brush strokes have sharp colour edges
    with atomic_write(path, flush=False) as temporary:
        image.save(temporary, format=kind, **options)


def find_images(folder: Path) -> list[Path]:
    """Every picture file under ``folder``, by its suffix, sorted; hidden files are left out."""
    return find_files(folder, lambda path: path.suffix.lower() in READABLE)
