"""Loading of models by name: built-in styles, trained models, files, the Hugging Face Hub, and blends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faststyle.errors import InputError
from faststyle.image.files import open_image
from faststyle.image.formats import READABLE_SUFFIXES, is_image
from faststyle.models import hub
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import load_grams, read_model
from faststyle.models.model import Model
from faststyle.models.pretrained import built_in_styles, steady_styles
from faststyle.models.runs import RUNS, trained_models
from faststyle.models.style_encoder import bake_painting
from faststyle.registry import choose

if TYPE_CHECKING:
    from torch import Tensor

HUB_PREFIX = "hf://"
COMMON_NAMES = ("last", "model")  # of files, which do not tell models apart
MODEL_SUFFIXES = (".safetensors", ".ckpt", ".pth", ".model", ".onnx")


def find_model(name: str | Path) -> Model:
    """Read a model by name.

    Args:
        name: A built-in style (starry_night or starry_night-steady), a model that was trained in runs/, a
            model file, a painting's file, hf://user/repo, or a blend of these
            (starry_night:0.6,great_wave:0.4). A file takes precedence over a built-in style of the same name,
            and that over a trained model.

    Raises:
        InputError: No model has this name, or the networks of a blend differ in size.
    """
    text = str(name)
    if is_blend(text):
        return blend_models(parse_blend(text))
    path = find_file(text, built_in_styles() | steady_styles())
    return bake_painting(path) if is_image(path) else read_model(path)


def find_file(text: str, styles: dict[str, Path]) -> Path:
    """Return the file of a model, downloading it from the Hub if necessary.

    Args:
        text: The model's name, no blend.
        styles: Files of the built-in styles, by name.

    Raises:
        InputError: No model has this name. A path is returned even if no such file exists.
    """
    if not text or "\0" in text:
        raise InputError(f"no model is named {text!r}: give a built-in style's name, or a model's file")
    if text.startswith(HUB_PREFIX):
        return hub.download(text.removeprefix(HUB_PREFIX))
    if exists_on_disk(text) and Path(text).is_file():
        return Path(text)
    if text in styles:
        return styles[text]
    known = trained_models() | styles
    if text not in known and is_path(text):
        return Path(text)
    return choose(f"built-in style, model in {RUNS}/ or file", text, known)


def find_grams(name: str | Path) -> dict[str, Tensor]:
    """Load the Gram matrices of the painting that a model was trained on.

    Args:
        name: A model's name as in ``find_model``, but no blend. NAME-steady has the matrices of NAME.

    Returns:
        Gram matrices, (1,C,C) float32 by layer.

    Raises:
        InputError: No model has this name, the name is a blend, or the file has no Gram matrices.
    """
    text = str(name)
    if is_blend(text):
        raise InputError(f"{text} is a blend, which has no single painting: give the painting as `style`")
    if Path(text).suffix == ".onnx":
        raise InputError(
            f"{text} is an exported model, without its painting's Gram matrices: give the model that it was "
            "exported from"
        )
    steady_to_style = {key: built_in_styles()[key.rpartition("-")[0]] for key in steady_styles()}
    path = find_file(text, built_in_styles() | steady_to_style)
    if is_image(path):
        from faststyle.losses.painting import measure_grams

        return measure_grams(open_image(path))
    read_model(path)  # raises an InputError if the file is no model
    if grams := load_grams(path):
        return grams
    raise InputError(f"{text} has no Gram matrices of its painting: give the painting as `style`")


def label(name: str | Path) -> str:
    """Return a short name for a model, to be used in file names."""
    text = str(name)
    if is_blend(text):
        return "_".join(f"{label(part)}_{weight:.2g}" for part, weight in parse_blend(text).items())
    path = Path(text)
    is_file = path.suffix in MODEL_SUFFIXES or path.suffix.lower() in READABLE_SUFFIXES
    last = path.stem if is_file else path.name
    # Every run has a last.ckpt, and every repository of the Hub a model.safetensors.
    return f"{path.parent.name}_{last}" if last in COMMON_NAMES and path.parent.name else last


def is_blend(text: str) -> bool:
    """Return True if a model's name is a blend, NAME:WEIGHT,NAME:WEIGHT, and not a file."""
    return not exists_on_disk(text) and ("," in text or bool(re.search(r":[\d.]+$", text)))


def exists_on_disk(text: str) -> bool:
    """Return True if a file or folder has this name. A name too long or invalid for a file has none."""
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def is_path(text: str) -> bool:
    """Return True if a model's name is meant as a file, whether it exists or not."""
    return exists_on_disk(text) or "/" in text or "\\" in text or Path(text).suffix in MODEL_SUFFIXES


def parse_blend(text: str) -> dict[str, float]:
    """Parse a blend such as ``a:3,b:2`` and return the weights by name, scaled to sum to 1.

    Raises:
        InputError: A part is not NAME:WEIGHT, a weight is negative, or all weights are 0.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().rpartition(":")
        try:
            weights[name] = weights.get(name, 0) + float(weight)
        except ValueError:
            name = ""
        if not name or is_blend(name) or not 0 <= weights[name] < float("inf"):
            raise InputError(
                f"{part.strip()!r} in the blend {text!r} is not of the form NAME:WEIGHT, such as "
                "starry_night:0.6"
            )
    total = sum(weights.values())
    if not 0 < total < float("inf"):
        raise InputError(
            f"the weights of the blend {text!r} sum to {total:g}: expected a positive, finite sum"
        )
    return {name: weight / total for name, weight in weights.items()}


def blend_models(weights: dict[str, float]) -> Model:
    """Return the model whose weights are the weighted mean of several models'.

    The models must descend from one model, as the built-in styles do. The mean of models that were trained
    from different random weights is useless (Wortsman et al. 2022, https://arxiv.org/abs/2203.05482).

    Args:
        weights: Weight of each model by name, with a sum of 1.

    Raises:
        InputError: A model does not exist, or the networks differ in size.
    """
    models = {name: find_model(name) for name in weights}
    configs = {name: model.card.network for name, model in models.items()}
    first = next(iter(configs))
    for name, config in configs.items():
        if config != configs[first]:
            raise InputError(
                f"{first} ({describe_config(configs[first])}) and {name} ({describe_config(config)}) cannot "
                "be blended: use networks of the same size, such as two built-in styles"
            )
    blended = {
        key: np.sum([np.float32(weight) * models[name].weights[key] for name, weight in weights.items()], 0)
        for key in models[first].weights
    }
    weights_by_label: dict[str, float] = {}
    for name, weight in weights.items():
        weights_by_label[label(name)] = weights_by_label.get(label(name), 0) + weight
    return Model(blended, ModelCard(configs[first], blend=weights_by_label))


def describe_config(config: dict) -> str:
    """Return a network's size and number of blocks, for an error message."""
    return f"size {config['size']}, {config['blocks']} blocks"
