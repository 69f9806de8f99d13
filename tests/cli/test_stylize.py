"""Tests of ``python infer.py --checkpoint`` with images."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from faststyle.cli.main import infer
from faststyle.image import vips
from faststyle.image.files import open_image
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import save_model
from faststyle.models.network import TransformerNetwork
from tests.support import ROOT
from tests.support.commands import check_damaged_file_is_skipped, expect_error_line, read_folder
from tests.support.images import draw_image


def difference(a: Path, b: Path | Image.Image) -> float:
    """Return the mean absolute difference in 8-bit levels."""
    other = b if isinstance(b, Image.Image) else open_image(b)
    return float(np.abs(np.asarray(open_image(a), int) - np.asarray(other, int)).mean())


# One image


def test_output_option_names_the_file(infer, photos, model, capsys):
    infer(photos / "cat.png", "-o", "new folder/out.png")
    assert capsys.readouterr().out.strip() == "new folder/out.png"
    stylize = Stylizer.load(model, device="cpu", precision="fp32")
    assert difference(Path("new folder/out.png"), stylize(open_image(photos / "cat.png"))) == 0


def test_size_and_time_are_printed_and_the_engine_only_with_verbose(infer, photos, capsys):
    infer(photos / "cat.png", "-o", "out.png")
    assert re.fullmatch(r"done: 70x110 pixels, [\d.]+ s\n", capsys.readouterr().err)
    infer(photos / "cat.png", "-o", "out.png", "--verbose")
    assert capsys.readouterr().err.startswith("engine: torch, float32, ")
    infer(photos, "-o", "all")
    assert re.search(r"^done: [\d.]+ s$", capsys.readouterr().err, re.M)


def test_size_of_a_result_that_pillow_would_not_open_is_printed(infer, photos, capsys, monkeypatch):
    pytest.importorskip("pyvips")
    monkeypatch.setattr(vips, "MIN_VIPS_PIXELS", 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    infer(photos / "cat.png", "-o", "out.png")
    assert re.search(r"done: \d+x\d+ pixels, ", capsys.readouterr().err)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_default_output_name_contains_photo_and_model(infer, photos, capsys):
    before = read_folder(photos)
    infer(photos / "beach.jpg")
    written = photos / "beach_small.jpg"
    assert capsys.readouterr().out.strip() == str(written)
    assert open_image(written).size == (96, 72)
    after = read_folder(photos)
    assert {name: after[name] for name in before} == before
    assert set(after) == {*before, "beach_small.jpg"}


def test_output_of_one_image_can_be_a_folder(infer, photos):
    Path("there").mkdir()
    infer(photos / "cat.png", "-o", "there")
    infer(photos / "cat.png", "-o", "elsewhere")
    assert Path("there/cat.png").is_file() and Path("elsewhere/cat.png").is_file()


def test_read_only_format_is_written_as_png(infer, photos):
    open_image(photos / "cat.png").save(photos / "cat.bmp")
    infer(photos / "cat.bmp")
    assert (photos / "cat_small.png").is_file()


def test_existing_result_is_replaced(infer, photos):
    infer(photos / "cat.png", "-o", "out.png")
    infer(photos / "elm.png", "-o", "out.png")
    assert open_image("out.png").size == (100, 75)


def test_strength_zero_returns_the_photo(infer, photos):
    infer(photos / "cat.png", "-o", "out.png", "--strength", 0)
    assert difference(Path("out.png"), photos / "cat.png") == 0


def test_transparency_is_kept_in_png_and_white_in_jpeg(infer, photos):
    image = draw_image(40, 40)
    image.putalpha(0)
    image.save(photos / "clear.png")
    infer(photos / "clear.png", "-o", "out.png")
    infer(photos / "clear.png", "-o", "out.jpg")
    assert open_image("out.png").getchannel("A").getextrema() == (0, 0)
    assert np.asarray(open_image("out.jpg")).min() >= 250


def test_max_size_shrinks_the_image(infer, photos):
    infer(photos / "cat.png", "-o", "out.png", "--max-size", 55)
    assert open_image("out.png").size == (35, 55)


def test_stroke_scale_changes_the_content_and_not_the_size(infer, photos):
    infer(photos / "cat.png", "-o", "plain.png")
    infer(photos / "cat.png", "-o", "large.png", "--stroke-scale", 2.5)
    assert open_image("large.png").size == (70, 110)
    assert difference(Path("large.png"), Path("plain.png")) > 5


def test_quality_changes_the_file_size(infer, photos):
    infer(photos / "cat.png", "-o", "low.jpg", "--quality", 10)
    infer(photos / "cat.png", "-o", "high.jpg", "--quality", 95)
    assert Path("low.jpg").stat().st_size < Path("high.jpg").stat().st_size / 2


def test_preserve_color_keeps_a_grey_photo_grey(infer, photos):
    open_image(photos / "cat.png").convert("L").save(photos / "grey.png")
    infer(photos / "grey.png", "-o", "plain.png")
    infer(photos / "grey.png", "-o", "kept.png", "--preserve-color")
    spread = [np.ptp(np.asarray(open_image(name), int), axis=-1).max() for name in ("plain.png", "kept.png")]
    assert spread[0] > 10 and spread[1] <= 1


def test_lightning_checkpoint_is_accepted(infer, photos, network, tmp_path):
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save(
        {"state_dict": state, "hyper_parameters": {"size": "half", "blocks": 1}}, tmp_path / "last.ckpt"
    )
    infer(photos / "cat.png", "-o", "a.png")
    infer(photos / "cat.png", "-o", "b.png", "--checkpoint", tmp_path / "last.ckpt")
    assert difference(Path("a.png"), Path("b.png")) == 0


def test_full_size_model_is_accepted(infer, photos, tmp_path):
    save_model(tmp_path / "full.safetensors", TransformerNetwork("full", blocks=1), ModelCard())
    infer(photos / "cat.png", "-o", "out.png", "--checkpoint", tmp_path / "full.safetensors")
    assert open_image("out.png").size == (70, 110)


# Folders


def test_folder_structure_is_kept(infer, photos, capsys):
    (photos / "trip" / "day 1").mkdir(parents=True)
    draw_image(65, 33).save(photos / "trip" / "day 1" / "f.webp")
    draw_image(5, 3).save(photos / "trip" / "tiny.bmp")
    before = read_folder(photos)
    infer(photos, "-o", "out")
    assert read_folder(photos) == before
    sizes = {name: open_image(Path("out") / name).size for name in read_folder(Path("out"))}
    assert sizes == {
        "beach.jpg": (96, 72),
        "cat.png": (70, 110),
        "dune.jpg": (81, 81),
        "elm.png": (100, 75),
        "trip/day 1/f.webp": (65, 33),
        "trip/tiny.png": (5, 3),
    }
    assert "6 of 6" in capsys.readouterr().out


def test_images_and_folders_can_be_mixed(infer, photos, painting):
    infer(painting, photos, "-o", "out")
    assert len(read_folder(Path("out"))) == 5


def test_bad_file_is_named_and_the_others_are_stylized(infer, photos, capsys):
    check_damaged_file_is_skipped(infer, photos, capsys)


def test_single_bad_file_prints_one_error_line(infer, photos, capsys):
    (photos / "broken.jpg").write_bytes(b"not an image")
    assert "broken.jpg" in expect_error_line(capsys, infer, photos / "broken.jpg")


def test_folder_results_default_to_a_sibling_folder_and_are_reproducible(infer, photos):
    before = read_folder(photos)
    infer(photos)
    first = read_folder(photos.with_name("photos_small"))
    assert first.keys() == before.keys()
    infer(photos)
    assert read_folder(photos.with_name("photos_small")) == first
    assert read_folder(photos) == before


def test_photo_and_folder_results_default_to_siblings_of_each_input(infer, photos, tmp_path, capsys):
    draw_image(40, 30).save("here.png")
    infer("here.png", photos)
    assert Path("here_small.png").exists()
    assert (photos.with_name("photos_small") / "cat.png").exists()
    assert "5 of 5 images" in capsys.readouterr().out


# The command itself


@pytest.mark.slow
def test_command_stylizes(photos, model):
    subprocess.run(
        [
            sys.executable,
            ROOT / "infer.py",
            photos / "cat.png",
            "--checkpoint",
            model,
            "-o",
            photos / "out.png",
        ],
        check=True,
        cwd=photos,
    )
    assert open_image(photos / "out.png").size == (70, 110)


def test_help_does_not_import_torch():
    code = (
        "import sys; sys.argv = ['infer.py', '--help']\n"
        "from faststyle.cli.main import infer\n"
        "try: infer()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'numpy', 'PIL'} & {*sys.modules}"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert "--checkpoint" in shown.stdout


@pytest.mark.parametrize("blend", ["", ":0.5,starry_night:0.5"])
def test_painting_is_never_overwritten(work, painting, capsys, blend):
    draw_image(64, 48).save("photo.png")
    before = painting.read_bytes()
    argv = ["photo.png", "--checkpoint", f"{painting}{blend}", "-o", str(painting)]
    assert "would overwrite an input" in expect_error_line(capsys, infer, argv)
    assert painting.read_bytes() == before
