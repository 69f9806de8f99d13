"""The third tab: a style of one's own from a painting, with a preview while it learns."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.files import open_image
from faststyle.web import styles as shelf
from faststyle.web import training, uploads
from faststyle.web.components import create_image_field, create_status_line, render_error, render_message
from faststyle.web.stylize_tab import Chooser

LENGTHS = {
    "Sketch: 300 steps, a minute or two on two cores": 300,
    "Study: 900 steps, about five minutes": 900,
    "Painting: 3,000 steps, about a quarter of an hour": 3000,
}
SCRATCH = "from scratch"
WIDEST = 1024  # pixels of a painting's longer side that are kept
EMPTY = '<div class="empty"><p>A photo will be here, painted better and better.</p></div>'


def train(
    upload: str | None, init: str, steps: int, own: shelf.Styles, request: gr.Request
) -> Iterator[tuple[Any, ...]]:
    """Yields the preview, a line of news, the model's file, the own styles, the chooser and its pictures."""
    still = (gr.skip(),) * 4
    folder = os.environ["GRADIO_TEMP_DIR"]
    try:
        painting = uploads.open_upload(upload, "painting", WIDEST).convert("RGB")
        name = training.slug(str(upload))
        start = shelf.list_built_in_styles().get(init)  # none for SCRATCH
        model = start.model if start else None
        with training.Training(painting, name, steps, model, request.session_hash or "", folder) as run:
            yield EMPTY, render_message("Looking at the painting …"), *still
            shown = None
            while run.running():
                time.sleep(0.5)
                progress = run.progress()
                new = progress.preview if progress.preview != shown else None
                picture = draw(new) if new else gr.skip()
                shown = progress.preview
                yield picture, render_message("Stopping …" if run.stopped else tell(progress, steps)), *still
            step = run.progress().step
            ended = "Stopped" if run.stopped else "Done"  # leaving the block stops, too
            model, kept = run.keep(folder)
            # Gradio deletes what it gave for download, and the style shall stay.
            copy = shutil.copy(model, tempfile.mkdtemp(dir=folder))
    except InputError as error:
        yield gr.skip(), render_error(error), *still
        return
    while name in shelf.list_styles(own):
        name += "_2"
    title = f"{name.replace('_', ' ').capitalize()} (yours)"
    own = own | {name: shelf.Style(title, model, kept, kept)}
    styles = shelf.list_styles(own)
    yield (
        gr.skip(),
        render_message(
            f"{ended} after {step} steps. The style is chosen on the first tab, and its model is here."
        ),
        gr.DownloadButton(value=copy, interactive=True),
        own,
        gr.Radio(shelf.list_choices(styles), value=name),
        shelf.render_sample_css(styles),
    )


def draw(preview: Path) -> str:
    """HTML of a preview: the photo, and beside it what has become of it."""
    grid = open_image(preview)  # one over the other
    half = grid.height // 2
    wide = Image.new("RGB", (2 * grid.width, half))
    for x, y in ((0, 0), (grid.width, grid.height - half)):
        wide.paste(grid.crop((0, y, grid.width, y + half)), (x, 0))
    step = int(preview.stem.removeprefix("step_"))
    return uploads.render_figure(wide, f"A photo, and how it is painted at step {step}", f"Step {step}")


def tell(progress: training.Progress, steps: int) -> str:
    """12 of 300 steps, 1:40 to go."""
    if not progress.step:
        return "Looking at the painting …"
    return f"{progress.step} of {steps} steps, {re.sub(r'^0', '', progress.left)} to go"


def stop(request: gr.Request) -> str:
    running = training.stop(request.session_hash or "")
    return render_message("Stopping …" if running else "You are not training a style.")


def build(own: gr.State, chooser: Chooser) -> None:
    ready = shelf.list_built_in_styles()
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=2, min_width=300):
            painting = create_image_field(
                "Painting", "Drop a painting here, paste one, or tap to choose", height=300
            )
            length = gr.Radio(
                [(label, steps) for label, steps in LENGTHS.items()],
                value=900,
                label="How long",
                elem_classes="lines",
            )
            init = gr.Dropdown(
                [*shelf.list_choices(ready), ("Nothing: from scratch", SCRATCH)],
                value=shelf.DEFAULT_STYLE,
                label="Start from",
                info="A style that paints alike needs a third of the steps",
                filterable=False,
            )
            with gr.Row():
                start = gr.Button("Train", variant="primary")
                end = gr.Button("Stop", variant="stop")
        with gr.Column(scale=3, min_width=300):
            line = create_status_line()
            preview = gr.HTML(EMPTY, elem_classes="pictures")
            file = gr.DownloadButton("Download the model", interactive=False)
            gr.HTML(
                "<small>One training at a time runs on this computer. Stop keeps what has been learned; "
                "closing the page ends it. The style and its painting stay on the server while the page is "
                "open, and up to an hour longer. To take the model with you, download it: "
                "python infer.py photo.jpg --checkpoint MODEL</small>"
            )
    start.click(
        train,
        [painting, init, length, own],
        [preview, line, file, own, chooser.style, chooser.samples],
        api_name="train",
        concurrency_limit=None,  # the second is told so, not left waiting
        show_progress="hidden",
    )
    end.click(stop, outputs=line, api_name="stop", show_progress="hidden")
