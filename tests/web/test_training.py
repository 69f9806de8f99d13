"""Tests of training on the web page: results, failures and stopping."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.support.images import draw_image

pytest.importorskip("gradio")

import gradio as gr

from faststyle.errors import InputError
from faststyle.image.files import open_image
from faststyle.models.checkpoint import load_model
from faststyle.web import improve, own_styles, styles, stylize, stylize_events, training, uploads

ME = SimpleNamespace(session_hash="me")


@pytest.fixture
def slot() -> training.TrainingSlot:
    return training.TrainingSlot()


def start(slot, folder, name="mine", seconds=20, painting=None, owner="me") -> training.Training:
    painting = painting or draw_image(64, 64)
    photo = draw_image(48, 32)
    return training.start_training(slot, painting, photo, name, "auto", seconds, owner, str(folder))


@pytest.mark.slow
def test_finished_training_leaves_a_model_that_stylizes_and_its_painting(slot, tmp_path, photo):
    with start(slot, tmp_path) as run:
        assert run.read_progress() == (0, 20, None)
        with pytest.raises(InputError, match="being trained here already"):
            start(slot, tmp_path, "other", owner="you")
        assert not slot.stop("you")
        run.process.wait()
        step, left, preview = run.read_progress()
        assert step > 0 and left == 0 and open_image(preview).size == (48, 32)
        result = run.take_result()
    assert result.model.name == "mine.safetensors" and result.error is None
    assert load_model(result.model)[1].steps == result.steps == step
    style = styles.Style("Mine", result.model, run.job.painting, run.job.painting, True, run.job.folder)
    small = uploads.open_upload(photo, "photo", 32)
    stylizer = styles.load_shared_stylizer(result.model)
    assert stylize.stylize_image(small, stylizer, stylize.Look()).size == (32, 21)
    assert becomes_free(slot) and style.painting.exists() and not run.job.run.exists()
    own_styles.delete_styles({"mine": style})
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
    with start(slot, tmp_path, seconds=0) as run:
        run.process.wait()
        with pytest.raises(InputError, match="must be a number from 20"):
            run.take_result()
    assert becomes_free(slot)


def drop_painting(path) -> styles.Styles:
    draw_image(64, 64).save(path)
    own, line = stylize_events.add_style(own_styles.add_painting, str(path), {})
    assert line == ""
    return own


@pytest.mark.slow
def test_painting_named_null_is_made_better(slot, temporary, tmp_path, photo):
    own = drop_painting(tmp_path / "null.jpg")  # which YAML reads as None
    updates = list(improve.Improvement(slot).improve(ME, 20, photo, "null", own, 1.0, False, 64))
    assert any("Getting better: 0:" in line and "<img" in str(image) for image, line, *_ in updates)
    image, line, file, own = updates[-1]
    assert "Null (yours): trained for" in line and image.count("<img") == 2
    assert str(file.value["path"]).endswith("null.safetensors") and file.visible
    assert own["null"].model.name == "null.safetensors"
    assert load_model(own["null"].model)[1].style[0].name == "null"
    assert becomes_free(slot)


@pytest.mark.slow
def test_stopped_training_is_kept_and_goes_on_from_its_model(slot, temporary, tmp_path, photo):
    own = drop_painting(tmp_path / "waves.png")
    improvement = improve.Improvement(slot)
    for _ in range(2):
        updates = improvement.improve(ME, 1800, photo, "waves", own, 0.5, True, 64)
        for image, *_ in updates:
            if "<img" in str(image):  # the first preview
                assert improvement.stop(ME) == [gr.skip()] * 4
                break
        before, (*_, (_, line, _, own)) = own, updates
        assert "Waves (yours): trained for" in line
        assert before["waves"].model != own["waves"].model  # because models are cached by path
        assert becomes_free(slot)
    assert load_model(own["waves"].model)[1].init.name == "waves"
    assert not before["waves"].folder.exists()
    own_styles.delete_styles(own)
    assert not list(temporary.glob("training_*"))
    assert "Stopped." in improvement.stop(ME)[0]


def test_stop_counts_before_there_is_a_process(slot, temporary, tmp_path, photo, monkeypatch):
    improvement, start_training = improve.Improvement(slot), training.start_training

    def stop_first(*arguments):
        assert improvement.stop(ME) == [gr.skip()] * 4
        return start_training(*arguments)

    monkeypatch.setattr(training, "start_training", stop_first)
    own = drop_painting(tmp_path / "waves.png")
    *_, (_, line, *_) = improvement.improve(ME, 1800, photo, "waves", own, 1.0, False, 64)
    assert "Stopped before the first step" in line and becomes_free(slot)


@pytest.mark.parametrize(
    ("name", "expected"), [("starry_night", "Only a painting of yours"), (None, "Choose")]
)
def test_only_paintings_of_the_session_are_made_better(slot, photo, name, expected):
    (update,) = improve.Improvement(slot).improve(ME, 60, photo, name, {}, 1.0, False, 64)
    assert expected in update[1]


def test_every_stage_of_a_training_has_a_bar():
    stages = [(0, 60, False), (12, 43.4, False), (12, 43.4, True)]
    lines = [improve.render_stage(training.Progress(*stage[:2], None), 60, stage[2]) for stage in stages]
    assert lines == [("Starting …", 0, 0), ("Getting better: 0:43 to go", 17, 60), ("Stopping …", 0, 0)]


def test_training_that_failed_late_keeps_what_it_learned(style, tmp_path):
    line = improve.describe_result(style, training.Result(tmp_path, 700, "no space left"))
    assert line == "The training failed after 700 steps: no space left"


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
