"""The styles that a person can choose from: those that come with the package, and their own."""

import shutil
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import NamedTuple

from faststyle.errors import InputError
from faststyle.image.convert import limit_size
from faststyle.image.files import open_image
from faststyle.inference.contact_sheet import caption
from faststyle.inference.stylizer import Stylizer
from faststyle.models import pretrained
from faststyle.web.uploads import data_uri

SAMPLE = 192  # pixels of a sample picture's longer side
FAVOURITE = "starry_night"  # chosen at first


class Style(NamedTuple):
    """A trained style.

    Attributes:
        title: what a person calls it: the painting and its painter.
        model: its file.
        sample: a picture that shows it.
        painting: what it was trained on, where that is here.
    """

    title: str
    model: Path
    sample: Path
    painting: Path | None


Shelf = dict[str, Style]


@lru_cache(1)
def ready_styles() -> Shelf:
    """The styles of the package, by name."""
    files = pretrained.built_in_styles()
    return {
        name: Style(caption(name, card), files[name], pretrained.sample_path(name), None)
        for name, card in pretrained.read_cards().items()
    }


def everything(own: Shelf) -> Shelf:
    """The ready styles, and a person's own."""
    return ready_styles() | own


def find(name: str | None, own: Shelf) -> Style:
    """The style of this name.

    Raises:
        InputError: none is chosen, or it is gone.
    """
    style = everything(own).get(name or "")
    if style is None:
        raise InputError("Choose a style first.")
    return style


def choices(shelf: Shelf) -> list[tuple[str, str]]:
    """Title and name of each style, as Gradio wants them."""
    return [(style.title, name) for name, style in shelf.items()]


@lru_cache(64)
def sample_uri(sample: Path) -> str:
    return data_uri(limit_size(open_image(sample).convert("RGB"), SAMPLE), quality=85)


def sample_css(shelf: Shelf) -> str:
    """A style element that gives each radio button of a style its sample picture."""
    rules = [
        f'.styles label:has(input[value="{escape(name)}"])::before '
        f'{{ background-image: url("{sample_uri(style.sample)}") !important; }}'
        for name, style in shelf.items()
    ]
    return f"<style>{' '.join(rules)}</style>"


def open_model(model: Path) -> Stylizer:
    """A stylizer that nobody else uses: on OpenVINO one picture waits for the other's end.

    A person's own style runs on torch, for what OpenVINO converts would stay on the disk.
    """
    ours = {*pretrained.built_in_styles().values(), *pretrained.steady_styles().values()}
    return Stylizer.load(model, engine="auto" if model in ours else "torch")


load = lru_cache(32)(open_model)  # shared: on torch 1.7 MB each, on OpenVINO what its largest picture took


def forget(shelf: Shelf) -> None:
    """Delete a person's own styles, some time after they have left."""
    for style in shelf.values():
        shutil.rmtree(style.model.parent, ignore_errors=True)
