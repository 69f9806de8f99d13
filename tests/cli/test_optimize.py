"""Tests of ``python infer.py --style``, which stylizes by optimization."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faststyle.cli import optimize as command
from faststyle.cli.main import infer as main
from faststyle.image.convert import scale_to
from faststyle.image.files import open_image
from faststyle.optimization import optimization
from faststyle.optimization.optimization import Optimization, optimize
from faststyle.optimization.settings import OptimizationSettings
from tests.support import ROOT
from tests.support.commands import check_damaged_file_is_skipped, expect_error_line, read_folder
from tests.support.images import draw_image

TAGS = "vgg19_size32_steps3"  # what differs from the defaults in every test


@pytest.fixture
def infer(work, painting, random_vgg):
    """Return ``python infer.py`` with the painting, or those given, at the smallest size."""
    options = ["--vgg", random_vgg, "--size=32", "--steps=3", "--device=cpu", "--precision=fp32"]

    def run(photo, *arguments):
        style = [] if "--style" in arguments else ["--style", str(painting)]
        return main([str(photo), *style, *options, *map(str, arguments)])

    return run


@pytest.fixture
def optimizations(monkeypatch) -> list[tuple]:
    """Record the arguments of each ``Optimization``: photo, styles and options."""
    calls = []

    class Recorded(Optimization):
        def __init__(self, photo, styles, **options):
            calls.append((photo, styles, options))
            super().__init__(photo, styles, **options)

    monkeypatch.setattr(command, "Optimization", Recorded)
    return calls


def level_differences(a, b) -> np.ndarray:
    """Return the absolute differences of two images or image files, in 8-bit levels."""
    a, b = (np.asarray(open_image(one) if isinstance(one, str | Path) else one, int) for one in (a, b))
    return np.abs(a - b)


# One image


def test_output_option_names_the_file(infer, photos, painting, random_vgg, capsys):
    infer(photos / "cat.png", "-o", "new folder/out.png")
    assert capsys.readouterr().out.strip() == "new folder/out.png"
    options = {"size": 32, "steps": 3, "vgg": random_vgg, "device": "cpu", "precision": "fp32"}
    expected = optimize(open_image(photos / "cat.png"), open_image(painting), **options)
    assert level_differences("new folder/out.png", expected).max() == 0


def test_default_output_name_contains_photo_and_painting(infer, photos, capsys):
    before = read_folder(photos)
    infer(photos / "beach.jpg")
    assert capsys.readouterr().out.strip() == str(photos / f"beach_painting_{TAGS}.jpg")
    assert open_image(photos / f"beach_painting_{TAGS}.jpg").size == (32, 24)
    after = read_folder(photos)
    assert {name: after[name] for name in before} == before
    assert set(after) == {*before, f"beach_painting_{TAGS}.jpg"}


def test_default_output_name_contains_every_painting(infer, photos, painting):
    infer(photos / "cat.png", "--style", painting, photos / "elm.png", "--blend", 3, 1)
    assert (photos / f"cat_painting+elm_{TAGS}_blend3-1.png").is_file()


def test_transparency_and_quality_are_respected(infer, photos):
    image = draw_image(40, 40)
    image.putalpha(0)
    image.save(photos / "clear.png")
    infer(photos / "clear.png", "-o", "out.png")
    assert open_image("out.png").getchannel("A").getextrema() == (0, 0)
    infer(photos / "cat.png", "-o", "low.jpg", "--quality", 5)
    infer(photos / "cat.png", "-o", "high.jpg", "--quality", 95)
    assert Path("low.jpg").stat().st_size < Path("high.jpg").stat().st_size


# Folders


def test_folder_structure_is_kept_and_images_are_counted(infer, photos, capsys):
    (photos / "trip").mkdir()
    draw_image(65, 33).save(photos / "trip" / "f.webp")
    before = read_folder(photos)
    infer(photos, "-o", "out")
    assert read_folder(photos) == before
    assert set(read_folder(Path("out"))) == {"beach.jpg", "cat.png", "dune.jpg", "elm.png", "trip/f.webp"}
    assert open_image("out/trip/f.webp").size == (32, 16)
    assert "5 of 5" in capsys.readouterr().out


def test_folder_results_default_to_a_sibling_folder(infer, photos):
    infer(photos)
    assert set(read_folder(photos.with_name(f"photos_painting_{TAGS}"))) == set(read_folder(photos))


def test_bad_image_is_named_and_the_others_are_stylized(infer, photos, capsys):
    check_damaged_file_is_skipped(infer, photos, capsys)


def test_single_bad_image_prints_one_error_line(infer, photos, capsys):
    (photos / "broken.jpg").write_bytes(b"not an image")
    assert "broken.jpg" in expect_error_line(capsys, infer, photos / "broken.jpg")


# Options


OPTIONS = {
    "--size 40": ("size", 40),
    "--style-size 24": ("style_size", 24),
    "--steps 2": ("steps", 2),
    "--scales 2": ("scales", 2),
    "--style-weight 7.5": ("style_weight", 7.5),
    "--content-weight 0": ("content_weight", 0),
    "--tv-weight 0.3": ("tv_weight", 0.3),
    "--content-layers relu2_1 relu3_1=0.5": ("content_layers", (("relu2_1", 1.0), ("relu3_1", 0.5))),
    "--style-layers relu1_1=2": ("style_layers", (("relu1_1", 2.0),)),
    "--statistic moments": ("statistic", "moments"),
    "--preset gatys": ("preset", "gatys"),
    "--blend 2": ("blend", (2.0,)),
    "--match-color": ("match_color", True),
    "--preserve-color": ("preserve_color", True),
    "--init noise": ("init", "noise"),
    "--seed 5": ("seed", 5),
    "--optimizer adam": ("optimizer", "adam"),
    "--learning-rate 0.05": ("learning_rate", 0.05),
    "--average 0.9": ("average", 0.9),
    "--pooling avg": ("pooling", "avg"),
    "--precision bf16": ("precision", "bf16"),
    "--device cpu": ("device", "cpu"),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_option_reaches_the_optimization(infer, photos, optimizations, option):
    # --scales 2 needs more than 32 pixels.
    infer(photos / "cat.png", "-o", "out.png", "--size=48", *option.split())
    name, value = OPTIONS[option]
    assert optimizations[0][2][name] == value
    assert Path("out.png").is_file()


def test_options_not_given_are_not_passed_to_the_library(infer, photos, optimizations):
    infer(photos / "cat.png")
    options = {name: value for name, value in optimizations[0][2].items() if value is not None}
    assert set(options) == {"device", "precision", "size", "steps", "vgg"}


def test_every_optimization_setting_is_tested_here():
    known = {option.split()[0].lstrip("-").replace("-", "_") for option in OPTIONS} | {"vgg"}
    assert {field.name for field in fields(OptimizationSettings)} == known


def test_init_checkpoint_reaches_the_optimization(infer, photos, model, optimizations):
    infer(photos / "cat.png", "-o", "out.png", "--init-checkpoint", model)
    assert optimizations[0][2]["init_model"].card.name == "small"


def test_masks_are_read_and_all_means_no_mask(infer, photos, painting, optimizations):
    sky = Image.new("L", (70, 110))
    sky.paste("white", (0, 0, 70, 55))
    sky.save("sky.png")
    styles = ["--style", painting, photos / "elm.png"]
    infer(photos / "cat.png", "-o", "out.png", *styles, "--mask", "all", "sky.png")
    infer(photos / "cat.png", "-o", "out.png", *styles, "--style-mask", "sky.png", "all")
    (_, styles_read, first), (_, _, second) = optimizations
    assert [image.size for image in styles_read] == [(96, 80), (100, 75)]
    assert first["masks"][0] is None and level_differences(first["masks"][1], sky.convert("RGB")).max() == 0
    assert second["style_masks"][1] is None and second["style_masks"][0].size == (70, 110)


def test_photo_outside_the_mask_is_unchanged(infer, photos):
    sky = Image.new("L", (70, 110))
    sky.paste("white", (0, 0, 70, 55))
    sky.save("sky.png")
    infer(photos / "cat.png", "-o", "out.png", "--mask", "sky.png", "--init=noise", "--size=110")
    difference = level_differences("out.png", photos / "cat.png")
    assert difference[56:].max() == 0 and difference[:54].mean() > 5


# Intermediate steps, interruptions and refusals


def test_intermediate_steps_are_saved_in_their_own_folder(infer, photos):
    infer(photos / "cat.png", "-o", "out.png", "--steps=6", "--save-every=2", "--seed=1")
    assert sorted(read_folder(Path("out_steps"))) == ["00000.png", "00002.png", "00004.png", "00006.png"]
    assert level_differences("out_steps/00000.png", scale_to(open_image(photos / "cat.png"), 32)).max() == 0


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_animation_contains_the_intermediate_steps(infer, photos, suffix):
    if suffix == "mp4":
        pytest.importorskip("av")
    infer(photos / "cat.png", "-o", "out.png", "--steps=4", "--save-every=1", f"--animation=way.{suffix}")
    assert Path("out.png").is_file() and Path(f"way.{suffix}").stat().st_size > 0
    if suffix == "gif":
        with Image.open("way.gif") as way:
            assert way.size == open_image("out.png").size and way.n_frames >= 4


def test_animation_has_one_size_at_all_scales_without_save_every(infer, photos):
    more = ["--size=64", "--scales=3", "--steps=30", "--animation=way.gif"]
    infer(photos / "dune.jpg", "-o", "out.png", *more)
    with Image.open("way.gif") as way:
        assert way.size == (64, 64) and way.n_frames >= 3
    assert not Path("out_steps").exists()


def test_reconstruct_writes_only_its_figure(infer, photos, capsys):
    before = read_folder(photos)
    infer(photos / "cat.png", "--reconstruct", "figure.png", "--steps=1")
    assert capsys.readouterr().out.strip() == "figure.png"
    assert open_image("figure.png").width > 6 * 20
    assert read_folder(photos) == before


def test_ctrl_c_keeps_the_best_image_and_exits_with_130(infer, photos, monkeypatch, capsys):
    descend = optimization.descend

    def stopped(*arguments):
        for step in descend(*arguments):
            if step.number == 2:
                raise KeyboardInterrupt
            yield step

    monkeypatch.setattr(optimization, "descend", stopped)
    with pytest.raises(SystemExit) as caught:
        options = ["--init=noise", "--steps=9", "--save-every=1", "--animation=way.gif"]
        infer(photos / "cat.png", "-o", "out.png", *options)
    assert caught.value.code == 130
    assert "out.png" in capsys.readouterr().err
    assert sorted(read_folder(Path("out_steps"))) == ["00000.png", "00001.png"]
    assert any(level_differences("out.png", f"out_steps/0000{n}.png").max() == 0 for n in (0, 1))
    assert Path("way.gif").is_file()


@pytest.mark.parametrize(
    "option, name", [("-o", "out.png"), ("--animation", "out.gif"), ("--reconstruct", "out.png")]
)
def test_unwritable_output_is_refused_before_optimizing(infer, photos, capsys, optimizations, option, name):
    Path("file").write_text("not a folder")
    assert f"file/{name}" in expect_error_line(capsys, infer, photos / "cat.png", option, f"file/{name}")
    assert optimizations == []


def test_warning_when_no_step_improves_on_the_start(infer, photos, capsys):
    infer(photos / "cat.png", "-o", "out.png", "--learning-rate=0")
    assert "no step came nearer" in capsys.readouterr().err


def test_init_cannot_be_used_with_init_checkpoint(infer, photos, model, capsys):
    line = expect_error_line(capsys, infer, photos / "cat.png", "--init=noise", "--init-checkpoint", model)
    assert "--init-checkpoint" in line


def test_image_too_narrow_for_vgg_is_named(infer, photos, capsys):
    draw_image(400, 8).save(photos / "narrow.png")
    with pytest.raises(SystemExit):
        infer(photos / "narrow.png", "-o", "out.png")
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "narrow.png" in line and "larger size" in line


def test_same_command_gives_the_same_image(infer, photos):
    for name in ("a.png", "b.png"):
        infer(photos / "cat.png", "-o", name, "--statistic=sliced-wasserstein", "--init=noise")
    assert read_folder(Path())["a.png"] == read_folder(Path())["b.png"]


@pytest.mark.slow
def test_command_stylizes_with_the_real_vgg(photos, painting):
    options = ["--style", painting, "-o", "out.png", "--size", "48", "--steps", "2"]
    subprocess.run([sys.executable, ROOT / "infer.py", "cat.png", *options], check=True, cwd=photos)
    assert open_image(photos / "out.png").size == (31, 48)


@pytest.mark.slow
def test_mosaic_style_needs_no_file(photos, tmp_path, random_vgg):
    out = tmp_path / "out.png"
    options = ["--style=mosaic", f"--vgg={random_vgg}", "--size=32", "--steps=1", "-o", str(out)]
    main([str(photos / "cat.png"), *options])
    assert open_image(out).size == (20, 32)
