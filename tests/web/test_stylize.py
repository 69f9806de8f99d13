"""Tests of the first tab: previews, refinement and files at full size."""

import time

import numpy as np
import pytest
from PIL import Image

from tests.support.images import draw_image, sample

pytest.importorskip("gradio")

from faststyle.errors import InputError, OutOfMemoryError
from faststyle.inference import network_runner
from faststyle.web import components, styles, stylize, stylize_events, uploads, waiting
from faststyle.web.waiting import Stage

NAME = styles.DEFAULT_STYLE


def test_stylized_photo_differs_except_at_strength_0(photo, style):
    before = uploads.open_upload(photo, "photo", 64)
    after = stylize.stylize_image(before, styles.load_shared_stylizer(style.model), stylize.Look())
    assert before.size == after.size and max(after.size) == 64
    assert np.abs(np.asarray(before, float) - np.asarray(after, float)).mean() > 10
    assert (
        stylize.stylize_image(before, styles.load_shared_stylizer(style.model), stylize.Look(0.0)).tobytes()
        == before.tobytes()
    )


def test_field_is_cleared_only_if_its_photo_cannot_be_read(photo, tmp_path):
    ((field, result, line),) = stylize_events.show_preview(photo, "gone", {}, 1.0, False, 64)
    assert field == stylize_events.gr.skip() and result == stylize_events.EMPTY
    assert "Choose a style first" in line
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear Theo")
    ((field, _, line),) = stylize_events.show_preview(str(letter), NAME, {}, 1.0, False, 64)
    assert field is None and "letter.jpg is not an image" in line


def test_out_of_memory_error_names_controls_of_the_page():
    def full(*_, **settings):
        raise OutOfMemoryError("9x9 pixels do not fit into memory: lower `tile`")

    with pytest.raises(OutOfMemoryError, match="40 × 30") as caught:
        stylize.stylize_image(draw_image(40, 30), full, stylize.Look())
    assert caught.value.parameters == ["max_size"]
    assert "or lower the preview size." in components.render_error(caught.value)


def test_parameter_without_a_label_is_named_in_words():
    assert (
        components.render_error(InputError("lower `stroke_scale`"))
        == '<p class="wrong">lower stroke scale</p>'
    )


def test_file_has_the_size_of_the_photo_and_the_names_of_photo_and_style(photo, style, tmp_path):
    path, line = stylize.stylize_full_size(photo, NAME, style, stylize.Look(), str(tmp_path), Stage(""))
    assert path.name == f"beach_{NAME}.jpg"
    with Image.open(path) as picture:
        assert picture.format == "JPEG" and picture.size == Image.open(photo).size
    assert "120 × 80" in line


def test_names_hold_the_settings_that_differ_from_the_defaults(photo, style, tmp_path):
    for look, end in (
        (stylize.Look(0.6), "_s0.6"),
        (stylize.Look(keep_color=True), "_color"),
        (stylize.Look(0.35, True), "_s0.35_color"),
        (stylize.Look(strokes="Fine"), "_strokes1"),
        (stylize.Look(strokes="Bold"), "_strokes2"),
    ):
        path, line = stylize.stylize_full_size(photo, NAME, style, look, str(tmp_path), Stage(""))
        assert path.name == f"beach_{NAME}{end}.jpg" and line.startswith(path.name)


def test_strokes_keep_their_size_relative_to_the_image():
    for side, scales in ((320, [1.0, "auto", 2.0]), (1280, [1.0, "auto", 4.0])):
        looks = [stylize.Look(strokes=name).settings(draw_image(side, side)) for name in stylize.STROKES]
        assert [look.stroke_scale for look in looks] == scales


def test_blend_with_another_style_is_a_style_with_a_name_of_its_own(photo, tmp_path):
    blend = styles.find_style("starry_night", {}, "great_wave", 0.3)
    assert "30% of" in blend.title
    assert styles.find_style("starry_night", {}, "great_wave", 0.0) == styles.find_style("starry_night", {})
    name = styles.blend_name("starry_night", "great_wave", 0.3)
    path, _ = stylize.stylize_full_size(photo, name, blend, stylize.Look(), str(tmp_path), Stage(""))
    assert path.name == "beach_starry_night_great_wave_0.3.jpg"
    assert styles.blend_name("starry_night", "starry_night", 0.3) == "starry_night"
    with pytest.raises(InputError, match="A blend has no single painting"):
        next(stylize.refine_image(draw_image(40, 30), blend, stylize.Look()))
    with pytest.raises(InputError, match="second style"):
        styles.find_style("starry_night", {}, "gone", 0.3)


def test_transparent_image_is_saved_as_png(style, tmp_path):
    source = draw_image(60, 40).convert("RGBA")
    source.putalpha(100)
    source.save(tmp_path / "odd & name.png")
    path, _ = stylize.stylize_full_size(
        str(tmp_path / "odd & name.png"),
        NAME,
        style,
        stylize.Look(keep_color=True),
        str(tmp_path),
        Stage(""),
    )
    assert path.name == f"odd  name_{NAME}_color.png"
    with Image.open(path) as picture:
        assert picture.mode == "RGBA" and picture.getpixel((0, 0))[3] == 100


@pytest.mark.slow
def test_image_too_wide_for_jpeg_is_saved_as_png(style, tmp_path):
    draw_image(66_000, 4).save(tmp_path / "wall.png")
    path, _ = stylize.stylize_full_size(
        str(tmp_path / "wall.png"), NAME, style, stylize.Look(), str(tmp_path), Stage("")
    )
    assert path.suffix == ".png"
    with Image.open(path) as picture:
        assert picture.size == (66_000, 4)


def test_long_chinese_names_are_shortened(style, tmp_path):
    source = tmp_path / f"{'山' * 80}.jpg"
    draw_image(40, 30).save(source)
    path, _ = stylize.stylize_full_size(
        str(source), "水" * 80, style, stylize.Look(), str(tmp_path), Stage("")
    )
    assert path.name == f"{'山' * 33}_{'水' * 33}.jpg" and path.exists()


def test_photo_larger_than_memory_is_stylized_in_tiles_at_full_size(style, tmp_path, monkeypatch):
    sample("coffee", 600).save(tmp_path / "beach.png")
    monkeypatch.setattr(network_runner, "max_whole_pixels", lambda network, device: 2400)
    tiled, tiles = network_runner.NetworkRunner._tiled, []
    monkeypatch.setattr(network_runner.NetworkRunner, "_tiled", lambda *given: tiles.append(tiled(*given)))
    path, line = stylize.stylize_full_size(
        str(tmp_path / "beach.png"), NAME, style, stylize.Look(), str(tmp_path), Stage("")
    )
    with Image.open(path) as picture:
        assert picture.size == (600, 400)
    assert "600 × 400" in line and len(tiles) == 1


@pytest.mark.slow
def test_refinement_updates_the_preview_until_its_progress_bar_is_full(photo, temporary):
    shown = list(stylize_events.refine(photo, styles.DEFAULT_STYLE, {}, 1.0, False, 640))
    images, lines = zip(*shown, strict=True)
    assert len({image for image in images if isinstance(image, str)}) >= 10
    assert 'value="0" max="10"' in lines[0] and 'value="10" max="10"' in lines[-2]
    assert "refined:" in lines[-1] and "120 × 80 pixels" in lines[-1]


def test_slow_preview_and_download_show_their_stage(photo, temporary, monkeypatch):
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(stylize, "stylize_image", lambda image, *_: time.sleep(0.3) or image)
    *shown, (_, result, line) = stylize_events.show_preview(photo, NAME, {}, 1.0, False, 64)
    assert len(shown) > 3 and all("<progress" in line for *_, line in shown)
    assert "Stylizing a preview … 0 s" in shown[0][2]
    assert "<figure" in result and "<progress" not in line
    *shown, (path, line) = stylize_events.download(photo, NAME, {})
    assert all(path is None and "<progress" in line for path, line in shown)
    assert any("Stylizing 120 × 80 pixels … 0 s" in line for _, line in shown)
    assert path.endswith(f"beach_{NAME}.jpg") and "<progress" not in line


def test_refining_without_a_photo_asks_for_one(temporary):
    ((_, line),) = stylize_events.refine(None, styles.DEFAULT_STYLE, {}, 1.0, False, 640)
    assert "Add a photo first" in line
