"""Conversion of pytorch/examples' fast_neural_style networks: ``TransformerNetwork`` without the tanh."""

from typing import Any

from torch import Tensor

# Layer names of pytorch/examples' TransformerNet, and the names of the same layers here.
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


def strip_module_prefix(key: object) -> str:
    """Return a key without DataParallel's prefix ``module.``, or the type's name if it is no string."""
    return key.removeprefix("module.") if isinstance(key, str) else type(key).__name__


def rename_layers(state_dict: dict[Any, Any]) -> dict[str, Any]:
    """Return the weights of pytorch/examples' TransformerNet by the layer names of ``TransformerNetwork``."""
    weights = {}
    for key, value in state_dict.items():
        layer, _, kind = strip_module_prefix(key).rpartition(".")
        if kind in ("weight", "bias"):  # files of PyTorch before 0.4 also hold unused running statistics
            weights[f"{EXAMPLES_NAMES.get(layer, layer)}.{kind}"] = value
    return weights


def rescale_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scale the weights of a network for images in [0, 255] to images in [0, 1]."""
    scales = {"down.0.0.weight": 255.0, "last.weight": 1 / 255, "last.bias": 1 / 255}
    return {name: weight * scales.get(name, 1.0) for name, weight in weights.items()}
