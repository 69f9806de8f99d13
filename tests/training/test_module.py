import hashlib
import json
import math
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.convert import to_tensor
from faststyle.losses import vgg
from faststyle.losses.statistics import gram
from faststyle.losses.vgg import VGG
from faststyle.models.card import Ancestor, ModelCard, StyleImage
from faststyle.models.checkpoint import load_model, save_model
from faststyle.models.network import TransformerNetwork
from faststyle.training.inactive import INACTIVE_WEIGHT
from faststyle.training.light import LIGHT_WEIGHT
from faststyle.training.mesh import MESH_WEIGHT
from faststyle.training.module import STYLE_WEIGHT, StyleTransfer, load_style
from faststyle.training.synthetic_motion import shift_images
from tests.support.images import draw_image


@pytest.fixture
def module(random_vgg, painting) -> StyleTransfer:
    torch.manual_seed(0)
    module = StyleTransfer([str(painting)], style_size=64, blocks=1, vgg=random_vgg)
    module.setup("fit")
    return module


def photos(count: int = 2) -> torch.Tensor:
    return torch.stack([to_tensor(draw_image(64, 64, seed)) for seed in range(count)])


def saved(module: StyleTransfer, path) -> dict:
    trainer = pl.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    return torch.load(path, weights_only=True)


@pytest.mark.slow
def test_training_lowers_the_objective_of_the_real_vgg(painting):
    torch.manual_seed(0)
    module = StyleTransfer([str(painting)], style_size=64, blocks=1, vgg="vgg19-caffe")
    module.setup("fit")
    optimizer = torch.optim.Adam(module.network.parameters(), 2e-3)
    batch, losses = photos(), []
    for _ in range(15):
        terms = module.losses(batch)
        losses.append({name: term.item() for name, term in terms.items()})
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
    assert losses[-1]["total"] < 0.7 * losses[0]["total"]
    assert losses[-1]["style"] < losses[0]["style"]
    assert all(math.isfinite(value) for value in losses[-1].values())


def test_shifted_images_are_filled_with_mirrored_pixels():
    images = photos()
    moved = shift_images(images, (3, 5))
    assert moved.shape == images.shape
    assert torch.equal(moved[:, :, 3:, 5:], images[:, :, :-3, :-5])
    assert torch.equal(moved[:, :, 2, 5:], images[:, :, 1, :-5])
    assert torch.equal(shift_images(images, (0, 0)), images)


def test_gradients_reach_all_of_the_network_and_none_of_vgg(module):
    weights = [buffer.clone() for buffer in module.vgg.buffers()]
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    module.losses(photos())["total"].backward()
    optimizer.step()
    for name, parameter in module.network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    for before, buffer in zip(weights, module.vgg.buffers(), strict=True):
        assert buffer.grad is None and not buffer.requires_grad
        assert torch.equal(before, buffer)


def test_only_the_network_is_trained(module):
    assert {*map(id, module.parameters())} == {*map(id, module.network.parameters())}


def test_style_target_is_computed_at_style_size(module, painting, random_vgg):
    style = load_style(str(painting), 64)
    assert style.shape == (1, 3, 53, 64)  # 96x80
    features = VGG(random_vgg)(style, ["relu2_1"])
    assert torch.allclose(module.objective.style_0_relu2_1, gram(features["relu2_1"]), atol=1e-6)


def test_style_images_are_blended(random_vgg, painting, tmp_path):
    other = tmp_path / "other.png"
    draw_image(64, 64, seed=20).save(other)
    module = StyleTransfer(
        [str(painting), str(other)], style_size=64, style_blend=[3, 1], blocks=1, vgg=random_vgg
    )
    module.setup("fit")
    assert module.objective.shares == [0.75, 0.25]
    for number, path in enumerate((painting, other)):
        expected = gram(VGG(random_vgg)(load_style(str(path), 64), ["relu1_1"])["relu1_1"])
        target = module.objective.get_buffer(f"style_{number}_relu1_1")
        assert torch.allclose(target, expected, atol=1e-6)


def test_style_with_transparency_is_taken_as_rgb(tmp_path):
    Image.new("RGBA", (40, 20), (200, 100, 50, 255)).save(tmp_path / "a.png")
    assert load_style(str(tmp_path / "a.png"), 20).shape == (1, 3, 10, 20)


@pytest.mark.slow
def test_mosaic_needs_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_style("mosaic", 64).shape == (1, 3, 64, 64)


def test_missing_style_is_named(random_vgg):
    with pytest.raises(InputError, match=r"nowhere\.jpg"):
        StyleTransfer(["nowhere.jpg"], vgg=random_vgg).setup("fit")


def test_bad_blend_is_refused(random_vgg, painting):
    with pytest.raises(InputError, match="blend"):
        StyleTransfer([str(painting)], style_blend=[1.0, 2.0], vgg=random_vgg).setup("fit")


def test_checkpoint_holds_the_network_alone(module, tmp_path):
    stored = saved(module, tmp_path / "last.ckpt")
    assert set(stored["state_dict"]) == {f"network.{key}" for key in module.network.state_dict()}


def test_checkpoint_is_loaded_without_vgg_and_without_the_style(module, tmp_path, monkeypatch, painting):
    saved(module, tmp_path / "last.ckpt")

    def fail():
        raise AssertionError("VGG was loaded")

    network = vgg.NETWORKS["vgg19"]._replace(load=fail)
    monkeypatch.setitem(vgg.NETWORKS, "vgg19", network)
    painting.unlink()
    loaded = StyleTransfer.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True).eval()
    with torch.no_grad():
        assert torch.equal(loaded(photos()), module(photos()))


def test_checkpoint_is_loaded_without_init(module, tmp_path, random_vgg, painting):
    save_model(tmp_path / "start.safetensors", module.network, ModelCard())
    begun = StyleTransfer([str(painting)], blocks=1, init=str(tmp_path / "start.safetensors"), vgg=random_vgg)
    saved(begun, tmp_path / "last.ckpt")
    (tmp_path / "start.safetensors").unlink()
    StyleTransfer.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)


def test_card_describes_the_training(module, painting):
    card = module.card()
    digest = hashlib.sha256(painting.read_bytes()).hexdigest()
    assert card.style == (StyleImage("painting", digest),)
    assert card.steps == 0 and card.init is None
    assert card.training.style_size == 64 and card.training.vgg == "vgg19"
    assert card.training.objective.style_weight == module.objective.style_weight
    assert card.training.others["blocks"] == 1 and "style" not in card.training.others
    assert ModelCard.from_metadata(json.loads(json.dumps(card.to_metadata())), painting) == card


def test_ancestors_are_kept_in_a_checkpoint_as_plain_values(module):
    checkpoint: dict = {}
    module.start = Ancestor("a", 3, Ancestor("b", 2))
    module.on_save_checkpoint(checkpoint)
    assert checkpoint["start"] == {"name": "a", "steps": 3, "init": {"name": "b", "steps": 2, "init": None}}
    module.start = None
    module.on_load_checkpoint(checkpoint)
    assert module.start == Ancestor("a", 3, Ancestor("b", 2))


def test_init_starts_from_the_models_weights(tmp_path, random_vgg, painting):
    torch.manual_seed(5)
    start = TransformerNetwork(blocks=2)
    save_model(tmp_path / "start.safetensors", start, ModelCard())
    module = StyleTransfer(
        [str(painting)], blocks=2, init=str(tmp_path / "start.safetensors"), vgg=random_vgg
    )
    for name, value in module.network.state_dict().items():
        assert torch.equal(value, start.state_dict()[name])
    assert all(parameter.requires_grad for parameter in module.network.parameters())


def test_size_defaults_to_that_of_init(tmp_path, random_vgg, painting):
    save_model(tmp_path / "start.safetensors", TransformerNetwork("half", blocks=1), ModelCard())
    module = StyleTransfer(
        [str(painting)], blocks=1, init=str(tmp_path / "start.safetensors"), vgg=random_vgg
    )
    assert module.network.config["size"] == module.hparams["size"] == "half"
    assert StyleTransfer([str(painting)], blocks=1, vgg=random_vgg).hparams["size"] == "deep"


def test_init_from_a_network_of_another_size_is_refused(tmp_path, random_vgg, painting):
    save_model(tmp_path / "start.safetensors", TransformerNetwork("full", blocks=1), ModelCard())
    with pytest.raises(InputError) as caught:
        StyleTransfer(
            [str(painting)], size="deep", blocks=1, init=str(tmp_path / "start.safetensors"), vgg=random_vgg
        )
    assert caught.value.parameters == ["init", "size", "blocks"]


def learning_rates(module: StyleTransfer, steps: int) -> list[float]:
    module.trainer = pl.Trainer(max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False)
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_learning_rate_rises_and_falls_along_a_cosine(random_vgg, painting):
    module = StyleTransfer([str(painting)], blocks=1, vgg=random_vgg, learning_rate=0.01, warmup=5)
    rates = learning_rates(module, 50)
    assert rates[:5] == sorted(rates[:5])
    assert rates[0] == pytest.approx(0.01 / 5, rel=0.01)
    for step in range(5, 50):
        assert rates[step] == pytest.approx(0.01 * (0.5 + 0.5 * math.cos(math.pi * step / 50)))


def test_no_warmup_starts_at_the_highest_rate(random_vgg, painting):
    module = StyleTransfer([str(painting)], blocks=1, vgg=random_vgg, learning_rate=0.01, warmup=0)
    assert learning_rates(module, 10)[0] == pytest.approx(0.01)


def test_objective_options_reach_the_objective(random_vgg, painting):
    module = StyleTransfer([str(painting)], blocks=1, vgg=random_vgg, style_weight=9.0, preset="johnson")
    assert module.objective.style_weight == 9.0
    assert module.hparams["style_weight"] == 9.0


def test_load_model_reads_a_lightning_checkpoint(module, tmp_path):
    saved(module, tmp_path / "last.ckpt")
    network, _ = load_model(tmp_path / "last.ckpt")
    with torch.no_grad():
        assert torch.equal(network(photos()), module(photos()))


def test_style_weight_rises_over_the_first_third_of_the_steps(random_vgg, painting, tmp_path):
    module = StyleTransfer([str(painting)], style_size=64, blocks=1, vgg=random_vgg)
    shares = [module.style_share(done / 100) for done in range(101)]
    assert shares[0] == pytest.approx(0.1) and shares[35:] == [1.0] * 66
    assert shares == sorted(shares) and len(set(shares[:36])) == 36
    save_model(tmp_path / "start.safetensors", module.network, ModelCard())
    begun = StyleTransfer([str(painting)], blocks=1, init=str(tmp_path / "start.safetensors"), vgg=random_vgg)
    assert begun.style_share(0) == 1.0
    torch.nn.init.constant_(module.network.up[-1].layers[1].bias, -1.0)  # so that the inactive term counts
    module.setup("fit")
    light, whole = (module.losses(photos(), style_share=share) for share in (0.1, 1.0))
    assert light["style"] == whole["style"]
    expected = light["content"] + 0.1 * STYLE_WEIGHT * light["style"] + LIGHT_WEIGHT * light["light"]
    assert light["inactive"] > 0.01
    expected = expected + INACTIVE_WEIGHT * light["inactive"] + MESH_WEIGHT * light["mesh"]
    assert torch.allclose(light["total"], expected, rtol=1e-4)


def test_motion_seed_depends_on_the_runs_seed_and_the_sample(module, monkeypatch):
    seeds = []
    monkeypatch.setattr(StyleTransfer, "global_step", 3)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    monkeypatch.setattr(module, "log_dict", lambda *_, **__: None)
    monkeypatch.setattr(module, "losses", lambda _, first_seed, *__: seeds.append(first_seed) or {"total": 0})
    settings = {"accumulate_grad_batches": 2, "world_size": 3, "global_rank": 1, "max_steps": 9}
    for seed in (0, 40):
        module._trainer = SimpleNamespace(**settings, datamodule=SimpleNamespace(seed=seed))
        module.training_step(photos(), 1)
    number = (7 * 3 + 1) * 2  # second batch of the fourth step, second of three ranks
    assert seeds == [number, 40 + number]
