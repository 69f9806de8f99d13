"""The built-in models: NAME.safetensors with a sample NAME.webp, steady/NAME.safetensors for videos, and the
style encoder.
"""

import json
from pathlib import Path

from faststyle.models.card import METADATA_KEY, ModelCard
from faststyle.registry import choose

FOLDER = Path(__file__).parent
ENCODER = FOLDER / "encoder" / "style_encoder.safetensors"  # the style encoder


def built_in_styles() -> dict[str, Path]:
    """Return the model files of the built-in styles by name, in alphabetical order."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.safetensors"))}


def steady_styles() -> dict[str, Path]:
    """Return the model files that were trained for temporal consistency, by name: NAME-steady."""
    return {f"{path.stem}-steady": path for path in sorted((FOLDER / "steady").glob("*.safetensors"))}


def style_for_videos(name: str) -> str:
    """Return NAME-steady for a built-in style that has such a model, and any other name unchanged."""
    return f"{name}-steady" if f"{name}-steady" in steady_styles() else name


def sample_path(name: str) -> Path:
    """Return the sample image of a built-in style.

    Raises:
        InputError: No built-in style has this name.
    """
    return choose("style", name, built_in_styles()).with_suffix(".webp")


def read_cards(styles: dict[str, Path] | None = None) -> dict[str, ModelCard]:
    """Read the metadata of models, by name.

    Args:
        styles: Model files by name; the built-in styles by default.
    """
    cards = {}
    for name, path in (built_in_styles() if styles is None else styles).items():
        # Only the header, and without importing torch, so that a list of styles appears at once.
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        cards[name] = ModelCard.from_metadata(json.loads(header["__metadata__"][METADATA_KEY]), path)
    return cards
