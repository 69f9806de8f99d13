"""Where a model comes from: a ready style, a file, the Hugging Face Hub, or a blend of such."""

import re
from pathlib import Path

import torch
from torch import Tensor

from faststyle.errors import InputError
from faststyle.models import hub
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import load_grams, load_model
from faststyle.models.network import TransformerNetwork
from faststyle.models.pretrained import ready, steady
from faststyle.registry import choose

HUB = "hf://"
SUFFIXES = (".safetensors", ".ckpt", ".pth", ".model", ".onnx")


def find_model(name: str | Path) -> tuple[TransformerNetwork, ModelCard]:
    """Read a model by what a person calls it.

    Args:
        name: a built-in style (starry_night or starry_night-steady), a model file, hf://user/repo, or a blend
            of these: starry_night:0.6,great_wave:0.4. A file of that name comes before a ready style.

    Returns:
        The network in eval mode on the CPU, and its card.

    Raises:
        InputError: no such model, or a blend of networks that differ in size.
    """
    text = str(name)
    if is_blend(text):
        return blend(parse_blend(text))
    return load_model(find_file(text, ready() | steady()))


def find_file(text: str, styles: dict[str, Path]) -> Path:
    """Return the file of a model that is not a blend; ``styles`` are the ready ones."""
    if not text or "\0" in text:
        raise InputError(f"no model is named {text!r}: give a ready style's name, or a model's file")
    if text.startswith(HUB):
        return hub.download(text.removeprefix(HUB))
    if (on_disk(text) and Path(text).is_file()) or (text not in styles and is_path(text)):
        return Path(text)
    return choose("ready style or file", text, styles)


def find_grams(name: str | Path) -> dict[str, Tensor]:
    """Read the Gram matrices of the painting that a model learned from.

    Args:
        name: As of ``find_model``, but no blend; a steady model has those of its style.

    Returns:
        (1,C,C) float32 by layer.

    Raises:
        InputError: No such model, a blend, or a file without them.
    """
    text = str(name)
    if is_blend(text):
        raise InputError(f"{text} blends several paintings, and images are refined towards one")
    if Path(text).suffix == ".onnx":
        raise InputError(f"{text} is an export, without its painting's Gram matrices: give the model itself")
    same = {key: ready()[key.rpartition("-")[0]] for key in steady()}
    path = find_file(text, ready() | same)
    load_model(path)  # refuses what is no model
    if grams := load_grams(path):
        return grams
    raise InputError(f"{text} has no Gram matrices of its painting: give the painting as `style`")


def label(name: str | Path) -> str:
    """What a file or a picture may be called after a model."""
    text = str(name)
    if is_blend(text):
        return "_".join(f"{label(part)}_{share:.2g}" for part, share in parse_blend(text).items())
    last = Path(text).name
    return Path(last).stem if Path(last).suffix in SUFFIXES else last


def is_blend(text: str) -> bool:
    return not on_disk(text) and ("," in text or bool(re.search(r":[\d.]+$", text)))


def on_disk(text: str) -> bool:
    """Whether there is such a file or folder; a name that none can have, such as a long blend, is none."""
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def is_path(text: str) -> bool:
    """Whether a name was meant for a file, be it there or not."""
    return on_disk(text) or "/" in text or "\\" in text or Path(text).suffix in SUFFIXES


def parse_blend(text: str) -> dict[str, float]:
    """``a:0.6,b:0.4`` to shares that sum to 1, whatever the numbers' scale."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().rpartition(":")
        try:
            weights[name] = weights.get(name, 0) + float(weight)
        except ValueError:
            name = ""
        if not name or is_blend(name) or not 0 <= weights[name] < float("inf"):
            raise InputError(
                f"{part.strip()!r} in the blend {text!r} is not NAME:WEIGHT, such as starry_night:0.6"
            )
    total = sum(weights.values())
    if not 0 < total < float("inf"):
        raise InputError(f"the weights of the blend {text!r} sum to {total:g}")
    return {name: weight / total for name, weight in weights.items()}


def describe(config: dict) -> str:
    return f"size {config['size']}, {config['blocks']} blocks"


def blend(shares: dict[str, float]) -> tuple[TransformerNetwork, ModelCard]:
    """A network whose weights are the mean of several, and a card that says so.

    The networks must have one ancestor, as the ready styles have: between models trained apart
    lies nothing (Wortsman et al. 2022, https://arxiv.org/abs/2203.05482).

    Args:
        shares: each model's share, by name.

    Raises:
        InputError: no such model, or networks of different sizes.
    """
    found = {name: find_model(name) for name in shares}
    configs = {name: network.config for name, (network, _) in found.items()}
    first = next(iter(configs))
    for name, config in configs.items():
        if config != configs[first]:
            raise InputError(
                f"{first} ({describe(configs[first])}) and {name} ({describe(config)}) do not blend: take "
                "networks of one size, such as two built-in styles"
            )
    states = {name: network.state_dict() for name, (network, _) in found.items()}
    network = found[first][0]
    network.load_state_dict(
        {
            key: torch.stack([share * states[name][key] for name, share in shares.items()]).sum(0)
            for key in states[first]
        }
    )
    parts: dict[str, float] = {}
    for name, share in shares.items():
        parts[label(name)] = parts.get(label(name), 0) + share
    return network, ModelCard(network.config, blend=parts)
