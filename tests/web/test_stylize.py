"""Tests of the first tab: previews, refinement and files at full size."""

import time

import numpy as np
import pytest
from PIL import Image

from tests.support.images import draw_image, sample

pytest.importorskip("gradio")

from faststyle.errors import InputError, OutOfMemoryError
from faststyle.inference import network_runner
from faststyle.web import components, styles, stylize, stylize_tab, uploads, waiting
from faststyle.web.waiting import Stage

NAME = styles.DEFAULT_STYLE


def test_stylized_photo_differs_except_at_strength_0(photo, style):
    before = uploads.open_upload(photo, "photo", 64)
    after = stylize.stylize_image(before, styles.load_shared_stylizer(style.model), 1.0, False)
    assert before.size == after.size and max(after.size) == 64
    assert np.abs(np.asarray(before, float) - np.asarray(after, float)).mean() > 10
    assert (
        stylize.stylize_image(before, styles.load_shared_stylizer(style.model), 0.0, False).tobytes()
        == before.tobytes()
    )


def test_field_is_cleared_only_if_its_photo_cannot_be_read(photo, tmp_path):
    ((field, result, line),) = stylize_tab.show_preview(photo, "gone", 1.0, False, 64, {})
    assert field == stylize_tab.gr.skip() and result == stylize_tab.EMPTY
    assert "Choose a style first" in line
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear Theo")
    ((field, _, line),) = stylize_tab.show_preview(str(letter), NAME, 1.0, False, 64, {})
    assert field is None and "letter.jpg is not an image" in line


def test_out_of_memory_error_names_controls_of_the_page():
    def full(*_):
        raise OutOfMemoryError("9x9 pixels do not fit into memory: lower `tile`")

    with pytest.raises(OutOfMemoryError, match="40 × 30") as caught:
        stylize.stylize_image(draw_image(40, 30), full, 1.0, False)
    assert caught.value.parameters == ["max_size"]
    assert "or lower the preview size." in components.render_error(caught.value)


def test_parameter_without_a_label_is_named_in_words():
    assert (
        components.render_error(InputError("lower `stroke_scale`"))
        == '<p class="wrong">lower stroke scale</p>'
    )


def test_file_has_the_size_of_the_photo_and_the_names_of_photo_and_style(photo, style, tmp_path):
    path, line = stylize.stylize_full_size(photo, NAME, style, 1.0, False, str(tmp_path), Stage(""))
    assert path.name == f"beach_{NAME}.jpg"
    with Image.open(path) as picture:
        assert picture.format == "JPEG" and picture.size == Image.open(photo).size
    assert "120 × 80" in line


def test_names_hold_the_settings_that_differ_from_the_defaults(photo, style, tmp_path):
    for strength, keep_color, end in (
        (0.6, False, "_s0.6"),
        (1.0, True, "_color"),
        (0.35, True, "_s0.35_color"),
    ):
        path, line = stylize.stylize_full_size(
            photo, NAME, style, strength, keep_color, str(tmp_path), Stage("")
        )
        assert path.name == f"beach_{NAME}{end}.jpg" and line.startswith(path.name)


def test_transparent_image_is_saved_as_png(style, tmp_path):
    source = draw_image(60, 40).convert("RGBA")
    source.putalpha(100)
    source.save(tmp_path / "odd & name.png")
    path, _ = stylize.stylize_full_size(
        str(tmp_path / "odd & name.png"), NAME, style, 1.0, True, str(tmp_path), Stage("")
    )
    assert path.name == f"odd  name_{NAME}_color.png"
    with Image.open(path) as picture:
        assert picture.mode == "RGBA" and picture.getpixel((0, 0))[3] == 100


@pytest.mark.slow
def test_image_too_wide_for_jpeg_is_saved_as_png(style, tmp_path):
    draw_image(66_000, 4).save(tmp_path / "wall.png")
    path, _ = stylize.stylize_full_size(
        str(tmp_path / "wall.png"), NAME, style, 1.0, False, str(tmp_path), Stage("")
    )
    assert path.suffix == ".png"
    with Image.open(path) as picture:
        assert picture.size == (66_000, 4)


def test_long_chinese_names_are_shortened(style, tmp_path):
    source = tmp_path / f"{'山' * 80}.jpg"
    draw_image(40, 30).save(source)
    path, _ = stylize.stylize_full_size(str(source), "水" * 80, style, 1.0, False, str(tmp_path), Stage(""))
    assert path.name == f"{'山' * 33}_{'水' * 33}.jpg" and path.exists()


def test_photo_larger_than_memory_is_stylized_in_tiles_at_full_size(style, tmp_path, monkeypatch):
    sample("coffee", 600).save(tmp_path / "beach.png")
    monkeypatch.setattr(network_runner, "max_whole_pixels", lambda network, device: 2400)
    tiled, tiles = network_runner.NetworkRunner._tiled, []
    monkeypatch.setattr(network_runner.NetworkRunner, "_tiled", lambda *given: tiles.append(tiled(*given)))
    path, line = stylize.stylize_full_size(
        str(tmp_path / "beach.png"), NAME, style, 1.0, False, str(tmp_path), Stage("")
    )
    with Image.open(path) as picture:
        assert picture.size == (600, 400)
    assert "600 × 400" in line and len(tiles) == 1


@pytest.mark.slow
def test_refinement_updates_the_preview_until_its_progress_bar_is_full(photo, temporary):
    shown = list(stylize_tab.refine(photo, styles.DEFAULT_STYLE, 1.0, False, 640, {}))
    images, lines = zip(*shown, strict=True)
    assert len({image for image in images if isinstance(image, str)}) >= 10
    assert 'value="0" max="10"' in lines[0] and 'value="10" max="10"' in lines[-2]
    assert "refined:" in lines[-1] and "120 × 80 pixels" in lines[-1]


def test_slow_preview_and_download_show_their_stage(photo, temporary, monkeypatch):
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(stylize, "stylize_image", lambda image, *_: time.sleep(0.3) or image)
    *shown, (_, result, line) = stylize_tab.show_preview(photo, NAME, 1.0, False, 64, {})
    assert len(shown) > 3 and all("<progress" in line for *_, line in shown)
    assert "Stylizing a preview … 0 s" in shown[0][2]
    assert "<figure" in result and "<progress" not in line
    *shown, (path, line) = stylize_tab.download(photo, NAME, 1.0, False, {})
    assert all(path is None and "<progress" in line for path, line in shown)
    assert any("Stylizing 120 × 80 pixels … 0 s" in line for _, line in shown)
    assert path.endswith(f"beach_{NAME}.jpg") and "<progress" not in line


def test_refining_without_a_photo_asks_for_one(temporary):
    ((_, line),) = stylize_tab.refine(None, styles.DEFAULT_STYLE, 1.0, False, 640, {})
    assert "Add a photo first" in line


def test_painting_becomes_a_style_of_the_session(painting):
    own, line = stylize_tab.add_painting(str(painting), {})
    assert list(own) == ["painting"] and line == ""
    assert own["painting"].title == "Painting (yours)" and own["painting"].model == painting
    again, _ = stylize_tab.add_painting(str(painting), own)
    assert list(again) == ["painting", "painting_2"]
    cleared, line = stylize_tab.add_painting(None, own)
    assert cleared == stylize_tab.gr.skip() and line == ""


def test_file_that_is_no_painting_is_named(tmp_path):
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear Theo")
    own, line = stylize_tab.add_painting(str(letter), {})
    assert own == stylize_tab.gr.skip() and "letter.jpg is not an image" in line
