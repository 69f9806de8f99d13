"""Snapshots of the commands' help and errors.

pytest tests/cli/test_snapshots.py --snapshot-update  # renew them
"""

import pytest

from faststyle.cli.main import APART, COMMANDS, main, parser_of

MISTAKES = [
    "stylise photo.jpg",
    "stylize",
    "stylize photo.jpg",
    "stylize photo.jpg --checkpoint starry_night --strength 2",
    "stylize photo.jpg --checkpoint starry_night --strenght 0.5",
    "stylize photo.jpg --checkpoint starry_night --repo me/model",
    "stylize photo.jpg --checkpoint",
    "stylize missing.jpg --checkpoint starry_night",
    "stylize photo.jpg --style starry.jpg",
    "optimize photo.jpg",
    "optimize photo.jpg --style missing.jpg --style-weight -1",
    "export --checkpoint starry_night --output model.txt",
    "push --checkpoint starry_night",
    "compare photo.jpg --checkpoint starry_night",
]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in APART])
def test_help_of_each_option(command, snapshot):
    # Not format_help(), whose layout depends on the version of Python.
    options = [action for action in parser_of(command)._actions if action.dest != "help"]
    names = [", ".join(option.option_strings) for option in options]
    lines = [f"{name} {option.metavar}: {option.help}" for name, option in zip(names, options, strict=True)]
    assert "\n".join(lines) == snapshot


@pytest.mark.parametrize("line", MISTAKES)
def test_error_line(line, snapshot, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(line.split())
    assert capsys.readouterr().err == snapshot
