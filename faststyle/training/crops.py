"""Read content photos, and cut out training and validation crops."""

import io
import random
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from faststyle.errors import InputError
from faststyle.image.color import is_blank
from faststyle.image.files import open_image

# Pairs of a crop size, as a fraction of the final size, and the fraction of the run's steps until which it is
# used: a quarter of the final size for the first 45 % of the steps. Small crops come first because a network
# learns most from them, and a step with them takes a tenth of the time.
CROP_GROWTH = ((0.25, 0.45), (0.375, 0.7), (0.5, 0.9), (0.75, 0.97), (1.0, 1.0))
MIN_CROP_SIZE = 64  # pixels
LOW_CONTRAST_FRACTION = 0.15  # of the crops, which lose most of their contrast

Row = dict[str, Any]  # a datasets row whose image is {"bytes": …, "path": …}, not decoded


def read_photo(row: Row, size: int) -> Image.Image:
    """Decode a row's image. A JPEG much larger than needed is decoded at a fraction of its size.

    Raises:
        InputError: The image is damaged, is of one colour, or its shorter side has less than half of ``size``
            pixels.
    """
    stored = row["image"]
    name = stored.get("path") or "an image of the data set"
    source = io.BytesIO(stored["bytes"]) if stored.get("bytes") else stored["path"]
    photo = open_image(source, name, draft=2 * size).convert("RGB")
    if min(photo.size) * 2 < size:
        raise InputError(f"{name} is too small ({photo.width}x{photo.height})")
    if is_blank(photo):
        raise InputError(f"{name} has one colour in all of its pixels")
    return photo


def crop_and_resize(photo: Image.Image, left: int, top: int, side: int, size: int) -> Image.Image:
    """Cut out a square of ``side`` pixels and resize it to ``size`` pixels."""
    box = (left, top, left + side, top + side)
    return photo.resize((size, size), Image.Resampling.BICUBIC, box, reducing_gap=2.0)


def random_crop(photo: Image.Image, size: int, least_crop: float, rng: random.Random) -> Image.Image:
    """Cut out a random square, resize it to ``size`` pixels, and mirror it half of the time.

    The side is between ``least_crop`` times the photo's shorter side and all of it, whatever the photo's own
    size, because a network stylizes well at the scales that it was trained at.
    """
    shorter = min(photo.size)
    side = rng.randint(max(1, int(shorter * least_crop)), shorter)
    left, top = rng.randint(0, photo.width - side), rng.randint(0, photo.height - side)
    photo = crop_and_resize(photo, left, top, side, size)
    return photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else photo


def crop_size(size: int, done: float) -> int:
    """Return the side of the crops in pixels, which grows to ``size``.

    Args:
        size: Side of the last crops in pixels.
        done: Fraction of the run's steps that are done, 0 to 1.
    """
    scale = next((scale for scale, until in CROP_GROWTH if done < until), 1.0)
    return size if scale == 1 else min(size, max(MIN_CROP_SIZE, round(size * scale / 16) * 16))


def reduce_contrast(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Remove most of a photo's contrast, and add a plain tone or a gradient.

    Networks normalize contrast. Without such training photos they amplify the little contrast of a clear sky
    or a plain wall.
    """
    pixels = np.asarray(photo, np.float32) / 255
    tone = np.array([rng.random() for _ in range(3)], np.float32)
    tone = 0.4 * tone + 0.6 * rng.random()
    photo_contrast = rng.choice((0, 1, 1)) * 10 ** rng.uniform(-1.6, -0.2)
    slope = 10 ** rng.uniform(-2, -0.7) * np.array([rng.random() for _ in range(3)], np.float32)
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    plane = rng.uniform(-1, 1) * x + rng.uniform(-1, 1) * y
    grain = np.random.default_rng(rng.getrandbits(32)).standard_normal(pixels.shape, np.float32)
    result = tone + photo_contrast * (pixels - pixels.mean((0, 1))) + slope * plane[..., None]
    result += rng.choice((0, 0.01)) * grain
    return Image.fromarray((255 * result.clip(0, 1)).round().astype(np.uint8))


def make_training_crop(photo: Image.Image, size: int, least_crop: float, rng: random.Random) -> Tensor:
    """Return a random crop to train with, (3,size,size) uint8; some have little contrast."""
    photo = random_crop(photo, size, least_crop, rng)
    return to_uint8_tensor(reduce_contrast(photo, rng) if rng.random() < LOW_CONTRAST_FRACTION else photo)


def center_crop(photo: Image.Image, size: int) -> Image.Image:
    """Cut out the largest square in the middle and resize it to ``size`` pixels."""
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    return crop_and_resize(photo, left, top, side, size)


def to_uint8_tensor(photo: Image.Image) -> Tensor:
    """Return (3,H,W) uint8, which takes a quarter of the memory of float32 on the way to the GPU."""
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1)
