import pkgutil
import subprocess
import sys

import pytest

import faststyle
from tests.support import ROOT


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "faststyle.cli.stylize", "photo.jpg", "--checkpoint", "starry_night"],
        ["-mfaststyle.cli.stylize", "photo.jpg"],
        ["-W", "ignore", "-m", "faststyle.cli.main"],
        ["-m", "faststyle.cli.infer", "photo.jpg"],  # of an earlier version
        ["-m", "faststyle.inference.stylizer"],
        ["-m", "faststyle.cli"],
        ["faststyle/cli/stylize.py", "photo.jpg"],
    ],
)
def test_module_that_is_no_command_is_not_run_to_no_effect(words):
    done = run(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: faststyle.") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["-m", "faststyle"], ["-m", "faststyle.__main__"], ["faststyle/__main__.py"]]
)
def test_package_is_run_as_the_command(words):
    done = run(*words)
    assert done.returncode == 0 and "usage: faststyle COMMAND" in done.stdout


def test_package_can_be_imported_in_its_own_folder():
    code = "import sys; sys.path[0] = sys.argv[1]; import faststyle"
    command = [sys.executable, "-c", code, str(ROOT)]
    subprocess.run(command, cwd=ROOT / "faststyle", check=True)


def test_every_module_but_those_that_run_something_is_refused(monkeypatch, capsys):
    names = ["faststyle", *(one.name for one in pkgutil.walk_packages(faststyle.__path__, "faststyle."))]
    runs = set()
    for name in names:
        monkeypatch.setattr(sys, "argv", ["-m", "photo.jpg"])
        monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-m", name, "photo.jpg"])
        try:
            faststyle.refuse_to_run(faststyle.run_module())
            runs.add(name)
        except SystemExit:
            assert f"{name} is no command" in capsys.readouterr().err
    assert runs == faststyle.RUNNABLE and len(names) > 90
