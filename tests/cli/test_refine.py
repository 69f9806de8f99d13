"""Tests of ``python infer.py --refine N``."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faststyle.cli import refine as command
from faststyle.cli.main import infer as main
from faststyle.errors import InputError
from faststyle.losses.painting import measure_grams
from faststyle.models.checkpoint import load_model, save_model
from faststyle.optimization import refine as library
from tests.support.commands import expect_error_line, read_folder
from tests.support.images import draw_image
from tests.support.networks import grams_of

OPTIONS = ["--device=cpu", "--precision=fp32", "--engine=torch"]


@pytest.fixture
def infer(tmp_path, monkeypatch, random_vgg, painting):
    """Return ``python infer.py`` with a randomly initialized VGG, run in a folder with one photo."""
    monkeypatch.chdir(tmp_path)
    draw_image(96, 72, seed=1).save("photo.png")
    refinement = library.refinement
    monkeypatch.setattr(
        command, "refinement", lambda *given, **more: refinement(*given, vgg=random_vgg, **more)
    )
    monkeypatch.setattr(command, "measure_grams", lambda painting: measure_grams(painting, random_vgg))
    return lambda *arguments: main([*map(str, arguments), *OPTIONS])


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), float)


def test_model_output_is_refined_toward_the_given_painting(infer, model, painting):
    infer("photo.png", "--checkpoint", model, "-o", "pass.png")
    infer("photo.png", "--checkpoint", model, "--style", painting, "--refine", 3, "-o", "refined.png")
    assert np.abs(pixels("pass.png") - pixels("refined.png")).mean() > 0.5


def test_refinement_starts_from_the_photo_without_a_model(infer, painting):
    infer("photo.png", "--style", painting, "--refine", 2, "-o", "refined.png")
    change = np.abs(pixels("photo.png") - pixels("refined.png")).mean()
    assert 0.5 < change < 90


def test_strength_applies_to_the_refined_image(infer, model, painting):
    infer(
        "photo.png", "--checkpoint", model, "--style", painting, "--refine", 2, "--strength", 0, "-o", "a.png"
    )
    assert np.abs(pixels("photo.png") - pixels("a.png")).max() <= 1


def test_transparency_is_kept(infer, model, painting):
    photo = draw_image(64, 48, seed=1)
    photo.putalpha(Image.new("L", photo.size, 90))
    photo.save("glass.png")
    infer("glass.png", "--checkpoint", model, "--style", painting, "--refine", 2, "-o", "out.png")
    assert set(np.unique(np.asarray(Image.open("out.png"))[..., 3])) == {90}


def test_folder_is_refined_and_bad_image_is_named(infer, damaged_photos, model, painting, capsys):
    with pytest.raises(SystemExit):
        infer(damaged_photos, "--checkpoint", model, "--style", painting, "--refine", 1, "-o", "out")
    assert set(read_folder(Path("out"))) >= {"beach.jpg", "cat.png"}
    assert "corrupt.jpg" in capsys.readouterr().err


def test_videos_in_a_folder_are_skipped_with_a_warning(infer, model, painting, capsys):
    Path("mixed").mkdir()
    draw_image(64, 48, seed=1).save("mixed/a.png")
    frames = [draw_image(32, 32, seed) for seed in (1, 2)]
    frames[0].save("mixed/b.gif", save_all=True, append_images=frames[1:])
    infer("mixed", "--checkpoint", model, "--style", painting, "--refine", 1, "-o", "out")
    assert set(read_folder(Path("out"))) == {"a.png"}
    assert "--refine takes images: videos in mixed are left out (1)" in capsys.readouterr().err


def test_gram_matrices_stored_in_the_model_are_used(infer, model, tmp_path, random_vgg):
    network, card = load_model(model)
    grams = grams_of(draw_image(96, 80, seed=9), random_vgg)
    save_model(tmp_path / "whole.safetensors", network, card, grams)
    infer("photo.png", "--checkpoint", "whole.safetensors", "--refine", 2, "-o", "out.png")
    assert Path("out.png").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--checkpoint", "MODEL"], "no Gram matrices of its painting: give the painting as --style"),
        (["--checkpoint", "starry_night:1,great_wave:1"], "is a blend"),
        (["--checkpoint", "export.onnx"], "is an export"),
        (["--style", "nowhere.jpg"], "nowhere.jpg"),
    ],
)
def test_input_that_cannot_be_refined_is_refused_before_refining(infer, model, capsys, more, words):
    more = [str(model) if word == "MODEL" else word for word in more]
    assert words in expect_error_line(capsys, infer, "photo.png", *more, "--refine", 2, "-o", "out.png")
    assert not Path("out.png").exists()


@pytest.mark.parametrize("number", ["0", "-1", "1000000", "two", "1.5"])
def test_number_that_makes_no_sense_is_refused(infer, painting, capsys, number):
    line = expect_error_line(capsys, infer, "photo.png", "--style", painting, f"--refine={number}")
    assert "--refine must be a whole number from 1 to 10000" in line


def end_early(monkeypatch, error: BaseException) -> None:
    """Raise an error in place of the third evaluation."""
    run = library.Optimization.__iter__

    def ending(self):
        for number, step in enumerate(run(self)):
            if number == 2:
                raise error
            yield step

    monkeypatch.setattr(library.Optimization, "__iter__", ending)


def test_what_ends_it_early_is_told_and_the_best_so_far_is_written(infer, painting, monkeypatch, capsys):
    end_early(monkeypatch, InputError("96x72 pixels do not fit into memory: take a smaller size"))
    with pytest.raises(SystemExit) as caught:
        infer("photo.png", "--style", painting, "--refine", 5, "-o", "out.png")
    assert caught.value.code == 2
    assert "out.png is the best image so far: 96x72 pixels do not fit" in capsys.readouterr().err
    assert np.abs(pixels("photo.png") - pixels("out.png")).mean() > 0.5


def test_photo_that_is_too_small_is_told_and_nothing_is_written(infer, painting, capsys):
    draw_image(16, 4, seed=1).save("tiny.png")
    with pytest.raises(SystemExit) as caught:
        infer("tiny.png", "--style", painting, "--refine", 2, "-o", "out.png")
    assert caught.value.code == 2 and not Path("out.png").exists()
    assert "16x4 is too small" in capsys.readouterr().err
    draw_image(40, 40, seed=1).resize((1, 1)).save("one.png")
    with pytest.raises(SystemExit):
        infer("one.png", "--style", painting, "--refine", 2, "-o", "out.png")
    assert "an image of 1x1 is too small to be refined" in capsys.readouterr().err


def test_ctrl_c_keeps_the_best_so_far(infer, painting, monkeypatch, capsys):
    end_early(monkeypatch, KeyboardInterrupt())
    with pytest.raises(SystemExit) as caught:
        infer("photo.png", "--style", painting, "--refine", 5, "-o", "out.png")
    assert caught.value.code == 130
    assert "the best image so far is out.png" in capsys.readouterr().err
    assert np.abs(pixels("photo.png") - pixels("out.png")).mean() > 1
