"""Run commands and check their output and the files that they write."""

from pathlib import Path

import pytest


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the content of each file below a folder, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expect_error_line(capsys, run, *arguments) -> str:
    """Run a command that must exit with status 2 and print one error line. Return the line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def check_damaged_file_is_skipped(infer, photos: Path, capsys) -> None:
    """Check that a damaged file in a folder is reported while the other files are stylized."""
    (photos / "broken.jpg").write_bytes(b"not an image")
    with pytest.raises(SystemExit) as caught:
        infer(photos, "-o", "out")
    assert caught.value.code == 2
    printed = capsys.readouterr()
    errors = [line for line in printed.err.replace("\r", "\n").splitlines() if "error:" in line]
    assert len(errors) == 1 and "broken.jpg" in errors[0]
    assert "4 of 5" in printed.out
    assert set(read_folder(Path("out"))) == {"beach.jpg", "cat.png", "dune.jpg", "elm.png"}


def exit_status(run, *arguments) -> int:
    """Run the command, which must exit, and return its status."""
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    return caught.value.code
