"""The table and the sheet of images."""

import pytest
from PIL import Image

from benchmarks import images
from tests.support.images import draw_picture, sample


@pytest.mark.slow
def test_table_and_sheet_have_styles_ways_and_peers(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(images, "SIZE", 96)
    for name in ("paintings", "peers"):
        (tmp_path / name).mkdir()
    sample("coffee", 96).save(tmp_path / "cup.png")
    draw_picture(96, 80, seed=9).save(tmp_path / "paintings" / "great_wave.png")
    draw_picture(96, 64, seed=3).save(tmp_path / "peers" / "jj_wave.png")
    draw_picture(96, 64, seed=1).save(tmp_path / "peers" / "town.png")
    flags = ["--photos", tmp_path / "cup.png", "--paintings", tmp_path / "paintings"]
    flags += ["--peers", tmp_path / "peers", "--styles", "great_wave", "--evaluations", 2]
    images.main([*map(str, flags), "--sheet", str(tmp_path / "sheet.png")])
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()]
    assert [row[1].strip().partition(",")[0] for row in rows] == ["who", "---", "pass", "refined", "jj"]
    assert all(float(cell) >= -1 for row in rows[2:] for cell in row[2:])
    assert Image.open(tmp_path / "sheet.png").width > 5 * 96
