"""Convert between PIL images and tensors: orientation, colour profile, alpha, bit depth."""

import io
from contextlib import suppress

import numpy as np
import torch
from PIL import Image, ImageCms
from torch import Tensor

from faststyle.image.validation import EXIF, ORIENTATION, orientation, tags_fit

STRIP = 64  # rows that are converted at a time, so that what is between stays in a processor's cache


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


def to_floats(pixels: Tensor) -> Tensor:
    """Bytes to float32 in [0,1]; floats stay as they are."""
    return pixels.float() if pixels.is_floating_point() else pixels.float() / 255


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
