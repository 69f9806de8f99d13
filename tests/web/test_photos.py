"""Tests of the tab for several photos."""

import shutil
import zipfile
from collections import namedtuple

import pytest
from PIL import Image

from tests.support.images import draw_image

pytest.importorskip("gradio")

from faststyle.errors import InputError
from faststyle.web import photos, photos_tab
from faststyle.web.styles import DEFAULT_STYLE
from faststyle.web.stylize import Look


@pytest.fixture
def uploads(tmp_path) -> list[str]:
    """Return two photos of one name, and a text."""
    paths = [tmp_path / "a" / "beach.jpg", tmp_path / "b" / "beach.jpg", tmp_path / "letter.jpg"]
    for side, path in zip((40, 60), paths, strict=False):
        path.parent.mkdir()
        draw_image(side, 30).save(path)
    paths[-1].write_text("Dear Theo")
    return [str(path) for path in paths]


def test_zip_holds_every_photo_and_errors_name_the_others(uploads, temporary):
    *shown, (grid, _, _), (_, line, path) = photos_tab.run(uploads, DEFAULT_STYLE, {}, 1.0, False, 0)
    assert len(shown) >= 3 and grid.count("<figure") == 2
    assert f"{DEFAULT_STYLE}.zip: 2 of 3 photos" in line and "letter.jpg is not an image" in line
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert names == [f"beach_{DEFAULT_STYLE}.jpg", f"beach_{DEFAULT_STYLE}_2.jpg"]
        with archive.open(names[1]) as file:
            assert Image.open(file).size == (60, 30)


def test_nothing_is_left_when_no_photo_can_be_read(uploads, temporary):
    *_, (_, line, path) = photos_tab.run(uploads[-1:], DEFAULT_STYLE, {}, 1.0, False, 0)
    assert "None of the photos" in line and "letter.jpg" in line and path is None
    assert not list(temporary.rglob("*.zip"))
    (_, (_, line, _)) = photos_tab.run(None, DEFAULT_STYLE, {}, 1.0, False, 0)
    assert "Add photos first" in line


def test_full_disk_ends_the_run_with_one_sentence(uploads, folder, style, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(photos.MIN_FREE_BYTES))
    with pytest.raises(InputError, match="disk is full"):
        list(photos.stylize_photos(uploads, DEFAULT_STYLE, style, Look(), None, str(folder)))
    assert not list(folder.rglob("*.zip"))


def test_stop_leaves_no_file(uploads, folder, style):
    run = photos.stylize_photos(uploads, DEFAULT_STYLE, style, Look(), None, str(folder))
    next(run)
    run.close()
    assert not list(folder.iterdir())
