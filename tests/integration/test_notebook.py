"""The notebook's cells, one after another."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "faststyle.ipynb"


@pytest.mark.slow
def test_cells_run_in_order(work):
    shown = []
    names: dict = {"__name__": "__main__"}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        lines = "".join(cell["source"]).splitlines()
        if cell["cell_type"] != "code" or lines[0].startswith("%"):
            continue
        # A notebook shows the value of a cell's last line.
        exec("\n".join(lines[:-1]).replace("SECONDS = 60", "SECONDS = 20"), names)
        if not lines[-1].startswith(" "):
            shown.append(eval(lines[-1], names))
    assert [image.size for image in shown] == [(451, 300)] * 3
    assert Path("runs/mine/mine.safetensors").exists()
