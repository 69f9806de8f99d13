"""Errors of the Hub, with a local server in place of the Hub."""

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import XetDownloadError

from faststyle.errors import InputError
from faststyle.models import hub
from faststyle.models.card import ModelCard


def error_message(function, *args) -> str:
    """Return the message of the InputError that a call raises."""
    with pytest.raises(InputError) as caught:
        function(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "name", ["", "starry", "/starry", "pain ter/small", "painter/a--b", "painter/small.git"]
)
def test_invalid_repository_name_is_refused(hub_server, model, name):
    for function in (hub.download, hub.check_push, lambda name: hub.push(model, name, ModelCard())):
        message = error_message(function, name)
        assert repr(name) in message and "user/repo" in message
    assert not hub_server.repos


# Downloads


def test_missing_repository_is_named(hub_server):
    message = error_message(hub.download, "painter/nowhere")
    assert "painter/nowhere" in message and "hf auth login" in message


def test_error_for_a_private_repository_asks_for_a_login(hub_with_model, monkeypatch):
    hub_with_model.refusals["HEAD"] = 401, "RepoNotFound", "Invalid username or password."
    monkeypatch.delenv("HF_TOKEN")
    message = error_message(hub.download, "painter/small")
    assert "private" in message and "hf auth login" in message


def test_error_for_a_gated_repository_names_its_page(hub_with_model):
    hub_with_model.refusals["HEAD"] = 403, "GatedRepo", "Access to this resource is restricted"
    message = error_message(hub.download, "painter/small")
    assert "gated" in message and f"{hub_with_model.address}/painter/small" in message


def test_missing_file_in_a_repository_is_named(hub_with_model):
    message = error_message(hub.download, "painter/small/sky.safetensors")
    assert "painter/small has no file sky.safetensors" in message
    hub_with_model.repos["painter/small"].clear()
    assert "painter/small has no file model.safetensors" in error_message(hub.download, "painter/small")


@pytest.mark.parametrize("file", ["../../secret", "a/../../b"])
def test_path_out_of_the_repository_is_refused(hub_with_model, file):
    assert "painter/small" in error_message(hub.download, f"painter/small/{file}")


def test_response_that_is_not_from_the_hub_is_reported_in_one_line(hub_with_model):
    hub_with_model.refusals["HEAD"] = 200, "", ""  # like the login page of a public network
    assert "painter/small" in error_message(hub.download, "painter/small")


def test_full_disk_is_reported_as_an_os_error(hub_with_model, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        hub.download("painter/small")


# Uploads


def test_push_of_a_missing_file_creates_no_repository(hub_server, tmp_path, model):
    message = error_message(hub.push, tmp_path / "gone.safetensors", "painter/a", ModelCard())
    assert "gone.safetensors" in message
    message = error_message(hub.push, model, "painter/a", ModelCard(), tmp_path / "gone.jpg")
    assert "gone.jpg" in message
    assert not hub_server.repos


def test_check_push_without_a_login_is_refused(hub_server, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    message = error_message(hub.check_push, "painter/small")
    assert "painter/small" in message and "hf auth login" in message and "HF_TOKEN" in message


def test_check_push_refuses_a_token_with_read_access(hub_server):
    hub_server.role = "read"
    assert "only read access" in error_message(hub.check_push, "painter/small")


def test_check_push_refuses_the_repository_of_another_user(hub_server):
    message = error_message(hub.check_push, "louvre/small")
    assert "louvre/small" in message and "painter/…" in message and "museum/…" in message


def test_error_for_a_refused_push_names_repository_and_remedy(hub_server, model):
    hub_server.refusals["POST"] = 403, "", "You don't have the rights to create a model under louvre"
    message = error_message(hub.push, model, "louvre/small", ModelCard())
    assert "louvre/small" in message and "the rights to create" in message and "token" in message


# Downloads and uploads


def test_unavailable_hub_is_reported(hub_with_model, model):
    hub_with_model.refusals = {"HEAD": (503, "", "Maintenance"), "POST": (503, "", "Maintenance")}
    for message in (
        error_message(hub.download, "painter/small"),
        error_message(hub.push, model, "painter/small", ModelCard()),
    ):
        assert "painter/small" in message and "503" in message and "try again later" in message


def test_unreachable_hub_is_reported(hub_with_model, model):
    hub_with_model.stop()
    for message in (
        error_message(hub.download, "painter/small"),
        error_message(hub.push, model, "painter/small", ModelCard()),
        error_message(hub.check_push, "painter/small"),
    ):
        assert "painter/small" in message and hub_with_model.address in message
        assert "check your network" in message


def test_offline_mode_is_reported_for_a_model_that_is_not_in_the_cache(hub_with_model, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for function in (hub.download, hub.check_push):
        message = error_message(function, "painter/small")
        assert "painter/small" in message and "HF_HUB_OFFLINE" in message


def test_invalid_token_is_refused(hub_with_model, monkeypatch, model):
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    for message in (
        error_message(hub.check_push, "painter/small"),
        error_message(hub.push, model, "painter/small", ModelCard()),
        error_message(hub.download, "painter/small"),
    ):
        assert "token" in message and "painter/small" in message and "hf auth login" in message


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("interrupted"),
        PermissionError("interrupted"),  # raised by hf_xet
        XetDownloadError("interrupted"),
    ],
)
def test_interrupted_transfer_is_reported_in_one_line(hub_with_model, monkeypatch, model, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", fail)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    for message in (
        error_message(hub.push, model, "painter/small", ModelCard()),
        error_message(hub.download, "painter/small"),
    ):
        assert "painter/small" in message and "interrupted" in message and "try again" in message
