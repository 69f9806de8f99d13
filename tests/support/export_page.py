"""The exports that docs/export.md makes."""

import re
from pathlib import Path

import pytest

from faststyle.cli.main import run_command
from tests.support import ROOT

PAGE = (ROOT / "docs" / "export.md").read_text("utf-8")


def run_documented_exports(folder: Path, arguments: str) -> None:
    """Run the page's two export commands whose arguments match a pattern, in a folder."""
    lines = [match[1] for match in re.finditer(rf"^faststyle export ({arguments})$", PAGE, re.MULTILINE)]
    assert len(lines) == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in lines:
            run_command("export", line.split())
