"""The web page without a browser: its work, its limits, and the server as a client sees it."""

import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_picture, refused, sample
from PIL import Image

pytest.importorskip("gradio")

from faststyle.checkpoint import load_model
from faststyle.errors import InputError
from faststyle.styles import ready
from faststyle.web import __main__ as command
from faststyle.web import compare, pictures, shelf, stylize, training

NAME = shelf.FAVOURITE


@pytest.fixture
def style() -> shelf.Style:
    return shelf.ready_styles()[NAME]


@pytest.fixture
def photo(tmp_path) -> str:
    path = tmp_path / "beach.jpg"
    sample("coffee", 120).save(path, quality=95)
    return str(path)


# Pictures that come in


def test_text_file_named_as_picture_is_named_in_the_message(tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Theo")
    with pytest.raises(InputError, match=r"^letter\.jpg is not a picture"):
        pictures.open_upload(str(path), "photo")


def test_missing_and_cleared_uploads_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="Add a painting first"):
        pictures.open_upload(None, "painting")
    with pytest.raises(InputError, match="add it again"):
        pictures.open_upload(str(tmp_path / "gone.jpg"), "photo")


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = tmp_path / "wall.png"
    Image.new("L", (9000, 8000)).save(path)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"wall\.png has 72 megapixels, and 64 are the most"):
        pictures.open_upload(str(path), "photo")


# The preview and the file


def test_preview_differs_from_the_photo_and_not_at_strength_0(photo, style):
    before, after, seconds = stylize.preview(photo, style, 1.0, False, 64)
    assert before.size == after.size and max(after.size) == 64
    assert np.abs(np.asarray(before, float) - np.asarray(after, float)).mean() > 10
    assert seconds > 0
    before, after, _ = stylize.preview(photo, style, 0.0, False, 64)
    assert before.tobytes() == after.tobytes()


def test_file_is_as_large_as_the_photo_and_named_after_photo_and_style(photo, style, tmp_path):
    path, line = stylize.full_size(photo, NAME, style, 1.0, False, str(tmp_path))
    assert path.name == f"beach_{NAME}.jpg"
    with Image.open(path) as picture:
        assert picture.format == "JPEG" and picture.size == Image.open(photo).size
    assert "120 × 80" in line


def test_transparency_is_kept_in_a_png(style, tmp_path):
    source = draw_picture(60, 40).convert("RGBA")
    source.putalpha(100)
    source.save(tmp_path / "odd & name.png")
    path, _ = stylize.full_size(str(tmp_path / "odd & name.png"), NAME, style, 1.0, True, str(tmp_path))
    assert path.name == f"odd  name_{NAME}.png"
    with Image.open(path) as picture:
        assert picture.mode == "RGBA" and picture.getpixel((0, 0))[3] == 100


def test_photo_that_memory_cannot_hold_is_brought_down_and_the_line_says_so(
    photo, style, tmp_path, monkeypatch
):
    monkeypatch.setattr(stylize, "memory", lambda: 2 * 2400 * stylize.BYTES_PER_PIXEL)
    path, line = stylize.full_size(photo, NAME, style, 1.0, False, str(tmp_path))
    with Image.open(path) as picture:
        assert picture.width * picture.height <= 2400 and picture.size == (60, 40)
    assert "The photo has 120 × 80" in line


# Styles


def test_style_is_called_as_its_card_calls_the_painting(monkeypatch):
    shelf.ready_styles.cache_clear()
    painting = {"title": "The Starry Night", "artist": "Vincent van Gogh", "year": 1889}
    monkeypatch.setattr(shelf.styles, "cards", lambda: {NAME: {"painting": painting}})
    try:
        found = shelf.ready_styles()
        assert found[NAME].title == "The Starry Night"
        assert found[NAME].credit == "The Starry Night, Vincent van Gogh, 1889"
        assert [name for _, name in shelf.choices(found)] == list(ready())
    finally:
        shelf.ready_styles.cache_clear()


def test_each_style_with_a_sample_has_a_picture_in_the_page(style):
    css = shelf.sample_css({NAME: style._replace(sample=ready()[NAME].with_suffix(".webp"))})
    assert f'value="{NAME}"' in css and 'url("data:image/jpeg;base64,' in css
    assert "http" not in css


# Training


def test_training_leaves_a_model_that_stylizes_and_no_folder(tmp_path, photo):
    painting = draw_picture(64, 64)
    with training.Training(painting, "mine", 2, ready()[NAME], "me", str(tmp_path)) as run:
        with pytest.raises(InputError, match="being trained here already"):
            training.Training(painting, "other", 2, None, "you", str(tmp_path))
        assert not training.stop("you")
        run.wait()
        assert run.progress().step == 2
        model, kept = run.keep(str(tmp_path))
    assert load_model(model)[1]["steps"] == 2
    style = shelf.Style("Mine", "Mine", model, None, str(kept))
    assert stylize.preview(photo, style, 1.0, False, 32).after.size == (32, 21)
    assert free_again() and not list(tmp_path.glob("training_*"))
    shelf.forget({"mine": style})
    assert not model.parent.exists()


def test_stopped_before_the_first_step_says_so(tmp_path):
    with training.Training(draw_picture(64, 64), "mine", 2, None, "me", str(tmp_path)) as run:
        assert training.stop("me")
        run.wait()
        with pytest.raises(InputError, match="before the first step"):
            run.keep(str(tmp_path))
    assert free_again()


def test_what_stops_train_py_is_told(tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    with training.Training(draw_picture(64, 64), "mine", 2, bad, "me", str(tmp_path)) as run:
        run.wait()
        with pytest.raises(InputError, match=r"bad\.safetensors"):
            run.keep(str(tmp_path))
    assert free_again()


def free_again() -> bool:
    """Whether the next training may begin, within some seconds."""
    free = training.Training.slot.acquire(timeout=20)
    if free:
        training.Training.slot.release()
    return free


@pytest.mark.parametrize(
    ("path", "name"), [("/a/Étude No. 2.JPG", "étude_no_2"), ("/a/../…….png", "style"), ("a" * 99, "a" * 40)]
)
def test_model_is_named_after_the_painting(path, name):
    assert training.slug(path) == name


# Fast and slow


def test_slow_way_improves_beside_the_fast_one(photo, tmp_path, style):
    draw_picture(64, 64).save(tmp_path / "painting.png")
    stages = list(compare.race(photo, str(tmp_path / "painting.png"), style, 48, 3))
    assert [slow.step for _, slow, _ in stages] == [0, 1, 2, 3]
    objectives = [slow.objective for _, slow, _ in stages]
    assert objectives == sorted(objectives, reverse=True) and objectives[-1] < objectives[0]
    fast, slow, notes = stages[-1]
    assert fast.picture.size == slow.picture.size == (48, 32)
    assert fast.seconds > 0 and fast.objective > 0
    assert any("not the file that the model was trained on" in note for note in notes)


def test_comparison_needs_the_painting(photo, style):
    with pytest.raises(InputError, match="Add the painting of"):
        next(compare.race(photo, None, style._replace(painting=None), 48, 3))


# The command


def test_help_imports_neither_torch_nor_gradio():
    code = "import sys; from faststyle.web.__main__ import main\ntry: main(['--help'])\n"
    code += "except SystemExit: print(sorted({'torch', 'gradio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--host" in done.stdout


def test_loopback_unless_told_otherwise():
    assert command.build_parser().parse_args([]).host == "127.0.0.1"


@pytest.mark.parametrize("flags", [["--port", "70000"], ["--port", "x"], ["--prot", "1"]])
def test_odd_flags_end_with_a_line(flags, capsys):
    assert "--help" in refused(capsys, command.main, flags)


def test_taken_port_and_foreign_address_end_with_a_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert "another --port" in refused(capsys, command.main, ["--port", str(taken)])
    assert "192.0.2.1" in refused(capsys, command.main, ["--host", "192.0.2.1"])
    assert "no.such.invalid" in refused(capsys, command.main, ["--host", "no.such.invalid"])


def test_missing_gradio_ends_with_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert "pip install -e '.[web]'" in refused(capsys, command.main, [])


# The server


def high_water(pid: int) -> int:
    """Bytes of memory that a process has had at most."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_at_once_get_answers_in_bounded_memory_and_nothing_is_left(tmp_path, photo):
    from gradio_client import Client, handle_file
    from web_server import serving

    folder = tmp_path / "temporary"
    folder.mkdir()
    sample("coffee", 600).save(tmp_path / "large.jpg")
    with serving(folder) as (address, process):
        one = Client(address, verbose=False)
        flags = (NAME, 1.0, False, 512)
        one.predict(handle_file(str(tmp_path / "large.jpg")), *flags, api_name="/stylize")
        alone = high_water(process.pid)

        def ask(_: int) -> tuple:
            client = Client(address, verbose=False)
            return client.predict(handle_file(str(tmp_path / "large.jpg")), *flags, api_name="/stylize")

        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(ask, range(10)))
        assert all("data:image/jpeg" in result and "512 × 341" in line for _, result, line in answers)
        assert high_water(process.pid) < alone + (300 << 20)
        assert list(folder.rglob("large.jpg"))  # where uploads go
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not list(folder.iterdir())
