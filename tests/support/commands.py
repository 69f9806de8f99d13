"""Run commands, and look at what they print and write."""

from pathlib import Path

import pytest


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its place there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(capsys, run, *arguments) -> str:
    """Run what must end with status 2 and one line on stderr, and return that line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def check_bad_one_among_good(infer, photos: Path, capsys) -> None:
    """Run a folder with a broken picture: it is named, the others are done, and the status is 2."""
    (photos / "broken.jpg").write_bytes(b"not a picture")
    with pytest.raises(SystemExit) as caught:
        infer(photos, "-o", "out")
    assert caught.value.code == 2
    printed = capsys.readouterr()
    errors = [line for line in printed.err.replace("\r", "\n").splitlines() if "error:" in line]
    assert len(errors) == 1 and "broken.jpg" in errors[0]
    assert "4 of 5" in printed.out
    assert set(contents(Path("out"))) == {"beach.jpg", "cat.png", "dune.jpg", "elm.png"}
