"""Masks: grey images that are white where something applies."""

from PIL import Image

from faststyle.errors import InputError
from faststyle.image.convert import to_rgb

MAX_RATIO = 1.05  # of the proportions of a mask and its image: rounding to pixels changes them a little


def fit_mask(mask: Image.Image, size: tuple[int, int], name: str = "a mask") -> Image.Image:
    """Convert a mask to grey levels, and stretch it to the size of its image.

    Args:
        mask: An image of any mode.
        size: Width and height of the image.
        name: What to call the mask in error messages.

    Raises:
        InputError: The mask is black all over.
    """
    grey = to_rgb(mask).convert("RGB").convert("L")
    grey = grey if grey.size == size else grey.resize(size, Image.Resampling.BILINEAR)
    if grey.getextrema()[1] < 128:  # type: ignore[operator]
        raise InputError(f"{name} is black all over: only its white part counts")
    return grey


def describe_stretching(mask: Image.Image, size: tuple[int, int]) -> str | None:
    """Return a line on a mask whose sides have another proportion than its image's, else None."""
    ratio = mask.width * size[1] / (mask.height * size[0])
    if 1 / MAX_RATIO <= ratio <= MAX_RATIO:
        return None
    return f"{mask.width}x{mask.height} pixels are stretched to {size[0]}x{size[1]}"
