"""The tab Stylize: a photo, a style, and a preview of the result."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from faststyle.web import own_styles, styles, stylize, stylize_events
from faststyle.web.components import (
    IMAGE_LIMITS,
    PRIVATE,
    connect_run,
    create_image_field,
    create_settings,
    create_status_line,
)
from faststyle.web.history import connect_settings
from faststyle.web.improve import LENGTHS, Improvement
from faststyle.web.region import close_region, create_region_field, open_region
from faststyle.web.style_picker import create_blend_controls, create_style_buttons, offer_own_styles
from faststyle.web.training import TrainingSlot

SIZES = [(f"{size} pixels", size) for size in stylize.PREVIEW_SIZES]

# Move the border between the two images with the slider, and keep its position in the next result.
MOVE_SLIDER = """
const place = (value) => element.style.setProperty("--at", value + "%");
element.addEventListener("input", (event) => { element.at = event.target.value; place(element.at); });
watch("value", () => {
  const range = element.querySelector("input[type=range]");
  if (range && element.at !== undefined) range.value = element.at;
});
"""
# Choose the style of an image among all styles.
CHOOSE_STYLE = """
element.addEventListener("click", (event) => {
  const name = event.target.closest("[data-style]")?.dataset.style;
  if (name) document.querySelector(`.styles input[value="${CSS.escape(name)}"]`)?.click();
});
"""


class Inputs(NamedTuple):
    """The controls of a photo and a style."""

    photo: gr.Image
    examples: list[gr.Button]
    style: gr.Radio
    painting: gr.Image
    model: gr.UploadButton


class Buttons(NamedTuple):
    """The buttons under the result."""

    refine: gr.Button
    improve: gr.Button
    download: gr.Button
    stop: gr.Button
    undo: gr.Button
    every: gr.Button
    region: gr.Button
    whole: gr.Button


class Outputs(NamedTuple):
    """The result, its settings and its buttons."""

    result: gr.HTML
    status: gr.HTML
    settings: list[Any]  # the fields of a Selection from strength to share
    region: gr.HTML
    side_by_side: gr.HTML
    buttons: Buttons
    length: gr.Radio
    model: gr.DownloadButton
    file: gr.DownloadButton


def build_inputs(examples: Iterable[str], own: styles.Styles) -> Inputs:
    """Build the fields for a photo and for own styles, the examples and the styles' radio buttons."""
    photo = create_image_field("Photo", "Drop a photo here, paste one, or tap to choose", 230, camera=True)
    with gr.Row(elem_classes="examples"):
        gr.HTML("<span>Or try an example:</span>")
        buttons = [gr.Button(label, size="sm") for label in examples]
    style = create_style_buttons(own)
    painting = create_image_field("Any painting", "Or drop a painting here", 150, optional=True)
    model = gr.UploadButton("Or open a model's file", size="sm", file_types=[own_styles.MODEL_SUFFIX])
    return Inputs(photo, buttons, style, painting, model)


def build_buttons() -> Buttons:
    """Build the buttons under the result."""
    with gr.Row():
        runs = [gr.Button("Refine"), gr.Button("Make it better")]
        runs += [gr.Button("Download at full size", variant="primary"), gr.Button("Stop", variant="stop")]
    with gr.Row():
        labels = ("Undo", "In every style", "Paint a region", "Whole photo")
        return Buttons(*runs, *(gr.Button(label, size="sm") for label in labels))


def build_outputs(own: gr.State) -> Outputs:
    """Build the result with its settings and buttons.

    Args:
        own: The session's own styles.
    """
    result = gr.HTML(stylize_events.EMPTY, elem_id="result", js_on_load=MOVE_SLIDER)
    status = create_status_line()
    region = create_region_field()
    buttons = build_buttons()
    every = gr.HTML("", elem_classes="pictures", js_on_load=CHOOSE_STYLE)
    settings = create_settings("photo", SIZES, 1024, "Preview size", "The download has the photo's size")
    with gr.Row(elem_classes="controls"):
        strokes = gr.Radio([*stylize.STROKES], value=stylize.DEFAULT_STROKES, label="Strokes")
        blend = create_blend_controls(own)
    length = gr.Radio(
        list(LENGTHS.items()),
        value=60,
        label="Make it better takes",
        info="It trains on your painting. Stop keeps what it has learned.",
    )
    model = gr.DownloadButton("Download the model", visible=False)
    gr.HTML(f"<small>{IMAGE_LIMITS} Files are deleted from the server within the hour.</small>")
    file = gr.DownloadButton(visible="hidden")
    return Outputs(result, status, [*settings, strokes, *blend], region, every, buttons, length, model, file)


def build(page: gr.Blocks, own: gr.State, examples: dict[str, Path], slot: TrainingSlot) -> None:
    """Build the tab's controls, and connect their events.

    Args:
        page: The page.
        own: The session's own styles.
        examples: Paths of the example photos, by label.
        slot: The server's training slot.
    """
    samples = gr.HTML(styles.render_sample_css(styles.list_styles(own.value)), elem_classes="unseen")
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=2, min_width=300):
            chosen = build_inputs(examples, own.value)
        with gr.Column(scale=3, min_width=300):
            shown = build_outputs(own)
    improvement = Improvement(slot)
    inputs = [chosen.photo, chosen.style, own, *shown.settings, shown.region]
    # Before the previews, which a refinement of the photo before would overwrite.
    controls = (chosen.style, *shown.settings, shown.region)
    changes = [chosen.photo.input, *(control.change for control in controls)]
    runs = connect_runs(chosen, shown, inputs, changes)
    runs += connect_previews(chosen, shown, list(examples.values()), inputs, changes)
    connect_improvement(chosen, shown, improvement, own, inputs)
    connect_region(chosen, shown)
    connect_settings(page, [chosen.style, *shown.settings], shown.buttons.undo)
    shown.buttons.stop.click(
        improvement.stop,
        outputs=[shown.status, shown.buttons.refine, shown.buttons.every, shown.buttons.download],
        cancels=runs,
        **PRIVATE,
    )
    chosen.painting.input(
        partial(stylize_events.add_style, own_styles.add_painting),
        [chosen.painting, own],
        [own, shown.status],
        **PRIVATE,
    )
    chosen.model.upload(
        partial(stylize_events.add_style, own_styles.add_model),
        [chosen.model, own],
        [own, shown.status],
        **PRIVATE,
    )
    offer_own_styles(own, chosen.style)
    own.change(lambda own: styles.render_sample_css(styles.list_styles(own)), own, samples, **PRIVATE)


def connect_previews(
    chosen: Inputs, shown: Outputs, examples: list[Path], inputs: list[Any], changes: list[Any]
) -> list[Any]:
    """Show a preview when a control changes; return the events that Stop cancels."""
    preview: dict[str, Any] = {
        "fn": stylize_events.show_preview,
        "inputs": inputs,
        "outputs": [chosen.photo, shown.result, shown.status],
        "concurrency_id": "preview",
        "trigger_mode": "always_last",
        "show_progress": "hidden",
    }
    runs = [gr.on(changes, api_name="stylize", **preview)]
    for button, path in zip(chosen.examples, examples, strict=True):
        example = button.click(lambda path=str(path): path, outputs=chosen.photo, **PRIVATE)
        runs.append(example.then(api_visibility="private", **preview))
    return runs


def connect_runs(chosen: Inputs, shown: Outputs, inputs: list[Any], changes: list[Any]) -> list[Any]:
    """Connect refinement, every style and download; return the events that Stop cancels.

    A change of the photo or a setting cancels the refinement.
    """
    buttons = shown.buttons
    runs = [
        connect_run(
            button,
            shown.status,
            download=file,
            fn=run,
            inputs=inputs,
            outputs=[output, shown.status],
            api_name=run.__name__,
        )
        for button, run, output, file in (
            (buttons.refine, stylize_events.refine, shown.result, None),
            (buttons.every, stylize_events.show_every_style, shown.side_by_side, None),
            (buttons.download, stylize_events.download, shown.file, shown.file),
        )
    ]
    gr.on(
        [*changes, *(example.click for example in chosen.examples)],
        lambda: gr.Button(interactive=True),
        outputs=buttons.refine,
        cancels=runs[0],
        queue=False,
        **PRIVATE,
    )
    return runs


def connect_region(chosen: Inputs, shown: Outputs) -> None:
    """Connect the buttons that show and hide the field for a region."""
    shown.buttons.region.click(open_region, chosen.photo, [shown.region, shown.status], **PRIVATE)
    gr.on(
        [shown.buttons.whole.click, chosen.photo.change],
        close_region,
        outputs=shown.region,
        **PRIVATE,
    )
    chosen.photo.change(lambda: "", outputs=shown.side_by_side, **PRIVATE)


def connect_improvement(
    chosen: Inputs, shown: Outputs, improvement: Improvement, own: gr.State, inputs: list[Any]
) -> None:
    """Connect the button that trains on the painting; other controls are disabled meanwhile."""
    buttons = shown.buttons
    controls = [chosen.photo, chosen.style, chosen.painting, chosen.model, *shown.settings, shown.length]
    controls += [button for button in buttons if button is not buttons.stop]

    def enable(interactive: bool) -> list[Any]:
        return [gr.update(interactive=interactive)] * len(controls)

    # A new preview would replace the improved result.
    begun = buttons.improve.click(partial(enable, False), outputs=controls, queue=False, **PRIVATE)
    improving = begun.then(
        improvement.improve,
        [shown.length, *inputs],
        [shown.result, shown.status, shown.model, own],
        api_name="improve",
        concurrency_limit=None,  # a second training gets an error at once instead of waiting in the queue
        show_progress="hidden",
    )
    improving.then(partial(enable, True), outputs=controls, queue=False, **PRIVATE)
