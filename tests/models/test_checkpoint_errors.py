"""Errors of ``load_model`` for files that are missing, damaged or unsupported."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from faststyle.errors import InputError
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import FORMAT_VERSION, load_model, save_model
from tests.support.model_files import (
    make_examples_state_dict,
    write_lightning_checkpoint,
    write_safetensors,
)

METADATA = '{"format_version": 1, "network": {"size": "half", "blocks": 1}}'


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        load_model(tmp_path / "nowhere.safetensors")


def test_error_for_a_folder_suggests_the_file_in_it(tmp_path):
    (tmp_path / "starry").mkdir()
    with pytest.raises(InputError, match=r"starry\.safetensors"):
        load_model(tmp_path / "starry")


def test_pipe_and_device_are_refused(tmp_path):
    os.mkfifo(tmp_path / "model.pth")
    for path in (tmp_path / "model.pth", Path("/dev/zero")):
        with pytest.raises(InputError, match="pipe or a device"):
            load_model(path)


@pytest.mark.parametrize(
    "text", ["abc", "Hello, this is a text file.\n", "GLOBAL", "PK\x03\x04", "[1, 2]", ""]
)
def test_text_file_is_refused(tmp_path, text):
    (tmp_path / "model.safetensors").write_text(text)
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(tmp_path / "model.safetensors")


def test_unrelated_safetensors_file_is_refused(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors"):
        load_model(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    "content",
    [
        {"model": torch.zeros(2), "epoch": 3},
        {0: torch.zeros(2)},  # keys that are no strings
        [torch.zeros(2)],
        torch.zeros(2),
        {"deconv3.conv2d.weight": torch.zeros(3, 32, 9, 9)},  # some of pytorch/examples' layers
        {"state_dict": {"backbone.weight": torch.zeros(2)}, "hyper_parameters": {"lr": 0.1}},
        {"state_dict": {"backbone.weight": torch.zeros(2)}, "hyper_parameters": None},
    ],
)
def test_unrelated_pickle_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth"):
        load_model(tmp_path / "other.pth")


def test_truncated_file_is_refused(tmp_path, network, model):
    torch.save(network.state_dict(), tmp_path / "zip.pth")
    write_lightning_checkpoint(tmp_path / "last.ckpt", network.state_dict())
    torch.save(make_examples_state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for whole in (model, tmp_path / "zip.pth", tmp_path / "last.ckpt", tmp_path / "old.pth"):
        content = whole.read_bytes()
        cut = tmp_path / f"cut{whole.suffix}"
        lengths = {*range(0, 40), 100, *range(0, len(content), len(content) // 40), len(content) - 1}
        for length in lengths:
            cut.write_bytes(content[:length])
            with pytest.raises(InputError, match=r"cut\."):
                load_model(cut)


# Weights

CONVERSIONS = {
    "int64": lambda weight: weight.long(),
    "uint8": lambda weight: weight.byte(),
    "bool": lambda weight: weight.bool(),
    "complex64": lambda weight: weight.cfloat(),
    "float8_e4m3fn": lambda weight: weight.to(torch.float8_e4m3fn),
    "qint8": lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
    "sparse": lambda weight: weight.to_sparse(),
    "float": lambda weight: 1.0,
    "NoneType": lambda weight: None,
}
# Names of those types that safetensors supports.
SAFETENSORS_TYPES = {
    "int64": "I64",
    "uint8": "U8",
    "bool": "BOOL",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
}


@pytest.mark.parametrize("dtype", CONVERSIONS)
def test_weight_of_an_unsupported_type_is_named(tmp_path, network, dtype):
    weights = network.state_dict()
    weights["last.weight"] = CONVERSIONS[dtype](weights["last.weight"])
    if dtype in SAFETENSORS_TYPES:
        write_safetensors(tmp_path / "odd.safetensors", weights, METADATA)
        with pytest.raises(
            InputError, match=f"last.weight holds {SAFETENSORS_TYPES[dtype]}, expected floats"
        ):
            load_model(tmp_path / "odd.safetensors")
    write_lightning_checkpoint(tmp_path / "odd.ckpt", weights)
    with pytest.raises(InputError, match=r"odd\.ckpt"):
        load_model(tmp_path / "odd.ckpt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weight_with_nan_or_infinity_is_named(tmp_path, network, value):
    network.state_dict()["residual.0.first.0.weight"][1, 2, 0, 0] = value
    save_model(tmp_path / "odd.safetensors", network, ModelCard())
    write_lightning_checkpoint(tmp_path / "odd.ckpt", network.state_dict())
    for name in ("odd.safetensors", "odd.ckpt"):
        with pytest.raises(InputError, match=r"residual\.0\.first\.0\.weight contain NaN"):
            load_model(tmp_path / name)


def test_weight_that_is_missing_unknown_or_of_the_wrong_shape_is_named(tmp_path, network):
    weights = network.state_dict()
    path = tmp_path / "odd.safetensors"
    for changed, message in (
        ({**weights, "wings.weight": torch.zeros(1)}, "wings.weight is unknown"),
        ({n: w for n, w in weights.items() if n != "last.bias"}, "last.bias is missing"),
        ({**weights, "last.weight": torch.zeros(3, 16, 9, 8)}, "9, 8"),
    ):
        write_safetensors(path, changed, METADATA)
        with pytest.raises(InputError, match=message):
            load_model(path)


# Metadata


@pytest.mark.parametrize(
    "metadata",
    [
        '{"format_version": 1, "network": {"size": "full", "blocks": 1}}',  # twice the channels
        '{"format_version": 1, "network": {"size": "half", "blocks": 3}}',  # more blocks
        '{"format_version": 1, "network": {"size": "huge", "blocks": 1}}',
        '{"format_version": 1, "network": {"size": "half", "blocks": 1, "wings": 2}}',
        '{"format_version": 1, "network": null}',
        "[]",
        "{",
        "[" * 100_000,
    ],
)
def test_metadata_that_does_not_fit_the_weights_is_refused(tmp_path, network, metadata):
    write_safetensors(tmp_path / "odd.safetensors", network.state_dict(), metadata)
    with pytest.raises(InputError, match=r"odd\.safetensors"):
        load_model(tmp_path / "odd.safetensors")


NETWORKS = {
    "too many blocks": '{"size": "half", "blocks": 1000000000}',
    "size is a list": '{"size": ["half"], "blocks": 1}',
    "size is a number": '{"size": 1, "blocks": 1}',
    "blocks is a string": '{"size": "half", "blocks": "1"}',
    "blocks is a list": '{"size": "half", "blocks": [1]}',
    "blocks is a fraction": '{"size": "half", "blocks": 1.0}',
    "blocks is negative": '{"size": "half", "blocks": -1}',
    "blocks is true": '{"size": "half", "blocks": true}',
    "tanh is a number": '{"size": "half", "blocks": 1, "tanh": 0}',
    "a list": "[1]",
    "a number": "1",
}


@pytest.mark.parametrize("case", NETWORKS)
def test_invalid_network_in_the_metadata_is_refused_before_it_is_built(tmp_path, network, case):
    path = tmp_path / "odd.safetensors"
    write_safetensors(path, network.state_dict(), f'{{"format_version": 1, "network": {NETWORKS[case]}}}')
    with pytest.raises(InputError, match=r"unsupported network|its metadata's network is"):
        load_model(path)


def test_metadata_with_a_value_of_the_wrong_type_is_refused(tmp_path, network):
    path = tmp_path / "odd.safetensors"
    metadata = {"format_version": 2, "network": network.config, "steps": "many"}
    write_safetensors(path, network.state_dict(), json.dumps(metadata))
    with pytest.raises(InputError, match=r"odd\.safetensors is damaged: .*steps is 'many'"):
        load_model(path)


def test_newer_format_version_asks_for_a_newer_faststyle(tmp_path, network):
    path = tmp_path / "future.safetensors"
    write_safetensors(path, network.state_dict(), f'{{"format_version": {FORMAT_VERSION + 1}}}')
    with pytest.raises(InputError, match="newer faststyle"):
        load_model(path)


# Headers of safetensors files


def make_header(shape: str, end: int, dtype: str = "F32") -> bytes:
    """Return the header of a file with one tensor, whose data ends at the byte ``end``."""
    return f'{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}'.encode()


HEADERS = {
    "huge shape": make_header("[1000000000000]", 4 * 10**12),
    "shape that overflows": make_header("[4611686018427387904,8]", 0),
    "empty tensor of a huge shape": make_header("[0,1000000000000000000]", 0),
    "negative shape": make_header("[-1]", 4),
    "unknown type": make_header("[1]", 4, "F99"),
    "duplicate key": make_header("[1]", 4)[:-1] + b"," + make_header("[1]", 4)[1:],
    "deep nesting": b'{"a":' + b"[" * 100_000,
    "unterminated": b'{"a":',
    "no tensors": b"{}",
    "not JSON": b"{this is no JSON}",
    "not UTF-8": b"{\xff\xfe\0\0}",
}


@pytest.mark.parametrize("case", HEADERS)
def test_invalid_safetensors_header_is_refused(tmp_path, case):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(HEADERS[case]).to_bytes(8, "little") + HEADERS[case] + b"\0" * 4)
    with pytest.raises(InputError, match=r"odd\.safetensors"):
        load_model(path)


def test_safetensors_header_of_100_megabytes_is_refused(tmp_path):
    path = tmp_path / "odd.safetensors"
    path.write_bytes((10**8).to_bytes(8, "little") + b"{" + b" " * 1000)
    with pytest.raises(InputError, match="its header would have 100000000 bytes"):
        load_model(path)
