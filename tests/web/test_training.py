"""Tests of training on the web page: results, failures and stopping."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.support.images import draw_image

pytest.importorskip("gradio")

from faststyle.errors import InputError
from faststyle.models.card import Ancestor, ModelCard
from faststyle.models.checkpoint import load_model
from faststyle.web import styles, stylize, training, training_tab, uploads

ME = SimpleNamespace(session_hash="me")


@pytest.fixture
def slot() -> training.TrainingSlot:
    return training.TrainingSlot()


def start(slot, folder, name="mine", steps=2, painting=None, owner="me") -> training.Training:
    painting = painting or draw_image(64, 64)
    return training.start_training(slot, painting, name, steps, owner, str(folder))


@pytest.mark.slow
def test_finished_training_leaves_a_model_that_stylizes_and_its_painting(slot, tmp_path, photo):
    with start(slot, tmp_path) as run:
        with pytest.raises(InputError, match="being trained here already"):
            start(slot, tmp_path, "other", owner="you")
        assert not slot.stop("you")
        run.process.wait()
        assert run.read_progress()[:2] == (2, 0) and run.read_progress().preview.name == "step_000002.png"
        result = run.take_result()
    assert result.model.name == "mine.safetensors" and result.error is None
    assert load_model(result.model)[1].steps == result.card.steps == 2
    style = styles.Style("Mine", result.model, run.job.painting, run.job.painting, run.job)
    small = uploads.open_upload(photo, "photo", 32)
    stylizer = styles.load_shared_stylizer(result.model)
    assert stylize.stylize_image(small, stylizer, 1.0, False).size == (32, 21)
    assert becomes_free(slot) and style.painting.exists() and not run.job.run.exists()
    styles.delete_styles({"mine": style})
    assert list(tmp_path.glob("training_*")) == []


def test_stop_before_the_first_step_is_reported(slot, tmp_path):
    with start(slot, tmp_path) as run:
        assert slot.stop("me")
        run.process.wait()
        with pytest.raises(InputError, match="before the first step"):
            run.take_result()
    assert becomes_free(slot) and list(tmp_path.glob("training_*")) == []


def test_training_of_a_server_that_ignores_sigint_stops(slot, tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a server started with &
    try:
        test_stop_before_the_first_step_is_reported(slot, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_error_of_train_py_is_reported(slot, tmp_path):
    with start(slot, tmp_path, steps=0) as run:
        run.process.wait()
        with pytest.raises(InputError, match="must be a whole number from 1"):
            run.take_result()
    assert becomes_free(slot)


@pytest.mark.slow
def test_painting_named_null_can_be_trained(slot, temporary, tmp_path):
    path = tmp_path / "null.jpg"  # which YAML reads as None
    draw_image(64, 64).save(path)
    tab = training_tab.TrainingTab(slot)
    *_, last = tab.train(str(path), 2, {}, ME)
    _, line, _, _, go_on, own = last
    assert "Done: 2 steps" in line and 'class="warning"' not in line
    assert go_on.interactive is False
    assert own["null"].title == "Null (yours)" and own["null"].model.name == "null.safetensors"
    assert load_model(own["null"].model)[1].style[0].name == "null"
    assert becomes_free(slot)


@pytest.mark.slow
def test_training_stopped_early_warns_and_continues_to_its_end(slot, temporary, tmp_path):
    path = tmp_path / "waves.png"
    draw_image(64, 64).save(path)
    tab = training_tab.TrainingTab(slot)
    updates = tab.train(str(path), 12, {}, ME)
    for _, line, *_ in updates:
        if " of 12 steps, " in line:
            tab.stop(ME)
            break
    *_, (_, line, _, _, go_on, own) = updates
    steps = own["waves"].job and load_model(own["waves"].model)[1].steps
    assert 0 < steps < 12 and f"Stopped after {steps} of 12 steps" in line
    assert "hardly learned" in line and 'class="warning"' in line and go_on.interactive is True
    assert becomes_free(slot)
    *_, (_, line, _, _, go_on, after) = tab.resume(own, ME)
    assert "Done: 12 steps" in line and "hardly" not in line and go_on.interactive is False
    assert list(after) == ["waves"] and load_model(after["waves"].model)[1].steps == 12
    assert after["waves"].model != own["waves"].model  # because models are cached by path
    assert becomes_free(slot)
    (update,) = tab.resume(after, ME)
    assert "no stopped training" in update[1]
    styles.delete_styles(after)
    assert not list(temporary.glob("training_*"))


@pytest.mark.parametrize(
    ("steps", "init", "learned"),
    [(199, "starry_night", False), (200, "starry_night", True), (599, None, False)],
)
def test_warning_of_a_stopped_training_depends_on_its_steps(tmp_path, steps, init, learned):
    job = training.Job(tmp_path, "mine", 900)
    job.run.mkdir()
    card = ModelCard(steps=steps, init=Ancestor(init) if init else None)
    line = training_tab.render_end(training.Result(tmp_path, card, None), job)
    assert ("hardly learned" in line) != learned and f"Stopped after {steps} of 900 steps" in line


def test_every_stage_of_a_training_has_a_bar():
    stages = [(0, 0, None, False), (0, 0, None, True), (12, 100.4, None, True)]
    lines = [training_tab.render_stage(training.Progress(*stage), 300) for stage in stages]
    assert "Starting …" in lines[0] and "Reading the painting and the photos …" in lines[1]
    assert "12 of 300 steps, 1:40 to go" in lines[2] and 'value="12" max="300"' in lines[2]
    assert all("<progress" in line for line in lines)


def test_training_that_failed_late_keeps_what_it_learned(tmp_path):
    job = training.Job(tmp_path, "mine", 900)
    job.run.mkdir()
    line = training_tab.render_end(training.Result(tmp_path, ModelCard(steps=700), "no space left"), job)
    assert "failed after 700 steps: no space left. The style is now selected" in line


def test_full_disk_leaves_no_folder_and_allows_the_next_training(slot, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        start(slot, tmp_path / "gone")
    painting = draw_image(64, 64)
    monkeypatch.setattr(painting, "save", lambda path: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        start(slot, tmp_path, painting=painting)
    assert not slot.lock.locked() and not list(tmp_path.iterdir())


def replace_training(monkeypatch, code: str) -> None:
    popen = subprocess.Popen
    monkeypatch.setattr(
        training.subprocess, "Popen", lambda _, **options: popen([sys.executable, "-c", code], **options)
    )


def test_training_that_does_not_stop_is_killed(slot, tmp_path, monkeypatch):
    replace_training(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(training, "MAX_STOP_SECONDS", 0.2)
    with start(slot, tmp_path) as run:
        assert slot.stop("me")
        assert run.process.wait(20) != 0
    assert becomes_free(slot)


def test_crash_is_printed_to_the_servers_log(slot, tmp_path, monkeypatch, capsys):
    replace_training(monkeypatch, "raise RuntimeError('boom')")
    with start(slot, tmp_path) as run:
        run.process.wait()
        with pytest.raises(InputError, match=r"status 1 .*server's log"):
            run.take_result()
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
