"""Picture files to tensors and back: orientation, colour profile, alpha, bit depth, safe writing."""

import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageCms
from torch import Tensor

from faststyle.errors import InputError
from faststyle.headers import EXIF, ORIENTATION, open_header, orientation, tags_fit, told
from faststyle.places import cut

# What may be written, by the file name's suffix.
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
STRIP = 64  # rows that are converted at a time, so that what is between stays in a processor's cache
READABLE = {*FORMATS, ".bmp", ".gif", ".jfif", ".ppm"}
# What turns a picture upright, by its orientation in EXIF.
TURNS = dict(
    zip(
        range(2, 9),
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        strict=True,
    )
)


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


def to_rgb(image: Image.Image) -> Image.Image:
    """Bring any picture to upright sRGB: mode RGB, or RGBA where it has transparency.

    One that is so already comes back itself; otherwise it is another.
    """
    if image.mode == "RGB" and not image.info and not image.getexif():
        return image
    image = upright(image)
    profile = image.info.get("icc_profile")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode.startswith("I") or image.mode == "F":
        image = to_8_bit(image)
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        image = to_srgb(image, profile)
    image = image if image.mode == "RGB" else image.convert("RGB")
    image.info.clear()  # it no longer has the file's orientation or profile
    if alpha is not None:
        image.putalpha(alpha)
    return image


def upright(image: Image.Image) -> Image.Image:
    """A copy, turned as its EXIF says; what is wrong with that is passed over, as browsers do."""
    value = 1
    with suppress(Exception):  # Pillow raises whatever broken tags make it stumble over
        exif = image.info.get("exif") or raw_profile(image.info.get("Raw profile type exif", ""))
        exif = exif.removeprefix(EXIF)
        value = orientation(exif)
        if tags_fit(io.BytesIO(exif), len(exif)):
            value = image.getexif().get(ORIENTATION, 1)  # which looks into XMP, too
    return image.transpose(TURNS[value]) if value in TURNS else image.copy()


def raw_profile(text: str) -> bytes:
    """EXIF as some programs put it into a PNG's text."""
    return bytes.fromhex("".join(text.split("\n")[3:]))


def to_8_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit integers, or floats in [0,1], to 8-bit grey."""
    values = np.asarray(image, dtype=np.float32)
    scale = 255.0 if image.mode == "F" else 255 / 65535
    return Image.fromarray(np.nan_to_num(values * scale).clip(0, 255).round().astype(np.uint8))


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert from an embedded ICC profile; a broken one is passed over, as browsers do."""
    if image.mode == "RGBA":
        image = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return converted or image


def scale_to(image: Image.Image, longer: int) -> Image.Image:
    """Resize a picture, so that its longer side has ``longer`` pixels."""
    share = longer / max(image.size)
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return image.resize(size, Image.Resampling.LANCZOS)


def fit(image: Image.Image, max_size: int | None) -> Image.Image:
    """Shrink a picture whose longer side has more than ``max_size`` pixels; never enlarge."""
    return image if max_size is None or max(image.size) <= max_size else scale_to(image, max_size)


def to_tensor(image: Image.Image, device: torch.device | str = "cpu") -> Tensor:
    """8-bit picture to (C,H,W) float32 in [0,1], which other devices than the CPU make of its bytes."""
    pixels = np.asarray(image).transpose(2, 0, 1)
    if torch.device(device).type != "cpu":
        return torch.from_numpy(pixels.copy()).to(device).float() / 255
    result = np.empty(pixels.shape, np.float32)
    # By NumPy: torch's threads would go on spinning for a while, in the way of an engine's.
    for top in range(0, image.height, STRIP):
        np.divide(np.ascontiguousarray(pixels[:, top : top + STRIP]), 255, result[:, top : top + STRIP])
    return torch.from_numpy(result)


def to_image(tensor: Tensor) -> Image.Image:
    """(C,H,W) in [0,1], clamped, to an 8-bit picture: RGB, or RGBA with four channels."""
    values = tensor.detach().float()
    if values.device.type != "cpu":
        return Image.fromarray(values.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy())
    channels, height, width = values.shape
    pixels = np.empty((height, width, channels), np.uint8)
    for top in range(0, height, STRIP):
        strip = values[:, top : top + STRIP].numpy().clip(0, 1)
        strip *= 255
        pixels[top : top + STRIP] = np.rint(strip, strip).transpose(1, 2, 0)
    return Image.fromarray(pixels)


@contextmanager
def replacing(path: Path, flush: bool = True) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to, and rename it when all went well.

    So a crash leaves the old file or the new one, never half of one.

    Args:
        path: the file to make, or to replace.
        flush: bring what was written to the disk before it gets its name, so that a power cut leaves the
            old file or the new one too. That takes longer than a picture, of which there are many.

    Raises:
        OSError: what the system refuses, such as a full disk, in the name of ``path``.
    """
    temporary = path.with_name(f".{cut(path.name)}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # a link would lead elsewhere
        yield temporary
        if flush:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # Of writing it names no file, and otherwise the temporary one.
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # a folder that has become read-only
            temporary.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Whether a file has a name that ``replacing`` gives, and so is left of a writer who was killed."""
    return re.fullmatch(r"\..+\.\d+\.tmp", path.name) is not None


def check_place(path: Path) -> None:
    """Refuse before the work what could not be written after it; its folder is made.

    Raises:
        InputError: a folder has this name, or its own folder cannot be made or written to.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file's name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): give another place") from None


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
    with replacing(path, flush=False) as temporary:
        image.save(temporary, format=kind, **options)


def leads_to_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link to one; a link in a ring is none."""
    return entry.is_file(follow_symlinks=False) or os.path.isfile(entry)  # noqa: PTH113


def files(folder: str, below: str = "") -> Iterator[str]:
    """The files' places below a folder, hidden ones left out; one folder's names in memory at a time."""
    try:
        with os.scandir(os.path.join(folder, below)) as found:  # noqa: PTH118
            entries = [
                (entry.name, entry.is_dir(follow_symlinks=False), leads_to_file(entry)) for entry in found
            ]
    except FileNotFoundError:  # it was there when its parent was listed
        return
    except PermissionError:
        if not below:
            raise
        return  # as of lost+found
    for name, is_folder, is_file in entries:
        if name.startswith("."):
            continue
        if is_folder:
            yield from files(folder, f"{below}{name}/")
        elif is_file:
            yield below + name


def find_files(folder: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """The files under ``folder`` that are wanted, sorted; hidden ones are left out."""
    return sorted(path for name in files(str(folder)) if wanted(path := folder / name))


def find_images(folder: Path) -> list[Path]:
    """Every picture file under ``folder``, by its suffix, sorted; hidden files are left out."""
    return find_files(folder, lambda path: path.suffix.lower() in READABLE)
