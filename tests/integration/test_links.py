"""Tests with links: out of the output folder, among the inputs, and loops."""

import os
from pathlib import Path

import pytest

from faststyle.files import check_inside
from faststyle.image.files import open_image, save_image
from tests.support.commands import expect_error_line, read_folder
from tests.support.images import draw_image
from tests.support.videos import make_clip


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """Return a folder that nothing may be written to."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "kept.jpg").write_bytes(b"kept")
    (folder / "kept.mp4").write_bytes(b"kept")
    return folder


def run_with_errors(infer, capsys, *arguments) -> str:
    """Run the command, which must exit with status 2, and return its stderr."""
    with pytest.raises(SystemExit) as caught:
        infer(*arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_results_are_not_written_through_links_out_of_the_output_folder(photos, infer, elsewhere, capsys):
    (photos / "sub" / "deep").mkdir(parents=True)
    draw_image(40, 30).save(photos / "sub" / "deep" / "fox.png")
    make_clip(photos / "video.mp4", 2)
    out = Path("out")
    out.mkdir()
    (out / "sub").symlink_to(elsewhere)
    (out / "beach.jpg").symlink_to(elsewhere / "kept.jpg")
    (out / "video.part.mp4").symlink_to(elsewhere / "kept.mp4")
    before = read_folder(elsewhere)
    error = run_with_errors(infer, capsys, photos, "-o", out)
    assert read_folder(elsewhere) == before and list(elsewhere.glob("*/")) == []
    assert error.count("error: ") == 2
    assert "out/beach.jpg is a link" in error and "out/sub/deep/fox.png would be written to" in error
    assert {path.name for path in out.iterdir() if not path.is_symlink()} == {
        "cat.png", "dune.jpg", "elm.png", "video.mp4"
    }  # fmt: skip


def test_single_result_behind_a_link_is_refused(photos, infer, elsewhere, capsys):
    Path("out").mkdir()
    Path("out/cat.png").symlink_to(elsewhere / "new.png")
    assert "is a link" in expect_error_line(capsys, infer, photos / "cat.png", "-o", "out")
    assert not (elsewhere / "new.png").exists()


def test_output_file_that_is_a_link_is_replaced(photos, infer, elsewhere):
    Path("a.jpg").symlink_to(elsewhere / "kept.jpg")
    before = read_folder(elsewhere)
    infer(photos / "cat.png", "-o", "a.jpg")
    assert not Path("a.jpg").is_symlink() and open_image("a.jpg").size == (70, 110)
    assert read_folder(elsewhere) == before


def test_output_folder_and_inputs_can_be_links(photos, infer, elsewhere):
    Path("out").symlink_to(elsewhere)
    Path("in").mkdir()
    Path("in/there.png").symlink_to(photos / "cat.png")
    infer("in", "-o", "out")
    assert open_image(elsewhere / "there.png").size == (70, 110)


def test_symlink_loops_are_skipped(photos, infer):
    (photos / "loop").symlink_to(photos)
    (photos / "self.jpg").symlink_to(photos / "self.jpg")
    Path("out").mkdir()
    Path("out/loop").symlink_to("loop")
    infer(photos, "-o", "out")
    assert len([path for path in Path("out").iterdir() if path.is_file()]) == 4


def test_frames_replace_links(tmp_path, infer, elsewhere):
    make_clip(tmp_path / "a.mp4", 2, size=(32, 16))
    Path("00001.png").symlink_to(elsewhere / "kept.jpg")
    before = read_folder(elsewhere)
    infer(tmp_path / "a.mp4", "-o", "%05d.png")
    assert read_folder(elsewhere) == before and not Path("00001.png").is_symlink()


def test_temporary_file_that_is_a_link_is_not_followed(tmp_path, elsewhere):
    link = tmp_path / f".a.png.{os.getpid()}.tmp"
    link.symlink_to(elsewhere / "kept.jpg")
    save_image(draw_image(8, 8), tmp_path / "a.png")
    assert (elsewhere / "kept.jpg").read_bytes() == b"kept" and not link.is_symlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["previews", "logs", "run.safetensors"])
def test_run_is_not_written_through_links_out_of_its_folder(train, elsewhere, capsys, name):
    train("--output", "run")
    place = Path("run") / name
    (place.rename(Path("moved")))
    place.symlink_to(elsewhere / "kept.jpg" if place.suffix else elsewhere)
    before = read_folder(elsewhere)
    error = expect_error_line(capsys, train, "--output", "run", "--resume", "--trainer.max_steps=4")
    assert f"run/{name} is a link out of run" in error
    assert read_folder(elsewhere) == before


def test_link_within_the_folder_is_accepted(tmp_path):
    (tmp_path / "out" / "real").mkdir(parents=True)
    (tmp_path / "out" / "sub").symlink_to("real")
    check_inside(tmp_path / "out" / "sub" / "a.png", tmp_path / "out")
