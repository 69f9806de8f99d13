"""What the tabs share: the fields for a picture and a clip, and the line of news."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from faststyle.errors import name_parameters
from faststyle.web.uploads import MAX_PIXELS, MAX_UPLOAD


def picture_field(label: str, placeholder: str, height: int) -> gr.Image:
    """A field to drop, paste or choose a picture; gives the upload's path."""
    return gr.Image(
        label=label,
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard"],
        placeholder=placeholder,
        buttons=[],
        elem_classes="picture",
        height=height,
    )


def file_field(label: str, kinds: Sequence[str], height: int) -> gr.File:
    """A field to drop or choose a file of one of these suffixes; gives the upload's path."""
    return gr.File(label=label, file_types=list(kinds), elem_classes="clip", height=height)


def upload_path(_: gr.Component, payload: Any) -> str | None:
    """Where an upload lies; None for any other place, which a forged request may name."""
    if not getattr(payload, "path", None):
        return None
    path = Path(payload.path).resolve()
    return str(path) if path.is_relative_to(Path(os.environ["GRADIO_TEMP_DIR"]).resolve()) else None


def use_upload_paths() -> None:
    """Let the image and file fields of this process give the path of an upload, unopened.

    Gradio's own code opens an image and answers "Error" if there is none; the page says what is wrong. The
    method of the class is replaced, because Gradio makes a field anew from its class when an answer changes
    it. A subclass is no way, because Gradio writes a .pyi file beside the source of each.
    """
    gr.Image.preprocess = upload_path  # type: ignore[method-assign, assignment]
    gr.File.preprocess = upload_path  # type: ignore[method-assign, assignment]


def news() -> gr.HTML:
    """A line that screen readers read when it changes."""
    return gr.HTML(
        elem_classes="news",
        js_on_load='element.setAttribute("role", "status"); element.setAttribute("aria-live", "polite");',
    )


def said(text: str) -> str:
    return f"<p>{escape(text)}</p>"


# The controls of parameters that an error's message may name.
LABELS = {"max_size": "the preview size", "size": "the size", "strength": "the strength"}


def wrong(error: Exception) -> str:
    """Return HTML of an error's message; parameters in it become the labels of their controls."""
    message = name_parameters(str(error), lambda name: LABELS.get(name, name.replace("_", " ")))
    return f'<p class="wrong">{escape(message)}</p>'


LIMITS = f"At most {MAX_UPLOAD.removesuffix('mb')} MB and {MAX_PIXELS // 1_000_000} megapixels."
