"""8-bit weights in a model's file."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from faststyle.errors import InputError
from faststyle.models.card import METADATA_KEY, ModelCard
from faststyle.models.checkpoint import load_model, save_model
from faststyle.models.network import TransformerNetwork
from faststyle.models.quantization import dequantize, quantize


def test_dequantized_tensors_are_within_the_rounding_error():
    rng = np.random.default_rng(0)
    tensors = {
        "kernel": rng.normal(size=(5, 3, 3, 3)),
        "zero": np.zeros((2, 4)),
        "vector": rng.normal(size=7),
    }
    result = dequantize(quantize(tensors))
    assert result.keys() == tensors.keys()
    steps = np.abs(tensors["kernel"]).max((1, 2, 3)) / 127
    assert (np.abs(result["kernel"] - tensors["kernel"]).max((1, 2, 3)) <= 0.5001 * steps).all()
    assert np.array_equal(result["zero"], tensors["zero"])
    assert np.allclose(result["vector"], tensors["vector"], rtol=1e-3)


@pytest.mark.parametrize("size", ["deep", "half"])
def test_compact_file_has_a_quarter_of_the_size_and_gives_nearly_the_same_image(tmp_path, size):
    torch.manual_seed(0)
    network = TransformerNetwork(size).eval().requires_grad_(False)
    for compact in (False, True):
        save_model(tmp_path / f"{compact}.safetensors", network, ModelCard(name="a"), compact=compact)
    whole, small = (tmp_path / f"{compact}.safetensors" for compact in (False, True))
    assert small.stat().st_size < 0.28 * whole.stat().st_size
    loaded, card = load_model(small)
    assert card.name == "a"
    images = torch.rand(1, 3, 64, 64)
    assert (loaded(images) - network(images)).abs().mean() < 1.5 / 255
    # Rounding rounded weights again changes nothing.
    save_model(tmp_path / "again.safetensors", loaded, ModelCard(name="a"), compact=True)
    again, _ = load_model(tmp_path / "again.safetensors")
    assert (again(images) - loaded(images)).abs().max() < 1e-4


@pytest.mark.parametrize(
    "damage",
    [
        lambda weights: weights.pop("last.weight.scale"),
        lambda weights: weights.update({"last.weight.scale": torch.zeros(4)}),
        lambda weights: weights.update({"last.weight.scale": torch.zeros(3).half()}),
        lambda weights: weights.update({"last.weight": torch.zeros(3, 16, 9, 9)}),
        lambda weights: weights.update({"other.scale": torch.zeros(3)}),
        lambda weights: weights.pop("last.weight"),
    ],
)
def test_integers_and_scales_that_do_not_match_are_refused(tmp_path, network, damage):
    path = tmp_path / "a.safetensors"
    save_model(path, network, ModelCard(), compact=True)
    weights = {name: weight.clone() for name, weight in load_file(path).items()}
    damage(weights)
    header = {"format_version": 2, "network": network.config}
    save_file(weights, path, {METADATA_KEY: json.dumps(header)})
    with pytest.raises(InputError, match="scales"):
        load_model(path)


def test_scales_with_nan_are_refused(tmp_path, network):
    path = tmp_path / "a.safetensors"
    save_model(path, network, ModelCard(), compact=True)
    weights = {name: weight.clone() for name, weight in load_file(path).items()}
    weights["last.weight.scale"][0] = float("nan")
    header = {"format_version": 2, "network": network.config}
    save_file(weights, path, {METADATA_KEY: json.dumps(header)})
    with pytest.raises(InputError, match="NaN"):
        load_model(path)
