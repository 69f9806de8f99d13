"""Masks: grey images that are white where something applies."""

from PIL import Image

from faststyle.image.convert import to_rgb

MAX_ASPECT_CHANGE = 1.05  # between a mask and its image, whose sizes are rounded to pixels


def fit_mask(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Convert a mask to grey levels, and stretch it to the size of its image.

    Args:
        mask: An image of any mode. Transparent areas are black. If no level is above 1, 1 is white, as in
            masks of programs that save true as 1.
        size: Width and height of the image.
    """
    image = to_rgb(mask)
    grey = image.convert("RGB").convert("L")
    if image.mode == "RGBA":
        grey = Image.composite(grey, Image.new("L", grey.size), image.getchannel("A"))
    if grey.getextrema()[1] == 1:
        grey = grey.point(lambda level: 255 * level)
    return grey if grey.size == size else grey.resize(size, Image.Resampling.BILINEAR)


def describe_stretching(mask: Image.Image, size: tuple[int, int]) -> str | None:
    """Return a message if the mask's aspect ratio differs from its image's, else None."""
    ratio = mask.width * size[1] / (mask.height * size[0])
    if 1 / MAX_ASPECT_CHANGE <= ratio <= MAX_ASPECT_CHANGE:
        return None
    return f"{mask.width}x{mask.height} pixels are stretched to {size[0]}x{size[1]}"
