"""A local server in place of the Hugging Face Hub."""

import threading

import pytest
from huggingface_hub import constants

from tests.support.hub_server import TOKEN, HubServer


@pytest.fixture
def hub_server(tmp_path, monkeypatch):
    """A running ``HubServer`` without repositories, which huggingface_hub uses with a valid token."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    # Not by environment variables, because huggingface_hub reads them when it is imported.
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda _: None)  # huggingface_hub sleeps between retries
    yield server
    server.stop()


@pytest.fixture
def hub_with_model(hub_server, model):
    """The server with the file of ``model`` in the repository painter/small."""
    hub_server.repos["painter/small"] = {"model.safetensors": model.read_bytes()}
    return hub_server
