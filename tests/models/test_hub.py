"""Against a stand-in on this machine that speaks those endpoints of the Hub which faststyle uses."""

import base64
import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import XetDownloadError

from faststyle.errors import InputError
from faststyle.models import hub
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import load_model
from faststyle.models.find import find_model
from tests.support.cards import make_card
from tests.support.images import draw_picture
from tests.support.networks import same_weights

TOKEN = "hf_of_painter"
USER = {"name": "painter", "orgs": [{"name": "museum"}]}


class StandIn(ThreadingHTTPServer):
    """The Hub, with regular uploads only: LFS and Xet, which it takes for larger files, are not here."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.role = "write"
        self.refusals: dict[str, tuple[int, str, str]] = {}  # by method: status, code, message
        self.commits = 0
        self.downloads = 0
        self.address = f"http://127.0.0.1:{self.server_port}"

    @property
    def commit(self) -> str:
        return f"{self.commits:040x}"


class Answer(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", headers=None):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code="", message=""):
        self.reply(status, headers={"X-Error-Code": code, "X-Error-Message": message})

    def handle_request(self, answer):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
        token = self.headers.get("Authorization")
        if self.command in self.server.refusals:
            self.refuse(*self.server.refusals[self.command])
        elif token not in (None, f"Bearer {TOKEN}"):
            self.refuse(401, message="Invalid credentials in Authorization header")
        else:
            answer(self.path.strip("/").split("/"), body)

    def do_HEAD(self):
        self.handle_request(self.get)

    def do_GET(self):
        self.handle_request(self.get)

    def do_POST(self):
        self.handle_request(self.post)

    def get(self, parts, _):
        if parts == ["api", "whoami-v2"]:
            return self.reply(200, USER | {"auth": {"accessToken": {"role": self.server.role}}})
        files = self.server.repos.get("/".join(parts[:2]))
        if files is None or parts[2:4] != ["resolve", "main"]:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        headers = {"X-Repo-Commit": self.server.commit}
        name = "/".join(parts[4:])
        if name not in files:
            return self.reply(404, headers=headers | {"X-Error-Code": "EntryNotFound"})
        self.server.downloads += self.command == "GET"
        headers["ETag"] = f'"{hashlib.sha1(files[name]).hexdigest()}"'
        self.reply(200, files[name], headers)

    def post(self, parts, body):
        repo = "/".join(parts[2:4])
        if parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}"
            status = 409 if repo in self.server.repos else 200
            self.server.repos.setdefault(repo, {})
            return self.reply(status, {"url": f"{self.server.address}/{repo}"})
        if parts == ["api", "validate-yaml"]:
            return self.reply(200, {"errors": [], "warnings": []})
        if parts[4] == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
            return self.reply(200, {"files": modes})
        assert parts[4] == "commit"
        self.server.commits += 1
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.server.repos[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        oid = self.server.commit
        self.reply(200, {"commitUrl": f"{self.server.address}/{repo}/commit/{oid}", "commitOid": oid})


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    # huggingface_hub has read its environment by now.
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda _: None)  # what huggingface_hub does between its tries
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def published(stand_in, model):
    stand_in.repos["painter/small"] = {"model.safetensors": model.read_bytes()}
    return stand_in


def complaint(function, *args) -> str:
    with pytest.raises(InputError) as caught:
        function(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


CARD = make_card(network={"size": "half", "blocks": 1})


def test_pushed_model_is_found_with_the_same_weights_and_card(stand_in, model):
    network, card = load_model(model)
    page = hub.push(model, "painter/small", card)
    assert page == f"{stand_in.address}/painter/small"
    found, read = find_model("hf://painter/small")
    assert same_weights(found, network)
    assert read == card


def test_push_is_one_commit_with_page_and_sample(stand_in, model, tmp_path):
    draw_picture(20, 10).save(tmp_path / "shown.jpg")
    hub.push(model, "museum/starry", CARD, tmp_path / "shown.jpg")
    files = stand_in.repos["museum/starry"]
    assert stand_in.commits == 1
    assert files.keys() == {"model.safetensors", "README.md", "sample.jpg"}
    assert files["sample.jpg"] == (tmp_path / "shown.jpg").read_bytes()

    page = huggingface_hub.ModelCard(files["README.md"].decode())
    assert page.data.license and page.data.library_name == "faststyle"
    assert page.data.pipeline_tag == "image-to-image" and "style-transfer" in page.data.tags
    for text in (
        "# starry\n",
        "(sample.jpg)",
        "starry_night and great_wave",
        "6000",
        "800 photos",
        "half, 1 blocks",
        CARD.command,
        CARD.hardware,
        "31.5",
        'Stylizer.load("hf://museum/starry")',
        "python infer.py photo.jpg --checkpoint hf://museum/starry",
    ):
        assert text in page.text


@pytest.mark.parametrize("facts", [{}, {"source": "pytorch/examples"}, {"blend": {"a": 0.25, "b": 0.75}}])
def test_model_that_tells_little_gets_a_page_without_gaps(stand_in, model, facts):
    hub.push(model, "painter/small", ModelCard(**facts))
    text = stand_in.repos["painter/small"]["README.md"].decode()
    assert "# small\n" in text and "hf://painter/small" in text
    assert "None" not in text and "sample" not in text
    assert ("b 0.75" in text) == ("blend" in facts)


def test_second_push_replaces_the_first(published, tmp_path, model):
    published.repos["painter/small"]["model.safetensors"] = b"of yesterday"
    hub.push(model, "painter/small", ModelCard())
    assert published.repos["painter/small"]["model.safetensors"] == model.read_bytes()


def test_repo_can_hold_several_models(published, model):
    published.repos["painter/small"]["wide/sky.safetensors"] = b"sky"
    assert hub.download("painter/small/wide/sky.safetensors").read_bytes() == b"sky"
    assert hub.download("painter/small").read_bytes() == model.read_bytes()


def test_public_model_needs_no_token(published, monkeypatch, model):
    monkeypatch.delenv("HF_TOKEN")
    assert hub.download("painter/small").read_bytes() == model.read_bytes()


def test_model_is_fetched_once_and_then_read_without_a_network(published, monkeypatch, model):
    assert hub.download("painter/small") == hub.download("painter/small")
    assert published.downloads == 1
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.download("painter/small").read_bytes() == model.read_bytes()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    published.shutdown()
    published.server_close()
    assert hub.download("painter/small").read_bytes() == model.read_bytes()


def test_newer_model_in_the_repo_is_fetched(published):
    hub.download("painter/small")
    published.repos["painter/small"]["model.safetensors"] = b"newer"
    published.commits += 1
    assert hub.download("painter/small").read_bytes() == b"newer"


@pytest.mark.parametrize(
    "name", ["", "starry", "/starry", "pain ter/small", "painter/a--b", "painter/small.git"]
)
def test_name_that_is_no_repo_is_refused_by_all(stand_in, model, name):
    for function in (hub.download, hub.check_push, lambda name: hub.push(model, name, ModelCard())):
        message = complaint(function, name)
        assert repr(name) in message and "user/repo" in message
    assert not stand_in.repos


def test_missing_repo_is_named(stand_in):
    message = complaint(hub.download, "painter/nowhere")
    assert "painter/nowhere" in message and "hf auth login" in message


def test_private_repo_asks_for_a_login(published, monkeypatch):
    published.refusals["HEAD"] = 401, "RepoNotFound", "Invalid username or password."
    monkeypatch.delenv("HF_TOKEN")
    message = complaint(hub.download, "painter/small")
    assert "private" in message and "hf auth login" in message


def test_gated_repo_says_where_to_ask(published):
    published.refusals["HEAD"] = 403, "GatedRepo", "Access to this resource is restricted"
    message = complaint(hub.download, "painter/small")
    assert "gated" in message and f"{published.address}/painter/small" in message


def test_file_that_the_repo_lacks_is_named(published):
    message = complaint(hub.download, "painter/small/sky.safetensors")
    assert "painter/small has no file sky.safetensors" in message
    published.repos["painter/small"].clear()
    assert "painter/small has no file model.safetensors" in complaint(hub.download, "painter/small")


@pytest.mark.parametrize("file", ["../../secret", "a/../../b"])
def test_file_outside_of_the_repo_is_refused(published, file):
    assert "painter/small" in complaint(hub.download, f"painter/small/{file}")


def test_hub_out_of_order_says_so(published, model):
    published.refusals = {"HEAD": (503, "", "Maintenance"), "POST": (503, "", "Maintenance")}
    for message in (
        complaint(hub.download, "painter/small"),
        complaint(hub.push, model, "painter/small", ModelCard()),
    ):
        assert "painter/small" in message and "503" in message and "try again later" in message


def test_no_network_is_said_by_all(published, model):
    published.shutdown()
    published.server_close()
    for message in (
        complaint(hub.download, "painter/small"),
        complaint(hub.push, model, "painter/small", ModelCard()),
        complaint(hub.check_push, "painter/small"),
    ):
        assert "painter/small" in message and published.address in message and "check the network" in message


def test_offline_mode_without_the_model_in_the_cache(published, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for function in (hub.download, hub.check_push):
        message = complaint(function, "painter/small")
        assert "painter/small" in message and "HF_HUB_OFFLINE forbids" in message


def test_answer_of_another_server_is_one_line(published):
    published.refusals["HEAD"] = 200, "", ""  # as a hotel's login page answers
    assert "painter/small" in complaint(hub.download, "painter/small")


def test_full_disk_is_not_blamed_on_the_hub(published, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        hub.download("painter/small")


def test_push_of_a_missing_file_makes_no_repo(stand_in, tmp_path, model):
    assert "gone.safetensors" in complaint(hub.push, tmp_path / "gone.safetensors", "painter/a", ModelCard())
    assert "gone.jpg" in complaint(hub.push, model, "painter/a", ModelCard(), tmp_path / "gone.jpg")
    assert not stand_in.repos


@pytest.mark.parametrize("role", ["write", "fineGrained"])
@pytest.mark.parametrize("repo", ["painter/new", "museum/new"])
def test_check_before_the_push_passes_and_makes_nothing(stand_in, role, repo):
    stand_in.role = role
    hub.check_push(repo)
    assert not stand_in.repos


def test_push_without_a_login_is_refused_at_once(stand_in, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    message = complaint(hub.check_push, "painter/small")
    assert "painter/small" in message and "hf auth login" in message and "HF_TOKEN" in message


def test_wrong_token_is_refused(published, monkeypatch, model):
    monkeypatch.setenv("HF_TOKEN", "hf_of_yesterday")
    for message in (
        complaint(hub.check_push, "painter/small"),
        complaint(hub.push, model, "painter/small", ModelCard()),
        complaint(hub.download, "painter/small"),
    ):
        assert "token" in message and "painter/small" in message and "hf auth login" in message


def test_token_that_may_only_read_is_refused(stand_in):
    stand_in.role = "read"
    assert "only read" in complaint(hub.check_push, "painter/small")


def test_name_of_somebody_else_is_refused(stand_in):
    message = complaint(hub.check_push, "louvre/small")
    assert "louvre/small" in message and "painter/…" in message and "museum/…" in message


def test_fine_grained_token_is_not_told_of_all_organizations_and_may_try(stand_in):
    stand_in.role = "fineGrained"
    hub.check_push("louvre/small")


def test_refused_write_names_repo_and_remedy(stand_in, model):
    stand_in.refusals["POST"] = 403, "", "You don't have the rights to create a model under louvre"
    message = complaint(hub.push, model, "louvre/small", ModelCard())
    assert "louvre/small" in message and "the rights to create" in message and "token" in message


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("the transfer broke off"),
        PermissionError("the transfer broke off"),  # hf_xet's
        XetDownloadError("the transfer broke off"),
    ],
)
def test_transfer_that_breaks_off_is_one_line(published, monkeypatch, model, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", fail)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    for message in (
        complaint(hub.push, model, "painter/small", ModelCard()),
        complaint(hub.download, "painter/small"),
    ):
        assert "painter/small" in message and "the transfer broke off" in message and "try again" in message


def test_hub_costs_nothing_until_it_is_used():
    check = "import sys, faststyle.models.hub; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
