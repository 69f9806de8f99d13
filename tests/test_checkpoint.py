import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import draw_picture
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from faststyle.checkpoint import FORMAT_VERSION, HEADER, load_model, save_model
from faststyle.errors import InputError
from faststyle.module import StyleTransfer
from faststyle.stylizer import Stylizer
from faststyle.transformer import TransformerNetwork


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("options", [{}, {"size": "full", "blocks": 1}])
def test_model_and_card_come_back_as_they_were_saved(tmp_path, options):
    network = TransformerNetwork(**options)
    card = {"name": "Sternennacht – 星月夜", "steps": 12, "style": [{"name": "a", "sha256": None}], "x": 0.1}
    save_model(tmp_path / "a.safetensors", network, card)
    loaded, read = load_model(tmp_path / "a.safetensors")
    assert same_weights(loaded, network)
    assert loaded.config == network.config
    assert read == {"format_version": FORMAT_VERSION, "network": network.config, **card}


def test_loaded_network_is_ready_for_inference(model):
    network, _ = load_model(str(model))  # a string will do for a path
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_half_size_model_is_a_small_file(tmp_path):
    save_model(tmp_path / "a.safetensors", TransformerNetwork("half"), {})
    assert (tmp_path / "a.safetensors").stat().st_size <= 2e6


def test_saved_weights_are_as_they_are(tmp_path, network):
    # Read back by safetensors alone, as another program would.
    save_model(tmp_path / "a.safetensors", network, {})
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(network.state_dict())
        assert torch.equal(file.get_tensor("last.weight"), network.last.weight)


def test_model_is_known_by_its_content_not_by_its_name(model, network):
    renamed = model.rename(model.with_suffix(".bin"))
    assert same_weights(load_model(renamed)[0], network)


def test_lightning_checkpoint_is_read(tmp_path, random_vgg, painting):
    module = StyleTransfer([str(painting)], size="half", blocks=2, vgg=random_vgg)
    path = tmp_path / "last.ckpt"
    torch.save(
        {
            "state_dict": module.state_dict(),
            "hyper_parameters": dict(module.hparams),
            "optimizer_states": [],
            "global_step": 7,
        },
        path,
    )
    network, card = load_model(path)
    assert same_weights(network, module.network)
    assert card["network"]["size"] == "half" and card["network"]["blocks"] == 2


# pytorch/examples' fast_neural_style: (name, channels in, channels out, kernel, stride, upsampling).
EXAMPLES_DOWN = [("1", 3, 32, 9, 1), ("2", 32, 64, 3, 2), ("3", 64, 128, 3, 2)]
EXAMPLES_UP = [("deconv1", "in4", 128, 64), ("deconv2", "in5", 64, 32)]


def examples_state_dict() -> dict[str, Tensor]:
    """Random weights under the names of pytorch/examples' TransformerNet."""
    generator = torch.Generator().manual_seed(0)
    stored: dict[str, Tensor] = {}

    def convolution(name, inputs, outputs, kernel, gain=1.0):
        scale = gain / (inputs * kernel**2) ** 0.5
        stored[f"{name}.conv2d.weight"] = scale * torch.randn(
            outputs, inputs, kernel, kernel, generator=generator
        )
        stored[f"{name}.conv2d.bias"] = 0.1 * torch.randn(outputs, generator=generator)

    def norm(name, channels):
        stored[f"{name}.weight"] = 1 + 0.2 * torch.randn(channels, generator=generator)
        stored[f"{name}.bias"] = 0.2 * torch.randn(channels, generator=generator)

    for number, inputs, outputs, kernel, _ in EXAMPLES_DOWN:
        convolution(f"conv{number}", inputs, outputs, kernel)
        norm(f"in{number}", outputs)
    for block in range(1, 6):
        for half in (1, 2):
            convolution(f"res{block}.conv{half}", 128, 128, 3)
            norm(f"res{block}.in{half}", 128)
    for name, norm_name, inputs, outputs in EXAMPLES_UP:
        convolution(name, inputs, outputs, 3)
        norm(norm_name, outputs)
    convolution("deconv3", 32, 3, 9, gain=60)  # to values spread over 0…255
    stored["deconv3.conv2d.bias"] += 128
    return stored


def examples_forward(stored: dict[str, Tensor], x: Tensor) -> Tensor:
    """pytorch/examples' TransformerNet, written from its layers: (B,3,H,W) in 0…255 to the same."""

    def convolution(x, name, stride=1):
        weight = stored[f"{name}.conv2d.weight"]
        x = F.pad(x, [weight.shape[-1] // 2] * 4, mode="reflect")
        return F.conv2d(x, weight, stored[f"{name}.conv2d.bias"], stride)

    def norm(x, name):
        return F.instance_norm(x, weight=stored[f"{name}.weight"], bias=stored[f"{name}.bias"], eps=1e-5)

    for number, _, _, _, stride in EXAMPLES_DOWN:
        x = norm(convolution(x, f"conv{number}", stride), f"in{number}").relu()
    for block in range(1, 6):
        y = norm(convolution(x, f"res{block}.conv1"), f"res{block}.in1").relu()
        x = x + norm(convolution(y, f"res{block}.conv2"), f"res{block}.in2")
    for name, norm_name, _, _ in EXAMPLES_UP:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = norm(convolution(x, name), norm_name).relu()
    return convolution(x, "deconv3")


def old_names(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """As PyTorch before 0.4 saved them: instance norm had running statistics."""
    running = {}
    for key, value in stored.items():
        if ".conv2d." not in key and key.endswith(".weight"):
            running[key.replace("weight", "running_mean")] = torch.full_like(value, 3.0)
            running[key.replace("weight", "running_var")] = torch.full_like(value, 5.0)
    return stored | running


def with_prefix(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """As DataParallel saves them."""
    return {f"module.{key}": value for key, value in stored.items()}


@pytest.mark.parametrize("variant", [dict, old_names, with_prefix])
def test_pytorch_examples_model_gives_its_own_picture(tmp_path, variant):
    stored = examples_state_dict()
    torch.save(variant(stored), tmp_path / "mosaic.pth")
    photo = draw_picture(64, 48)
    pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float()
    expected = examples_forward(stored, pixels)[0].clamp(0, 255)
    assert expected.std() > 30  # a picture, not all black or white

    stylize = Stylizer.load(tmp_path / "mosaic.pth", device="cpu", precision="fp32")
    picture = torch.from_numpy(np.array(stylize(photo))).permute(2, 0, 1).float()

    assert (picture - expected).abs().max() <= 1
    assert stylize.card["source"] == "pytorch/examples"


class Hostile:
    """Would write a file when it is unpickled by a reader that runs code."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.write_text, (self.target, "ran")


def test_hostile_pickle_is_refused_and_runs_nothing(tmp_path):
    target = tmp_path / "ran.txt"
    torch.save({"state_dict": Hostile(target), "hyper_parameters": {}}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Hostile(target), protocol=2))
    for name in ("zip.pth", "plain.pth"):
        with pytest.raises(InputError, match=name):
            load_model(tmp_path / name)
        assert not target.exists()
    # The trap itself works: a careless reader springs it.
    pickle.loads((tmp_path / "plain.pth").read_bytes())
    assert target.read_text() == "ran"


def test_truncated_files_are_refused(tmp_path, model, network):
    whole = model.read_bytes()
    torch.save(network.state_dict(), tmp_path / "whole.pth")
    for name, content in (("a.safetensors", whole), ("a.pth", (tmp_path / "whole.pth").read_bytes())):
        for length in (0, 1, 8, 9, 100, len(content) // 2, len(content) - 1):
            (tmp_path / name).write_bytes(content[:length])
            with pytest.raises(InputError, match=name):
                load_model(tmp_path / name)


def test_safetensors_of_something_else_is_refused(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors"):
        load_model(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    "text", ["abc", "Hello, this is a text file.\n", "GLOBAL", "PK\x03\x04", "[1, 2]", ""]
)
def test_text_file_is_refused(tmp_path, text):
    (tmp_path / "model.safetensors").write_text(text)
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(tmp_path / "model.safetensors")


def test_folder_is_refused_with_a_hint_at_the_model_in_it(tmp_path):
    (tmp_path / "starry").mkdir()
    with pytest.raises(InputError, match=r"starry\.safetensors"):
        load_model(tmp_path / "starry")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        load_model(tmp_path / "nowhere.safetensors")


def write_header(path: Path, weights: dict[str, Tensor], header: str) -> None:
    save_file(weights, path, metadata={HEADER: header})


@pytest.mark.parametrize(
    "header",
    [
        '{"format_version": 1, "network": {"size": "full", "blocks": 1}}',  # twice the channels
        '{"format_version": 1, "network": {"size": "half", "blocks": 3}}',  # more blocks
        '{"format_version": 1, "network": {"size": "huge", "blocks": 1}}',
        '{"format_version": 1, "network": {"size": "half", "blocks": 1, "wings": 2}}',
        '{"format_version": 1, "network": null}',
        "[]",
        "{",
    ],
)
def test_header_that_does_not_fit_is_refused(tmp_path, network, header):
    path = tmp_path / "odd.safetensors"
    write_header(path, network.state_dict(), header)
    with pytest.raises(InputError):
        load_model(path)


def test_newer_format_asks_for_a_newer_faststyle(tmp_path, network):
    path = tmp_path / "future.safetensors"
    write_header(path, network.state_dict(), f'{{"format_version": {FORMAT_VERSION + 1}}}')
    with pytest.raises(InputError, match="newer faststyle"):
        load_model(path)


@pytest.mark.parametrize(
    "stored",
    [
        {"model": torch.zeros(2), "epoch": 3},
        {0: torch.zeros(2)},  # keys that are no names
        [torch.zeros(2)],
        torch.zeros(2),
        {"deconv3.conv2d.weight": torch.zeros(3, 32, 9, 9)},  # a part of pytorch/examples' layers
        {"state_dict": {"backbone.weight": torch.zeros(2)}, "hyper_parameters": {"lr": 0.1}},
        {"state_dict": {"backbone.weight": torch.zeros(2)}, "hyper_parameters": None},
    ],
)
def test_checkpoint_of_something_else_is_refused(tmp_path, stored):
    torch.save(stored, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth"):
        load_model(tmp_path / "other.pth")
