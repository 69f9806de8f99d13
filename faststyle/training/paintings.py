"""Views of paintings for the training of the style encoder, and what VGG says of them."""

import random

import torch
from PIL import Image
from torch import Tensor

from faststyle.image.convert import scale_to, to_tensor
from faststyle.losses.settings import STYLE_SIZE

DESCRIBED_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")  # 960 channels


def recolour(image: Tensor, rng: random.Random) -> Tensor:
    """Permute the channels of (3,H,W) in [0,1], and change their range and the saturation."""
    if rng.random() < 0.5:
        image = image[torch.tensor(rng.sample(range(3), 3))]
    gamma = torch.tensor([2 ** rng.uniform(-0.7, 0.7) for _ in range(3)]).view(3, 1, 1)
    grey = image.mean(0, keepdim=True)
    image = grey + rng.choice((0.0, 0.5, 1.0, 1.0, 1.5)) * (image - grey)
    return image.clamp(0, 1) ** gamma


def random_view(image: Image.Image, rng: random.Random, square: int | None = None) -> Tensor:
    """Cut out a part of an image: (3,H,W) in [0,1].

    Args:
        image: The image.
        rng: Source of the choices.
        square: Side of the result in pixels; by default its longer side is ``STYLE_SIZE``.
    """
    width, height = image.size
    share = 1.0 if square is None and rng.random() < 0.5 else rng.uniform(0.4, 1.0)
    w, h = max(1, round(share * width)), max(1, round(share * height))
    if square is not None:
        w = h = min(w, h)
    left, top = rng.randint(0, width - w), rng.randint(0, height - h)
    image = image.crop((left, top, left + w, top + h))
    image = (
        image.resize((square, square), Image.Resampling.BICUBIC) if square else scale_to(image, STYLE_SIZE)
    )
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    tensor = to_tensor(image)
    return recolour(tensor, rng) if rng.random() < 0.4 else tensor


def statistics(features: dict[str, Tensor]) -> Tensor:
    """Return the logarithms of mean and standard deviation of each channel: (B,1920)."""
    found = []
    for layer in DESCRIBED_LAYERS:
        x = features[layer].float().flatten(2)
        mean = x.mean(2)
        variance = x.square().mean(2) - mean.square()
        found += [(mean + 1).log(), (variance.clamp(min=0).sqrt() + 1).log()]
    return torch.cat(found, 1)
