"""The models that come with the package.

NAME.safetensors, beside each NAME.webp, a sample of it, and steady/NAME.safetensors, a model for videos.
"""

import json
from pathlib import Path

from faststyle.models.card import HEADER, ModelCard
from faststyle.registry import choose

FOLDER = Path(__file__).parent


def ready() -> dict[str, Path]:
    """The ready styles: name to model file, in the order of the alphabet."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.safetensors"))}


def steady() -> dict[str, Path]:
    """The ready styles in networks that were trained for clips: NAME-steady to model file."""
    return {f"{path.stem}-steady": path for path in sorted((FOLDER / "steady").glob("*.safetensors"))}


def for_clips(name: str) -> str:
    """The ready style to take for a clip in place of this one, where there is a steady one."""
    return f"{name}-steady" if f"{name}-steady" in steady() else name


def sample(name: str) -> Path:
    """The picture that shows a ready style.

    Raises:
        InputError: no ready style has this name.
    """
    return choose("style", name, ready()).with_suffix(".webp")


def cards(styles: dict[str, Path] | None = None) -> dict[str, ModelCard]:
    """What each of ``styles`` was trained with, by name; without them, each ready style."""
    found = {}
    for name, path in (ready() if styles is None else styles).items():
        # The header alone, and without torch: a list of styles must not wait for it.
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        found[name] = ModelCard.from_metadata(json.loads(header["__metadata__"][HEADER]), path)
    return found
