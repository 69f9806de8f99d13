"""A style trained on the web page: its end, its failures, and how it is stopped."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.support.images import draw_image

pytest.importorskip("gradio")

from faststyle.errors import InputError
from faststyle.models.checkpoint import load_model
from faststyle.models.pretrained import built_in_styles
from faststyle.web import styles, stylize, training, training_tab, uploads

NAME = styles.DEFAULT_STYLE


@pytest.mark.slow
def test_training_leaves_a_model_that_stylizes_and_no_folder(tmp_path, photo):
    painting = draw_image(64, 64)
    with training.Training(painting, "mine", 2, built_in_styles()[NAME], "me", str(tmp_path)) as run:
        with pytest.raises(InputError, match="being trained here already"):
            training.Training(painting, "other", 2, None, "you", str(tmp_path))
        assert not training.stop("you")
        run.process.wait()
        assert run.progress().step == 2
        model, kept = run.keep(str(tmp_path))
    assert model.name == "mine.safetensors" and load_model(model)[1].steps == 2
    style = styles.Style("Mine", model, kept, kept)
    small = uploads.open_upload(photo, "photo", 32)
    assert stylize.stylize_image(small, styles.load_shared_stylizer(model), 1.0, False).size == (32, 21)
    assert free_again() and not list(tmp_path.glob("training_*"))
    styles.delete_styles({"mine": style})
    assert not model.parent.exists()


def test_stopped_before_the_first_step_says_so(tmp_path):
    with training.Training(draw_image(64, 64), "mine", 2, None, "me", str(tmp_path)) as run:
        assert training.stop("me")
        run.process.wait()
        with pytest.raises(InputError, match="before the first step"):
            run.keep(str(tmp_path))
    assert free_again()


def test_training_of_a_server_that_ignores_ctrl_c_stops_as_well(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a server that a shell put in the background
    try:
        test_stopped_before_the_first_step_says_so(tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_what_stops_train_py_is_told(tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    with training.Training(draw_image(64, 64), "mine", 2, bad, "me", str(tmp_path)) as run:
        run.process.wait()
        with pytest.raises(InputError, match=r"bad\.safetensors"):
            run.keep(str(tmp_path))
    assert free_again()


@pytest.mark.slow
def test_training_of_a_painting_called_null_ends_by_itself_with_a_style(temporary, tmp_path):
    path = tmp_path / "null.jpg"  # which is None to YAML
    draw_image(64, 64).save(path)
    *_, last = training_tab.train(str(path), NAME, 2, {}, SimpleNamespace(session_hash="me"))
    _, line, _, own, _, _ = last
    assert "Done after 2 steps" in line
    assert own["null"].title == "Null (yours)" and own["null"].model.name == "null.safetensors"
    assert load_model(own["null"].model)[1].style[0].name == "null"
    assert free_again()


def test_full_disk_leaves_no_folder_and_lets_the_next_train(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        training.Training(draw_image(64, 64), "mine", 2, None, "me", str(tmp_path / "gone"))
    painting = draw_image(64, 64)
    monkeypatch.setattr(painting, "save", lambda path: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        training.Training(painting, "mine", 2, None, "me", str(tmp_path))
    assert not training.Training.slot.locked() and not list(tmp_path.iterdir())


def replace_training(monkeypatch, code: str) -> None:
    start = subprocess.Popen
    monkeypatch.setattr(
        training.subprocess, "Popen", lambda _, **options: start([sys.executable, "-c", code], **options)
    )


def test_training_that_does_not_stop_is_killed(tmp_path, monkeypatch):
    replace_training(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(training, "SECONDS_TO_STOP", 0.2)
    with training.Training(draw_image(64, 64), "mine", 2, None, "me", str(tmp_path)) as run:
        assert training.stop("me")
        assert run.process.wait(20) != 0
    assert free_again()


def test_crash_is_told_in_the_servers_log(tmp_path, monkeypatch, capsys):
    replace_training(monkeypatch, "raise RuntimeError('boom')")
    with training.Training(draw_image(64, 64), "mine", 2, None, "me", str(tmp_path)) as run:
        run.process.wait()
        with pytest.raises(InputError, match=r"status 1 .*the server's log says more"):
            run.keep(str(tmp_path))
    assert "RuntimeError: boom" in capsys.readouterr().err
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
