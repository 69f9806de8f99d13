"""Luminance, images of one colour, and colour preservation.

Functions of an ``Array`` return the kind that they are given.
"""

from PIL import Image

from faststyle.image.arrays import Array, array_namespace
from faststyle.image.convert import from_array, to_array

# Weights of RGB in the luminance Y of Y'CbCr (ITU-R BT.601).
LUMINANCE_WEIGHTS = (0.299, 0.587, 0.114)


def is_blank(image: Image.Image) -> bool:
    """Return True if all pixels of an RGB image are equal."""
    return all(low == high for low, high in image.getextrema())  # type: ignore[misc]


def luminance(images: Array) -> Array:
    """Return the luminance of RGB images: (…,3,H,W) to (…,1,H,W)."""
    red, green, blue = LUMINANCE_WEIGHTS
    channels = images[..., 0:1, :, :], images[..., 1:2, :, :], images[..., 2:3, :, :]
    return red * channels[0] + green * channels[1] + blue * channels[2]


def keep_color(stylized: Array, photos: Array) -> Array:
    """Combine the luminance of stylized images with the colours of photos (Gatys et al. 2017, §5.1).

    The same difference is added to all three channels, which changes Y but not Cb and Cr.

    Args:
        stylized: (…,3,H,W), RGB in [0,1].
        photos: Photos of the same shape.

    Returns:
        RGB of the same shape; values can fall outside [0,1].
    """
    return photos + luminance(stylized) - luminance(photos)


def blend_with_photo(stylized: Array, photos: Array, strength: float, preserve_color: bool) -> Array:
    """Keep the photos' colours if asked, and blend the stylized images with the photos.

    Args:
        stylized: (B,3,H,W), RGB in [0,1].
        photos: Photos of the same shape.
        strength: Weight of the stylized images in the blend, from 0 to 1.
        preserve_color: Replace the stylized colours by the photos'.
    """
    if preserve_color:
        stylized = array_namespace(stylized).clip(keep_color(stylized, photos), 0, 1)
    return stylized if strength == 1 else photos + strength * (stylized - photos)


def blend_images(
    stylized: Image.Image, photo: Image.Image, strength: float, preserve_color: bool
) -> Image.Image:
    """Blend a PIL image with its photo of the same size, as ``blend_with_photo`` does; keep its alpha."""
    if strength == 1 and not preserve_color:
        return stylized
    above, below = (to_array(image.convert("RGB")) for image in (stylized, photo))
    result = from_array(blend_with_photo(above, below, strength, preserve_color))
    if stylized.mode == "RGBA":
        result.putalpha(stylized.getchannel("A"))
    return result
