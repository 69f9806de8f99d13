"""Tests of the options and inputs of ``--devices``."""

import subprocess
import sys
from pathlib import Path

import pytest

from faststyle.cli.main import infer as main
from faststyle.cli.stylize_batch import check
from faststyle.errors import InputError
from tests.support.commands import expect_error_line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--devices=2"], "--devices needs --output FOLDER"),
        (["--devices=0", "-o", "out"], "--devices"),
        (["--devices=1025", "-o", "out"], "--devices must be a whole number from 1 to 1024"),
        (
            ["--devices=1", "--num-nodes=1025", "-o", "out"],
            "--num-nodes must be a whole number from 1 to 1024",
        ),
        (["--num-nodes=2", "-o", "out"], "--num-nodes needs --devices"),
        (["--devices=2", "-o", "out", "--fps=25"], "--fps cannot be used with --devices"),
    ],
)
def test_invalid_combinations_of_options_are_refused(photos, model, capsys, options, message):
    assert message in expect_error_line(capsys, main, [str(photos), "--checkpoint", str(model), *options])


def test_devices_cannot_be_used_with_a_sheet_of_all_styles(photos, capsys):
    line = expect_error_line(capsys, main, [str(photos), "--checkpoint=all", "--devices=2", "-o", "out"])
    assert "--devices needs one model" in line


def test_devices_cannot_be_used_without_a_model(photos, painting, capsys):
    line = expect_error_line(
        capsys, main, [str(photos), "--style", str(painting), "--devices=2", "-o", "out"]
    )
    assert "--devices cannot be used here" in line


@pytest.mark.parametrize(
    ("path", "out", "message"),
    [
        ("photos", "out.jpg", "names one file"),
        ("nothing", "out", "there is no file or folder nothing"),
        ("clip.mp4", "out", "clip.mp4 is a video"),
    ],
)
def test_invalid_inputs_and_outputs_are_refused(photos, monkeypatch, path, out, message):
    monkeypatch.chdir(photos.parent)
    Path("clip.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=message):
        check([Path(path)], Path(out))


def test_several_nodes_need_torchrun_variables(photos, work, capsys, monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    flags = ["--checkpoint=starry_night", "--devices=1", "--num-nodes=2", "-o", "out"]
    line = expect_error_line(capsys, main, [str(photos), *flags])
    assert "torchrun" in line and "MASTER_ADDR" in line


@pytest.mark.slow
def test_stylize_command_does_not_import_lightning():
    script = "import sys, faststyle.cli.main, faststyle.cli.stylize_batch, faststyle.inference.stylizer\n"
    script += "sys.exit(any('lightning' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
