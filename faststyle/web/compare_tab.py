"""The tab Compare: a network's result beside the intermediate results of the per-image optimization."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from faststyle.errors import InputError
from faststyle.web import compare, styles, uploads
from faststyle.web.components import (
    connect_run,
    create_image_field,
    create_status_line,
    render_error,
    render_message,
    render_progress,
)
from faststyle.web.style_picker import offer_own_styles

FAST_EMPTY = '<div class="empty"><p>Fast: one forward pass of a trained network.</p></div>'
SLOW_EMPTY = '<div class="empty"><p>Slow: the image itself is optimized, step by step.</p></div>'


def run(
    photo: str | None, painting: str | None, name: str | None, size: int, steps: int, own: styles.Styles
) -> Iterator[tuple[Any, str, str]]:
    """Compare both methods; yield the figures of both, and the status line."""
    try:
        style = styles.find_style(name, own)
        yield FAST_EMPTY, SLOW_EMPTY, render_progress("Reading the photo and the painting …")
        caught_up = None
        for fast, slow in compare.compare_methods(photo, painting, style, size, steps):
            if caught_up is None and slow.objective <= fast.objective:
                caught_up = slow
            yield (
                uploads.render_figure(fast.image, "Result of the fast method", describe_stage("Fast", fast)),
                uploads.render_figure(
                    slow.image, "Result of the slow method so far", describe_stage("Slow", slow)
                ),
                render_progress(f"Step {slow.step} of {steps}", slow.step, steps),
            )
    except InputError as error:
        yield gr.skip(), gr.skip(), render_error(error)
        return
    if caught_up:
        ratio = caught_up.seconds / fast.seconds
        line = (
            f"The slow method came as close as the fast one at step {caught_up.step}, and took "
            f"{ratio:,.0f} times as long."
        )
    else:
        ratio = slow.seconds / fast.seconds
        line = (
            f"After {steps} steps, which took {ratio:,.0f} times as long, the slow method is still farther "
            "away."
        )
    yield gr.skip(), gr.skip(), render_message(line)


def describe_stage(method: str, stage: compare.Stage) -> str:
    """Return a caption with the step of the slow method, the time and the distance."""
    step = f"step {stage.step}, " if method == "Slow" else ""
    return f"{method}: {step}{stage.seconds:.2f} s, distance {stage.objective:.3f}"


def build(own: gr.State) -> None:
    """Build the tab's controls, and connect their events."""
    gr.HTML(
        "<p>The slow method (Gatys et al.) optimizes the image itself, until a large network finds the "
        "photo's content and the painting's style in it. The fast method is a network that was trained to do "
        "so in one forward pass. The distance from the photo's content and the painting's style measures "
        "both: lower is better.</p>"
    )
    with gr.Row(elem_classes="fields"):
        photo = create_image_field("Photo", "Drop a photo here, paste one, or tap to choose", height=210)
        painting = create_image_field(
            "Painting", "Drop the style's painting here, paste it, or tap to choose", height=210
        )
    with gr.Row(elem_classes="controls"):
        style = gr.Dropdown(
            styles.list_choices(styles.list_styles(own.value)),
            value=styles.DEFAULT_STYLE,
            label="Style",
            info="The style that was trained on this painting",
            filterable=False,
        )
        size = gr.Radio([(f"{size} pixels", size) for size in compare.SIZES], value=256, label="Size")
        steps = gr.Slider(10, compare.MAX_STEPS, 50, step=10, label="Steps of the slow method")
    with gr.Row():
        start = gr.Button("Compare", variant="primary")
        end = gr.Button("Stop", variant="stop")
    status = create_status_line()
    with gr.Row(elem_classes="fields"):
        fast = gr.HTML(FAST_EMPTY, elem_classes="pictures")
        slow = gr.HTML(SLOW_EMPTY, elem_classes="pictures")
    connect_run(
        start,
        status,
        end,
        fn=run,
        inputs=[photo, painting, style, size, steps, own],
        outputs=[fast, slow, status],
        api_name="compare",
    )
    offer_own_styles(own, style)
