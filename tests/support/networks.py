"""Random VGG weights, and comparison of weights."""

from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

from faststyle.image.convert import to_tensor
from faststyle.losses.objective import Objective
from faststyle.losses.statistics import gram
from faststyle.losses.vgg import VGG, VGG19_BLOCKS, Weights

CHANNELS = (4, 6, 8, 8, 8)  # Channels of each block of the random VGG.


def random_weights() -> Weights:
    """Return random weights of a VGG-19 with few channels, scaled so that features keep their magnitude."""
    generator = torch.Generator().manual_seed(0)
    weights, inputs = [], 3
    for outputs, convolutions in zip(CHANNELS, VGG19_BLOCKS, strict=True):
        for _ in range(convolutions):
            scale = (2 / (9 * inputs)) ** 0.5
            weight = scale * torch.randn(outputs, inputs, 3, 3, generator=generator)
            weights.append((weight, torch.zeros(outputs)))
            inputs = outputs
    return weights


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def grams_of(painting: Image.Image, vgg: str) -> dict[str, torch.Tensor]:
    """Compute the Gram matrices of a painting as a model file stores them."""
    images = to_tensor(painting)[None]
    layers = Objective().existing(*images.shape[-2:])
    return {layer: gram(x) for layer, x in VGG(vgg)(images, layers).items()}


def same_model_files(first: Path, second: Path) -> bool:
    """Return True if two model files hold identical weights."""
    a, b = load_file(first), load_file(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
