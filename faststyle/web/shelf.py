"""The styles that a person can choose from: those that come with the package, and their own."""

import shutil
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import NamedTuple

from faststyle import styles
from faststyle.images import fit, open_image
from faststyle.mosaic import MOSAIC
from faststyle.stylizer import Stylizer
from faststyle.web.pictures import data_uri

SAMPLE = 192  # pixels of a sample picture's longer side
FAVOURITE = "starry_night"  # chosen at first, where it is there


class Style(NamedTuple):
    """A trained style.

    Attributes:
        title: what a person calls it: the painting's title.
        credit: the same with the painter and the year.
        model: its file.
        sample: a picture that shows it, or None.
        painting: what it was trained on, where that is here: a picture's file, or mosaic.
    """

    title: str
    credit: str
    model: Path
    sample: Path | None
    painting: str | None


Shelf = dict[str, Style]


@lru_cache(1)
def ready_styles() -> Shelf:
    """The styles of the package, by name."""
    shelf, cards = {}, styles.cards()
    for name, model in styles.ready().items():
        card = cards.get(name) or {}
        painting = card.get("painting") or {}
        title = painting.get("title") or name.replace("_", " ").capitalize()
        credit = ", ".join(
            str(part) for part in (title, painting.get("artist"), painting.get("year")) if part
        )
        sample = styles.sample(name)
        trained_on = [style.get("name") for style in card.get("style") or []]
        shelf[name] = Style(
            title,
            credit,
            model,
            sample if sample.exists() else None,
            MOSAIC if trained_on == [MOSAIC] else None,
        )
    return shelf


def choices(shelf: Shelf) -> list[tuple[str, str]]:
    """Title and name of each style, as Gradio wants them."""
    return [(style.title, name) for name, style in shelf.items()]


def favourite() -> str | None:
    names = list(ready_styles())
    return FAVOURITE if FAVOURITE in names else next(iter(names), None)


@lru_cache(64)
def sample_uri(sample: Path) -> str:
    return data_uri(fit(open_image(sample).convert("RGB"), SAMPLE), quality=85)


def sample_css(shelf: Shelf) -> str:
    """A style element that gives each radio button of a style its sample picture."""
    rules = [
        f'.styles label:has(input[value="{escape(name)}"])::before '
        f'{{ background-image: url("{sample_uri(style.sample)}") !important; }}'
        for name, style in shelf.items()
        if style.sample
    ]
    return f"<style>{' '.join(rules)}</style>"


@lru_cache(32)  # 1.7 MB each
def load(model: Path) -> Stylizer:
    return Stylizer.load(model)


def forget(shelf: Shelf) -> None:
    """Delete a person's own styles, some time after they have left."""
    for style in shelf.values():
        shutil.rmtree(style.model.parent, ignore_errors=True)
