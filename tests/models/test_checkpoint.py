"""Saving and loading of models."""

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import load_model, save_model
from faststyle.models.network import TransformerNetwork
from faststyle.training.module import StyleTransfer
from tests.support.cards import make_card
from tests.support.model_files import write_safetensors
from tests.support.networks import same_weights


@pytest.mark.parametrize("options", [{}, {"size": "full", "blocks": 1}])
def test_saved_model_is_loaded_with_its_card(tmp_path, options):
    network = TransformerNetwork(**options)
    card = make_card(name="Sternennacht – 星月夜", others={"x": 0.1})
    save_model(tmp_path / "a.safetensors", network, card)
    loaded, loaded_card = load_model(tmp_path / "a.safetensors")
    assert same_weights(loaded, network)
    assert loaded.config == network.config
    assert loaded_card == replace(card, network=network.config)


def test_loaded_network_is_in_eval_mode_without_gradients(model):
    network, _ = load_model(str(model))  # a string, where other tests give a Path
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_file_of_size_half_has_at_most_2_megabytes(tmp_path):
    save_model(tmp_path / "a.safetensors", TransformerNetwork("half"), ModelCard())
    assert (tmp_path / "a.safetensors").stat().st_size <= 2e6


def test_safetensors_alone_can_read_a_saved_model(tmp_path, network):
    save_model(tmp_path / "a.safetensors", network, ModelCard())
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(network.state_dict())
        assert torch.equal(file.get_tensor("last.weight"), network.last.weight)


def test_format_is_detected_by_content_not_by_suffix(model, network):
    renamed = model.rename(model.with_suffix(".bin"))
    assert same_weights(load_model(renamed)[0], network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_in_other_float_types_are_loaded_as_float32(tmp_path, network, dtype):
    path = tmp_path / "a.safetensors"
    weights = {name: weight.to(dtype) for name, weight in network.state_dict().items()}
    write_safetensors(path, weights, '{"format_version": 1, "network": {"size": "half", "blocks": 1}}')
    loaded, _ = load_model(path)
    assert all(weight.dtype == torch.float32 for weight in loaded.state_dict().values())


def test_lightning_checkpoint_is_loaded(tmp_path, random_vgg, painting):
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


def test_checkpoint_with_many_parameter_groups_and_a_scheduler_is_loaded(tmp_path, network):
    groups = [{"params": [weight]} for weight in network.parameters()]
    groups += [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(40)]
    optimizer = torch.optim.Adam(groups)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [10, 20, 20])
    checkpoint = {
        "state_dict": {f"network.{name}": weight for name, weight in network.state_dict().items()},
        "hyper_parameters": {"size": "half", "blocks": 1},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [scheduler.state_dict()],
    }
    torch.save(checkpoint, tmp_path / "a.ckpt")
    assert same_weights(load_model(tmp_path / "a.ckpt")[0], network)
