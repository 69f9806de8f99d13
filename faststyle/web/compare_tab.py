"""The fourth tab: the fast way's picture, and beside it the slow one's as it grows."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from faststyle.errors import InputError
from faststyle.web import compare, styles, uploads
from faststyle.web.components import news, picture_field, said, wrong

FAST = '<div class="empty"><p>Fast: one pass of the trained network.</p></div>'
SLOW = '<div class="empty"><p>Slow: the picture itself, step by step.</p></div>'


def race(
    photo: str | None, painting: str | None, name: str | None, size: int, steps: int, own: styles.Shelf
) -> Iterator[tuple[Any, str, str]]:
    """Yields both pictures with what is to be said of them, and a line of news."""
    try:
        style = styles.find(name, own)
        yield FAST, SLOW, said("Reading both pictures …")
        caught_up = None
        for fast, slow, notes in compare.race(photo, painting, style, size, steps):
            if caught_up is None and slow.objective <= fast.objective:
                caught_up = slow
            yield (
                uploads.figure(fast.picture, "The fast way's picture", tell("Fast", fast)),
                uploads.figure(slow.picture, "The slow way's picture so far", tell("Slow", slow)),
                said(" ".join([f"Step {slow.step} of {steps}.", *notes])),
            )
    except InputError as error:
        yield gr.skip(), gr.skip(), wrong(error)
        return
    if caught_up:
        times = caught_up.seconds / fast.seconds
        line = f"The slow way drew level at step {caught_up.step}, after {times:,.0f} times as long."
    else:
        times = slow.seconds / fast.seconds
        line = f"After {steps} steps, and {times:,.0f} times as long, the slow way is still behind."
    yield gr.skip(), gr.skip(), said(" ".join([line, *notes]))


def tell(way: str, stage: compare.Stage) -> str:
    step = f"step {stage.step}, " if way == "Slow" else ""
    return f"{way}: {step}{stage.seconds:.2f} s, objective {stage.objective:.3f}"


def stopped() -> str:
    return said("Stopped.")


def build(own: gr.State) -> None:
    ready = styles.ready_styles()
    gr.HTML(
        "<p>The slow way (Gatys et al.) changes the picture itself until a large network finds the photo's "
        "content and the painting's style in it. The fast way has learned to do so in one pass. Both are "
        "measured by the same objective: lower is better.</p>"
    )
    with gr.Row(elem_classes="fields"):
        photo = picture_field("Photo", "Drop a photo here, paste one, or tap to choose", height=210)
        painting = picture_field(
            "Painting", "Drop the style's painting here, paste it, or tap to choose", height=210
        )
    with gr.Row(elem_classes="controls"):
        style = gr.Dropdown(
            styles.choices(ready),
            value=styles.FAVOURITE,
            label="Style",
            info="The one that was trained on this painting",
            filterable=False,
        )
        size = gr.Radio([(f"{size} pixels", size) for size in compare.SIZES], value=256, label="Size")
        steps = gr.Slider(10, compare.MAX_STEPS, 50, step=10, label="Steps of the slow way")
    with gr.Row():
        start = gr.Button("Compare", variant="primary")
        end = gr.Button("Stop", variant="stop")
    line = news()
    with gr.Row(elem_classes="fields"):
        fast = gr.HTML(FAST, elem_classes="pictures")
        slow = gr.HTML(SLOW, elem_classes="pictures")
    outputs = [fast, slow, line]
    run = start.click(
        race,
        [photo, painting, style, size, steps, own],
        outputs,
        api_name="compare",
        concurrency_id="heavy",  # shared with the download
        show_progress="minimal",
        show_progress_on=line,
    )
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    # After it has ended: a step that is on its way shall not come after this line.
    end.click(None, cancels=run, **private).then(stopped, outputs=line, **private)
    # A style trained on the third tab can be chosen here too.
    own.change(
        lambda own: gr.Dropdown(styles.choices(styles.everything(own)), value=list(own)[-1]),
        own,
        style,
        show_progress="hidden",
        api_visibility="private",
    )
