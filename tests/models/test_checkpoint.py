import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from faststyle.errors import InputError
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import HEADER, ModelCard
from faststyle.models.checkpoint import FORMAT_VERSION, load_model, save_model
from faststyle.models.network import TransformerNetwork
from faststyle.training.module import StyleTransfer
from tests.support.cards import make_card
from tests.support.images import draw_picture
from tests.support.networks import same_weights


@pytest.mark.parametrize("options", [{}, {"size": "full", "blocks": 1}])
def test_model_and_card_come_back_as_they_were_saved(tmp_path, options):
    network = TransformerNetwork(**options)
    card = make_card(name="Sternennacht – 星月夜", others={"x": 0.1})
    save_model(tmp_path / "a.safetensors", network, card)
    loaded, read = load_model(tmp_path / "a.safetensors")
    assert same_weights(loaded, network)
    assert loaded.config == network.config
    assert read == replace(card, network=network.config)


def test_loaded_network_is_ready_for_inference(model):
    network, _ = load_model(str(model))  # a string will do for a path
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_half_size_model_is_a_small_file(tmp_path):
    save_model(tmp_path / "a.safetensors", TransformerNetwork("half"), ModelCard())
    assert (tmp_path / "a.safetensors").stat().st_size <= 2e6


def test_saved_weights_are_as_they_are(tmp_path, network):
    # Read back by safetensors alone, as another program would.
    save_model(tmp_path / "a.safetensors", network, ModelCard())
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
    assert card == ModelCard({"size": "half", "blocks": 2, "tanh": True})


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
    assert stylize.card.source == "pytorch/examples"


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


def write_safetensors(path: Path, header: bytes, data: bytes = b"") -> None:
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def entry(shape: str, end: int, kind: str = "F32") -> bytes:
    return f'{{"a":{{"dtype":"{kind}","shape":{shape},"data_offsets":[0,{end}]}}}}'.encode()


HEADERS = {
    "huge shape": entry("[1000000000000]", 4 * 10**12),
    "shape that overflows": entry("[4611686018427387904,8]", 0),
    "empty weight of a huge shape": entry("[0,1000000000000000000]", 0),
    "negative shape": entry("[-1]", 4),
    "no such type": entry("[1]", 4, "F99"),
    "doubled key": entry("[1]", 4)[:-1] + b"," + entry("[1]", 4)[1:],
    "deep": b'{"a":' + b"[" * 100_000,
    "not closed": b'{"a":',
    "no weights": b"{}",
    "words": b"{this is no JSON}",
    "bytes": b"{\xff\xfe\0\0}",
    "padding of 100 MB": b"{" + b" " * 10 + b"}",
}


@pytest.mark.parametrize("kind", HEADERS)
def test_safetensors_header_that_lies_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "odd.safetensors"
    write_safetensors(path, HEADERS[kind], b"\0" * 4)
    if kind.startswith("padding"):
        path.write_bytes((10**8).to_bytes(8, "little") + b"{" + b" " * 1000)
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"odd\.safetensors"):
        load_model(path)
    assert time.monotonic() - begun < 2


CARDS = {
    "blocks": '{"size": "half", "blocks": 1000000000}',
    "size as a list": '{"size": ["half"], "blocks": 1}',
    "size as a number": '{"size": 1, "blocks": 1}',
    "blocks as words": '{"size": "half", "blocks": "1"}',
    "blocks as a list": '{"size": "half", "blocks": [1]}',
    "blocks as a fraction": '{"size": "half", "blocks": 1.0}',
    "blocks below zero": '{"size": "half", "blocks": -1}',
    "blocks that are true": '{"size": "half", "blocks": true}',
    "tanh as a number": '{"size": "half", "blocks": 1, "tanh": 0}',
    "a list": "[1]",
    "a number": "1",
}


@pytest.mark.parametrize("kind", CARDS)
def test_card_of_odd_types_is_refused_before_a_network_is_made(tmp_path, network, kind):
    path = tmp_path / "odd.safetensors"
    write_header(path, network.state_dict(), f'{{"format_version": 1, "network": {CARDS[kind]}}}')
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"odd\.safetensors"):
        load_model(path)
    assert time.monotonic() - begun < 1


def test_card_with_a_value_of_the_wrong_type_is_refused(tmp_path, network):
    path = tmp_path / "odd.safetensors"
    header = {"format_version": 2, "network": network.config, "steps": "many"}
    write_header(path, network.state_dict(), json.dumps(header))
    with pytest.raises(InputError, match=r"odd\.safetensors is damaged: its metadata's steps is 'many'"):
        load_model(path)


def test_card_of_endless_brackets_is_refused(tmp_path, network):
    path = tmp_path / "odd.safetensors"
    write_header(path, network.state_dict(), "[" * 100_000)
    with pytest.raises(InputError, match=r"odd\.safetensors is damaged"):
        load_model(path)


# Weights that are none


def quantized(weight: Tensor) -> Tensor:
    return torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)


ODD_TYPES = {
    "int64": lambda weight: weight.long(),
    "uint8": lambda weight: weight.byte(),
    "bool": lambda weight: weight.bool(),
    "complex64": lambda weight: weight.cfloat(),
    "float8_e4m3fn": lambda weight: weight.to(torch.float8_e4m3fn),
    "qint8": quantized,
    "sparse": lambda weight: weight.to_sparse(),
    "float": lambda weight: 1.0,
    "NoneType": lambda weight: None,
}
IN_SAFETENSORS = {
    "int64": "I64",
    "uint8": "U8",
    "bool": "BOOL",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
}


@pytest.mark.parametrize("kind", ODD_TYPES)
def test_weights_of_another_type_are_refused_by_name(tmp_path, network, kind):
    weights = network.state_dict()
    weights["last.weight"] = ODD_TYPES[kind](weights["last.weight"])
    header = json.dumps({"format_version": 1, "network": network.config})
    if kind in IN_SAFETENSORS:
        write_header(tmp_path / "odd.safetensors", weights, header)
        with pytest.raises(InputError, match=f"its last.weight holds {IN_SAFETENSORS[kind]}, not floats"):
            load_model(tmp_path / "odd.safetensors")
    save_lightning(tmp_path / "odd.ckpt", weights)
    with pytest.raises(InputError, match=r"odd\.ckpt"):
        load_model(tmp_path / "odd.ckpt")


def save_lightning(path: Path, weights: dict) -> None:
    state = {f"network.{name}": weight for name, weight in weights.items()}
    torch.save({"state_dict": state, "hyper_parameters": {"size": "half", "blocks": 1}}, path)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_in_other_floats_are_read(tmp_path, network, kind):
    path = tmp_path / "a.safetensors"
    weights = {name: weight.to(kind) for name, weight in network.state_dict().items()}
    write_header(path, weights, json.dumps({"format_version": 1, "network": network.config}))
    loaded, _ = load_model(path)
    assert all(weight.dtype == torch.float32 for weight in loaded.state_dict().values())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path, network, value):
    network.state_dict()["residual.0.first.0.weight"][1, 2, 0, 0] = value
    save_model(tmp_path / "odd.safetensors", network, ModelCard())
    save_lightning(tmp_path / "odd.ckpt", network.state_dict())
    for name in ("odd.safetensors", "odd.ckpt"):
        with pytest.raises(InputError, match=r"residual\.0\.first\.0\.weight are not numbers"):
            load_model(tmp_path / name)


def test_weights_missing_too_many_or_of_another_shape_are_named(tmp_path, network):
    whole = network.state_dict()
    more = {**whole, "wings.weight": torch.zeros(1)}
    less = {name: weight for name, weight in whole.items() if name != "last.bias"}
    other = {**whole, "last.weight": torch.zeros(3, 16, 9, 8)}
    path = tmp_path / "odd.safetensors"
    for weights, words in (
        (more, "it also has wings.weight"),
        (less, "it has no last.bias"),
        (other, "9, 8"),
    ):
        write_header(path, weights, json.dumps({"format_version": 1, "network": network.config}))
        with pytest.raises(InputError, match=words):
            load_model(path)


def test_every_truncation_is_refused(tmp_path, network, model):
    torch.save(network.state_dict(), tmp_path / "zip.pth")
    save_lightning(tmp_path / "last.ckpt", network.state_dict())
    torch.save(examples_state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for whole in (model, tmp_path / "zip.pth", tmp_path / "last.ckpt", tmp_path / "old.pth"):
        content = whole.read_bytes()
        cut = tmp_path / f"cut{whole.suffix}"
        for length in {*range(0, 40), *range(0, len(content), len(content) // 40), len(content) - 1}:
            cut.write_bytes(content[:length])
            with pytest.raises(InputError, match=r"cut\."):
                load_model(cut)


def test_pipe_and_device_are_refused(tmp_path):
    os.mkfifo(tmp_path / "model.pth")
    for path in (tmp_path / "model.pth", Path("/dev/zero")):
        with pytest.raises(InputError, match="pipe or a device"):
            load_model(path)
