"""Model metadata for tests."""

from dataclasses import replace
from typing import Any

from faststyle.models.card import (
    Ancestor,
    ModelCard,
    ObjectiveSettings,
    Painting,
    StyleImage,
    TrainingData,
    TrainingSettings,
)

TRAINED = ModelCard(
    name="starry",
    style=(StyleImage("starry_night", "0"), StyleImage("great_wave", "1")),
    steps=6000,
    init=Ancestor("first", 3000, Ancestor("second", None)),
    training=TrainingSettings(
        style_size=384,
        objective=ObjectiveSettings(style_weight=2.0, style_layers={"relu1_1": 1.0}),
        others={"style_blend": [3, 1], "blocks": None, "learning_rate": 1e-3},
    ),
    skipped_steps=0,
    data=TrainingData(content="photos", photos=800, size=192, least_crop=0.6, batch_size=1),
    command="python train.py --style starry_night.jpg great_wave.jpg --content photos",
    hardware="2 cores of an abacus",
    minutes=31.5,
    date="2026-11-22",
    versions={"faststyle": "0.1.0", "torch": "2.8.0"},
    painting=Painting("The Starry Night", "Vincent van Gogh", "1889", "public domain"),
    licence="MIT",
)


def make_card(**facts: Any) -> ModelCard:
    """Return the metadata of a trained model with some fields replaced."""
    return replace(TRAINED, **facts)
