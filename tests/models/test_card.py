"""``ModelCard`` and its JSON."""

import inspect
import json
from dataclasses import fields
from pathlib import Path

import pytest
from safetensors import safe_open

from faststyle.errors import InputError
from faststyle.losses.objective import Objective
from faststyle.models.card import (
    FORMAT_KEYS,
    MARGIN,
    METADATA_KEY,
    RETIRED_KEYS,
    Ancestor,
    ModelCard,
    ObjectiveSettings,
    Painting,
    StyleImage,
)
from faststyle.models.pretrained import built_in_styles, steady_styles
from tests.support.cards import make_card

FILE = Path("a.safetensors")


def to_json(card: ModelCard) -> dict:
    """Return the card's JSON, encoded and decoded."""
    return json.loads(json.dumps(card.to_metadata()))


@pytest.mark.parametrize("card", [ModelCard(), make_card(), make_card(others={"x": [1], "others": {}})])
def test_card_is_the_same_after_encoding_and_decoding(card):
    assert ModelCard.from_metadata(to_json(card), FILE) == card


@pytest.mark.parametrize(
    "path",
    [*built_in_styles().values(), *steady_styles().values()],
    ids=[*built_in_styles(), *steady_styles()],
)
def test_json_of_a_built_in_model_does_not_change(path):
    with safe_open(path, framework="pt") as file:
        stored = json.loads(file.metadata()[METADATA_KEY])
    unwritten = FORMAT_KEYS | RETIRED_KEYS
    expected = {key: value for key, value in stored.items() if key not in unwritten and value is not None}
    assert to_json(ModelCard.from_metadata(stored, path)) == expected


def test_json_has_the_keys_of_format_version_1():
    stored = to_json(make_card())
    assert stored["style"] == [{"name": "starry_night", "sha256": "0"}, {"name": "great_wave", "sha256": "1"}]
    assert stored["init"] == {
        "name": "first",
        "steps": 3000,
        "init": {"name": "second", "steps": None, "init": None},
    }
    assert stored["training"] == {
        "style_blend": [3, 1],
        "blocks": None,
        "learning_rate": 1e-3,
        "style_size": 384,
        "vgg": "vgg19-caffe",
        "pooling": "max",
        "style_weight": 2.0,
        "style_layers": {"relu1_1": 1.0},
        "statistic": "gram",
        "preset": "relative",
    }
    assert stored["skipped_steps"] == 0
    assert "source" not in stored and "blend" not in stored


def test_objective_settings_are_the_arguments_of_the_objective():
    arguments = {name: one.default for name, one in inspect.signature(Objective).parameters.items()}
    assert {one.name: one.default for one in fields(ObjectiveSettings)} == arguments


def test_unknown_keys_are_ignored_or_kept_in_others():
    later = {
        "training": {"vgg": "vgg16", "tempo": 3, "style_weight": 4},
        "painting": {"title": "A", "artist": "B", "year": "1900", "licence": "C", "museum": "D"},
        "style": [{"name": "a", "mood": "sad"}],
        "mood": "sad",
    }
    card = ModelCard.from_metadata(later, FILE)
    assert card.painting == Painting("A", "B", "1900", "C") and card.style == (StyleImage("a"),)
    assert card.training.others == {"tempo": 3} and card.training.objective.style_weight == 4
    assert card.others == {"mood": "sad"}


def test_null_counts_as_missing():
    assert ModelCard.from_metadata({one.name: None for one in fields(ModelCard)}, FILE) == ModelCard(
        others={"others": None}
    )


def test_margin_is_0_for_pytorch_examples():
    assert ModelCard().margin == MARGIN and ModelCard(source="pytorch/examples").margin == 0


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ([1], "its metadata is no JSON object"),
        ({"network": [1]}, r"network is \[1\]"),
        ({"name": 1.5}, "name is 1.5"),
        ({"steps": "many"}, "steps is 'many', expected an integer"),
        ({"style": "a"}, "style is 'a'"),
        ({"style": ["a"]}, "style is 'a', expected an object"),
        ({"style": [{"name": 1}]}, "style.name is 1"),
        ({"style": [{"sha256": "0"}]}, "metadata has no style.name"),
        ({"training": [1]}, r"training is \[1\]"),
        ({"training": {"vgg": 16}}, "training.vgg is 16"),
        ({"training": {"style_layers": {"relu1_1": "1"}}}, "training.objective.style_layers.relu1_1 is '1'"),
        ({"data": {"photos": "all"}}, "data.photos is 'all'"),
        ({"init": {"name": "a", "init": {"name": 1}}}, "init.init.name is 1"),
        ({"blend": {"a": None}}, "blend.a is None"),
        ({"versions": [1]}, r"versions is \[1\]"),
        ({"painting": {"title": "A"}}, "metadata has no painting.artist"),
        ({"command": {"a": 1}}, "command is {'a': 1}"),
    ],
)
def test_value_of_the_wrong_type_is_named(metadata, message):
    with pytest.raises(InputError, match=rf"^a\.safetensors is damaged: .*{message}"):
        ModelCard.from_metadata(metadata, FILE)


def test_deeply_nested_ancestors_are_refused():
    init: dict = {"name": "a"}
    for _ in range(5000):
        init = {"name": "a", "init": init}
    with pytest.raises(InputError, match="damaged"):
        ModelCard.from_metadata({"init": init}, FILE)


def test_nested_ancestors_are_parsed():
    stored = {"init": {"name": "a", "steps": 2, "init": {"name": "b", "steps": None, "init": None}}}
    assert ModelCard.from_metadata(stored, FILE).init == Ancestor("a", 2, Ancestor("b"))
