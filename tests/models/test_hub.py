"""Downloading models from the Hub and publishing them, with a local server in place of the Hub."""

import subprocess
import sys

import huggingface_hub
import pytest
from huggingface_hub import constants

from faststyle.models import hub
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import load_model
from faststyle.models.find import find_model
from tests.support.cards import make_card
from tests.support.images import draw_image
from tests.support.networks import same_weights


def test_pushed_model_is_downloaded_with_the_same_weights_and_card(hub_server, model):
    network, card = load_model(model)
    page = hub.push(model, "painter/small", card)
    assert page == f"{hub_server.address}/painter/small"
    downloaded = find_model("hf://painter/small")
    assert same_weights(downloaded.build_network(), network)
    assert downloaded.card == card


def test_push_makes_one_commit_with_readme_and_sample(hub_server, model, tmp_path):
    card = make_card(network={"size": "half", "blocks": 1})
    draw_image(20, 10).save(tmp_path / "shown.jpg")
    hub.push(model, "museum/starry", card, tmp_path / "shown.jpg")
    files = hub_server.repos["museum/starry"]
    assert hub_server.commits == 1
    assert files.keys() == {"model.safetensors", "README.md", "sample.jpg"}
    assert files["sample.jpg"] == (tmp_path / "shown.jpg").read_bytes()

    readme = huggingface_hub.ModelCard(files["README.md"].decode())
    assert readme.data.license and readme.data.library_name == "faststyle"
    assert readme.data.pipeline_tag == "image-to-image" and "style-transfer" in readme.data.tags
    for text in (
        "# starry\n",
        "(sample.jpg)",
        "starry_night and great_wave",
        "6000",
        "800 photos",
        "half, 1 blocks",
        card.command,
        card.hardware,
        "31.5",
        'Stylizer.load("hf://museum/starry")',
        "python infer.py photo.jpg --checkpoint hf://museum/starry",
    ):
        assert text in readme.text


@pytest.mark.parametrize("facts", [{}, {"source": "pytorch/examples"}, {"blend": {"a": 0.25, "b": 0.75}}])
def test_readme_leaves_out_unknown_facts(hub_server, model, facts):
    hub.push(model, "painter/small", ModelCard(**facts))
    text = hub_server.repos["painter/small"]["README.md"].decode()
    assert "# small\n" in text and "hf://painter/small" in text
    assert "None" not in text and "sample" not in text
    assert ("b 0.75" in text) == ("blend" in facts)


def test_second_push_replaces_the_model(hub_with_model, model):
    hub_with_model.repos["painter/small"]["model.safetensors"] = b"older"
    hub.push(model, "painter/small", ModelCard())
    assert hub_with_model.repos["painter/small"]["model.safetensors"] == model.read_bytes()


def test_repository_can_hold_several_models(hub_with_model, model):
    hub_with_model.repos["painter/small"]["wide/sky.safetensors"] = b"sky"
    assert hub.download("painter/small/wide/sky.safetensors").read_bytes() == b"sky"
    assert hub.download("painter/small").read_bytes() == model.read_bytes()


def test_public_model_needs_no_token(hub_with_model, monkeypatch, model):
    monkeypatch.delenv("HF_TOKEN")
    assert hub.download("painter/small").read_bytes() == model.read_bytes()


def test_model_is_downloaded_once_and_then_read_from_the_cache(hub_with_model, monkeypatch, model):
    assert hub.download("painter/small") == hub.download("painter/small")
    assert hub_with_model.downloads == 1
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.download("painter/small").read_bytes() == model.read_bytes()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub_with_model.stop()
    assert hub.download("painter/small").read_bytes() == model.read_bytes()


def test_changed_model_is_downloaded_again(hub_with_model):
    hub.download("painter/small")
    hub_with_model.repos["painter/small"]["model.safetensors"] = b"newer"
    hub_with_model.commits += 1
    assert hub.download("painter/small").read_bytes() == b"newer"


@pytest.mark.parametrize("role", ["write", "fineGrained"])
@pytest.mark.parametrize("repo", ["painter/new", "museum/new"])
def test_check_push_passes_and_creates_no_repository(hub_server, role, repo):
    hub_server.role = role
    hub.check_push(repo)
    assert not hub_server.repos


def test_check_push_passes_for_unlisted_organizations_of_a_fine_grained_token(hub_server):
    hub_server.role = "fineGrained"
    hub.check_push("louvre/small")


def test_huggingface_hub_is_not_imported_until_it_is_needed():
    check = "import sys, faststyle.models.hub; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
