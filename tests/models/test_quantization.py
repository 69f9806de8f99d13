import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from faststyle.errors import InputError
from faststyle.models.card import HEADER, ModelCard
from faststyle.models.checkpoint import load_model, save_model
from faststyle.models.network import TransformerNetwork
from faststyle.models.quantization import dequantize, quantize


def test_matrices_come_back_within_half_a_step_and_vectors_within_half_precision():
    torch.manual_seed(0)
    given = {"kernel": torch.randn(5, 3, 3, 3), "zero": torch.zeros(2, 4), "vector": torch.randn(7)}
    found = dequantize(quantize(given))
    assert found.keys() == given.keys()
    steps = given["kernel"].abs().amax((1, 2, 3)) / 127
    assert ((found["kernel"] - given["kernel"]).abs().amax((1, 2, 3)) <= 0.5001 * steps).all()
    assert torch.equal(found["zero"], given["zero"])
    assert torch.allclose(found["vector"].float(), given["vector"], rtol=1e-3)


@pytest.mark.parametrize("size", ["deep", "half"])
def test_compact_file_is_a_quarter_and_paints_nearly_the_same(tmp_path, size):
    torch.manual_seed(0)
    network = TransformerNetwork(size).eval().requires_grad_(False)
    for compact in (False, True):
        save_model(tmp_path / f"{compact}.safetensors", network, ModelCard(name="a"), compact=compact)
    whole, small = (tmp_path / f"{compact}.safetensors" for compact in (False, True))
    assert small.stat().st_size < 0.28 * whole.stat().st_size
    found, card = load_model(small)
    assert card.name == "a"
    images = torch.rand(1, 3, 64, 64)
    assert (found(images) - network(images)).abs().mean() < 1.5 / 255
    # Rounded once: saved again nothing changes.
    save_model(tmp_path / "again.safetensors", found, ModelCard(name="a"), compact=True)
    again, _ = load_model(tmp_path / "again.safetensors")
    assert (again(images) - found(images)).abs().max() < 1e-4


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
def test_integers_and_scales_that_do_not_go_together_are_refused(tmp_path, network, damage):
    path = tmp_path / "a.safetensors"
    save_model(path, network, ModelCard(), compact=True)
    weights = {name: weight.clone() for name, weight in load_file(path).items()}
    damage(weights)
    header = {"format_version": 2, "network": network.config}
    save_file(weights, path, {HEADER: json.dumps(header)})
    with pytest.raises(InputError, match="scales"):
        load_model(path)


def test_scales_that_are_not_numbers_are_refused(tmp_path, network):
    path = tmp_path / "a.safetensors"
    save_model(path, network, ModelCard(), compact=True)
    weights = {name: weight.clone() for name, weight in load_file(path).items()}
    weights["last.weight.scale"][0] = float("nan")
    header = {"format_version": 2, "network": network.config}
    save_file(weights, path, {HEADER: json.dumps(header)})
    with pytest.raises(InputError, match="not numbers"):
        load_model(path)
