"""The third tab: training of a style on a painting, with previews."""

import os
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
from faststyle.training.learned import has_learned
from faststyle.web import styles, training, uploads
from faststyle.web.components import (
    create_image_field,
    create_status_line,
    format_time_left,
    render_error,
    render_message,
    render_progress,
    render_warning,
)

STEPS = {
    "Sketch: 300 steps, a minute or two on two cores": 300,
    "Study: 900 steps, about five minutes": 900,
    "Painting: 3,000 steps, about a quarter of an hour": 3000,
}
MAX_PAINTING_SIDE = 1024  # pixels
EMPTY = '<div class="empty"><p>Previews of a stylized photo will be here during the training.</p></div>'


def render_preview(preview: Path) -> str:
    """Return HTML of a preview: the photo and, to its right, the stylized photo."""
    grid = open_image(preview)  # the photo above the stylized photo
    half = grid.height // 2
    wide = Image.new("RGB", (2 * grid.width, half))
    for x, y in ((0, 0), (grid.width, grid.height - half)):
        wide.paste(grid.crop((0, y, grid.width, y + half)), (x, 0))
    step = int(preview.stem.removeprefix("step_"))
    return uploads.render_figure(wide, f"A photo, and the photo stylized at step {step}", f"Step {step}")


def render_stage(progress: training.Progress, steps: int) -> str:
    """Return HTML of a progress bar with a line such as "12 of 300 steps, 1:40 to go"."""
    if not progress.is_loaded:
        return render_progress("Starting …")
    if not progress.step:
        return render_progress("Reading the painting and the photos …")
    line = f"{progress.step} of {steps} steps, {format_time_left(progress.seconds_left)}"
    return render_progress(line, progress.step, steps)


def render_failure(error: InputError, own: styles.Styles) -> tuple[Any, ...]:
    """Return the updates of a training without a result: the status line and the buttons."""
    go_on = gr.Button(interactive=find_stopped_job(own) is not None)
    return gr.skip(), render_error(error), gr.skip(), gr.Button(interactive=True), go_on, gr.skip()


def render_end(result: training.Result, job: training.Job) -> str:
    """Return the status line of a training that has a result."""
    steps = result.card.steps or 0
    if result.error:
        line = f"The training failed after {steps} steps: {result.error.rstrip('.')}."
    else:
        line = f"Stopped after {steps} of {job.steps} steps." if job.run.exists() else f"Done: {steps} steps."
    line += " The style is now selected on the first tab. You can download its model here."
    if job.run.exists() and not has_learned(steps, result.card.init is not None):
        before = "the style that it started from" if result.card.init else "no style yet"
        return render_warning(
            f"{line} It has hardly learned the painting, and looks like {before}: press Go on."
        )
    return render_message(line)


def find_stopped_job(own: styles.Styles) -> training.Job | None:
    """Return the job of the session's newest style if its training was stopped, otherwise None."""
    job = next((style.job for style in reversed(own.values()) if style.job), None)
    return job if job and job.run.exists() else None


class TrainingTab:
    """The tab that trains a style.

    Args:
        slot: The server's training slot.
    """

    def __init__(self, slot: training.TrainingSlot):
        self.slot = slot

    def train(
        self, upload: str | None, steps: int, own: styles.Styles, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Train a style; yield the updates of ``follow``."""
        folder, owner = os.environ["GRADIO_TEMP_DIR"], request.session_hash or ""
        try:
            painting = uploads.open_upload(upload, "painting", MAX_PAINTING_SIDE).convert("RGB")
            name = styles.name_own_style(str(upload), own)
            run = training.start_training(self.slot, painting, name, steps, owner, folder)
            yield from self.follow(run, own)
        except InputError as error:
            yield render_failure(error, own)

    def resume(self, own: styles.Styles, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Continue the training of the newest style of the session; yield the updates of ``follow``."""
        try:
            job = find_stopped_job(own)
            if job is None:
                raise InputError("There is no stopped training to continue.")
            yield from self.follow(training.resume_training(self.slot, job, request.session_hash or ""), own)
        except InputError as error:
            yield render_failure(error, own)

    def follow(self, run: training.Training, own: styles.Styles) -> Iterator[tuple[Any, ...]]:
        """Wait for the end of a training, and add its style to the session's own styles.

        Yields:
            Updates of the preview, the status line, the model's download button, the buttons that start a
            training and continue it, and the session's own styles.

        Raises:
            InputError: The training has no result.
        """
        unchanged, job = (gr.skip(),) * 4, run.job
        with run:
            disabled = gr.Button(interactive=False)
            yield EMPTY, render_progress("Starting …"), gr.skip(), disabled, disabled, gr.skip()
            shown = None
            while run.is_running():
                time.sleep(0.5)
                progress = run.read_progress()
                new = progress.preview if progress.preview != shown else None
                shown = progress.preview
                image = render_preview(new) if new else gr.skip()
                line = render_progress("Stopping …") if run.stopped else render_stage(progress, job.steps)
                yield image, line, *unchanged
            result = run.take_result()
        style = styles.Style(styles.own_title(job.name), result.model, job.painting, job.painting, job)
        own = own | {job.name: style}
        # A copy, because Gradio deletes downloaded files while the style is still in use.
        copy = shutil.copy(result.model, tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"]))
        yield (
            gr.skip(),
            render_end(result, job),
            gr.DownloadButton(value=copy, interactive=True),
            gr.Button(interactive=True),
            gr.Button(interactive=job.run.exists()),
            own,
        )

    def stop(self, request: gr.Request) -> str:
        """Stop the session's training, and return the status line."""
        stopping = self.slot.stop(request.session_hash or "")
        return render_progress("Stopping …") if stopping else render_message("You are not training a style.")

    def build(self, own: gr.State) -> None:
        """Build the tab's controls, and connect their events."""
        with gr.Row(elem_classes="split"):
            with gr.Column(scale=2, min_width=300):
                painting = create_image_field(
                    "Painting", "Drop a painting here, paste one, or tap to choose", height=300
                )
                length = gr.Radio(
                    list(STEPS.items()),
                    value=900,
                    label="Length",
                    elem_classes="lines",
                )
                with gr.Row():
                    start = gr.Button("Train", variant="primary")
                    end = gr.Button("Stop", variant="stop")
                    go_on = gr.Button("Go on", interactive=False)
            with gr.Column(scale=3, min_width=300):
                status = create_status_line()
                preview = gr.HTML(EMPTY, elem_classes="pictures")
                file = gr.DownloadButton("Download the model", interactive=False)
                gr.HTML(
                    "<small>One training at a time runs on this computer. Stop keeps what the model has "
                    "learned so far. Closing the page stops the training. The style and its painting stay on "
                    "the server while the page is open, and up to an hour longer. To use the model elsewhere "
                    "download it, and run: python infer.py photo.jpg --checkpoint MODEL</small>"
                )
        outputs = [preview, status, file, start, go_on, own]
        # A second training gets an error at once instead of waiting in the queue.
        events: dict[str, Any] = {"outputs": outputs, "concurrency_limit": None, "show_progress": "hidden"}
        start.click(self.train, [painting, length, own], api_name="train", **events)
        go_on.click(self.resume, own, api_name="go_on", **events)
        end.click(self.stop, outputs=status, api_name="stop", show_progress="hidden")
