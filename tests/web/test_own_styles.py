"""Tests of a session's own styles: paintings, models, and what this computer trained."""

import shutil

import pytest

pytest.importorskip("gradio")

from faststyle.errors import InputError
from faststyle.models.pretrained import built_in_styles
from faststyle.web import app, own_styles, stylize_events


def test_painting_becomes_a_style_that_outlives_the_upload(painting, temporary):
    own, line = stylize_events.add_style(own_styles.add_painting, str(painting), {})
    assert list(own) == ["painting"] and line == ""
    assert (
        own["painting"].title == "Painting (yours)"
        and own["painting"].model.read_bytes() == painting.read_bytes()
    )
    again, _ = stylize_events.add_style(own_styles.add_painting, str(painting), own)
    assert list(again) == ["painting", "painting_2"]
    own_styles.delete_styles(again)
    assert not list(temporary.iterdir())
    cleared, line = stylize_events.add_style(own_styles.add_painting, None, own)
    assert cleared == stylize_events.gr.skip() and line == ""


def test_file_that_is_no_painting_is_named(tmp_path):
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear Theo")
    own, line = stylize_events.add_style(own_styles.add_painting, str(letter), {})
    assert own == stylize_events.gr.skip() and "letter.jpg is not an image" in line


def test_model_becomes_a_style_with_a_sample_of_its_own(tmp_path, temporary):
    model = shutil.copy(built_in_styles()["ink"], tmp_path / "my_model.safetensors")
    own, line = stylize_events.add_style(own_styles.add_model, str(model), {})
    assert line == "" and own["my_model"].sample.exists() and own["my_model"].model != model


@pytest.mark.parametrize("name", ["letter.safetensors", "letter.pth"])
def test_file_that_is_no_model_is_named(tmp_path, temporary, name):
    letter = tmp_path / name
    letter.write_text("Dear Theo")
    with pytest.raises(InputError, match=name) as caught:
        own_styles.add_model(str(letter), {})
    assert str(tmp_path) not in str(caught.value) and not list(temporary.iterdir())


def test_models_trained_here_are_offered_on_this_computer_only(tmp_path, monkeypatch):
    run = tmp_path / "runs" / "waves"
    run.mkdir(parents=True)
    shutil.copy(built_in_styles()["ink"], run / "waves.safetensors")
    monkeypatch.chdir(tmp_path)
    found = own_styles.find_trained_styles()
    assert found["waves"].title == "Waves (trained here)" and found["waves"].sample is None
    assert [app.is_loopback(host) for host in ("127.0.0.1", "::1", "localhost")] == [True] * 3
    assert not app.is_loopback("0.0.0.0") and not app.is_loopback("example.com")
