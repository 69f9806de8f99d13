"""What a saved model holds: the network's weights and a ``ModelCard``. Reads ours and pytorch/examples'.

Nothing here runs code from a file: safetensors holds numbers only, and pickles are opened with
``weights_only``. No weight is read before its name, shape and type are the network's.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from faststyle.errors import InputError, first_line
from faststyle.files import check_not_special
from faststyle.models.card import HEADER, ModelCard
from faststyle.models.file_kinds import WRAPPERS, describe_layers, unsupported
from faststyle.models.network import DEFAULT_SIZE, SIZES, TransformerNetwork
from faststyle.models.pickle_scan import load_pickle
from faststyle.models.pytorch_examples import EXAMPLES_NAMES, bare, rename, rescale
from faststyle.models.quantization import Found, check_quantized, dequantize, quantize
from faststyle.models.style_targets import PREFIX, check_targets, pack, unpack

FORMAT_VERSION = 2  # 1 had triangles of Gram matrices, and no 8-bit weights
MOST_BLOCKS = 100  # residual blocks: a card that asks for more would only eat memory
LARGEST_HEADER = 2**24  # bytes of a safetensors file's
TYPES = {"F64", "F32", "F16", "BF16", "torch.float64", "torch.float32", "torch.float16", "torch.bfloat16"}


def save_model(
    path: Path,
    network: TransformerNetwork,
    card: ModelCard,
    grams: Mapping[str, Tensor] | None = None,
    compact: bool = False,
) -> None:
    """Write the file for inference: weights, and a JSON header with the network's size and ``card``.

    Args:
        path: where to; written whole or not at all only through ``images.replacing``.
        network: the trained network.
        card: What the model was trained with; its ``network`` is taken from the network itself.
        grams: The painting's Gram matrices, (1,C,C) by layer, from which its images can be refined.
        compact: Round to 8 bits, for a quarter of the file: images differ by about half a level.
    """
    header = {"format_version": FORMAT_VERSION, **replace(card, network=network.config).to_metadata()}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    weights |= pack(grams or {})
    if compact:
        weights = quantize(weights)
    # Not save_file, whose files only their owner can read.
    path.write_bytes(save(weights, metadata={HEADER: json.dumps(header)}))


def load_model(path: str | Path) -> tuple[TransformerNetwork, ModelCard]:
    """Read a model of ours (.safetensors, or Lightning's .ckpt) or of pytorch/examples (.pth, .model).

    Returns:
        The network in eval mode on the CPU, and its card.

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
            f"{path} is an export: images are stylized with one in .onnx, and all else takes the model that "
            "it was exported from"
        )
    check_not_special(path, str(path))
    weights, card = read_safetensors(path) if is_safetensors(path) else read_pickle(path)
    network = TransformerNetwork(**card.network)
    network.load_state_dict(weights)
    for name, weight in network.state_dict().items():
        if not weight.isfinite().all():
            raise InputError(
                f"{path} paints nothing: weights of its {name} are not numbers; take an earlier checkpoint, "
                "or train anew"
            )
    return network.eval().requires_grad_(False), replace(card, network=network.config)


def load_grams(path: str | Path) -> dict[str, Tensor]:
    """Read the painting's Gram matrices from a model's file that ``load_model`` reads.

    Returns:
        (1,C,C) float32 by layer; nothing where the file has none.

    Raises:
        InputError: Values that are not numbers.
    """
    path = Path(path)
    if not is_safetensors(path):
        return {}
    with safe_open(path, framework="pt") as file:
        scales = json.loads((file.metadata() or {}).get(HEADER, "{}")).get("gram", {})
        packed = {name: file.get_tensor(name) for name in file.keys() if name.startswith(PREFIX)}  # noqa: SIM118
    grams = unpack(dequantize(packed), scales)
    if not all(gram.isfinite().all() for gram in grams.values()):
        raise InputError(f"{path} is damaged: its Gram matrices hold values that are not numbers")
    return grams


def check_config(path: Path, config: dict[str, Any]) -> None:
    size, blocks, tanh = config.get("size", DEFAULT_SIZE), config.get("blocks"), config.get("tanh", True)
    whole = isinstance(blocks, int) and not isinstance(blocks, bool)
    if (
        not config.keys() <= {"size", "blocks", "tanh"}
        or not (isinstance(size, str) and size in SIZES)
        or not (blocks is None or (whole and 0 <= blocks <= MOST_BLOCKS))
        or not isinstance(tanh, bool)
    ):
        # What a file says may hold itself over and over, and take years to write out.
        plain = {
            k: v if isinstance(v, str | bool | int | None) else type(v).__name__ for k, v in config.items()
        }
        raise InputError(
            f"{path} says that it is a network {plain!r:.80}: expected a size of {', '.join(SIZES)} and at "
            f"most {MOST_BLOCKS} blocks; a newer faststyle may read it"
        )


def check_weights(path: Path, config: dict[str, Any], found: Found) -> None:
    """Refuse weights that are not the network's, before they are read.

    Raises:
        InputError: one is missing, too many, or of another shape or type; the message tells which.
    """
    with torch.device("meta"):
        network = TransformerNetwork(**config)
    expected = {name: tuple(weight.shape) for name, weight in network.state_dict().items()}
    claim = f"{path} says that it is a network {network.config}, but"
    for name, shape in expected.items():
        if name not in found:
            raise InputError(f"{claim} it has no {name}")
        if found[name][0] != shape:
            raise InputError(f"{claim} its {name} is of {found[name][0]!s:.60}, not {shape}")
        if found[name][1] not in TYPES:
            raise InputError(f"{claim} its {name} holds {found[name][1]}, not floats of 16 to 64 bits")
    if found.keys() - expected:
        raise InputError(f"{claim} it also has {min(found.keys() - expected):.60}")


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as safetensors do: a length of 8 bytes, then JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] != b"{":
        return False
    if int.from_bytes(head[:8], "little") > LARGEST_HEADER:
        raise InputError(f"{path} is damaged, or no model: its header would be larger than those of models")
    return True


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], ModelCard]:
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            names = list(file.keys())
            if header is None:
                raise unsupported(path, f"{describe_layers(names)}, in safetensors")
            metadata = json.loads(header)
            version = metadata.get("format_version") if isinstance(metadata, dict) else FORMAT_VERSION
            if version not in range(1, FORMAT_VERSION + 1):
                raise InputError(
                    f"{path} has format version {version!r:.40}, and this faststyle reads up to "
                    f"{FORMAT_VERSION}: install a newer faststyle"
                )
            card = ModelCard.from_metadata(metadata, path)
            check_config(path, card.network)
            slices = {name: file.get_slice(name) for name in names}
            stored = {name: (tuple(one.get_shape()), one.get_dtype()) for name, one in slices.items()}
            found = check_quantized(path, stored)
            style = {name: found.pop(name) for name in names if name.startswith(PREFIX) and name in found}
            check_targets(path, metadata.get("gram", {}), style)
            check_weights(path, card.network, found)
            weights = {name: file.get_tensor(name) for name in stored if not name.startswith(PREFIX)}
            return dequantize(weights), card
    except (SafetensorError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: {first_line(error)}") from None


def read_pickle(path: Path) -> tuple[dict[str, Tensor], ModelCard]:
    stored = load_pickle(path)
    if not isinstance(stored, dict):
        raise unsupported(path, f"a checkpoint of something else ({type(stored).__name__})")
    hyper, state = stored.get("hyper_parameters"), stored.get("state_dict")
    if isinstance(hyper, dict) and isinstance(state, dict) and hyper.keys() >= {"size", "blocks"}:
        prefix = "network."
        named = {key: value for key, value in state.items() if isinstance(key, str)}
        weights = {k.removeprefix(prefix): v for k, v in named.items() if k.startswith(prefix)}
        card = ModelCard({k: hyper[k] for k in ("size", "blocks")})
    elif {f"{name}.weight" for name in EXAMPLES_NAMES} <= (names := {bare(key) for key in stored}):
        weights = rename(stored)
        card = ModelCard({"size": "full", "blocks": 5, "tanh": False}, source="pytorch/examples")
    else:
        inner = next((stored[key] for key in WRAPPERS if isinstance(stored.get(key), dict)), None)
        names = names if inner is None else {bare(key) for key in inner}
        raise unsupported(path, describe_layers(names))
    check_config(path, card.network)
    check_weights(path, card.network, {name: described(weight) for name, weight in weights.items()})
    return (rescale(weights) if card.source else weights), card


def described(weight: Any) -> tuple[tuple[int, ...], str]:
    """The shape and the type of what stands for a weight."""
    if not isinstance(weight, Tensor):
        return (), type(weight).__name__
    dense = weight.layout == torch.strided and not weight.is_quantized
    return tuple(weight.shape), str(weight.dtype if dense else weight.layout)
