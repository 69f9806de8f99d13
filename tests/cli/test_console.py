"""Commands print any name on a console of any encoding."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faststyle.cli.main import infer as run_infer
from faststyle.cli.main import main
from faststyle.console import accept_any_text
from tests.support import ROOT
from tests.support.images import draw_image
from tests.support.videos import make_clip

NAME = "照片 é"  # cp1252 lacks the first two characters


narrow = pytest.mark.parametrize("encoding", ["ascii", "cp1252"])


def run_on_console(encoding, run, *arguments) -> tuple[int, str]:
    """Run a command on a console of this encoding, and return its status and what it printed."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="") for _ in range(2)]
    status = 0
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            run(*arguments)
        except SystemExit as error:
            status = error.code or 0
    for stream in streams:
        stream.flush()
    return status, "".join(stream.buffer.getvalue().decode(encoding) for stream in streams)


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """Change to a folder with an image, a video and a folder of images whose names are Chinese."""
    (tmp_path / NAME).mkdir()
    monkeypatch.chdir(tmp_path / NAME)
    draw_image(48, 40).save(f"{NAME}.png")
    for number in range(2):
        Path(f"{NAME}s").mkdir(exist_ok=True)
        draw_image(48, 40, number).save(f"{NAME}s/{number}.png")
    (tmp_path / NAME / "坏 é 照.jpg").write_bytes(b"no image")
    make_clip(tmp_path / NAME / f"{NAME}.mp4", 3)


@narrow
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([f"{NAME}.png"], 0),
        ([f"{NAME}s"], 0),
        ([f"{NAME}.mp4"], 0),
        ([f"{NAME}.png", "坏 é 照.jpg"], 2),
        (["没有é.png"], 2),
        (["--没有é"], 2),
        ([f"{NAME}.png", "--max-size=六é"], 2),
    ],
)
def test_stylize_prints_names_that_the_console_lacks(words, status, encoding, inputs, model):
    words = ["--checkpoint", str(model), "--device=cpu", "--engine=torch", *words]
    ended, printed = run_on_console(encoding, run_infer, words)
    assert ended == status and "\\" in printed


@narrow
@pytest.mark.parametrize("command", ["optimize", "reconstruct"])
def test_slow_commands_print_names_that_the_console_lacks(command, encoding, inputs, random_vgg):
    options = ["--style", f"{NAME}s/0.png", "--vgg", random_vgg, "--size=32", "--steps=2", "--device=cpu"]
    words = [command, f"{NAME}.png", *options, "-o", "图é.png"]
    status, printed = run_on_console(encoding, main, words)
    assert status == 0 and "\\" in printed


@narrow
@pytest.mark.parametrize(
    "words", [[], ["styles"], ["stylize", "--help"], ["optimize", "--help"], ["camera", "--help"]]
)
def test_help_is_printed_on_every_console(words, encoding):
    status, printed = run_on_console(encoding, main, words)
    assert status == 0 and "faststyle" in printed


@narrow
def test_training_prints_names_that_the_console_lacks(train, encoding):
    status, printed = run_on_console(encoding, train, "--name", "星夜é")
    assert status == 0 and "\\" in printed


def test_process_without_a_console_prints_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    accept_any_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["infer.py", "没有.png", "--checkpoint=x"], ["train.py", "--style=没有.png"]]
)
def test_scripts_print_names_that_the_console_lacks(words, tmp_path):
    done = run_script(words, tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(b"error: ") and b"\\u6ca1" in done.stderr


@pytest.mark.slow
def test_collection_prints_names_in_the_consoles_encoding(inputs, model):
    options = ["--checkpoint", str(model), "--device=cpu", "--engine=torch", "--devices=1"]
    done = run_script(["infer.py", f"{NAME}s", *options, "-o", "图é"], Path())
    assert done.returncode == 0 and b"2 of 2 images stylized: \\u56fe\xe9" in done.stdout


def run_script(words: list[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a script of the repository on a console that encodes as cp1252."""
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, str(ROOT / words[0]), *words[1:]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
