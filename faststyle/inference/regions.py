"""Stylize regions: each model where its mask is white. The rest stays the photo."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import tee
from typing import Any

import numpy as np
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.convert import limit_size, to_rgb
from faststyle.image.masks import fit_mask
from faststyle.inference.settings import StylizeSettings, VideoSettings
from faststyle.inference.stylizer import Stylizer
from faststyle.video.clips import Clip, Frame

Region = tuple[Stylizer, Image.Image]  # a model, and a mask that is white where its style is wanted


def stylize_regions(photo: Image.Image, regions: Iterable[Region], **settings: Any) -> Image.Image:
    """Stylize each region of a photo by its model; a region covers those before it.

    Args:
        photo: A PIL image of any mode.
        regions: Models with their masks, PIL images. Grey levels of a mask blend; see ``fit_mask``.
        **settings: Options of ``Stylizer.__call__``.

    Returns:
        RGB or RGBA, of the photo's size or shrunk to ``max_size``.

    Raises:
        InputError: The photo or a mask is no PIL image, or as ``Stylizer``.
    """
    settings = vars(StylizeSettings(**settings))
    photo = limit_size(to_rgb(check_image(photo, "the photo")), settings["max_size"])
    return combine(photo, ((model(photo, **settings), mask) for model, mask in regions))


def check_image(image: Any, name: str) -> Image.Image:
    """Return a PIL image.

    Raises:
        InputError: It is something else.
    """
    if not isinstance(image, Image.Image):
        raise InputError(f"{name} must be a PIL image, not {type(image).__name__}")
    return image


def combine(photo: Image.Image, parts: Iterable[tuple[Image.Image, Image.Image]]) -> Image.Image:
    """Lay stylized images over their photo, each where its mask is white."""
    image = photo
    for stylized, mask in parts:
        image = Image.composite(stylized, image, fit_mask(check_image(mask, "a mask"), photo.size))
    return image


class Copy:
    """An iterator over a video's frames, with the video's unit of time."""

    def __init__(self, frames: Iterator[Frame], time_base: Fraction):
        self.frames, self.time_base = frames, time_base

    def __iter__(self) -> Iterator[Frame]:
        return self.frames


def stylize_clip_regions(
    clip: Clip, models: Sequence[Stylizer], masks: Sequence[Iterable[Image.Image]], settings: VideoSettings
) -> Iterator[Frame]:
    """Stylize each region of a video by its model; a region covers those before it.

    Args:
        clip: The video.
        models: The models.
        masks: For each model, a mask for each frame; the last one is kept where there are too few.
        settings: How the frames look.
    """
    originals, *copies = tee(clip, 1 + len(models))
    stylized = [
        model.video(Copy(copy, clip.time_base), **settings.for_frames)
        for model, copy in zip(models, copies, strict=True)
    ]
    streams = [hold_last(one) for one in masks]
    for frame, *images in zip(originals, *stylized, strict=True):
        pixels = frame.pixels
        size = pixels.shape[1], pixels.shape[0]
        for image, stream in zip(images, streams, strict=True):
            pixels = mix_pixels(image.pixels, pixels, np.asarray(fit_mask(next(stream), size)))
        yield frame._replace(pixels=pixels)


def hold_last(masks: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """Yield the masks, and the last one again and again."""
    for mask in masks:
        yield mask
    while True:
        yield mask


def mix_pixels(image: np.ndarray, below: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lay an image (H,W,3) over another where a mask (H,W) is white; all are bytes."""
    parts = [Image.fromarray(array) for array in (image, below, mask)]
    return np.asarray(Image.composite(*parts))
