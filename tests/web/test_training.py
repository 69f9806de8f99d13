"""Tests of training on the web page: results, failures and stopping."""

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


@pytest.fixture
def slot() -> training.TrainingSlot:
    return training.TrainingSlot()


@pytest.mark.slow
def test_training_saves_a_model_that_stylizes_and_deletes_its_folder(slot, tmp_path, photo):
    painting = draw_image(64, 64)
    with training.Training(slot, painting, "mine", 2, built_in_styles()[NAME], "me", str(tmp_path)) as run:
        with pytest.raises(InputError, match="being trained here already"):
            training.Training(slot, painting, "other", 2, None, "you", str(tmp_path))
        assert not slot.stop("you")
        run.process.wait()
        assert run.read_progress()[:2] == (2, 0) and run.read_progress().preview.name == "step_000002.png"
        model, kept = run.move_results(str(tmp_path))
    assert model.name == "mine.safetensors" and load_model(model)[1].steps == 2
    style = styles.Style("Mine", model, kept, kept)
    small = uploads.open_upload(photo, "photo", 32)
    assert stylize.stylize_image(small, styles.load_shared_stylizer(model), 1.0, False).size == (32, 21)
    assert becomes_free(slot) and not list(tmp_path.glob("training_*"))
    styles.delete_styles({"mine": style})
    assert not model.parent.exists()


def test_stop_before_the_first_step_is_reported(slot, tmp_path):
    with training.Training(slot, draw_image(64, 64), "mine", 2, None, "me", str(tmp_path)) as run:
        assert slot.stop("me")
        run.process.wait()
        with pytest.raises(InputError, match="before the first step"):
            run.move_results(str(tmp_path))
    assert becomes_free(slot)


def test_training_of_a_server_that_ignores_sigint_stops(slot, tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a server started with &
    try:
        test_stop_before_the_first_step_is_reported(slot, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_error_of_train_py_is_reported(slot, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    with training.Training(slot, draw_image(64, 64), "mine", 2, bad, "me", str(tmp_path)) as run:
        run.process.wait()
        with pytest.raises(InputError, match=r"bad\.safetensors"):
            run.move_results(str(tmp_path))
    assert becomes_free(slot)


@pytest.mark.slow
def test_painting_named_null_can_be_trained(slot, temporary, tmp_path):
    path = tmp_path / "null.jpg"  # which YAML reads as None
    draw_image(64, 64).save(path)
    tab = training_tab.TrainingTab(slot)
    *_, last = tab.train(str(path), NAME, 2, {}, SimpleNamespace(session_hash="me"))
    _, line, _, own, _, _ = last
    assert "Done after 2 steps" in line
    assert own["null"].title == "Null (yours)" and own["null"].model.name == "null.safetensors"
    assert load_model(own["null"].model)[1].style[0].name == "null"
    assert becomes_free(slot)


def test_full_disk_leaves_no_folder_and_allows_the_next_training(slot, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        training.Training(slot, draw_image(64, 64), "mine", 2, None, "me", str(tmp_path / "gone"))
    painting = draw_image(64, 64)
    monkeypatch.setattr(painting, "save", lambda path: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        training.Training(slot, painting, "mine", 2, None, "me", str(tmp_path))
    assert not slot.lock.locked() and not list(tmp_path.iterdir())


def replace_training(monkeypatch, code: str) -> None:
    start = subprocess.Popen
    monkeypatch.setattr(
        training.subprocess, "Popen", lambda _, **options: start([sys.executable, "-c", code], **options)
    )


def test_training_that_does_not_stop_is_killed(slot, tmp_path, monkeypatch):
    replace_training(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(training, "MAX_STOP_SECONDS", 0.2)
    with training.Training(slot, draw_image(64, 64), "mine", 2, None, "me", str(tmp_path)) as run:
        assert slot.stop("me")
        assert run.process.wait(20) != 0
    assert becomes_free(slot)


def test_crash_is_printed_to_the_servers_log(slot, tmp_path, monkeypatch, capsys):
    replace_training(monkeypatch, "raise RuntimeError('boom')")
    with training.Training(slot, draw_image(64, 64), "mine", 2, None, "me", str(tmp_path)) as run:
        run.process.wait()
        with pytest.raises(InputError, match=r"status 1 .*server's log"):
            run.move_results(str(tmp_path))
    assert "RuntimeError: boom" in capsys.readouterr().err
    assert becomes_free(slot)


def becomes_free(slot: training.TrainingSlot) -> bool:
    """Return True if the next training can start within 20 seconds."""
    is_free = slot.lock.acquire(timeout=20)
    if is_free:
        slot.lock.release()
    return is_free


@pytest.mark.parametrize(
    ("path", "name"), [("/a/Étude No. 2.JPG", "étude_no_2"), ("/a/../…….png", "style"), ("a" * 99, "a" * 40)]
)
def test_model_is_named_after_the_painting(path, name):
    assert training.make_model_name(path) == name
