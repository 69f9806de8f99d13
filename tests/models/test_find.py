"""Names of models: ready styles, files, blends."""

import pytest
import torch

from faststyle import InputError, Stylizer
from faststyle.models import hub, pretrained
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import load_model, save_model
from faststyle.models.find import find_model, label, parse_blend
from faststyle.models.network import TransformerNetwork


@pytest.fixture
def ready(tmp_path, monkeypatch, network):
    """A folder of two ready styles, a and b, in place of the package's."""
    folder = tmp_path / "styles"
    folder.mkdir()
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    save_model(folder / "autumn.safetensors", network, ModelCard(name="autumn"))
    other = TransformerNetwork("half", blocks=1)
    save_model(folder / "spring.safetensors", other, ModelCard(name="spring"))
    return folder


def weights(name) -> torch.Tensor:
    return find_model(name)[0].state_dict()["last.weight"]


def test_ready_style_is_found_by_its_name(ready):
    network, card = find_model("autumn")
    assert card.name == "autumn" and not network.training
    assert list(pretrained.cards()) == ["autumn", "spring"]
    assert pretrained.cards()["spring"] == load_model(ready / "spring.safetensors")[1]


def test_file_comes_before_a_ready_style_and_a_folder_after_it(ready, model, tmp_path, monkeypatch):
    work = tmp_path / "work"
    (work / "autumn").mkdir(parents=True)
    monkeypatch.chdir(work)
    assert find_model("autumn")[1].name == "autumn"
    (work / "spring").write_bytes(model.read_bytes())
    assert find_model("spring")[1].name == "small"
    assert find_model(model)[1].name == "small"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("autum", "did you mean 'autumn'"),
        ("winter", "choose from autumn, spring"),
        ("runs/autumn", "there is no model runs/autumn"),
        ("autumn.safetensors", "there is no model autumn.safetensors"),
        ("autumn:0.5,sprin:0.5", "did you mean 'spring'"),
        ("autumn:0.5,spring", "'spring' in the blend"),
        ("autumn:0.5,spring:x", "'spring:x' in the blend"),
        ("autumn:1,spring:-1", "'spring:-1' in the blend"),
        ("autumn:nan,spring:1", "'autumn:nan' in the blend"),
        ("autumn:0,spring:0", "sum to 0"),
        (":1", "':1' in the blend"),
        ("autumn:1:1", "'autumn:1:1' in the blend"),
        ("autumn:1e308,spring:1e308", "sum to inf"),
        ("autumn:1," * 2000 + "winter:1", "choose from autumn, spring"),
        ("", "no model is named ''"),
        ("a\0b", "no model is named 'a\\x00b'"),
    ],
)
def test_unknown_model_is_refused_with_a_hint(ready, name, says):
    with pytest.raises(InputError) as caught:
        find_model(name)
    assert says in str(caught.value)


def test_blend_is_the_mean_of_the_weights_by_share(ready, model):
    mean = 0.25 * weights("autumn") + 0.75 * weights("spring")
    for name in ("autumn:0.25,spring:0.75", "autumn:1, spring:3"):
        torch.testing.assert_close(weights(name), mean)
    torch.testing.assert_close(weights("autumn:1,spring:0"), weights("autumn"))
    _, card = find_model("autumn:1,spring:3")
    assert card.blend == {"autumn": 0.25, "spring": 0.75}
    torch.testing.assert_close(weights(f"{model}:0.5,{model}:0.5"), weights(model))


def test_blend_takes_models_of_the_hub(ready, monkeypatch):
    monkeypatch.setattr(hub, "download", lambda repo: ready / f"{repo.split('/')[1]}.safetensors")
    mean = 0.5 * weights("autumn") + 0.5 * weights("spring")
    torch.testing.assert_close(weights("hf://user/autumn:0.5,hf://user/spring:0.5"), mean)


def test_blend_of_other_networks_is_refused(ready, tmp_path):
    other = tmp_path / "other.safetensors"
    save_model(other, TransformerNetwork("half", blocks=2), ModelCard())
    with pytest.raises(InputError, match="do not blend"):
        find_model(f"autumn:1,{other}:1")


def test_blend_stylizes(ready):
    photo = torch.rand(3, 40, 48)
    a, b, mixed = (Stylizer.load(n, "cpu", "fp32")(photo) for n in ("autumn", "spring", "autumn:1,spring:1"))
    assert mixed.shape == photo.shape
    assert not torch.allclose(mixed, a) and not torch.allclose(mixed, b)


def test_label_is_part_of_a_file_name():
    assert label("runs/starry/starry.safetensors") == "starry"
    assert label("starry_night") == "starry_night"
    assert label("a:0.6,b:0.4") == "a_0.6_b_0.4"
    assert label("runs/a.safetensors:1,runs/b.ckpt:3") == "a_0.25_b_0.75"
    assert label("hf://user/model-1.0") == "model-1.0"


def test_blend_of_one_is_that_one():
    assert parse_blend("a:0.3") == {"a": 1}
