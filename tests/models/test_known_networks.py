"""Models of pytorch/examples, and of other projects with the same layout."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from faststyle.errors import InputError
from faststyle.inference.stylizer import Stylizer
from faststyle.models.checkpoint import load_model
from faststyle.models.known_networks import MEAN, STD
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


def run_original(weights: dict[str, Tensor], photo: Image.Image) -> Tensor:
    """Return the image that pytorch/examples' network makes of a photo, (3,H,W) in [0, 255]."""
    pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float()
    return run_examples_network(weights, pixels)[0].clamp(0, 255)


def check_image(path: Path, expected: Tensor, photo: Image.Image) -> Stylizer:
    """Check that a model's file gives the expected image, and return its stylizer."""
    assert expected.std() > 30  # not all black or white
    stylize = Stylizer.load(path, device="cpu", precision="fp32")
    result = torch.from_numpy(np.array(stylize(photo))).permute(2, 0, 1).float()
    assert (result - expected).abs().max() <= 1
    return stylize


WRAPPERS = {
    "plain": dict,
    "with running statistics": add_running_statistics,
    "of DataParallel": add_module_prefix,
    "state_dict": lambda weights: {"epoch": 2, "state_dict": weights},
    "model": lambda weights: {"model": weights, "optimizer": {"state": {}}},
    "model_state_dict of DataParallel": lambda weights: {"model_state_dict": add_module_prefix(weights)},
    "two wrappers": lambda weights: {"model": {"state_dict": weights}},
    "of another LightningModule": lambda weights: {
        "state_dict": {"vgg.0.weight": torch.zeros(1)}
        | {f"net.{key}": value for key, value in weights.items()},
        "hyper_parameters": {"lr": 0.1},
    },
    "compiled": lambda weights: {f"_orig_mod.{key}": value for key, value in weights.items()},
    "half precision": lambda weights: {key: value.half() for key, value in weights.items()},
}


@pytest.mark.parametrize("variant", WRAPPERS)
def test_model_gives_the_same_image_as_the_original_network(tmp_path, variant):
    weights, photo = make_examples_state_dict(), draw_image(64, 48)
    torch.save(WRAPPERS[variant](weights), tmp_path / "mosaic.pth")
    stylize = check_image(tmp_path / "mosaic.pth", run_original(weights, photo), photo)
    assert stylize.card.source == "pytorch/examples"


def test_model_in_safetensors_is_read(tmp_path):
    weights, photo = make_examples_state_dict(), draw_image(64, 48)
    save_file(weights, tmp_path / "mosaic.safetensors")
    check_image(tmp_path / "mosaic.safetensors", run_original(weights, photo), photo)


def test_model_of_abhiskk_takes_and_gives_bgr(tmp_path):
    weights, photo = make_examples_state_dict(), draw_image(64, 48)
    norms = {".weight": ".scale", ".bias": ".shift"}
    renamed = {
        key if ".conv2d." in key else re.sub(r"\.\w+$", lambda match: norms[match[0]], key): value
        for key, value in weights.items()
    }
    torch.save(renamed, tmp_path / "candy.model")
    red, green, blue = photo.split()
    expected = run_original(weights, Image.merge("RGB", (blue, green, red))).flip(0)
    stylize = check_image(tmp_path / "candy.model", expected, photo)
    assert stylize.card.source == "abhiskk/fast-neural-style"


def test_model_of_gordicaleksa_takes_and_gives_normalized_images(tmp_path):
    weights, photo = make_examples_state_dict(), draw_image(64, 48)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))
    weights["deconv3.conv2d.weight"] /= 60  # outputs of about -2 to 2
    weights["deconv3.conv2d.bias"] = (weights["deconv3.conv2d.bias"] - 128) / 60
    names = {"deconv1.": "up1.conv2d.", "deconv2.": "up2.conv2d.", "deconv3.": "up3."}
    renamed = {
        re.sub(r"^deconv\d\.", lambda match: names[match[0]], key): value for key, value in weights.items()
    }
    torch.save({"state_dict": renamed, "content_weight": 1.0}, tmp_path / "mosaic.pth")
    pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1) / 255
    result = run_examples_network(weights, ((pixels - mean) / std)[None])[0]
    expected = (result * std + mean).clamp(0, 1) * 255
    check_image(tmp_path / "mosaic.pth", expected, photo)


def test_narrow_network_with_fewer_blocks_is_read(tmp_path):
    half = {}
    for key, value in make_examples_state_dict().items():
        if not key.startswith(("res4", "res5")):
            slices = [slice(None) if size == 3 else slice(size // 2) for size in value.shape[:2]]
            half[key] = value[tuple(slices)].clone()
    torch.save(half, tmp_path / "half.pth")
    network, _ = load_model(tmp_path / "half.pth")
    assert network.config == {"size": "half", "blocks": 3, "tanh": False}


def test_network_of_another_width_is_refused(tmp_path):
    weights = make_examples_state_dict()
    weights["conv1.conv2d.weight"] = torch.zeros(48, 3, 9, 9)
    torch.save({"model": weights}, tmp_path / "wide.pth")
    with pytest.raises(InputError, match=r"wide\.pth does not fit its network .*down\.0\.0\.weight"):
        load_model(tmp_path / "wide.pth")
