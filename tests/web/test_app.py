"""Tests of the web page without a browser: its functions, its limits, and its server."""

import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.support.commands import expect_error_line
from tests.support.images import draw_image, sample
from tests.support.web_server import serving

pytest.importorskip("gradio")

import gradio as gr
from gradio_client import Client, handle_file

from faststyle.errors import InputError, OutOfMemoryError
from faststyle.inference import engines, stylizer
from faststyle.models.card import ModelCard, Painting
from faststyle.models.pretrained import built_in_styles
from faststyle.web import __main__ as command
from faststyle.web import app, compare, components, styles, stylize, stylize_tab, uploads

NAME = styles.DEFAULT_STYLE


@pytest.fixture
def style() -> styles.Style:
    return styles.list_built_in_styles()[NAME]


# Uploaded images


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
    path = tmp_path / "wall.png"
    Image.new("L", (9000, 8000)).save(path)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"wall\.png has 72 megapixels, .* at most 64"):
        uploads.open_upload(str(path), "photo")


def test_eps_is_refused_before_ghostscript_runs(tmp_path, monkeypatch):
    path = tmp_path / "x.jpg"
    draw_image(20, 20).save(path, "EPS")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"x\.jpg has the format EPS"):
        uploads.open_upload(str(path), "photo")


@pytest.mark.parametrize("kind", sorted(uploads.FORMATS - {"AVIF", "HEIF"}))
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


# Previews and files


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
    field, result, line = stylize_tab.show_preview(photo, "gone", 1.0, False, 64, {})
    assert field == stylize_tab.gr.skip() and result == stylize_tab.EMPTY
    assert "Choose a style first" in line
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear Theo")
    field, _, line = stylize_tab.show_preview(str(letter), NAME, 1.0, False, 64, {})
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
    path, line = stylize.stylize_full_size(photo, NAME, style, 1.0, False, str(tmp_path))
    assert path.name == f"beach_{NAME}.jpg"
    with Image.open(path) as picture:
        assert picture.format == "JPEG" and picture.size == Image.open(photo).size
    assert "120 × 80" in line


def test_transparent_image_is_saved_as_png(style, tmp_path):
    source = draw_image(60, 40).convert("RGBA")
    source.putalpha(100)
    source.save(tmp_path / "odd & name.png")
    path, _ = stylize.stylize_full_size(
        str(tmp_path / "odd & name.png"), NAME, style, 1.0, True, str(tmp_path)
    )
    assert path.name == f"odd  name_{NAME}.png"
    with Image.open(path) as picture:
        assert picture.mode == "RGBA" and picture.getpixel((0, 0))[3] == 100


@pytest.mark.slow
def test_image_too_wide_for_jpeg_is_saved_as_png(style, tmp_path):
    draw_image(66_000, 4).save(tmp_path / "wall.png")
    path, _ = stylize.stylize_full_size(str(tmp_path / "wall.png"), NAME, style, 1.0, False, str(tmp_path))
    assert path.suffix == ".png"
    with Image.open(path) as picture:
        assert picture.size == (66_000, 4)


def test_long_chinese_names_are_shortened(style, tmp_path):
    source = tmp_path / f"{'山' * 80}.jpg"
    draw_image(40, 30).save(source)
    path, _ = stylize.stylize_full_size(str(source), "水" * 80, style, 1.0, False, str(tmp_path))
    assert path.name == f"{'山' * 33}_{'水' * 33}.jpg" and path.exists()


def test_photo_larger_than_memory_is_stylized_in_tiles_at_full_size(style, tmp_path, monkeypatch):
    sample("coffee", 600).save(tmp_path / "beach.png")
    monkeypatch.setattr(stylizer, "most_pixels", lambda network, device: 2400)
    tiled, tiles = stylizer.Stylizer._tiled, []
    monkeypatch.setattr(stylizer.Stylizer, "_tiled", lambda *given: tiles.append(tiled(*given)))
    path, line = stylize.stylize_full_size(
        str(tmp_path / "beach.png"), NAME, style, 1.0, False, str(tmp_path)
    )
    with Image.open(path) as picture:
        assert picture.size == (600, 400)
    assert "600 × 400" in line and len(tiles) == 1


# Styles


def test_title_of_a_style_is_its_painting_in_the_model_card(monkeypatch):
    styles.list_built_in_styles.cache_clear()
    painting = Painting("The Starry Night", "Vincent van Gogh", "1889", "public domain")
    monkeypatch.setattr(styles.pretrained, "read_cards", lambda: {NAME: ModelCard(painting=painting)})
    try:
        assert styles.list_choices(styles.list_built_in_styles()) == [
            ("The Starry Night, Vincent van Gogh", NAME)
        ]
    finally:
        styles.list_built_in_styles.cache_clear()


def test_built_in_and_own_styles_are_found(style):
    own = {"mine": style._replace(title="Mine")}
    assert list(styles.list_styles(own)) == [*built_in_styles(), "mine"]
    assert styles.find_style("mine", own).title == "Mine" and styles.find_style(NAME, own) == style
    for name in ("mine", None):
        with pytest.raises(InputError, match="Choose a style first"):
            styles.find_style(name, {})


def test_own_style_is_not_converted_to_openvino(style, tmp_path, monkeypatch):
    def build(module, device, dtype):
        pytest.fail("converted")

    fastest = engines.Engine(build, lambda device, dtype: None)
    monkeypatch.setitem(engines.ENGINES, "openvino", fastest)
    own = Path(shutil.copy(style.model, tmp_path))
    assert styles.load_stylizer(own).engine == "torch"
    with pytest.raises(pytest.fail.Exception, match="converted"):
        styles.load_stylizer(style.model)


def test_sample_image_of_a_style_is_embedded_in_the_css(style):
    css = styles.render_sample_css({NAME: style})
    assert f'value="{NAME}"' in css and 'url("data:image/jpeg;base64,' in css
    assert "http" not in css


# Fast and slow


@pytest.mark.slow
def test_objective_of_the_slow_method_decreases(photo, tmp_path, style):
    draw_image(64, 64).save(tmp_path / "painting.png")
    stages = list(compare.compare_methods(photo, str(tmp_path / "painting.png"), style, 48, 3))
    assert [slow.step for _, slow, _ in stages] == [0, 1, 2, 3]
    objectives = [slow.objective for _, slow, _ in stages]
    assert objectives == sorted(objectives, reverse=True) and objectives[-1] < objectives[0]
    fast, slow, notes = stages[-1]
    assert fast.image.size == slow.image.size == (48, 32)
    assert fast.seconds > 0 and fast.objective > 0
    assert any("not the file that the model was trained on" in note for note in notes)


def test_comparison_needs_the_painting(photo, style):
    with pytest.raises(InputError, match="Add the painting of"):
        next(compare.compare_methods(photo, None, style._replace(painting=None), 48, 3))


# The command


def test_help_imports_neither_torch_nor_gradio():
    code = "import sys; from faststyle.web.__main__ import main\ntry: main(['--help'])\n"
    code += "except SystemExit: print(sorted({'torch', 'gradio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--host" in done.stdout


def test_default_host_is_loopback():
    assert command.build_parser().parse_args([]).host == "127.0.0.1"


@pytest.mark.parametrize("options", [["--port", "70000"], ["--port", "x"], ["--prot", "1"]])
def test_invalid_options_end_with_an_error_line(options, capsys):
    assert "--help" in expect_error_line(capsys, command.main, options)


def test_taken_port_and_unknown_address_end_with_an_error_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert "another --port" in expect_error_line(capsys, command.main, ["--port", str(taken)])
    assert "192.0.2.1" in expect_error_line(capsys, command.main, ["--host", "192.0.2.1"])
    assert "no.such.invalid" in expect_error_line(capsys, command.main, ["--host", "no.such.invalid"])


@pytest.mark.slow
def test_port_taken_during_the_start_ends_with_an_error_line(temporary, capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert f"port {taken}" in expect_error_line(capsys, app.serve, "127.0.0.1", taken)


def test_error_for_missing_gradio_names_the_package_to_install(capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert "pip install -e '.[web]'" in expect_error_line(capsys, command.main, [])


# The server


def read_peak_memory(pid: int) -> int:
    """Return the peak resident memory of a process, in bytes."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6_address_serves(tmp_path):
    with serving(tmp_path / "temporary", "--host", "::1") as (address, _):
        assert address.startswith("http://[::1]:")
        assert urllib.request.urlopen(address).status == 200


@pytest.mark.slow
def test_forged_request_cannot_read_a_file_of_the_server(tmp_path, photo):
    with serving(tmp_path / "temporary") as (address, _):
        client = Client(address, verbose=False)
        for _ in range(2):  # because Gradio creates the fields anew after the first response
            # Gradio accepts any path in a payload without its "meta" key.
            _, result, _ = client.predict({"path": photo}, NAME, 1.0, False, 640, api_name="/stylize")
            assert "data:image" not in result and "will be here" in result
            line = client.predict({"path": photo}, NAME, 1.0, False, api_name="/download")[1]
            assert "Add a photo" in line


def test_previews_do_not_share_a_queue_with_long_computations(temporary):
    ids = {fn.api_name: fn.concurrency_id for fn in app.build().fns.values()}
    assert ids["download"] == ids["compare"] != ids["stylize"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_clients_are_served_in_bounded_memory_and_no_file_remains(tmp_path, photo):
    folder = tmp_path / "temporary"
    folder.mkdir()
    sample("coffee", 700).save(tmp_path / "large.jpg")
    with serving(folder) as (address, process):
        one = Client(address, verbose=False)
        large = handle_file(str(tmp_path / "large.jpg"))
        options = (NAME, 1.0, False)
        one.predict(large, *options, 640, api_name="/stylize")
        one.predict(large, *options, api_name="/download")
        alone = read_peak_memory(process.pid)

        def request(number: int) -> str:
            client = Client(address, verbose=False)
            if number % 2:
                return client.predict(large, *options, api_name="/download")[1]
            _, result, line = client.predict(large, *options, 640, api_name="/stylize")
            return line if "data:image/jpeg" in result else ""

        with ThreadPoolExecutor(10) as pool:
            lines = list(pool.map(request, range(10)))
        assert all(("700 × 467" if i % 2 else "640 × 427") in line for i, line in enumerate(lines)), lines
        assert read_peak_memory(process.pid) < alone + (300 << 20)
        assert list(folder.rglob("large.jpg"))  # the upload
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not list(folder.iterdir())


@pytest.mark.slow
def test_refinement_updates_the_preview_until_its_progress_bar_is_full(photo, temporary):
    shown = list(stylize_tab.refine(photo, styles.DEFAULT_STYLE, 1.0, False, 640, {}))
    images, lines = zip(*shown, strict=True)
    assert len({image for image in images if isinstance(image, str)}) >= 10
    assert 'value="0" max="10"' in lines[0] and 'value="10" max="10"' in lines[-2]
    assert "refined:" in lines[-1] and "120 × 80 pixels" in lines[-1]


def test_refining_without_a_photo_asks_for_one(temporary):
    ((_, line),) = stylize_tab.refine(None, styles.DEFAULT_STYLE, 1.0, False, 640, {})
    assert "Add a photo first" in line
