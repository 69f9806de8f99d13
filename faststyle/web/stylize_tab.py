"""The first tab: a photo, a style, and the result at once."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from faststyle.errors import InputError
from faststyle.web import styles, stylize, uploads
from faststyle.web.components import LIMITS, news, picture_field, said, wrong

EMPTY = '<div class="empty"><p>Your picture will be here.</p></div>'

# The place of the slider outlives a new result.
MOVE = """
const place = (value) => element.style.setProperty("--at", value + "%");
element.addEventListener("input", (event) => { element.at = event.target.value; place(element.at); });
watch("value", () => {
  const range = element.querySelector("input[type=range]");
  if (range && element.at !== undefined) range.value = element.at;
});
"""
SAVE = """
(file) => {
  if (!file) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}
"""


class Chooser(NamedTuple):
    """What another tab changes here: the radio buttons of styles, and the pictures on them."""

    style: gr.Radio
    samples: gr.HTML


def show(
    photo: str | None, name: str | None, strength: float, keep_color: bool, size: int, own: styles.Shelf
) -> tuple[Any, str, str]:
    """The photo field, the result and a line of news."""
    if photo is None:
        return gr.skip(), EMPTY, ""
    started = time.perf_counter()
    try:
        before = uploads.open_upload(photo, "photo", size)
    except InputError as error:
        return None, EMPTY, wrong(error)
    try:
        style = styles.find(name, own)
        after = stylize.paint(before, styles.load(style.model), strength, keep_color)
    except InputError as error:
        return gr.skip(), EMPTY, wrong(error)
    seconds = time.perf_counter() - started
    line = f"{style.title}: {seconds:.1f} s at {after.width} × {after.height} pixels"
    return gr.skip(), uploads.slider(before, after), said(line)


def refine(
    photo: str | None, name: str | None, strength: float, keep_color: bool, size: int, own: styles.Shelf
) -> Iterator[tuple[Any, str]]:
    """Yields the result as it gets better, and a line with a bar."""
    started = time.perf_counter()
    try:
        before = uploads.open_upload(photo, "photo", size)
        style = styles.find(name, own)
        for after, done, total in stylize.refined(before, style, strength, keep_color):
            yield uploads.slider(before, after), bar(done, total)
    except InputError as error:
        yield gr.skip(), wrong(error)
        return
    seconds = time.perf_counter() - started
    line = f"{style.title}, refined: {seconds:.1f} s at {after.width} × {after.height} pixels"
    yield gr.skip(), said(line)


def bar(done: int, total: int) -> str:
    """Return HTML of a progress bar with its label."""
    label = f"Refining: {done} of {total}"
    return f'<p>{label} <progress value="{done}" max="{total}" aria-label="{label}"></progress></p>'


def download(
    photo: str | None, name: str | None, strength: float, keep_color: bool, own: styles.Shelf
) -> tuple[str | None, str]:
    """The file at full size, and a line of news."""
    try:
        style = styles.find(name, own)
        path, line = stylize.full_size(
            photo, str(name), style, strength, keep_color, os.environ["GRADIO_TEMP_DIR"]
        )
    except InputError as error:
        return None, wrong(error)
    return str(path), said(line)


def build(own: gr.State, examples: dict[str, Path]) -> Chooser:
    ready = styles.ready_styles()
    samples = gr.HTML(styles.sample_css(ready), elem_classes="unseen")
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=2, min_width=300):
            photo = picture_field("Photo", "Drop a photo here, paste one, or tap to choose", height=230)
            with gr.Row(elem_classes="examples"):
                gr.HTML("<span>No photo at hand?</span>")
                tries = [gr.Button(label, size="sm") for label in examples]
            # Radio buttons that page.css shows as the sample pictures.
            style = gr.Radio(
                styles.choices(ready), value=styles.FAVOURITE, label="Style", elem_classes="styles"
            )
        with gr.Column(scale=3, min_width=300):
            result = gr.HTML(EMPTY, elem_id="result", js_on_load=MOVE)
            line = news()
            with gr.Row(elem_classes="controls"):
                strength = gr.Slider(0, 1, 1, step=0.05, label="Strength")
                size = gr.Dropdown(
                    [(f"{size} pixels", size) for size in stylize.SIZES],
                    value=1024,
                    label="Preview size",
                    info="The smaller, the larger the strokes",
                    filterable=False,
                )
                keep_color = gr.Checkbox(label="Keep the photo's colours")
            with gr.Row():
                better = gr.Button("Refine")
                save = gr.Button("Download at full size", variant="primary")
            gr.HTML(f"<small>{LIMITS} Files are deleted from the server within the hour.</small>")
            file = gr.DownloadButton(visible="hidden")

    inputs = [photo, style, strength, keep_color, size, own]
    outputs = [photo, result, line]
    shared: dict[str, Any] = {
        "fn": show,
        "inputs": inputs,
        "outputs": outputs,
        "concurrency_id": "preview",
        "trigger_mode": "always_last",
        "show_progress": "minimal",
        "show_progress_on": result,
    }
    changes = [photo.input, style.change, strength.change, keep_color.change, size.change]
    gr.on(changes, api_name="stylize", **shared)
    for button, path in zip(tries, examples.values(), strict=True):
        button.click(
            lambda path=str(path): path, outputs=photo, show_progress="hidden", api_visibility="private"
        ).then(api_visibility="private", **shared)
    refining = better.click(
        refine,
        inputs,
        [result, line],
        api_name="refine",
        concurrency_id="heavy",  # shared with the download and the comparison
        show_progress="hidden",
    )
    # A new preview ends the refinement of the last one.
    gr.on(changes, None, cancels=refining, api_visibility="private", show_progress="hidden")
    save.click(
        download,
        [photo, style, strength, keep_color, own],
        [file, line],
        api_name="download",
        concurrency_id="heavy",  # shared with the comparison
        show_progress="minimal",
        show_progress_on=line,
    ).then(None, file, js=SAVE, api_visibility="private")
    return Chooser(style, samples)
