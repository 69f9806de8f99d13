"""Networks of other projects that have the layout of ``TransformerNetwork`` under other names."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

EXAMPLES = "pytorch/examples"
ABHISKK = "abhiskk/fast-neural-style"
GORDICALEKSA = "gordicaleksa/pytorch-neural-style-johnson"

# Layers in pytorch/examples' TransformerNet, and the same layers here. res1 is residual.0, and so on.
LAYERS = {
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
}
BLOCK_LAYERS = {"conv1.conv2d": "first.0", "in1": "first.1", "conv2.conv2d": "second.0", "in2": "second.1"}
FIRST = "conv1.conv2d.weight"
# Names of the other projects that differ from those of pytorch/examples.
OTHER_NAMES = {
    r"\.scale$": ".weight",
    r"\.shift$": ".bias",
    r"^up([12])\.conv2d\.": r"deconv\1.",
    r"^up3\.": "deconv3.",
}
# Keys under which checkpoints hold their state_dict.
WRAPPER_KEYS = ("state_dict", "model_state_dict", "params_ema", "params", "model", "net", "generator", "G")
MAX_WRAPPERS = 3
# ImageNet's mean and standard deviation, which GORDICALEKSA's images are normalized by.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class KnownNetwork(NamedTuple):
    """A network of another project, and the places of its weights in a file.

    Attributes:
        source: The project.
        blocks: Number of residual blocks.
        keys: The file's key of each weight, by its name in ``TransformerNetwork``.
    """

    source: str
    blocks: int
    keys: dict[str, str]


def state_dicts(stored: dict[Any, Any], depth: int = MAX_WRAPPERS) -> Iterator[dict[Any, Any]]:
    """Yield the dictionaries that a checkpoint holds under known keys, then its own."""
    for key in WRAPPER_KEYS if depth else ():
        if isinstance(stored.get(key), dict):
            yield from state_dicts(stored[key], depth - 1)
    yield stored


def find_known_network(keys: Iterable[object]) -> KnownNetwork | None:
    """Return the network that has these keys, or None if it has another layout.

    A prefix of all keys, such as DataParallel's ``module.``, is ignored.
    """
    names = [key for key in keys if isinstance(key, str)]
    first = min((name for name in names if name.endswith(FIRST)), key=len, default=None)
    if first is None:
        return None
    prefix = first.removesuffix(FIRST)
    theirs = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    found, blocks = {}, 0
    for name, key in theirs.items():
        for pattern, plain in OTHER_NAMES.items():
            name = re.sub(pattern, plain, name)
        layer, _, kind = name.rpartition(".")
        block = re.fullmatch(r"res(\d{1,3})\.(.+)", layer)
        if block and block[2] in BLOCK_LAYERS:
            blocks = max(blocks, int(block[1]))
            layer = f"residual.{int(block[1]) - 1}.{BLOCK_LAYERS[block[2]]}"
        if kind in ("weight", "bias"):  # files of PyTorch before 0.4 also hold unused running statistics
            found[f"{LAYERS.get(layer, layer)}.{kind}"] = key
    inner = [f"residual.{number}.{layer}" for number in range(blocks) for layer in BLOCK_LAYERS.values()]
    if not {f"{layer}.weight" for layer in [*LAYERS.values(), *inner]} <= found.keys():
        return None
    source = ABHISKK if "in1.scale" in theirs else GORDICALEKSA if "up3.conv2d.weight" in theirs else EXAMPLES
    return KnownNetwork(source, blocks, found)


def rescale_weights(weights: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Change the first and the last layer, so that the network takes and gives RGB in [0, 1].

    Args:
        weights: The weights by name in ``TransformerNetwork``.
        source: The project. EXAMPLES has RGB in [0, 255], ABHISKK has BGR in [0, 255], and GORDICALEKSA has
            RGB normalized by ``MEAN`` and ``STD``.
    """
    first, last, bias = (weights[name] for name in ("down.0.0.weight", "last.weight", "last.bias"))
    if source == GORDICALEKSA:
        # Subtracting MEAN would only change the first bias, which the norm after it removes.
        mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
        first, last = first / std.reshape(3, 1, 1), last * std.reshape(3, 1, 1, 1)
        bias = bias * std + mean
    else:
        first, last, bias = first * 255, last / 255, bias / 255
    if source == ABHISKK:
        first, last, bias = first[:, ::-1], last[::-1], bias[::-1]
    changed = {"down.0.0.weight": first, "last.weight": last, "last.bias": bias}
    return weights | {name: np.ascontiguousarray(array) for name, array in changed.items()}
