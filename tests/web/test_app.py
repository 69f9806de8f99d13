"""Tests of the command python -m faststyle.web, and of its server as a client uses it."""

import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.commands import expect_error_line
from tests.support.images import sample
from tests.support.web_server import serving

pytest.importorskip("gradio")

from gradio_client import Client, handle_file

from faststyle.web import __main__ as command
from faststyle.web import app, styles
from faststyle.web.training import TrainingSlot

NAME = styles.DEFAULT_STYLE


# The command


def test_help_imports_neither_torch_nor_gradio():
    code = "import sys; from faststyle.web.__main__ import main\ntry: main(['--help'])\n"
    code += "except SystemExit: print(sorted({'torch', 'gradio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--host" in done.stdout


def test_default_host_is_loopback():
    assert command.Options().host == "127.0.0.1"


@pytest.mark.parametrize(
    "options",
    [
        *(["--port", "70000"], ["--port", "x"], ["--prot", "1"]),
        *(["--root-path", path] for path in ("style", "", "//example.com", "/a b", "/a?b", "ftp://a/b")),
    ],
)
def test_invalid_options_end_with_an_error_line(options, capsys):
    assert "--help" in expect_error_line(capsys, command.main, options)


def test_taken_port_and_unknown_address_end_with_an_error_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert "another --port" in expect_error_line(capsys, command.main, ["--port", str(taken)])
    assert "192.0.2.1" in expect_error_line(capsys, command.main, ["--host", "192.0.2.1"])
    assert "no.such.invalid" in expect_error_line(capsys, command.main, ["--host", "no.such.invalid"])


@pytest.mark.slow
def test_port_taken_during_the_start_ends_with_an_error_line(temporary, capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert f"port {taken}" in expect_error_line(capsys, app.serve, "127.0.0.1", taken)


def test_error_for_missing_gradio_names_the_package_to_install(capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert "pip install -e '.[web]'" in expect_error_line(capsys, command.main, [])


# The server


def read_peak_memory(pid: int) -> int:
    """Return the peak resident memory of a process, in bytes."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6_address_serves(tmp_path):
    with serving(tmp_path / "temporary", "--host", "::1") as (address, _):
        assert address.startswith("http://[::1]:")
        assert urllib.request.urlopen(address).status == 200


@pytest.mark.slow
def test_forged_request_cannot_read_a_file_of_the_server(tmp_path, photo):
    with serving(tmp_path / "temporary") as (address, _):
        client = Client(address, verbose=False)
        for _ in range(2):  # because Gradio creates the fields anew after the first response
            # Gradio accepts any path in a payload without its "meta" key.
            _, result, _ = client.predict({"path": photo}, NAME, 1.0, False, 640, api_name="/stylize")
            assert "data:image" not in result and "will be here" in result
            line = client.predict({"path": photo}, NAME, 1.0, False, api_name="/download")[1]
            assert "Add a photo" in line


def test_previews_do_not_share_a_queue_with_long_computations(temporary):
    ids = {fn.api_name: fn.concurrency_id for fn in app.build(TrainingSlot()).fns.values()}
    assert ids["download"] == ids["compare"] != ids["stylize"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_clients_are_served_in_bounded_memory_and_no_file_remains(tmp_path, photo):
    folder = tmp_path / "temporary"
    folder.mkdir()
    sample("coffee", 700).save(tmp_path / "large.jpg")
    with serving(folder) as (address, process):
        one = Client(address, verbose=False)
        large = handle_file(str(tmp_path / "large.jpg"))
        options = (NAME, 1.0, False)
        one.predict(large, *options, 640, api_name="/stylize")
        one.predict(large, *options, api_name="/download")
        alone = read_peak_memory(process.pid)

        def request(number: int) -> str:
            client = Client(address, verbose=False)
            if number % 2:
                return client.predict(large, *options, api_name="/download")[1]
            _, result, line = client.predict(large, *options, 640, api_name="/stylize")
            return line if "data:image/jpeg" in result else ""

        with ThreadPoolExecutor(10) as pool:
            lines = list(pool.map(request, range(10)))
        assert all(("700 × 467" if i % 2 else "640 × 427") in line for i, line in enumerate(lines)), lines
        assert read_peak_memory(process.pid) < alone + (300 << 20)
        assert list(folder.rglob("large.jpg"))  # the upload
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not list(folder.iterdir())
