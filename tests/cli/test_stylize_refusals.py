"""Tests that ``python infer.py --checkpoint`` refuses invalid inputs, outputs and options."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from faststyle.cli.main import infer as main
from faststyle.image import vips
from faststyle.image.files import open_image
from tests.support.commands import expect_error_line, read_folder
from tests.support.images import draw_image


def difference(a: Path, b: Path | Image.Image) -> float:
    """Return the mean absolute difference in 8-bit levels."""
    other = b if isinstance(b, Image.Image) else open_image(b)
    return float(np.abs(np.asarray(open_image(a), int) - np.asarray(other, int)).mean())


def test_image_file_as_output_of_a_folder_is_refused(infer, photos, capsys):
    assert "folder" in expect_error_line(capsys, infer, photos, "-o", "out.jpg")
    assert not Path("out.jpg").exists()


def test_image_larger_than_memory_suggests_max_size(infer, photos, capsys, monkeypatch):
    def run(self, *_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("faststyle.inference.stylizer.Stylizer._stylize_batch", run)
    assert "--max-size" in expect_error_line(capsys, infer, photos / "cat.png")


def test_output_that_is_an_input_is_refused(infer, photos, capsys):
    before = read_folder(photos)
    for arguments in (
        (photos / "cat.png", "-o", photos / "cat.png"),
        (photos / "cat.png", "-o", photos),
        (photos, "-o", photos),
        (photos / "cat.png", "-o", photos / ".." / "photos" / "cat.png"),
        (photos / "cat.png", photos / "elm.png", "-o", photos),
    ):
        assert "overwrite" in expect_error_line(capsys, infer, *arguments)
    assert read_folder(photos) == before


def test_output_that_links_to_the_input_is_refused(infer, photos, capsys):
    Path("link.png").symlink_to(photos / "cat.png")
    assert "overwrite" in expect_error_line(capsys, infer, photos / "cat.png", "-o", "link.png")


def test_two_inputs_with_the_same_output_are_refused(infer, photos, capsys):
    (photos / "sub").mkdir()
    draw_image(40, 40).save(photos / "sub" / "cat.png")
    line = expect_error_line(capsys, infer, photos / "cat.png", photos / "sub" / "cat.png", "-o", "out")
    assert "cat.png" in line
    open_image(photos / "cat.png").save(photos / "cat.bmp")  # which would become cat.png
    assert "cat.bmp" in expect_error_line(capsys, infer, photos, "-o", "out")
    assert not Path("out").exists()


def test_same_image_given_twice_has_one_result(infer, photos):
    infer(photos / "cat.png", photos / "cat.png", "-o", "out")
    assert set(read_folder(Path("out"))) == {"cat.png"}


def test_one_output_file_for_several_images_is_refused(infer, photos, capsys):
    Path("out.png").write_bytes(b"an old file")
    assert "folder" in expect_error_line(capsys, infer, photos, "-o", "out.png")
    assert Path("out.png").read_bytes() == b"an old file"


@pytest.mark.parametrize("name", ["out.xyz", "out.gif"])
def test_unknown_suffix_is_refused_before_stylizing(infer, photos, capsys, name):
    assert ".png" in expect_error_line(capsys, infer, photos / "cat.png", "-o", name)
    assert list(Path().iterdir()) == []


def test_missing_input_is_refused_before_stylizing(infer, photos, capsys):
    assert "nowhere.jpg" in expect_error_line(capsys, infer, photos, "nowhere.jpg", "-o", "out")
    assert not Path("out").exists()


def test_error_prints_file_names_unchanged_except_line_breaks(infer, capsys):
    assert "two  spaces.jpg" in expect_error_line(capsys, infer, "two  spaces.jpg")
    assert "two\\nlines.jpg" in expect_error_line(capsys, infer, "two\nlines.jpg")


def test_report_is_not_written_through_links(model, photos, painting, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = SimpleNamespace(summary=list, comparisons=[], skipped=[])
    monkeypatch.setattr("faststyle.evaluation.compare.compare", lambda *_, **__: found)
    Path("venv").symlink_to(photos)
    options = [photos / "cat.png", "--checkpoint", model, "--style", painting, "--compare", "."]
    main([*map(str, options)])
    Path("curves.csv").symlink_to(photos / "cat.png")
    assert "curves.csv is a link" in expect_error_line(capsys, main, [*map(str, options)])


def test_long_name_is_written_from_file_to_file(photos, tmp_path):
    pytest.importorskip("pyvips")
    target = tmp_path / f"{'x' * 246}.png"
    with vips.mapped_images(photos / "cat.png", target) as (photo, out, _):
        out[:] = photo
    assert difference(target, photos / "cat.png") == 0


def test_folder_without_images_is_refused(infer, capsys):
    Path("empty").mkdir()
    assert "empty" in expect_error_line(capsys, infer, "empty")


def test_missing_or_invalid_model_is_refused(infer, photos, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.safetensors").write_text("no model")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pth")
    for name in ("nowhere.safetensors", "folder", "text.safetensors", "other.pth"):
        line = expect_error_line(
            capsys, infer, photos / "cat.png", "-o", "out.png", "--checkpoint", tmp_path / name
        )
        assert name in line
    assert not Path("out.png").exists()


@pytest.mark.parametrize(
    "options, word",
    [
        ("--strength 1.5", "--strength"),
        ("--strength much", "--strength"),
        ("--strength nan", "--strength"),
        ("--max-size 0", "--max-size"),
        ("--max-size big", "--max-size"),
        ("--quality 0", "--quality"),
        ("--quality 101", "--quality"),
        ("--precision fp8", "--precision"),
        ("--device abacus", "abacus"),
        ("--nonsense", "--nonsense"),
        ("--preserve", "--preserve"),  # no abbreviations
    ],
)
def test_error_for_an_invalid_value_names_the_option(infer, photos, capsys, options, word):
    line = expect_error_line(
        capsys, lambda *more: infer(photos / "cat.png", "-o", "out.png", *more), *options.split()
    )
    assert word in line
    assert not Path("out.png").exists()


def test_missing_required_options_are_named(capsys):
    assert "--checkpoint" in expect_error_line(capsys, main, ["photo.jpg"])
    assert "give an image or a video" in expect_error_line(capsys, main, ["--checkpoint", "a.safetensors"])


def test_output_below_a_file_is_refused(infer, photos, capsys):
    Path("file").write_text("in the way")
    assert "file" in expect_error_line(capsys, infer, photos / "cat.png", "-o", "file/out.png")
