"""Loading of models by name: built-in styles, files, blends."""

from pathlib import Path

import pytest
import torch

from faststyle import InputError, Stylizer
from faststyle.cli.main import main
from faststyle.models import hub, pretrained
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import load_model, save_model
from faststyle.models.find import find_model, label, parse_blend
from faststyle.models.network import TransformerNetwork


@pytest.fixture
def styles(tmp_path, monkeypatch, network):
    """A folder with two models, autumn and spring, that replace the built-in styles."""
    folder = tmp_path / "styles"
    folder.mkdir()
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    save_model(folder / "autumn.safetensors", network, ModelCard(name="autumn"))
    other = TransformerNetwork("half", blocks=1)
    save_model(folder / "spring.safetensors", other, ModelCard(name="spring"))
    return folder


def last_weight(name) -> torch.Tensor:
    """Return a weight of the model of this name."""
    return torch.from_numpy(find_model(name).weights["last.weight"])


def test_built_in_style_is_found_by_name(styles):
    found = find_model("autumn")
    assert found.card.name == "autumn" and not found.build_network().training
    assert list(pretrained.read_cards()) == ["autumn", "spring"]
    assert pretrained.read_cards()["spring"] == load_model(styles / "spring.safetensors")[1]


def test_file_takes_precedence_over_a_built_in_style_but_a_folder_does_not(
    styles, model, tmp_path, monkeypatch
):
    work = tmp_path / "work"
    (work / "autumn").mkdir(parents=True)
    monkeypatch.chdir(work)
    assert find_model("autumn").card.name == "autumn"
    (work / "spring").write_bytes(model.read_bytes())
    assert find_model("spring").card.name == "small"
    assert find_model(model).card.name == "small"


@pytest.mark.parametrize(
    ("name", "message"),
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
def test_unknown_model_is_refused_with_a_suggestion(styles, name, message):
    with pytest.raises(InputError) as caught:
        find_model(name)
    assert message in str(caught.value)


def test_blend_is_the_weighted_mean(styles, model):
    mean = 0.25 * last_weight("autumn") + 0.75 * last_weight("spring")
    for name in ("autumn:0.25,spring:0.75", "autumn:1, spring:3"):
        torch.testing.assert_close(last_weight(name), mean)
    torch.testing.assert_close(last_weight("autumn:1,spring:0"), last_weight("autumn"))
    card = find_model("autumn:1,spring:3").card
    assert card.blend == {"autumn": 0.25, "spring": 0.75}
    torch.testing.assert_close(last_weight(f"{model}:0.5,{model}:0.5"), last_weight(model))


def test_blend_can_contain_models_of_the_hub(styles, monkeypatch):
    monkeypatch.setattr(hub, "download", lambda repo: styles / f"{repo.split('/')[1]}.safetensors")
    mean = 0.5 * last_weight("autumn") + 0.5 * last_weight("spring")
    torch.testing.assert_close(last_weight("hf://user/autumn:0.5,hf://user/spring:0.5"), mean)


def test_blend_of_different_networks_is_refused(styles, tmp_path):
    other = tmp_path / "other.safetensors"
    save_model(other, TransformerNetwork("half", blocks=2), ModelCard())
    with pytest.raises(InputError, match="cannot be blended"):
        find_model(f"autumn:1,{other}:1")


def test_blend_stylizes_differently_from_its_models(styles):
    photo = torch.rand(3, 40, 48)
    a, b, mixed = (
        Stylizer.load(name, "cpu", "fp32")(photo) for name in ("autumn", "spring", "autumn:1,spring:1")
    )
    assert mixed.shape == photo.shape
    assert not torch.allclose(mixed, a) and not torch.allclose(mixed, b)


def test_label_can_be_used_in_file_names():
    assert label("runs/starry/starry.safetensors") == "starry"
    assert label("starry_night") == "starry_night"
    assert label("a:0.6,b:0.4") == "a_0.6_b_0.4"
    assert label("runs/a.safetensors:1,runs/b.ckpt:3") == "a_0.25_b_0.75"
    assert label("hf://user/model-1.0") == "model-1.0"
    assert label("runs/starry/last.ckpt") == "starry_last"
    assert label("downloads/candy/model.safetensors") == "candy_model"
    assert label("last.ckpt") == "last"


def test_weight_of_a_single_model_in_a_blend_is_1():
    assert parse_blend("a:0.3") == {"a": 1}


# Trained models


@pytest.fixture
def runs(tmp_path, monkeypatch, styles, network):
    """Change to a folder in which starry, autumn and copy were trained, and starry also in another folder."""
    monkeypatch.chdir(tmp_path)
    for folder, name in (
        ("starry", "starry"),
        ("autumn", "autumn"),
        ("a", "copy"),
        ("a", "starry"),
        ("z", "starry"),
    ):
        path = tmp_path / "runs" / folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_model(path, network, ModelCard(name=f"{folder}/{name}"))
    return tmp_path / "runs"


def test_trained_model_is_found_by_name_after_the_built_in_styles(runs):
    assert find_model("starry").card.name == "starry/starry"
    assert find_model("copy").card.name == "a/copy"
    assert find_model("autumn").card.name == "autumn"  # the built-in style
    assert Stylizer.load("starry", "cpu", "fp32", "torch").card.name == "starry/starry"
    assert label("starry") == "starry"
    assert set(find_model("starry:0.5,spring:0.5").card.blend) == {"starry", "spring"}


def test_folder_or_file_in_the_current_folder_does_not_hide_a_trained_model_unless_it_is_a_file(runs, model):
    runs.with_name("copy").mkdir()
    assert find_model("copy").card.name == "a/copy"
    runs.with_name("starry").write_bytes(model.read_bytes())
    assert find_model("starry").card.name == "small"


def test_error_for_an_unknown_name_lists_the_trained_models(runs):
    with pytest.raises(
        InputError, match=r"model in runs/ or file is named 'stary'.*copy, starry.*mean 'starry'"
    ):
        find_model("stary")


def test_trained_models_are_listed(runs, capsys, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", Path(pretrained.__file__).parent)
    main(["styles"])
    assert "trained in runs/: autumn, copy, starry\n" in capsys.readouterr().out


def test_empty_or_missing_folder_of_runs_is_no_error(styles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    with pytest.raises(InputError, match="choose from autumn, spring"):
        find_model("winter")
