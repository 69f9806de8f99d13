"""Tests of uploaded images: errors, formats and limits."""

from types import SimpleNamespace

import pytest
from PIL import Image

from tests.support.images import draw_image

pytest.importorskip("gradio")

import gradio as gr

from faststyle.errors import InputError
from faststyle.image.formats import readable_formats
from faststyle.web import components, uploads


def test_error_for_a_text_file_with_an_image_suffix_names_the_file(tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Theo")
    with pytest.raises(InputError, match=r"^letter\.jpg is not an image"):
        uploads.open_upload(str(path), "photo")


def test_errors_for_missing_and_deleted_uploads_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="Add a painting first"):
        uploads.open_upload(None, "painting")
    with pytest.raises(InputError, match="add it again"):
        uploads.open_upload(str(tmp_path / "gone.jpg"), "photo")


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = tmp_path / "wall.bmp"
    Image.new("1", (9000, 8000)).save(path)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"wall\.bmp has 72 megapixels, .* at most 64"):
        uploads.open_upload(str(path), "photo")


def test_eps_is_refused_before_ghostscript_runs(tmp_path, monkeypatch):
    path = tmp_path / "x.jpg"
    draw_image(20, 20).save(path, "EPS")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"x\.jpg is not an image that can be read"):
        uploads.open_upload(str(path), "photo")


@pytest.mark.parametrize("kind", readable_formats())
def test_accepted_formats_are_read(tmp_path, kind):
    draw_image(20, 10).save(tmp_path / "picture", kind)
    assert uploads.open_upload(str(tmp_path / "picture"), "photo").size == (20, 10)


def test_path_outside_the_upload_folder_is_refused(temporary, photo, monkeypatch):
    inside = temporary / "photo.jpg"
    inside.touch()
    (temporary / "link.jpg").symlink_to(photo)
    monkeypatch.chdir(temporary)
    monkeypatch.setattr(gr.Image, "preprocess", gr.Image.preprocess)  # restored after the test
    monkeypatch.setattr(gr.File, "preprocess", gr.File.preprocess)
    components.use_upload_paths()
    field = components.create_image_field("Photo", "", 200)
    assert field.preprocess(SimpleNamespace(path=str(inside))) == str(inside.resolve())
    for path in (photo, str(temporary / ".." / "beach.jpg"), "../beach.jpg", "link.jpg", None):
        assert field.preprocess(SimpleNamespace(path=path)) is None
    assert field.preprocess(None) is None
