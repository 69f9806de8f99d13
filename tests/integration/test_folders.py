"""Tests of folders as inputs: every file that can be read alone is read, and the others are named."""

from pathlib import Path

import pytest

from faststyle.cli.folders import read_folder
from faststyle.cli.inputs import plan
from faststyle.cli.stylize_batch import find
from faststyle.errors import InputError
from faststyle.image.files import open_image
from faststyle.image.formats import readable_formats
from faststyle.training.photo_sources import load_content
from tests.support.commands import expect_error_line
from tests.support.images import draw_image

SUFFIXES = {"jpe": "JPEG", "jpeg": "JPEG", "mpo": "MPO", "pgm": "PPM", "bmp": "BMP", "jp2": "JPEG2000"}
SUFFIXES |= {"avif": "AVIF", "pbm": "PPM", "ppm": "PPM", "dib": "BMP", "heic": "HEIF", "JFIF": "JPEG"}
MODES = {"pgm": "L", "pbm": "1"}


@pytest.fixture
def mixed(tmp_path) -> Path:
    """Return a folder of images in every suffix, without one, and with a wrong one, and of other files."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number, (suffix, format) in enumerate(SUFFIXES.items()):
        if format in readable_formats():
            image = draw_image(96, 72, seed=number).convert(MODES.get(suffix, "RGB"))
            image.save(folder / f"p{number}.{suffix}", format)
    draw_image(96, 72, seed=20).save(folder / "download", "PNG")
    draw_image(96, 72, seed=21).save(folder / "scan.2024", "JPEG")
    draw_image(96, 72, seed=22).save(folder / "photo.tmp", "WEBP")
    draw_image(96, 72, seed=23).save(folder / "named.mp4", "JPEG")
    for number, name in enumerate(("notes.txt", "list.json", "model.bin", "a", "b", "c", "d")):
        (folder / name).write_bytes(b"no image" * number)
    return folder


def names_of(mixed: Path) -> set[str]:
    return {path.name for path in mixed.iterdir()} - {"notes.txt", "list.json", "model.bin", *"abcd"}


def test_folder_has_every_file_that_can_be_read_alone(mixed):
    for path in mixed.iterdir():
        try:
            open_image(path)
            alone = True
        except InputError:
            alone = False
        assert alone == (path.name in names_of(mixed))
    images, videos, others = read_folder(mixed)
    assert {path.name for path in images} == names_of(mixed)
    assert len(others) == 7 and not videos


def test_command_stylizes_all_of_them_and_names_the_others(mixed, infer, capsys):
    infer(mixed, "-o", "out")
    printed = capsys.readouterr()
    count = len(names_of(mixed))
    assert f"{count} of {count} images stylized" in printed.out and len(list(Path("out").iterdir())) == count
    line = (
        f"{mixed} has other files than images or videos, which are left out (7): a, b, c, d, list.json and 2 "
    )
    assert line in printed.err
    for name in ("download.png", "scan.2024.png", "photo.tmp.png", "p0.png", "p1.jpeg"):
        assert open_image(Path("out") / name).size == (96, 72)


def test_collection_finds_the_same_images_and_names(mixed, tmp_path, capsys):
    jobs = plan((mixed,), tmp_path / "out", "")
    shards = [find((mixed,), tmp_path / "out", rank, 2) for rank in range(2)]
    assert sorted(item.name for shard in shards for item in shard) == [
        str(job.target.relative_to(tmp_path / "out")) for job in sorted(jobs, key=lambda job: job.target)
    ]
    assert capsys.readouterr().err.count("left out (7)") == 2  # the plan's, and that of rank 0


def test_training_finds_the_same_images(mixed, caplog):
    rows, held_out = load_content(str(mixed))
    names = {Path(row["image"]["path"]).name for part in (rows, held_out) for row in part}
    assert names == names_of(mixed)
    assert f"{mixed} has other files than images, which are left out (7): a, b" in caplog.text


def test_folder_of_other_files_names_them(tmp_path, infer, capsys):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no image")
    line = expect_error_line(capsys, infer, tmp_path / "texts", "-o", "out")
    assert (
        line == f"error: there are no images or videos in {tmp_path}/texts, only {tmp_path}/texts/notes.txt"
    )
    with pytest.raises(InputError, match=r"there are no images in .*texts, only .*notes\.txt"):
        find((tmp_path / "texts",), tmp_path / "out", 0, 1)


def test_result_beside_a_file_of_an_unknown_suffix(tmp_path):
    draw_image(40, 30).save(tmp_path / "scan.2024", "PNG")
    draw_image(40, 30).save(tmp_path / "scan.heic", "PNG")
    targets = [plan((tmp_path / name,), None, "x")[0].target.name for name in ("scan.2024", "scan.heic")]
    assert targets == ["scan.2024_x.png", "scan_x.png"]
