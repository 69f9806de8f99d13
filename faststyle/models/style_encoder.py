"""Any painting at once: an encoder that predicts a network's style parameters from a painting, in NumPy.

Ghiasi et al., "Exploring the structure of a real-time, arbitrary neural artistic stylization network", BMVC
2017, https://arxiv.org/abs/1705.06830.
"""

import functools
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from faststyle.errors import InputError
from faststyle.image.color import is_blank
from faststyle.image.convert import scale_to, to_array, to_opaque
from faststyle.image.files import open_image
from faststyle.losses.settings import STYLE_SIZE
from faststyle.models.card import ModelCard, StyleImage
from faststyle.models.layout import complete_config, layout_of
from faststyle.models.model import Model
from faststyle.models.pretrained import ENCODER
from faststyle.models.quantization import dequantize

CHANNELS = (3, 32, 64, 128, 192, 256)  # of the convolutions on the painting, all with stride 2
OUTPUT_SCALE = 0.1  # so that one update of the last layer changes the norms little
MAX_RATIO = 16  # of a painting's sides
NETWORK = "network."  # prefix of the transformer network's weights

Weights = dict[str, np.ndarray]


@functools.cache
def load_encoder(path: Path = ENCODER) -> Weights:
    """Read the weights of an encoder by name."""
    return {name: array.astype(np.float32) for name, array in dequantize(load_file(path)).items()}


def describe(encoder: Weights, painting: np.ndarray) -> np.ndarray:
    """Describe a painting, (3,H,W), RGB in [0,1], as VGG's statistics would: (1920,)."""
    x = painting - np.float32(0.5)
    pooled = [pool(x)]
    for number in range(len(CHANNELS) - 1):
        x = convolve(x, encoder[f"convs.{number}.weight"], encoder[f"convs.{number}.bias"])
        x = np.maximum(x, 0)
        pooled.append(pool(x))
    values = np.concatenate(pooled)
    values = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
    values = values * encoder["describe.0.weight"] + encoder["describe.0.bias"]
    return linear(encoder, "describe.3", np.maximum(linear(encoder, "describe.1", values), 0))


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Convolve (C,H,W) with a kernel (O,C,k,k), stride 2 and a border of one zero."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], (1, 2))[:, ::2, ::2]
    return np.tensordot(weight, windows, ((1, 2, 3), (0, 3, 4))) + bias[:, None, None]


def pool(x: np.ndarray) -> np.ndarray:
    """Return mean and standard deviation of each channel: (C,H,W) to (2C,)."""
    return np.concatenate([x.mean((1, 2)), np.sqrt(x.var((1, 2)) + 1e-4)])


def linear(encoder: Weights, layer: str, values: np.ndarray) -> np.ndarray:
    """Apply a linear layer to a vector."""
    return encoder[f"{layer}.weight"] @ values + encoder[f"{layer}.bias"]


def bake(encoder: Weights, painting: Image.Image) -> Weights:
    """Return the weights of a plain network for a painting, which can be used like any trained one.

    Args:
        encoder: The encoder's weights.
        painting: RGB image.
    """
    description = describe(encoder, to_array(scale_to(painting, STYLE_SIZE)))
    hidden = np.maximum(linear(encoder, "predict.0", description), 0)
    outputs = np.float32(OUTPUT_SCALE) * linear(encoder, "predict.2", hidden)
    layout = layout_of({})
    weights = {name: encoder[NETWORK + name] for name in layout.weight_shapes()}
    lengths = layout.style_parameters()
    *changes, mix = np.split(outputs, np.cumsum([*lengths.values()]))
    for name, change in zip(lengths, changes, strict=True):
        weights[name] = weights[name] + change
    colors = np.eye(3, dtype=np.float32) + mix.reshape(3, 3)
    weights["last.weight"] = np.tensordot(colors, weights["last.weight"], 1)
    return weights


def bake_style(painting: Image.Image, name: str | Path) -> Model:
    """Return a model with the style of a painting.

    Args:
        painting: RGB image.
        name: Name of the painting in error messages.

    Raises:
        InputError: The painting has one colour, or is much longer than wide.
    """
    if is_blank(painting):
        raise InputError(f"{name} has one colour in all of its pixels: give a painting", file=name)
    if min(painting.size) * MAX_RATIO < max(painting.size):
        raise InputError(
            f"{name} has {painting.width}x{painting.height} pixels, and is too narrow for a style: crop it",
            file=name,
        )
    return Model(bake(load_encoder(), painting), ModelCard(complete_config({})))


def bake_painting(path: Path) -> Model:
    """Return a model with the style of an image file.

    Raises:
        InputError: The file is no image, or ``bake_style`` refuses it.
    """
    model = bake_style(to_opaque(open_image(path)), path)
    style = StyleImage(path.stem, hashlib.sha256(path.read_bytes()).hexdigest())
    return replace(model, card=replace(model.card, style=(style,)))
