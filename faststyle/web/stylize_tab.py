"""The first tab: a photo, a style, and a preview of the result."""

import os
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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
    render_error,
    render_message,
    render_progress,
    render_waiting,
)
from faststyle.web.improve import LENGTHS, Improvement
from faststyle.web.style_picker import create_blend_controls, create_style_buttons, offer_own_styles
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
    photo: str | None,
    name: str | None,
    strength: float,
    keep_color: bool,
    size: int,
    own: styles.Styles,
    strokes: str = stylize.DEFAULT_STROKES,
    other: str | None = None,
    share: float = styles.DEFAULT_SHARE,
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
        style = styles.find_style(name, own, other, share)
        look = stylize.Look(strength, keep_color, strokes)
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


def refine(
    photo: str | None,
    name: str | None,
    strength: float,
    keep_color: bool,
    size: int,
    own: styles.Styles,
    strokes: str = stylize.DEFAULT_STROKES,
    other: str | None = None,
    share: float = styles.DEFAULT_SHARE,
) -> Iterator[tuple[Any, str]]:
    """Refine the preview; yield the best result so far, and the status line with a progress bar."""
    started = time.perf_counter()
    try:
        before = uploads.open_upload(photo, "photo", size)
        style = styles.find_style(name, own, other, share)
        look = stylize.Look(strength, keep_color, strokes)
        for after, done, total in stylize.refine_image(before, style, look):
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
    photo: str | None,
    name: str | None,
    strength: float,
    keep_color: bool,
    own: styles.Styles,
    strokes: str = stylize.DEFAULT_STROKES,
    other: str | None = None,
    share: float = styles.DEFAULT_SHARE,
) -> Iterator[tuple[str | None, str]]:
    """Stylize the photo at full size; yield the path of the file, and the status line."""
    folder = os.environ["GRADIO_TEMP_DIR"]
    try:
        style = styles.find_style(name, own, other, share)
        look = stylize.Look(strength, keep_color, strokes)
        for step in DOWNLOADS.follow(
            lambda stage: stylize.stylize_full_size(
                photo, styles.blend_name(str(name), other, share), style, look, folder, stage
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


class Inputs(NamedTuple):
    """The controls of a photo and a style."""

    photo: gr.Image
    examples: list[gr.Button]
    style: gr.Radio
    painting: gr.Image


class Outputs(NamedTuple):
    """The result, its settings and its buttons."""

    result: gr.HTML
    status: gr.HTML
    settings: list[Any]  # strength, whether to keep the photo's colours, and the preview's size
    strokes: gr.Radio
    blend: list[Any]  # the other style, and its share
    refine: gr.Button
    improve: gr.Button
    download: gr.Button
    stop: gr.Button
    length: gr.Radio
    model: gr.DownloadButton
    file: gr.DownloadButton


def build_inputs(examples: Iterable[str]) -> Inputs:
    """Build the photo field, a button for each example, the styles' radio buttons and the painting field."""
    photo = create_image_field("Photo", "Drop a photo here, paste one, or tap to choose", height=230)
    with gr.Row(elem_classes="examples"):
        gr.HTML("<span>Or try an example:</span>")
        buttons = [gr.Button(label, size="sm") for label in examples]
    style = create_style_buttons()
    painting = create_image_field("Any painting", "Or drop a painting here", 150, optional=True)
    return Inputs(photo, buttons, style, painting)


def build_outputs(own: gr.State) -> Outputs:
    """Build the result with its settings and buttons.

    Args:
        own: The session's own styles.
    """
    result = gr.HTML(EMPTY, elem_id="result", js_on_load=MOVE_SLIDER)
    status = create_status_line()
    settings = create_settings("photo", SIZES, 1024, "Preview size", "The download has the photo's size")
    with gr.Row(elem_classes="controls"):
        strokes = gr.Radio([*stylize.STROKES], value=stylize.DEFAULT_STROKES, label="Strokes")
        blend = create_blend_controls(own)
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
    buttons = refine_button, improve_button, download_button, stop_button
    return Outputs(result, status, list(settings), strokes, list(blend), *buttons, length, model, file)


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
            chosen = build_inputs(examples)
        with gr.Column(scale=3, min_width=300):
            shown = build_outputs(own)
    improvement = Improvement(slot)
    runs = connect_stylizing(chosen, shown, list(examples.values()), own)
    connect_improvement(chosen, shown, improvement, own)
    shown.stop.click(
        improvement.stop, outputs=[shown.status, shown.refine, shown.download], cancels=runs, **PRIVATE
    )
    chosen.painting.input(add_painting, [chosen.painting, own], [own, shown.status], **PRIVATE)
    offer_own_styles(own, chosen.style)
    own.change(lambda own: styles.render_sample_css(styles.list_styles(own)), own, samples, **PRIVATE)


def connect_stylizing(chosen: Inputs, shown: Outputs, examples: list[Path], own: gr.State) -> list[Any]:
    """Connect previews, refinement and download; return the events that Stop cancels."""
    strength, keep_color, size = shown.settings
    look_controls = [shown.strokes, *shown.blend]
    inputs = [chosen.photo, chosen.style, strength, keep_color, size, own, *look_controls]
    preview: dict[str, Any] = {
        "fn": show_preview,
        "inputs": inputs,
        "outputs": [chosen.photo, shown.result, shown.status],
        "concurrency_id": "preview",
        "trigger_mode": "always_last",
        "show_progress": "hidden",
    }
    controls = [chosen.style, strength, keep_color, size, *look_controls]
    changes = [chosen.photo.input, *(control.change for control in controls)]
    runs = [gr.on(changes, api_name="stylize", **preview)]
    for button, path in zip(chosen.examples, examples, strict=True):
        example = button.click(lambda path=str(path): path, outputs=chosen.photo, **PRIVATE)
        runs.append(example.then(api_visibility="private", **preview))
    refining = connect_run(
        shown.refine,
        shown.status,
        fn=refine,
        inputs=inputs,
        outputs=[shown.result, shown.status],
        api_name="refine",
    )
    # A new preview cancels the refinement of the last one.
    gr.on(changes, lambda: gr.Button(interactive=True), outputs=shown.refine, cancels=refining, **PRIVATE)
    downloading = connect_run(
        shown.download,
        shown.status,
        fn=download,
        inputs=[chosen.photo, chosen.style, strength, keep_color, own, *look_controls],
        outputs=[shown.file, shown.status],
        api_name="download",
    )
    downloading.then(None, shown.file, js=SAVE_FILE, api_visibility="private")
    return [*runs, refining, downloading]


def connect_improvement(chosen: Inputs, shown: Outputs, improvement: Improvement, own: gr.State) -> None:
    """Connect the button that trains on the painting; other controls are disabled meanwhile."""
    controls = [chosen.photo, chosen.style, chosen.painting, *shown.settings, shown.strokes, *shown.blend]
    controls += [shown.refine, shown.improve, shown.download, shown.length]

    def enable(interactive: bool) -> list[Any]:
        return [gr.update(interactive=interactive)] * len(controls)

    # A new preview would replace the improved result.
    begun = shown.improve.click(partial(enable, False), outputs=controls, queue=False, **PRIVATE)
    improving = begun.then(
        improvement.improve,
        [chosen.photo, chosen.style, *shown.settings, own, shown.strokes, *shown.blend, shown.length],
        [shown.result, shown.status, shown.model, own],
        api_name="improve",
        concurrency_limit=None,  # a second training gets an error at once instead of waiting in the queue
        show_progress="hidden",
    )
    improving.then(partial(enable, True), outputs=controls, queue=False, **PRIVATE)
