"""The tab Photos: several photos in one style, and a ZIP file of the results."""

import os
from collections import deque
from collections.abc import Iterator
from typing import Any

import gradio as gr

from faststyle.errors import InputError
from faststyle.image.convert import limit_size
from faststyle.image.formats import READABLE_SUFFIXES
from faststyle.web import photos, styles, uploads
from faststyle.web.components import (
    IMAGE_LIMITS,
    connect_run,
    create_file_field,
    create_settings,
    create_status_line,
    render_error,
    render_grid,
    render_message,
    render_progress,
    render_waiting,
)
from faststyle.web.style_picker import create_style_buttons, offer_own_styles
from faststyle.web.stylize import Look
from faststyle.web.waiting import Waiting

SIZES = [(f"{size} pixels", size) for size in (1024, 2048, 4096)] + [("Original size", 0)]
MAX_THUMBNAIL_SIDE = 320  # pixels
MAX_THUMBNAILS = 24  # the newest, because each step sends all of them
EMPTY = '<div class="empty"><p>The stylized photos will be here.</p></div>'


def run(
    files: list[str] | None,
    name: str | None,
    own: styles.Styles,
    strength: float,
    keep_color: bool,
    size: int,
) -> Iterator[tuple[Any, str, str | None]]:
    """Stylize the photos; yield the results so far, the status line and the path of the ZIP file."""
    figures, total = deque[str](maxlen=MAX_THUMBNAILS), len(files or ())
    try:
        style, look = styles.find_style(name, own), Look(strength, keep_color)
        folder = os.environ["GRADIO_TEMP_DIR"]
        yield EMPTY, render_progress(f"Stylizing as {style.title} …"), None
        for step in photos.stylize_photos(files or [], str(name), style, look, size or None, folder):
            if isinstance(step, Waiting):
                yield gr.skip(), render_waiting(step), None
            elif step.file is None:
                if step.image is not None:
                    small = limit_size(step.image, MAX_THUMBNAIL_SIDE)
                    figures.append(uploads.render_figure(small, f"Stylized photo {step.done}", ""))
                line = render_progress(f"{step.done} of {total} photos", step.done, total)
                yield render_grid(*figures) or EMPTY, line, None
            else:
                line = render_message(f"{step.file.name}: {total - len(step.errors)} of {total} photos")
                line += "".join(render_error(InputError(error)) for error in step.errors)
                yield gr.skip(), line, str(step.file)
    except InputError as error:
        yield gr.skip(), render_error(error), None


def build(own: gr.State) -> None:
    """Build the tab's controls, and connect their events."""
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=2, min_width=300):
            files = create_file_field("Photos", sorted(READABLE_SUFFIXES), 230, many=True)
            style = create_style_buttons(own.value)
        with gr.Column(scale=3, min_width=300):
            result = gr.HTML(EMPTY, elem_classes="pictures")
            status = create_status_line()
            settings = create_settings("photo", SIZES, 2048, "Longer side", "At most; smaller is faster")
            with gr.Row():
                start = gr.Button("Stylize and download a ZIP", variant="primary")
                end = gr.Button("Stop", variant="stop")
            gr.HTML(f"<small>Each photo: {IMAGE_LIMITS[0].lower()}{IMAGE_LIMITS[1:]}</small>")
            file = gr.DownloadButton(visible="hidden")
    inputs = [files, style, own, *settings]
    outputs = [result, status, file]
    connect_run(start, status, end, file, fn=run, inputs=inputs, outputs=outputs, api_name="photos")
    offer_own_styles(own, style)
