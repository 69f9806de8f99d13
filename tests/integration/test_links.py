"""Tests with links: out of the output folder, among the inputs, and loops."""

import os
from pathlib import Path

import pytest

from faststyle.cli.stylize_batch import find
from faststyle.errors import InputError
from faststyle.files import check_inside, walk_files
from faststyle.image.files import open_image, save_image
from faststyle.training.photo_sources import load_content
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


@pytest.fixture
def linked(photos, tmp_path) -> Path:
    """Return a folder with links to a folder of photos, through another link, and in rings."""
    folder = tmp_path / "linked"
    (folder / "own").mkdir(parents=True)
    draw_image(96, 72, seed=7).save(folder / "own" / "fox.png")
    (folder / "train2014").symlink_to(photos)
    (folder / "zebra").symlink_to(tmp_path / "second link")  # leads to the same photos
    (tmp_path / "second link").symlink_to(photos)
    (folder / "own" / "up").symlink_to("..")
    (folder / "own" / "self").symlink_to(".")
    (photos / "back").symlink_to(folder)
    (folder / "nowhere").symlink_to("missing")
    (folder / "loop").symlink_to("loop")
    return folder


LINKED = {"own/fox.png", *(f"train2014/{name}" for name in ("beach.jpg", "cat.png", "dune.jpg", "elm.png"))}


def test_linked_folders_are_read_once_and_rings_end(linked, tmp_path):
    assert set(walk_files(str(linked))) == LINKED
    assert {item.name for item in find((linked,), tmp_path / "out", 0, 1)} == LINKED
    rows = [row["image"]["path"] for part in load_content(str(linked)) for row in part]
    assert {str(Path(path).relative_to(linked)) for path in rows} == LINKED


def test_results_of_linked_folders_are_in_real_folders(linked, photos, infer):
    before = {path: path.read_bytes() for path in photos.iterdir() if path.is_file()}
    infer(linked, "-o", "out")
    assert set(read_folder(Path("out"))) == LINKED
    assert {path: path.read_bytes() for path in photos.iterdir() if path.is_file()} == before
    assert not any(path.is_symlink() for path in Path("out").rglob("*"))


def test_collection_refuses_an_output_inside_a_linked_folder(photos, tmp_path):
    (photos / "link").symlink_to(tmp_path / "disk")
    (tmp_path / "disk").mkdir()
    draw_image(40, 30).save(tmp_path / "disk" / "gnu.png")
    with pytest.raises(InputError, match=r"out lies in .*photos/link, and would be read as input"):
        find((photos,), tmp_path / "disk" / "out", 0, 1)


def test_training_set_of_linked_parts(photos, tmp_path):
    (tmp_path / "set").mkdir()
    for part in ("train", "validation"):
        (tmp_path / "set" / part).symlink_to(photos)
    rows, held_out = load_content(str(tmp_path / "set"))
    assert (len(rows), len(held_out)) == (4, 4)


def test_folders_that_link_to_each_other_are_read_once(tmp_path):
    for number in range(12):
        folder = tmp_path / "ring" / str(number)
        folder.mkdir(parents=True)
        draw_image(8, 8).save(folder / "a.png")
        for other in range(12):
            (folder / f"to {other}").symlink_to(f"../{other}")
    assert set(walk_files(str(tmp_path / "ring"))) == {f"{number}/a.png" for number in range(12)}


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
