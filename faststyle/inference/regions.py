"""Stylize regions: each model where its mask is white. The rest stays the photo."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import repeat, tee
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
        InputError: The photo or a mask is not a PIL image, or a setting is out of range.
    """
    settings = vars(StylizeSettings(**settings))
    photo = limit_size(to_rgb(check_image(photo, "the photo")), settings["max_size"])
    fitted = ((model, fit_mask(check_image(mask, "a mask"), photo.size)) for model, mask in regions)
    return combine(photo, ((model(photo, **settings), mask) for model, mask in fitted))


def check_image(image: Any, name: str) -> Image.Image:
    """Return a PIL image.

    Raises:
        InputError: The image is of another type.
    """
    if not isinstance(image, Image.Image):
        raise InputError(f"{name} must be a PIL image, not {type(image).__name__}")
    return image


def combine(photo: Image.Image, parts: Iterable[tuple[Image.Image, Image.Image]]) -> Image.Image:
    """Lay stylized images over their photo, each where its mask is white; all have the same size.

    Args:
        photo: The photo.
        parts: Stylized images with their masks, as ``fit_mask`` returns them.
    """
    image = photo
    for stylized, mask in parts:
        image = Image.composite(stylized, image, mask)
    return image


class TimedFrames:
    """Frames with their video's ``time_base``, which ``Stylizer.video`` reads."""

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
        masks: For each model, a mask for each frame, as ``fit_mask`` returns it; the last one is kept where
            there are too few.
        settings: How the frames look.

    Raises:
        InputError: A mask video has no frames.
    """
    originals, *copies = tee(clip, 1 + len(models))
    stylized = [
        model.video(TimedFrames(copy, clip.time_base), **settings.for_frames)
        for model, copy in zip(models, copies, strict=True)
    ]
    streams = [hold_last(one) for one in masks]
    for frame, *images in zip(originals, *stylized, strict=True):
        parts = [
            (Image.fromarray(image.pixels), next(stream))
            for image, stream in zip(images, streams, strict=True)
        ]
        yield frame._replace(pixels=np.asarray(combine(Image.fromarray(frame.pixels), parts)))


def hold_last(masks: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """Yield the masks, then repeat the last one forever.

    Raises:
        InputError: There are no masks.
    """
    mask = None
    for mask in masks:
        yield mask
    if mask is None:
        raise InputError("the mask video has no frames: give another one")
    yield from repeat(mask)
