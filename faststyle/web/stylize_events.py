"""Handle the events of the tab Stylize: preview, refine, download, and all styles side by side.

Each function takes the values of a ``Selection``.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import gradio as gr

from faststyle.errors import InputError
from faststyle.image.convert import limit_size
from faststyle.web import styles, stylize, uploads
from faststyle.web.components import (
    render_error,
    render_grid,
    render_message,
    render_progress,
    render_waiting,
)
from faststyle.web.selection import Selection
from faststyle.web.waiting import Waiting, Worker

PREVIEWS, DOWNLOADS = Worker(), Worker()
MAX_SIDE_BY_SIDE = 480  # pixels of the longer side
EMPTY = '<div class="empty"><p>The stylized photo will be here.</p></div>'


def show_preview(*values: Any) -> Iterator[tuple[Any, Any, str]]:
    """Stylize the photo for the screen; yield updates of the photo field, the result and the status line."""
    chosen = Selection(*values)
    if chosen.photo is None:
        yield gr.skip(), EMPTY, ""
        return
    started = time.perf_counter()
    try:
        before = chosen.open_photo()
    except InputError as error:
        yield None, EMPTY, render_error(error)
        return
    try:
        style, look = chosen.find_style(), chosen.look()
        for step in PREVIEWS.follow(
            lambda stage: stylize.stylize_preview(before, style, look), "Stylizing a preview"
        ):
            if isinstance(step, Waiting):
                yield gr.skip(), gr.skip(), render_waiting(step)
            else:
                after = step.value
    except InputError as error:
        yield gr.skip(), EMPTY, render_error(error)
        return
    seconds = time.perf_counter() - started
    line = f"{style.title}: {seconds:.1f} s at {after.width} × {after.height} pixels"
    yield gr.skip(), uploads.render_slider(before, after), render_message(line)


def refine(*values: Any) -> Iterator[tuple[Any, str]]:
    """Refine the preview; yield the best result so far, and the status line with a progress bar."""
    chosen, started = Selection(*values), time.perf_counter()
    try:
        before, style = chosen.open_photo(), chosen.find_style()
        for after, done, total in stylize.refine_image(before, style, chosen.look()):
            yield (
                uploads.render_slider(before, after),
                render_progress(f"Refining: {done} of {total}", done, total),
            )
    except InputError as error:
        yield gr.skip(), render_error(error)
        return
    seconds = time.perf_counter() - started
    line = f"{style.title}, refined: {seconds:.1f} s at {after.width} × {after.height} pixels"
    yield gr.skip(), render_message(line)


def show_every_style(*values: Any) -> Iterator[tuple[str, str]]:
    """Stylize the photo in every style; yield the images so far, and the status line with a progress bar."""
    chosen, figures = Selection(*values), list[str]()
    try:
        photo, look = limit_size(chosen.open_photo(), MAX_SIDE_BY_SIDE), chosen.look()
        offered = styles.list_styles(chosen.own)
        for number, (name, style) in enumerate(offered.items()):
            yield render_grid(*figures), render_progress(style.title, number, len(offered))
            image = stylize.stylize_preview(photo, style, look)
            figures.append(
                f'<button data-style="{escape(name)}">'
                f"{uploads.render_figure(image, f'The photo as {style.title}', style.title)}</button>"
            )
    except InputError as error:
        yield render_grid(*figures), render_error(error)
        return
    yield render_grid(*figures), render_message("Choose a style by its image.")


def download(*values: Any) -> Iterator[tuple[str | None, str]]:
    """Stylize the photo at full size; yield the path of the file, and the status line."""
    chosen, folder = Selection(*values), os.environ["GRADIO_TEMP_DIR"]
    try:
        style, look = chosen.find_style(), chosen.look()
        for step in DOWNLOADS.follow(
            lambda stage: stylize.stylize_full_size(
                chosen.photo, chosen.style_name(), style, look, folder, stage
            ),
            "Reading the photo",
            discard=lambda result: shutil.rmtree(result[0].parent),
        ):
            if isinstance(step, Waiting):
                yield None, render_waiting(step)
            else:
                path, line = step.value
                yield str(path), render_message(line)
    except InputError as error:
        yield None, render_error(error)


def add_style(
    add: Callable[[str, styles.Styles], styles.Styles], upload: str | None, own: styles.Styles
) -> tuple[Any, str]:
    """Add the style of an upload, and return the session's own styles with the status line.

    Args:
        add: ``own_styles.add_painting`` or ``own_styles.add_model``.
        upload: Path of the upload; None if the field was cleared.
        own: The session's own styles.
    """
    if upload is None:
        return gr.skip(), ""
    try:
        return add(upload, own), ""
    except (InputError, OSError) as error:
        return gr.skip(), render_error(error)
