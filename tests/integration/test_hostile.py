"""Tests with a corpus of damaged and malicious files."""

import re
import time
from pathlib import Path

import pytest

from benchmarks import hostile as benchmark
from faststyle.errors import InputError, one_line
from faststyle.image.files import open_image
from faststyle.image.validation import silence_decoders
from faststyle.training.crops import read_photo
from faststyle.video.opening import open_clip
from tests.support import hostile_files as hostile
from tests.support.commands import expect_error_line, read_folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Return the folder of hostile files, and their paths."""
    folder = tmp_path_factory.mktemp("hostile") / "photos"
    return folder, hostile.make(folder, 1_000, frames=20)


@pytest.mark.slow
def test_each_hostile_file_gives_an_image_or_one_error_line(corpus, infer, memory_limit, capfd):
    folder, paths = corpus
    before = read_folder(folder.parent)
    with pytest.raises(SystemExit) as caught:
        infer(folder, "-o", "out")
    printed = capfd.readouterr()
    assert caught.value.code == 2
    ends = [line.split("\r")[-1] for line in printed.err.split("\n")]
    reports = [line for line in ends if line.startswith(("error: ", "warning: "))]
    written = {path.stem for path in Path("out").iterdir()}
    assert "Traceback" not in printed.err and len(reports) > 300 and len(written) > 300
    for path in (path for path in paths if path.is_file()):
        lines = [line for line in reports if f"/{one_line(path.name)}" in line]
        assert len(lines) == 1 or (not lines and path.stem in written), (path, lines)
    assert {f"good {number}" for number in range(10)} <= written
    # All other lines are progress bars or notes on a video.
    other = {line for line in ends if line.strip() and line not in reports}
    assert not [
        line
        for line in other
        if not re.search(
            r"\d+%\||\[\d\d:\d\d|done: |padded to|left out|several images|no times|\x1b\[A", line
        )
    ]
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202e]", printed.err)
    assert read_folder(folder.parent) == before  # no code was run and no input was changed


@pytest.mark.slow
def test_training_uses_the_good_photos_among_hostile_files(corpus, train, capfd, caplog):
    folder, _ = corpus
    train("--content", str(folder), "--output", "run", "--trainer.max_steps=3")
    assert Path("run/run.safetensors").is_file()
    assert "Traceback" not in capfd.readouterr().err
    assert all(len(record.getMessage().splitlines()) == 1 for record in caplog.records)


@pytest.mark.slow
def test_each_hostile_file_is_read_for_training_or_refused(corpus, memory_limit, capfd):
    folder, paths = corpus
    silence_decoders()
    read = 0
    for path in [*paths, *folder.glob("good *")]:
        begun = time.monotonic()
        try:
            read_photo({"image": {"path": str(path), "bytes": None}}, 64)
            read += 1
        except InputError as error:
            assert path.name in str(error)
        assert time.monotonic() - begun < 10, path
    assert 200 < read < 800
    assert capfd.readouterr().err == ""  # no messages of libraries


@pytest.mark.parametrize(
    "name", ["pipe.jpg", "pipe.mp4", "pipe gif.gif", "zero.png", "zero.mp4", "random.gif"]
)
def test_pipes_and_devices_are_refused_before_they_are_opened(corpus, infer, name, capsys):
    path = corpus[0] / name
    assert "is a pipe or a device" in expect_error_line(capsys, infer, path, "-o", "out.png")
    for read in (open_image, open_clip):
        with pytest.raises(InputError, match="is a pipe or a device"):
            read(path)


def test_hostile_files_are_deterministic(tmp_path):
    first, second = (list(hostile.damaged(40, seed=3)) for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_benchmark_classifies_images_error_lines_and_failures(tmp_path, model):
    pytest.importorskip("resource")  # the benchmark reads /proc
    first, second = hostile.good(tmp_path / "photos")[:2]
    second.write_bytes(b"not an image")
    results = benchmark.read_each([first, second], model, tmp_path / "alone", 1)
    assert [result.verdict for result in results] == ["picture", "picture", "line", "line"]
    assert not any(map(benchmark.Result.is_wrong, results))
    assert all(1 << 28 < result.memory < 2 << 30 and result.seconds < 10 for result in results)
    for code, printed, made in [
        (1, "Traceback (most recent call last):\nKeyError: 3", False),
        (2, "error: a\nerror: b", False),
        (2, "error: a\nlibtiff: broken", False),
        (0, "", False),
        (2, "error: \x1b[31mred", False),
    ]:
        assert hostile.verdict(code, printed, made) not in ("picture", "line")


def test_dataset_row_that_names_a_device_is_refused():
    with pytest.raises(InputError, match="is a pipe or a device"):
        read_photo({"image": {"path": "/dev/zero", "bytes": None}}, 64)
