"""Saving and loading of models: the network's weights, its ``ModelCard`` and the painting's Gram matrices.

Loading never runs code from a file: safetensors files hold only numbers, and pickles are loaded with
``weights_only``. No weight is read before its name, shape and data type are checked against the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from faststyle.errors import InputError, first_line
from faststyle.files import check_not_special
from faststyle.models.card import METADATA_KEY, ModelCard
from faststyle.models.checks import check_config, check_weights
from faststyle.models.file_kinds import describe_layers, unsupported_model_error
from faststyle.models.known_networks import (
    KnownNetwork,
    find_known_network,
    rescale_weights,
    state_dicts,
)
from faststyle.models.layout import SIZES, complete_config
from faststyle.models.model import Model, model_of
from faststyle.models.quantization import TensorSpec, dequantize, dequantized_specs, quantize
from faststyle.models.style_targets import PREFIX, check_grams, pack_grams, unpack_grams

if TYPE_CHECKING:
    from torch import Tensor

    from faststyle.models.network import TransformerNetwork

FORMAT_VERSION = 2  # version 1 stored Gram matrices as triangles, and had no 8-bit weights
MAX_HEADER_BYTES = 2**24  # of a safetensors file


def save_model(
    path: Path,
    network: TransformerNetwork,
    card: ModelCard,
    grams: Mapping[str, Tensor] | None = None,
    compact: bool = False,
) -> None:
    """Write a model's file for inference: weights, and a JSON header with the metadata.

    Args:
        path: File to write. The write is not atomic: wrap the call in ``files.atomic_write``.
        network: The trained network.
        card: The metadata. Its ``network`` is replaced by the configuration of ``network``.
        grams: Gram matrices of the painting, (1,C,C) by layer, with which refinement can continue from the
            model's images.
        compact: Round weights to 8 bits. The file has a quarter of the size, and images differ by about half
            a grey level of 255.
    """
    write_model(path, model_of(network, card), grams, compact)


def write_model(
    path: Path, model: Model, grams: Mapping[str, Tensor] | None = None, compact: bool = False
) -> None:
    """Write a model in memory to a file; see ``save_model``."""
    header = {"format_version": FORMAT_VERSION, **model.card.to_metadata()}
    targets = {layer: gram.detach().cpu().float().numpy() for layer, gram in (grams or {}).items()}
    weights = model.weights | pack_grams(targets)
    if compact:
        weights = quantize(weights)
    weights = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    # Not safetensors' save_file, because only the owner can read the files that it writes.
    path.write_bytes(save(weights, metadata={METADATA_KEY: json.dumps(header)}))


def load_model(path: str | Path) -> tuple[TransformerNetwork, ModelCard]:
    """Load the network of a model's file, in eval mode on the CPU, and its metadata; see ``read_model``."""
    model = read_model(path)
    return model.build_network(), model.card


def read_model(path: str | Path) -> Model:
    """Read a model of faststyle (.safetensors, or Lightning's .ckpt) or of a known network (.pth, .model).

    Raises:
        InputError: The file does not exist, is damaged, or is no supported model.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder: give the model's file in it, such as {path / (path.name + '.safetensors')}"
        )
    if not path.exists():
        raise InputError(f"there is no model {path}: check the path, or train a model with train.py")
    if path.suffix in (".onnx", ".pt2"):
        raise InputError(
            f"{path} is an exported model, which cannot be used here: give the model that it was exported "
            "from (exported .onnx models can only stylize images)"
        )
    check_not_special(path, str(path))
    weights, card = read_safetensors(path) if is_safetensors(path) else read_pickle(path)
    for name, weight in weights.items():
        if not np.isfinite(weight).all():
            raise InputError(
                f"{path} cannot be used: its weights {name} contain NaN or infinity; use an earlier "
                "checkpoint, or train again"
            )
    return Model(weights, replace(card, network=complete_config(card.network)))


def load_grams(path: str | Path) -> dict[str, Tensor]:
    """Read the painting's Gram matrices from a model's file.

    Args:
        path: A file that ``load_model`` can load, because its header is not checked again.

    Returns:
        Gram matrices, (1,C,C) float32 by layer; empty if the file has none.

    Raises:
        InputError: A Gram matrix contains NaN or infinity.
    """
    import torch

    path = Path(path)
    if not is_safetensors(path):
        return {}
    with safe_open(path, framework="numpy") as file:
        scales = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}")).get("gram", {})
        packed = {name: file.get_tensor(name) for name in file.keys() if name.startswith(PREFIX)}  # noqa: SIM118
    grams = unpack_grams(dequantize(packed), scales)
    if not all(np.isfinite(gram).all() for gram in grams.values()):
        raise InputError(f"{path} is damaged: its Gram matrices contain NaN or infinity")
    return {layer: torch.from_numpy(gram) for layer, gram in grams.items()}


def is_safetensors(path: Path) -> bool:
    """Return True if the file starts like safetensors: a header length of 8 bytes, then JSON.

    Raises:
        InputError: The header would have more than ``MAX_HEADER_BYTES``.
    """
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] != b"{":
        return False
    length = int.from_bytes(head[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise InputError(
            f"{path} is damaged, or no model: its header would have {length} bytes, expected at most "
            f"{MAX_HEADER_BYTES}"
        )
    return True


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], ModelCard]:
    """Read the weights, by name, and the metadata of a safetensors file.

    Raises:
        InputError: The file is damaged, or is no supported model.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get(METADATA_KEY)
            names = list(file.keys())
            slices = {name: file.get_slice(name) for name in names}
            stored = {name: (tuple(one.get_shape()), one.get_dtype()) for name, one in slices.items()}
            if header is None:
                if known := find_known_network(names):
                    return read_known_network(path, known, stored, partial(read_array, path, file))
                raise unsupported_model_error(path, f"{describe_layers(names)}, in safetensors")
            metadata = json.loads(header)
            version = metadata.get("format_version") if isinstance(metadata, dict) else FORMAT_VERSION
            if version not in range(1, FORMAT_VERSION + 1):
                raise InputError(
                    f"{path} has format version {version!r:.40}, and this version of faststyle supports up "
                    f"to {FORMAT_VERSION}: install a newer faststyle"
                )
            card = ModelCard.from_metadata(metadata, path)
            check_config(path, card.network)
            specs = dequantized_specs(path, stored)
            grams = {name: specs.pop(name) for name in names if name.startswith(PREFIX) and name in specs}
            check_grams(path, metadata.get("gram", {}), grams)
            check_weights(path, card.network, specs)
            weights = {name: read_array(path, file, name) for name in stored if not name.startswith(PREFIX)}
            weights = dequantize(weights)
            return {name: weights[name].astype(np.float32) for name in specs}, card
    except (SafetensorError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: {first_line(error)}") from None


def read_array(path: Path, file: Any, name: str) -> np.ndarray:
    """Read a tensor of an open safetensors file."""
    if file.get_slice(name).get_dtype() != "BF16":
        return file.get_tensor(name)
    with safe_open(path, framework="pt") as tensors:  # NumPy has no bfloat16
        return tensors.get_tensor(name).float().numpy()


def read_pickle(path: Path) -> tuple[dict[str, np.ndarray], ModelCard]:
    """Read the weights, by name, and the metadata of a Lightning checkpoint or of a known network.

    Raises:
        InputError: The file is damaged, or is no supported model.
    """
    from faststyle.models.pickle_scan import load_pickle

    stored = load_pickle(path)
    if not isinstance(stored, dict):
        raise unsupported_model_error(path, f"an unknown checkpoint (a {type(stored).__name__})")
    hyper, state = stored.get("hyper_parameters"), stored.get("state_dict")
    if isinstance(hyper, dict) and isinstance(state, dict) and hyper.keys() >= {"size", "blocks"}:
        prefix = "network."
        named = {key: value for key, value in state.items() if isinstance(key, str)}
        weights = {k.removeprefix(prefix): v for k, v in named.items() if k.startswith(prefix)}
        card = ModelCard({k: hyper[k] for k in ("size", "blocks")})
        check_config(path, card.network)
        check_weights(path, card.network, {name: tensor_spec(weight) for name, weight in weights.items()})
        return {name: weight.float().numpy() for name, weight in weights.items()}, card
    found = list(state_dicts(stored))
    for state in found:
        if known := find_known_network(state):
            specs = {key: tensor_spec(value) for key, value in state.items()}
            return read_known_network(path, known, specs, partial(tensor_to_array, state))
    raise unsupported_model_error(path, describe_layers(found[0]))


def tensor_to_array(state: Mapping[Any, Any], key: Any) -> np.ndarray:
    """Return a tensor of a state dict as float32."""
    return state[key].float().numpy()


def read_known_network(
    path: Path, known: KnownNetwork, stored: Mapping[Any, TensorSpec], read: Callable[[str], np.ndarray]
) -> tuple[dict[str, np.ndarray], ModelCard]:
    """Read the weights of another project's network with our layout, and convert them.

    Args:
        path: The file, for error messages.
        known: Where the file holds the weights.
        stored: Shape and data type for each key of the file.
        read: Returns the array for a key of the file.

    Raises:
        InputError: The weights do not fit the layout.
    """
    specs = {name: stored[key] for name, key in known.keys.items()}
    half = specs["down.0.0.weight"][0][:1] == SIZES["half"].channels[:1]
    config = {"size": "half" if half else "full", "blocks": known.blocks, "tanh": False}
    check_config(path, config)
    check_weights(path, config, specs)
    weights = {name: read(key).astype(np.float32) for name, key in known.keys.items()}
    return rescale_weights(weights, known.source), ModelCard(config, source=known.source)


def tensor_spec(weight: Any) -> TensorSpec:
    """Return a tensor's shape and data type; for sparse tensors its layout, for other objects their class."""
    import torch

    if not isinstance(weight, torch.Tensor):
        return (), type(weight).__name__
    dense = weight.layout == torch.strided and not weight.is_quantized
    return tuple(weight.shape), str(weight.dtype if dense else weight.layout)
