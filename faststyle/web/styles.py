"""The styles that can be chosen on the page: built-in styles, and those that a session adds."""

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
from faststyle.models.find import blend_models
from faststyle.web.uploads import encode_data_uri

MAX_SAMPLE_SIDE = 256  # pixels
DEFAULT_STYLE = "starry_night"
DEFAULT_SHARE = 0.5  # of the second style of a blend


class Blend(NamedTuple):
    """A blend of two models, the second with a share from 0 to 1."""

    first: Path
    second: Path
    share: float


class Style(NamedTuple):
    """A style.

    Attributes:
        title: Title and painter of the painting, as the page shows them.
        model: Path of the model file, or a blend.
        sample: Path of an image in this style, or None if there is none.
        painting: Path of the painting that the style was trained on, or None if it is not available.
        is_trained: Whether the session has trained the model.
        folder: Folder of the files of a style of the session, otherwise None.
    """

    title: str
    model: Path | Blend
    sample: Path | None
    painting: Path | None
    is_trained: bool = False
    folder: Path | None = None


Styles = dict[str, Style]  # by name


@lru_cache(1)
def list_built_in_styles() -> Styles:
    """Return the built-in styles."""
    files = pretrained.built_in_styles()
    return {
        name: Style(caption(name, card), files[name], pretrained.sample_path(name), None)
        for name, card in pretrained.read_cards().items()
    }


def list_styles(own: Styles) -> Styles:
    """Return the built-in styles and the session's own styles."""
    return list_built_in_styles() | own


def find_style(
    name: str | None, own: Styles, other: str | None = None, share: float = DEFAULT_SHARE
) -> Style:
    """Return the style of this name, or its blend with another one.

    Args:
        name: Name of the style.
        own: The session's own styles.
        other: Name of the style to blend with, or None.
        share: Share of the other style, from 0 to 1.

    Raises:
        InputError: No style is chosen, or the other style no longer exists.
    """
    offered = list_styles(own)
    style = offered.get(name or "")
    if style is None:
        raise InputError("Choose a style first.")
    if not is_blended(str(name), other, share):
        return style
    if (second := offered.get(other or "")) is None:
        raise InputError("The second style no longer exists: choose another one.")
    assert isinstance(style.model, Path) and isinstance(second.model, Path)  # only blends have another kind
    title = f"{style.title}, with {share:.0%} of {second.title}"
    return Style(title, Blend(style.model, second.model, share), style.sample, None)


def is_blended(name: str, other: str | None, share: float) -> bool:
    """Return True if a style is blended with another one."""
    return bool(other) and other != name and share > 0


def blend_name(name: str, other: str | None, share: float) -> str:
    """Return a style's name, or that of its blend with another one, for a file."""
    return f"{name}_{other}_{share:.2g}" if is_blended(name, other, share) else name


def list_choices(styles: Styles) -> list[tuple[str, str]]:
    """Return the title and the name of each style, for a Gradio control."""
    return [(style.title, name) for name, style in styles.items()]


@lru_cache(64)
def encode_sample(sample: Path) -> str:
    """Return a sample image as a data URI."""
    return encode_data_uri(limit_size(open_image(sample).convert("RGB"), MAX_SAMPLE_SIDE), quality=85)


def render_sample_css(styles: Styles) -> str:
    """Return a style element that shows each style's sample image on its radio button."""
    rules = [
        f'.styles label:has(input[value="{escape(name)}"])::before '
        f'{{ background-image: url("{encode_sample(style.sample)}") !important; }}'
        for name, style in styles.items()
        if style.sample
    ]
    return f"<style>{' '.join(rules)}</style>"


def load_stylizer(model: Path | Blend) -> Stylizer:
    """Load a stylizer for one caller alone, because an OpenVINO stylizer processes one image at a time.

    The session's own styles and blends run on torch, because OpenVINO's converted models would stay on the
    disk.
    """
    if isinstance(model, Blend):
        weights = {str(model.first): 1 - model.share, str(model.second): model.share}
        return Stylizer(blend_models(weights), engine="torch")
    included = {*pretrained.built_in_styles().values(), *pretrained.steady_styles().values()}
    return Stylizer.load(model, engine="auto" if model in included else "torch")


# Memory of each: 1.7 MB on torch; on OpenVINO the memory that its largest image needed.
load_shared_stylizer = lru_cache(32)(load_stylizer)
