"""Write model files that ``save_model`` cannot write: other formats and arbitrary metadata."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from faststyle.models.card import METADATA_KEY

# Layers of pytorch/examples' TransformerNet: name, channels in, channels out, kernel, stride.
EXAMPLES_DOWN = [("1", 3, 32, 9, 1), ("2", 32, 64, 3, 2), ("3", 64, 128, 3, 2)]
# The convolution, its norm, channels in, channels out.
EXAMPLES_UP = [("deconv1", "in4", 128, 64), ("deconv2", "in5", 64, 32)]


def write_safetensors(path: Path, weights: dict[str, Tensor], metadata: str) -> None:
    """Write a safetensors file whose model metadata is the given JSON."""
    save_file(weights, path, metadata={METADATA_KEY: metadata})


def write_lightning_checkpoint(path: Path, weights: dict[str, Tensor]) -> None:
    """Write the weights of a network (size half, one block) as a Lightning checkpoint."""
    state_dict = {f"network.{name}": weight for name, weight in weights.items()}
    torch.save({"state_dict": state_dict, "hyper_parameters": {"size": "half", "blocks": 1}}, path)


def make_examples_state_dict() -> dict[str, Tensor]:
    """Return random weights under the names of pytorch/examples' TransformerNet."""
    generator = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}

    def add_convolution(name, inputs, outputs, kernel, gain=1.0):
        scale = gain / (inputs * kernel**2) ** 0.5
        weights[f"{name}.conv2d.weight"] = scale * torch.randn(
            outputs, inputs, kernel, kernel, generator=generator
        )
        weights[f"{name}.conv2d.bias"] = 0.1 * torch.randn(outputs, generator=generator)

    def add_norm(name, channels):
        weights[f"{name}.weight"] = 1 + 0.2 * torch.randn(channels, generator=generator)
        weights[f"{name}.bias"] = 0.2 * torch.randn(channels, generator=generator)

    for number, inputs, outputs, kernel, _ in EXAMPLES_DOWN:
        add_convolution(f"conv{number}", inputs, outputs, kernel)
        add_norm(f"in{number}", outputs)
    for block in range(1, 6):
        for half in (1, 2):
            add_convolution(f"res{block}.conv{half}", 128, 128, 3)
            add_norm(f"res{block}.in{half}", 128)
    for name, norm_name, inputs, outputs in EXAMPLES_UP:
        add_convolution(name, inputs, outputs, 3)
        add_norm(norm_name, outputs)
    add_convolution("deconv3", 32, 3, 9, gain=60)  # Outputs spread over [0, 255].
    weights["deconv3.conv2d.bias"] += 128
    return weights
