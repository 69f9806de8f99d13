"""Conversion between PIL images, arrays and tensors: orientation, colour profile, alpha, bit depth."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from faststyle.image.exif import EXIF_PREFIX, ORIENTATION_TAG, has_plausible_tags, read_orientation
from faststyle.image.levels import to_levels

if TYPE_CHECKING:
    from torch import Tensor

# The mode in which littleCMS converts an image of another mode.
PROFILE_MODES = {"RGB": "RGB", "RGBA": "RGB", "RGBa": "RGB", "RGBX": "RGB", "P": "RGB", "PA": "RGB"}
PROFILE_MODES |= {"YCbCr": "RGB", "1": "L", "L": "L", "LA": "L", "CMYK": "CMYK"}
BAND_ROWS = 64  # converted at a time, so that intermediate values stay in the processor's cache
# The transpose that makes an image upright, by its EXIF orientation.
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to upright sRGB, 8 bits a channel.

    Returns:
        An image of mode RGB, or RGBA if ``image`` has transparency; ``image`` itself if it is RGB without
        metadata.
    """
    if image.mode == "RGB" and not image.info and not image.getexif():
        return image
    image = apply_orientation(image)
    if image.mode == "La":  # Pillow converts it to LA only
        image = image.convert("LA")
    profile = image.info.get("icc_profile")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode.startswith("I") or image.mode == "F":
        image = to_8_bit(image)
    if profile:
        image = to_srgb(image, profile)
    image = image if image.mode == "RGB" else image.convert("RGB")
    image.info.clear()  # the file's orientation and profile no longer apply
    if alpha is not None:
        image.putalpha(alpha)
    return image


def to_opaque(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB, on white where it is transparent."""
    image = to_rgb(image)
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def apply_orientation(image: Image.Image) -> Image.Image:
    """Return an upright copy according to the EXIF orientation; ignore damaged EXIF, as browsers do."""
    orientation = 1
    with suppress(Exception):  # Pillow can raise any exception for damaged tags
        exif = image.info.get("exif") or decode_text_profile(image.info.get("Raw profile type exif", ""))
        exif = exif.removeprefix(EXIF_PREFIX)
        orientation = read_orientation(exif)
        if has_plausible_tags(io.BytesIO(exif), len(exif)):
            orientation = image.getexif().get(ORIENTATION_TAG, 1)  # reads XMP, too
    return image.transpose(TRANSPOSES[orientation]) if orientation in TRANSPOSES else image.copy()


def decode_text_profile(text: str) -> bytes:
    """Return the EXIF that some programs write as hexadecimal text into a PNG."""
    return bytes.fromhex("".join(text.split("\n")[3:]))


def to_8_bit(image: Image.Image) -> Image.Image:
    """Scale integers or floats to 8-bit grey."""
    values = np.asarray(image)
    if values.min() >= 0 and values.max() <= 65535 and image.mode != "F":
        values = values.astype(np.uint16)  # Pillow holds 16 bits in 32, too
    return Image.fromarray(to_levels(values))


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an image from its embedded ICC profile to sRGB, without its transparency.

    Damaged profiles, and those of another colour space than the image's, are ignored, as in browsers.
    """
    mode = PROFILE_MODES.get(image.mode)
    if mode is None:
        return image
    image = image if image.mode == mode else image.convert("RGBA").convert(mode)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return converted or image


def scale_to(image: Image.Image, longer: int) -> Image.Image:
    """Resize an image so that its longer side has ``longer`` pixels."""
    scale = longer / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def limit_size(image: Image.Image, max_size: int | None) -> Image.Image:
    """Shrink an image whose longer side has more than ``max_size`` pixels; never enlarge. None: no limit."""
    return image if max_size is None or max(image.size) <= max_size else scale_to(image, max_size)


def to_array(image: Image.Image) -> np.ndarray:
    """Convert an 8-bit image to float32, (C,H,W) in [0,1]."""
    pixels = np.asarray(image).transpose(2, 0, 1)
    result = np.empty(pixels.shape, np.float32)
    for top in range(0, image.height, BAND_ROWS):
        band = slice(top, top + BAND_ROWS)
        np.divide(np.ascontiguousarray(pixels[:, band]), 255, result[:, band])
    return result


def from_array(values: np.ndarray) -> Image.Image:
    """Convert (C,H,W), clipped to [0,1], to an 8-bit image: RGB for three channels, RGBA for four."""
    channels, height, width = values.shape
    pixels = np.empty((height, width, channels), np.uint8)
    for top in range(0, height, BAND_ROWS):
        band = values[:, top : top + BAND_ROWS].clip(0, 1)
        band *= 255
        pixels[top : top + BAND_ROWS] = np.rint(band, band).transpose(1, 2, 0)
    return Image.fromarray(pixels)


def to_tensor(image: Image.Image) -> Tensor:
    """Convert an 8-bit image to a float32 tensor, (C,H,W) in [0,1]."""
    import torch

    return torch.from_numpy(to_array(image))


def to_image(tensor: Tensor) -> Image.Image:
    """Convert (C,H,W), clamped to [0,1], to an 8-bit image: RGB for three channels, RGBA for four."""
    return from_array(tensor.detach().float().cpu().numpy())
