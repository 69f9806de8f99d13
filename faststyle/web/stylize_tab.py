"""The first tab: a photo, a style, and a preview of the result."""

import os
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from faststyle.errors import InputError
from faststyle.web import styles, stylize, uploads
from faststyle.web.components import (
    IMAGE_LIMITS,
    PRIVATE,
    connect_run,
    create_image_field,
    create_settings,
    create_status_line,
    create_style_buttons,
    offer_own_styles,
    render_error,
    render_message,
    render_progress,
    render_waiting,
)
from faststyle.web.improve import LENGTHS, Improvement
from faststyle.web.training import TrainingSlot
from faststyle.web.waiting import Waiting, Worker

PREVIEWS, DOWNLOADS = Worker(), Worker()
SIZES = [(f"{size} pixels", size) for size in stylize.PREVIEW_SIZES]
EMPTY = '<div class="empty"><p>The stylized photo will be here.</p></div>'

# Move the border between the two images with the slider, and keep its position in the next result.
MOVE_SLIDER = """
const place = (value) => element.style.setProperty("--at", value + "%");
element.addEventListener("input", (event) => { element.at = event.target.value; place(element.at); });
watch("value", () => {
  const range = element.querySelector("input[type=range]");
  if (range && element.at !== undefined) range.value = element.at;
});
"""
SAVE_FILE = """
(file) => {
  if (!file) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}
"""


def show_preview(
    photo: str | None, name: str | None, strength: float, keep_color: bool, size: int, own: styles.Styles
) -> Iterator[tuple[Any, Any, str]]:
    """Stylize the photo for the screen; yield updates of the photo field, the result and the status line."""
    if photo is None:
        yield gr.skip(), EMPTY, ""
        return
    started = time.perf_counter()
    try:
        before = uploads.open_upload(photo, "photo", size)
    except InputError as error:
        yield None, EMPTY, render_error(error)
        return
    try:
        style = styles.find_style(name, own)
        for step in PREVIEWS.follow(
            lambda stage: stylize.stylize_preview(before, style, strength, keep_color), "Stylizing a preview"
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


def refine(
    photo: str | None, name: str | None, strength: float, keep_color: bool, size: int, own: styles.Styles
) -> Iterator[tuple[Any, str]]:
    """Refine the preview; yield the best result so far, and the status line with a progress bar."""
    started = time.perf_counter()
    try:
        before = uploads.open_upload(photo, "photo", size)
        style = styles.find_style(name, own)
        for after, done, total in stylize.refine_image(before, style, strength, keep_color):
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


def download(
    photo: str | None, name: str | None, strength: float, keep_color: bool, own: styles.Styles
) -> Iterator[tuple[str | None, str]]:
    """Stylize the photo at full size; yield the path of the file, and the status line."""
    folder = os.environ["GRADIO_TEMP_DIR"]
    try:
        style = styles.find_style(name, own)
        for step in DOWNLOADS.follow(
            lambda stage: stylize.stylize_full_size(
                photo, str(name), style, strength, keep_color, folder, stage
            ),
            "Reading the photo",
        ):
            if isinstance(step, Waiting):
                yield None, render_waiting(step)
            else:
                path, line = step.value
                yield str(path), render_message(line)
    except InputError as error:
        yield None, render_error(error)


def add_painting(path: str | None, own: styles.Styles) -> tuple[Any, str]:
    """Add an uploaded painting to the session's own styles, and return them with the status line."""
    if path is None:  # the field was cleared
        return gr.skip(), ""
    try:
        uploads.open_upload(path, "painting")
    except InputError as error:
        return gr.skip(), render_error(error)
    name, file = styles.name_own_style(path, own), Path(path)
    return own | {name: styles.Style(styles.own_title(name), file, file, file)}, ""


def build_inputs(examples: Iterable[str]) -> tuple[gr.Image, list[gr.Button], gr.Radio, gr.Image]:
    """Build the photo field, a button for each example, the styles' radio buttons and the painting field."""
    photo = create_image_field("Photo", "Drop a photo here, paste one, or tap to choose", height=230)
    with gr.Row(elem_classes="examples"):
        gr.HTML("<span>Or try an example:</span>")
        buttons = [gr.Button(label, size="sm") for label in examples]
    style = create_style_buttons()
    return (
        photo,
        buttons,
        style,
        create_image_field("Any painting", "Or drop a painting here", 150, optional=True),
    )


def build(own: gr.State, examples: dict[str, Path], slot: TrainingSlot) -> None:
    """Build the tab's controls, and connect their events.

    Args:
        own: The session's own styles.
        examples: Paths of the example photos, by label.
        slot: The server's training slot.
    """
    samples = gr.HTML(styles.render_sample_css(styles.list_built_in_styles()), elem_classes="unseen")
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=2, min_width=300):
            photo, buttons, style, painting = build_inputs(examples)
        with gr.Column(scale=3, min_width=300):
            result = gr.HTML(EMPTY, elem_id="result", js_on_load=MOVE_SLIDER)
            status = create_status_line()
            strength, keep_color, size = create_settings(
                "photo", SIZES, 1024, "Preview size", "A smaller preview has larger strokes"
            )
            with gr.Row():
                refine_button = gr.Button("Refine")
                improve_button = gr.Button("Make it better")
                download_button = gr.Button("Download at full size", variant="primary")
                stop_button = gr.Button("Stop", variant="stop")
            length = gr.Radio(
                list(LENGTHS.items()),
                value=60,
                label="Make it better takes",
                info="It trains on your painting. Stop keeps what it has learned.",
            )
            model = gr.DownloadButton("Download the model", visible=False)
            gr.HTML(f"<small>{IMAGE_LIMITS} Files are deleted from the server within the hour.</small>")
            file = gr.DownloadButton(visible="hidden")

    inputs = [photo, style, strength, keep_color, size, own]
    preview: dict[str, Any] = {
        "fn": show_preview,
        "inputs": inputs,
        "outputs": [photo, result, status],
        "concurrency_id": "preview",
        "trigger_mode": "always_last",
        "show_progress": "hidden",
    }
    changes = [photo.input, style.change, strength.change, keep_color.change, size.change]
    runs = [gr.on(changes, api_name="stylize", **preview)]
    for button, path in zip(buttons, examples.values(), strict=True):
        chosen = button.click(lambda path=str(path): path, outputs=photo, **PRIVATE)
        runs.append(chosen.then(api_visibility="private", **preview))
    refining = connect_run(
        refine_button, status, fn=refine, inputs=inputs, outputs=[result, status], api_name="refine"
    )
    # A new preview cancels the refinement of the last one.
    gr.on(changes, lambda: gr.Button(interactive=True), outputs=refine_button, cancels=refining, **PRIVATE)
    downloading = connect_run(
        download_button,
        status,
        fn=download,
        inputs=[photo, style, strength, keep_color, own],
        outputs=[file, status],
        api_name="download",
    )
    downloading.then(None, file, js=SAVE_FILE, api_visibility="private")
    runs += [refining, downloading]
    controls = [photo, style, painting, strength, keep_color, size]
    controls += [refine_button, improve_button, download_button, length]

    def enable(interactive: bool) -> list[Any]:
        return [gr.update(interactive=interactive)] * len(controls)

    improvement = Improvement(slot)
    # A new preview would replace the improved result.
    begun = improve_button.click(partial(enable, False), outputs=controls, queue=False, **PRIVATE)
    improving = begun.then(
        improvement.improve,
        [*inputs, length],
        [result, status, model, own],
        api_name="improve",
        concurrency_limit=None,  # a second training gets an error at once instead of waiting in the queue
        show_progress="hidden",
    )
    improving.then(partial(enable, True), outputs=controls, queue=False, **PRIVATE)
    stop_button.click(
        improvement.stop, outputs=[status, refine_button, download_button], cancels=runs, **PRIVATE
    )
    painting.input(add_painting, [painting, own], [own, status], **PRIVATE)
    offer_own_styles(own, style)
    own.change(lambda own: styles.render_sample_css(styles.list_styles(own)), own, samples, **PRIVATE)
