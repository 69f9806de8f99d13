"""Gram matrices in a model's file."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from faststyle.errors import InputError
from faststyle.models.checkpoint import HEADER, load_grams, load_model, save_model
from faststyle.models.find import find_grams
from faststyle.models.pretrained import ready
from faststyle.models.style_targets import channels_of, pack, unpack
from tests.support.networks import same_weights


def grams() -> dict[str, torch.Tensor]:
    features = {"relu1_1": torch.rand(1, 6, 50), "relu4_1/4": 3000 * torch.rand(1, 9, 50)}
    return {layer: x @ x.transpose(1, 2) for layer, x in features.items()}


def test_what_is_packed_comes_back_within_half_precision():
    given = grams()
    packed, scales = pack(given)
    assert all(values.dtype == torch.float16 and values.isfinite().all() for values in packed.values())
    for layer, gram in unpack(packed, scales).items():
        assert (gram - given[layer]).norm() < 1e-3 * given[layer].norm()
        assert torch.equal(gram, gram.transpose(1, 2))


def test_file_keeps_weights_and_matrices(tmp_path, network):
    save_model(tmp_path / "a.safetensors", network, {"name": "a"}, grams())
    found, card = load_model(tmp_path / "a.safetensors")
    assert same_weights(found, network) and set(card["gram"]) == {"relu1_1", "relu4_1/4"}
    assert set(load_grams(tmp_path / "a.safetensors")) == {"relu1_1", "relu4_1/4"}


def test_model_saved_without_them_has_none_in_its_header(tmp_path, network):
    save_model(tmp_path / "a.safetensors", network, {"gram": {"relu1_1": 1.0}})
    assert load_grams(tmp_path / "a.safetensors") == {}
    with pytest.raises(InputError, match="no Gram matrices"):
        find_grams(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "damage",
    [
        lambda weights, scales: weights.pop("style.relu1_1"),
        lambda weights, scales: scales.pop("relu1_1"),
        lambda weights, scales: scales.update(relu1_1=-1.0),
        lambda weights, scales: scales.update(relu1_1="one"),
        lambda weights, scales: scales.update(relu1_1=10**400),
        lambda weights, scales: weights.update({"style.relu1_1": torch.zeros(20).half()}),
        lambda weights, scales: weights.update({"style.relu1_1": torch.zeros(21)}),
        lambda weights, scales: weights.update({"style.pool": torch.zeros(21).half()}),
    ],
)
def test_damaged_matrices_are_refused(tmp_path, network, damage):
    path = tmp_path / "a.safetensors"
    save_model(path, network, {}, grams())
    weights, scales = load_file(path), pack(grams())[1]
    weights = {name: weight.clone() for name, weight in weights.items()}
    damage(weights, scales)
    header = {"format_version": 1, "network": network.config, "gram": scales}
    save_file(weights, path, {HEADER: json.dumps(header)})
    with pytest.raises(InputError, match="Gram matri"):
        load_model(path)


def test_values_that_are_not_numbers_are_refused(tmp_path, network):
    save_model(tmp_path / "a.safetensors", network, {}, grams())
    weights = {name: weight.clone() for name, weight in load_file(tmp_path / "a.safetensors").items()}
    weights["style.relu1_1"][0] = float("nan")
    header = {"format_version": 1, "network": network.config, "gram": pack(grams())[1]}
    save_file(weights, tmp_path / "a.safetensors", {HEADER: json.dumps(header)})
    with pytest.raises(InputError, match="not numbers"):
        find_grams(tmp_path / "a.safetensors")


def test_each_built_in_style_has_them_and_its_variants_too():
    for name in ready():
        assert len(load_grams(ready()[name])) == 15
    assert find_grams("great_wave-steady").keys() == find_grams("great_wave-fast").keys()


def test_lengths_that_are_no_triangle_are_none():
    assert [channels_of(length) for length in (0, 1, 3, 4, 2080)] == [0, 1, 2, 0, 64]
