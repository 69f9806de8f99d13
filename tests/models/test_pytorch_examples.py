"""Models of pytorch/examples."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.inference.stylizer import Stylizer
from faststyle.models.pytorch_examples import strip_module_prefix
from tests.support.images import draw_image
from tests.support.model_files import EXAMPLES_DOWN, EXAMPLES_UP, make_examples_state_dict


def run_examples_network(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Run pytorch/examples' TransformerNet layer by layer: (B,3,H,W) in [0, 255] to the same shape."""

    def convolution(x, name, stride=1):
        weight = weights[f"{name}.conv2d.weight"]
        x = F.pad(x, [weight.shape[-1] // 2] * 4, mode="reflect")
        return F.conv2d(x, weight, weights[f"{name}.conv2d.bias"], stride)

    def norm(x, name):
        return F.instance_norm(x, weight=weights[f"{name}.weight"], bias=weights[f"{name}.bias"], eps=1e-5)

    for number, _, _, _, stride in EXAMPLES_DOWN:
        x = norm(convolution(x, f"conv{number}", stride), f"in{number}").relu()
    for block in range(1, 6):
        y = norm(convolution(x, f"res{block}.conv1"), f"res{block}.in1").relu()
        x = x + norm(convolution(y, f"res{block}.conv2"), f"res{block}.in2")
    for name, norm_name, _, _ in EXAMPLES_UP:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = norm(convolution(x, name), norm_name).relu()
    return convolution(x, "deconv3")


def add_running_statistics(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the running statistics that instance norm had before PyTorch 0.4."""
    running = {}
    for key, value in weights.items():
        if ".conv2d." not in key and key.endswith(".weight"):
            running[key.replace("weight", "running_mean")] = torch.full_like(value, 3.0)
            running[key.replace("weight", "running_var")] = torch.full_like(value, 5.0)
    return weights | running


def add_module_prefix(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights as DataParallel saves them."""
    return {f"module.{key}": value for key, value in weights.items()}


@pytest.mark.parametrize("variant", [dict, add_running_statistics, add_module_prefix])
def test_model_gives_the_same_image_as_the_original_network(tmp_path, variant):
    weights = make_examples_state_dict()
    torch.save(variant(weights), tmp_path / "mosaic.pth")
    photo = draw_image(64, 48)
    pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float()
    expected = run_examples_network(weights, pixels)[0].clamp(0, 255)
    assert expected.std() > 30  # not all black or white

    stylize = Stylizer.load(tmp_path / "mosaic.pth", device="cpu", precision="fp32")
    result = torch.from_numpy(np.array(stylize(photo))).permute(2, 0, 1).float()

    assert (result - expected).abs().max() <= 1
    assert stylize.card.source == "pytorch/examples"


def test_module_prefix_is_stripped():
    assert strip_module_prefix("module.a") == "a"
    assert strip_module_prefix(("a", 1)) == "tuple"
