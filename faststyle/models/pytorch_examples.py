"""The networks of pytorch/examples' fast_neural_style, by our names: ours without the tanh."""

from typing import Any

from torch import Tensor

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


def bare(key: object) -> str:
    """A layer's name without DataParallel's prefix; of what is no name its type."""
    return key.removeprefix("module.") if isinstance(key, str) else type(key).__name__


def rename(stored: dict[Any, Any]) -> dict[str, Any]:
    """The layers of pytorch/examples' TransformerNet by our names."""
    weights = {}
    for key, value in stored.items():
        layer, _, kind = bare(key).rpartition(".")
        if kind in ("weight", "bias"):  # older files also have running statistics, of no use
            weights[f"{EXAMPLES_NAMES.get(layer, layer)}.{kind}"] = value
    return weights


def rescale(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same network for [0,1], where theirs takes and gives 0…255."""
    scales = {"down.0.0.weight": 255.0, "last.weight": 1 / 255, "last.bias": 1 / 255}
    return {name: weight * scales.get(name, 1.0) for name, weight in weights.items()}
