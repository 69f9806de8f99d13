"""The painting's Gram matrices in a model's file."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from faststyle.errors import InputError
from faststyle.models.card import METADATA_KEY, ModelCard
from faststyle.models.checkpoint import load_grams, load_model, save_model
from faststyle.models.find import find_grams
from faststyle.models.pretrained import built_in_styles
from faststyle.models.style_targets import MAX_LOSS, PREFIX, pack_grams, triangle_channels, unpack_grams
from tests.support.networks import same_weights


def make_grams() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    features = {"relu1_1": torch.rand(1, 6, 50), "relu4_1/4": 3000 * torch.rand(1, 9, 50)}
    return {layer: x @ x.transpose(1, 2) for layer, x in features.items()}


def make_triangles() -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Return Gram matrices as format version 1 stores them: triangles by tensor name, and scales by layer."""
    rows = {
        layer: gram[0][tuple(torch.triu_indices(*gram.shape[1:]))] for layer, gram in make_grams().items()
    }
    return {PREFIX + layer: (row / row.max()).half() for layer, row in rows.items()}, {
        layer: row.max().item() for layer, row in rows.items()
    }


def relative_error(result: torch.Tensor, expected: torch.Tensor) -> float:
    return ((result - expected).square().sum() / expected.square().sum()).item()


def test_unpacked_matrices_are_within_the_allowed_loss():
    grams = make_grams()
    packed = pack_grams({layer: gram.numpy() for layer, gram in grams.items()})
    for layer, gram in unpack_grams(packed, {}).items():
        assert relative_error(torch.from_numpy(gram), grams[layer]) < 2 * MAX_LOSS
        assert np.allclose(gram, gram.transpose(0, 2, 1))


def test_matrix_of_few_positions_has_few_factors():
    x = np.random.default_rng(0).random((1, 40, 3), np.float32)
    packed = pack_grams({"relu1_1": x @ x.transpose(0, 2, 1)})
    assert packed["style.relu1_1"].shape[1] <= 3
    black = np.zeros((1, 40, 40), np.float32)  # of a black painting
    assert np.array_equal(unpack_grams(pack_grams({"relu1_1": black}), {})["relu1_1"], black)


def test_compact_file_keeps_matrices_within_a_thousandth(tmp_path, network):
    features = 30 * torch.rand(1, 128, 400)
    grams = {"relu2_1": features @ features.transpose(1, 2) / 400}
    save_model(tmp_path / "a.safetensors", network, ModelCard(), grams, compact=True)
    assert relative_error(load_grams(tmp_path / "a.safetensors")["relu2_1"], grams["relu2_1"]) < 1e-3


def test_triangles_of_format_version_1_are_read(tmp_path, network):
    packed, scales = make_triangles()
    header = {"format_version": 1, "network": network.config, "gram": scales}
    save_file(
        {**network.state_dict(), **packed}, tmp_path / "a.safetensors", {METADATA_KEY: json.dumps(header)}
    )
    load_model(tmp_path / "a.safetensors")
    for layer, gram in load_grams(tmp_path / "a.safetensors").items():
        assert relative_error(gram, make_grams()[layer]) < 1e-5
        assert torch.equal(gram, gram.transpose(1, 2))


def test_file_holds_weights_and_matrices(tmp_path, network):
    save_model(tmp_path / "a.safetensors", network, ModelCard(name="a"), make_grams())
    loaded, card = load_model(tmp_path / "a.safetensors")
    assert same_weights(loaded, network) and card.name == "a"
    assert set(load_grams(tmp_path / "a.safetensors")) == {"relu1_1", "relu4_1/4"}


def test_model_saved_again_without_matrices_has_no_scales_in_its_header(tmp_path, network):
    packed, scales = make_triangles()
    header = {"format_version": 1, "network": network.config, "gram": scales}
    save_file(
        {**network.state_dict(), **packed}, tmp_path / "a.safetensors", {METADATA_KEY: json.dumps(header)}
    )
    save_model(tmp_path / "a.safetensors", *load_model(tmp_path / "a.safetensors"))
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
        lambda weights, scales: weights.update({"style.relu1_1": torch.zeros(21).int()}),
        lambda weights, scales: weights.update({"style.pool": torch.zeros(21).half()}),
    ],
)
def test_damaged_matrices_are_refused(tmp_path, network, damage):
    path = tmp_path / "a.safetensors"
    packed, scales = make_triangles()
    weights = {**network.state_dict(), **packed}
    damage(weights, scales)
    header = {"format_version": 1, "network": network.config, "gram": scales}
    save_file(weights, path, {METADATA_KEY: json.dumps(header)})
    with pytest.raises(InputError, match="Gram matri"):
        load_model(path)


@pytest.mark.parametrize("shape", [(4, 5), (6, 0), (1025, 1), (2, 2, 2)])
def test_factors_of_an_invalid_shape_are_refused(tmp_path, network, shape):
    weights = {**network.state_dict(), "style.relu1_1": torch.zeros(shape)}
    header = {"format_version": 2, "network": network.config}
    save_file(weights, tmp_path / "a.safetensors", {METADATA_KEY: json.dumps(header)})
    with pytest.raises(InputError, match="Gram matri"):
        load_model(tmp_path / "a.safetensors")


def test_matrices_with_nan_are_refused(tmp_path, network):
    save_model(tmp_path / "a.safetensors", network, ModelCard(), make_grams())
    weights = {name: weight.clone() for name, weight in load_file(tmp_path / "a.safetensors").items()}
    weights["style.relu1_1"][0] = float("nan")
    header = {"format_version": 2, "network": network.config}
    save_file(weights, tmp_path / "a.safetensors", {METADATA_KEY: json.dumps(header)})
    with pytest.raises(InputError, match="NaN"):
        find_grams(tmp_path / "a.safetensors")


def test_all_built_in_models_have_gram_matrices():
    for name in built_in_styles():
        assert len(load_grams(built_in_styles()[name])) == 15
    assert find_grams("great_wave-steady").keys() == find_grams("great_wave").keys()


def test_channels_follow_from_the_length_of_a_triangle():
    assert [triangle_channels(length) for length in (0, 1, 3, 4, 2080)] == [0, 1, 2, 0, 64]
