"""What a saved model holds: the network's weights and a card. Reads ours and pytorch/examples'.

Nothing here runs code from a file: safetensors holds numbers only, and pickles are opened with
``weights_only``.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from faststyle.errors import InputError, first_line
from faststyle.transformer import MARGIN, TransformerNetwork

FORMAT_VERSION = 1
HEADER = "faststyle"  # the key of our JSON among a safetensors file's metadata

Card = dict[str, Any]

# pytorch/examples' names of the layers that we build the same way.
EXAMPLES_NAMES = {
    "conv1.conv2d": "down.0.0",
    "conv2.conv2d": "down.1.0",
    "conv3.conv2d": "down.2.0",
    "in1": "down.0.1",
    "in2": "down.1.1",
    "in3": "down.2.1",
    "deconv1.conv2d": "up.0.0",
    "deconv2.conv2d": "up.1.0",
    "deconv3.conv2d": "last",
    "in4": "up.0.1",
    "in5": "up.1.1",
    **{
        f"res{block}.{theirs}": f"residual.{block - 1}.{ours}"
        for block in range(1, 6)
        for theirs, ours in (
            ("conv1.conv2d", "first.0"),
            ("in1", "first.1"),
            ("conv2.conv2d", "second.0"),
            ("in2", "second.1"),
        )
    },
}


def save_model(path: Path, network: TransformerNetwork, card: Card) -> None:
    """Write the file for inference: weights, and a JSON header with the network's size and ``card``.

    Args:
        path: where to; written whole or not at all only through ``images.replacing``.
        network: its weights are written as they are.
        card: what the model was trained with; numbers, strings, lists and dicts.
    """
    header = {"format_version": FORMAT_VERSION, "network": network.config, **card}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    # Not save_file, whose files only their owner can read.
    path.write_bytes(save(weights, metadata={HEADER: json.dumps(header)}))


def load_model(path: str | Path) -> tuple[TransformerNetwork, Card]:
    """Read a model of ours (.safetensors, or Lightning's .ckpt) or of pytorch/examples (.pth, .model).

    Returns:
        The network in eval mode on the CPU, and its card: at least its ``network``.

    Raises:
        InputError: no such file, or not a model that is known here.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder: name the model in it, such as {path / (path.name + '.safetensors')}"
        )
    if not path.exists():
        raise InputError(f"there is no model {path}: train one with train.py, or check the path")
    if path.suffix in (".onnx", ".pt2"):
        raise InputError(
            f"{path} is an export: infer.py stylizes with one in .onnx, and all else takes the model that it "
            "was exported from"
        )
    weights, card = read_safetensors(path) if is_safetensors(path) else read_pickle(path)
    config = card.get("network", {})
    try:
        network = TransformerNetwork(**config)
        network.load_state_dict(weights)
    except (TypeError, RuntimeError) as error:
        raise InputError(
            f"{path} says that it is a network {config}, but its weights do not fit ({first_line(error)})"
        ) from None
    return network.eval().requires_grad_(False), card


def margin_of(card: Card) -> int:
    """Pixels of a model's mirrored frame; none for a peer's, whose pictures are so the same as there."""
    return 0 if "source" in card else MARGIN


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as safetensors do: a length of 8 bytes, then JSON."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], Card]:
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            if header is None:
                raise InputError(f"{path} is a safetensors file, but no model of faststyle")
            card = json.loads(header)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is damaged: {first_line(error)}") from None
    if not isinstance(card, dict):
        raise InputError(f"{path} is damaged: its header is no JSON object")
    if card.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {card.get('format_version')}, and this faststyle reads "
            f"{FORMAT_VERSION}: install a newer faststyle"
        )
    return weights, card


def read_pickle(path: Path) -> tuple[dict[str, Tensor], Card]:
    try:
        # An open file, since torch.load takes a name that ends in .safetensors for one of these.
        with path.open("rb") as file:
            stored = torch.load(file, map_location="cpu", weights_only=True)
    # Damaged pickles raise whatever they stumble over; none of them runs code.
    except Exception:
        raise InputError(
            f"{path} is no model, or none that can be read safely; "
            "expected a .safetensors or .ckpt of faststyle, or a state dict of pytorch/examples"
        ) from None
    if not isinstance(stored, dict):
        stored = {}
    hyper, state = stored.get("hyper_parameters"), stored.get("state_dict")
    if isinstance(hyper, dict) and isinstance(state, dict) and hyper.keys() >= {"size", "blocks"}:
        prefix = "network."
        weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        card = {"network": {k: hyper[k] for k in ("size", "blocks")}}
        return weights, card
    names = {str(k).removeprefix("module.") for k in stored}
    if {f"{name}.weight" for name in EXAMPLES_NAMES} <= names:
        return convert_examples(stored), {
            "network": {"size": "full", "blocks": 5, "tanh": False},
            "source": "pytorch/examples",
        }
    raise InputError(
        f"{path} is a checkpoint of something else; "
        "expected a .safetensors or .ckpt of faststyle, or a state dict of pytorch/examples"
    )


def convert_examples(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the layers of pytorch/examples' TransformerNet, and fold its 0…255 into our [0,1]."""
    weights = {}
    for key, value in stored.items():
        layer, _, kind = key.removeprefix("module.").rpartition(".")
        if kind in ("weight", "bias"):  # older files also have running statistics, of no use
            weights[f"{EXAMPLES_NAMES.get(layer, layer)}.{kind}"] = value
    weights["down.0.0.weight"] = weights["down.0.0.weight"] * 255
    weights["last.weight"] = weights["last.weight"] / 255
    weights["last.bias"] = weights["last.bias"] / 255
    return weights
