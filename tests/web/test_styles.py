"""Tests of the styles that can be chosen on the page."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("gradio")

from faststyle.errors import InputError
from faststyle.inference.engines import kinds
from faststyle.models.card import ModelCard, Painting
from faststyle.models.pretrained import built_in_styles
from faststyle.web import styles

NAME = styles.DEFAULT_STYLE


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
    def build(*_):
        pytest.fail("converted")

    found = kinds.ENGINES["openvino"]._replace(missing=lambda device, precision: None)
    monkeypatch.setitem(kinds.ENGINES, "openvino", found)
    monkeypatch.setattr("faststyle.inference.engines.openvino_engine.OpenVINOEngine", build)
    own = Path(shutil.copy(style.model, tmp_path))
    assert styles.load_stylizer(own).engine == "torch"
    with pytest.raises(pytest.fail.Exception, match="converted"):
        styles.load_stylizer(style.model)


def test_sample_image_of_a_style_is_embedded_in_the_css(style):
    css = styles.render_sample_css({NAME: style})
    assert f'value="{NAME}"' in css and 'url("data:image/jpeg;base64,' in css
    assert "http" not in css
