"""Tests with unusual names of files, styles, folders and runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from faststyle.cli.main import infer as main
from faststyle.errors import one_line
from faststyle.image.files import open_image, save_image
from faststyle.models.card import ModelCard, StyleImage
from faststyle.models.checkpoint import save_model
from faststyle.models.network import TransformerNetwork
from faststyle.training.datamodule import ContentPhotos
from tests.support import ROOT
from tests.support import hostile_files as hostile
from tests.support.commands import expect_error_line
from tests.support.images import draw_image
from tests.support.videos import make_clip


@pytest.mark.parametrize("name", hostile.NAMES)
def test_unusual_image_names_are_read_written_and_printed(tmp_path, infer, name, capfd):
    folder = tmp_path / f"in {name[:20]}"
    folder.mkdir()
    draw_image(40, 30).save(folder / "a.png")
    (folder / "a.png").rename(folder / name)
    out = Path(f"out {name[:20]} here".replace(".", ""))
    infer("-o", out, "--", folder / name)
    (written,) = out.iterdir()
    assert written.name == name and open_image(written).size == (40, 30)
    assert capfd.readouterr().out == f"{one_line(written)}\n"


@pytest.mark.parametrize("name", [hostile.NAMES[place] for place in (1, 3, 6, 8, 10, -3, -1)])
def test_unusual_video_names_are_read_written_and_printed(tmp_path, infer, name, capfd):
    path = make_clip(tmp_path / "a.mp4", 2, size=(32, 16)).rename(tmp_path / f"{name[:-4]}.mp4")
    infer("-o", "out", "--", path)
    assert [one.name for one in Path("out").iterdir()] == [path.name]
    assert capfd.readouterr().out == f"{one_line(Path('out') / path.name)}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["caf\u00e9", "new\nline", "-x", b"by\xfftes".decode(errors="surrogateescape")]
)
def test_unusual_names_of_styles_folders_and_runs(tmp_path, train, photos, name, capfd, monkeypatch):
    style, content = tmp_path / f"{name}.png", tmp_path / name
    draw_image(64, 64).save(tmp_path / "style.png")
    (tmp_path / "style.png").rename(style)
    photos.rename(content)
    try:
        train(f"--style={style}", f"--content={content}", f"--output={tmp_path / 'runs' / name}")
    except SystemExit as end:  # a one-line error if the name is not UTF-8
        assert end.code == 2 and "\udcff" in name
        assert len(capfd.readouterr().err.strip().splitlines()) == 1
        return
    model = tmp_path / "runs" / name / f"{name}.safetensors"
    main([f"--checkpoint={model}", "--device=cpu", f"--output={tmp_path / 'a.png'}", str(style)])
    assert (tmp_path / "a.png").is_file()
    assert "Traceback" not in capfd.readouterr().err


def test_one_line_escapes_control_characters_only():
    assert (
        one_line("caf\u00e9 \u6f22 \U0001f469\u200d\U0001f680\u3000.png")
        == "caf\u00e9 \u6f22 \U0001f469\u200d\U0001f680\u3000.png"
    )
    assert one_line("a\nb\x1b[31m\u202e\x00") == r"a\nb\x1b[31m\u202e\x00"
    assert one_line(b"a\xff".decode(errors="surrogateescape")) == r"a\xff"


@pytest.mark.parametrize("name", ["-x.jpg", "--y.png"])
def test_error_for_a_name_like_an_option_gives_a_hint(infer, name, capsys):
    save_image(draw_image(40, 30), f"./{name}")
    assert f"./{name}" in expect_error_line(capsys, infer, name, "-o", "out.png")
    infer(f"./{name}", "-o", "out.png")
    infer("-o", "out.png", "--", name)


@pytest.mark.slow
def test_name_that_is_not_utf8_can_be_printed(tmp_path, model):
    name = b"a\xff.png".decode(errors="surrogateescape")
    draw_image(40, 30).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / name)
    (tmp_path / "broken\udcff.png").write_bytes(b"")
    options = ["--checkpoint", model, "--device=cpu", "--engine=torch", "-o", tmp_path / "o\udcff"]
    run = subprocess.run(
        [sys.executable, ROOT / "infer.py", *options, tmp_path / name, tmp_path / "broken\udcff.png"],
        capture_output=True, env=os.environ | {"PYTHONUTF8": "1"}, check=False,
    )  # fmt: skip
    assert run.returncode == 2 and b"Traceback" not in run.stderr
    assert rb"broken\xff.png" in run.stderr and rb"1 of 2" in run.stdout
    assert (tmp_path / "o\udcff" / name).is_file()


def test_name_in_the_metadata_is_not_used_as_a_path(tmp_path, infer, photos):
    torch.manual_seed(0)
    network = TransformerNetwork("half", blocks=1)
    save_model(
        tmp_path / "m.safetensors", network, ModelCard(name="../../evil", style=(StyleImage("/etc/x"),))
    )
    main([f"--checkpoint={tmp_path / 'm.safetensors'}", "--device=cpu", str(photos / "cat.png")])
    assert (photos / "cat_m.png").is_file()


def test_photo_whose_name_is_not_utf8_is_skipped(photos, caplog):
    (photos / "cat.png").rename(photos / b"cat\xff.png".decode(errors="surrogateescape"))
    data = ContentPhotos(str(photos), size=64)
    data.setup("fit")
    assert len(data.rows) == 2
    assert rb"cat\xff.png: its name is not UTF-8".decode() in caplog.text
