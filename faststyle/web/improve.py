"""The button "Make it better": training on the chosen painting, while the result is shown."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.color import blend_images
from faststyle.image.convert import to_opaque
from faststyle.image.files import open_image
from faststyle.web import styles, stylize, training, uploads
from faststyle.web.components import format_time_left, render_error, render_message, render_progress
from faststyle.web.selection import Selection

LENGTHS = {"A minute": 60, "Five minutes": 300, "Half an hour": 1800}  # in seconds
MAX_PAINTING_SIDE = 1024  # pixels
POLL_SECONDS = 0.5


class Improvement:
    """The training of the chosen style, for the first tab.

    Args:
        slot: The server's training slot.
    """

    def __init__(self, slot: training.TrainingSlot):
        self.slot = slot

    def improve(self, request: gr.Request, seconds: int, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Train the chosen style, and replace its model.

        Args:
            request: The request, whose session can stop the training.
            seconds: Length of the training.
            *values: Values of a ``Selection``.

        Yields:
            Updates of the result, the status line, the model's download button and the session's styles.
        """
        chosen = Selection(*values)
        name, own = str(chosen.name), chosen.own
        try:
            look = chosen.look()
            before, style = chosen.open_photo(), chosen.find_style()
            if style.painting is None:
                raise InputError(
                    "Only a painting of yours can be made better: drop it into the field Any painting."
                )
            painting = uploads.open_upload(str(style.painting), "painting", MAX_PAINTING_SIDE)
            run = training.start_training(
                self.slot,
                to_opaque(painting),
                before.convert("RGB"),
                name,
                str(style.model) if style.job else "auto",  # go on from what this session trained
                seconds,
                request.session_hash or "",
                os.environ["GRADIO_TEMP_DIR"],
            )
            with run:
                for shown, line in follow(run):
                    image = (
                        uploads.render_slider(before, apply_look(shown, before, look)) if shown else gr.skip()
                    )
                    yield image, render_progress(*line), gr.skip(), gr.skip()
                result = run.take_result()
            job = run.job
            better = styles.Style(style.title, result.model, job.painting, job.painting, job)
            after = stylize.stylize_preview(before, better, look)
        except (InputError, OSError) as error:
            yield gr.skip(), render_error(error), gr.skip(), gr.skip()
            return
        if style.job:
            shutil.rmtree(style.job.folder, ignore_errors=True)
        # A copy, because Gradio deletes downloaded files while the style is still in use.
        copy = shutil.copy(result.model, tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"]))
        others = {key: value for key, value in own.items() if key != name}
        yield (
            uploads.render_slider(before, after),
            render_message(describe_result(better, result)),
            gr.DownloadButton(value=copy, visible=True),
            others | {name: better},
        )

    def stop(self, request: gr.Request) -> list[Any]:
        """Stop the session's training, which keeps what it has learned.

        Returns:
            The status line, and three buttons that start another run, enabled if no training is stopping.
        """
        if self.slot.stop(request.session_hash or ""):
            return [gr.skip()] * 4
        return [render_message("Stopped."), *[gr.Button(interactive=True)] * 3]


def apply_look(stylized: Image.Image, photo: Image.Image, look: stylize.Look) -> Image.Image:
    """Return a preview of the training with the strength, the colours and the region of a look."""
    blended = blend_images(stylized.resize(photo.size), photo, look.strength, look.keep_color)
    return look.limit_to_mask(blended, photo)


def follow(run: training.Training) -> Iterator[tuple[Image.Image | None, tuple[str, int, int]]]:
    """Wait for the end of a training.

    Yields:
        The photo as the model stylizes it now, or None if it is as before; text and value of a progress bar.
    """
    shown = None
    while run.is_running():
        time.sleep(POLL_SECONDS)
        progress, total = run.read_progress(), run.job.seconds
        new = progress.preview if progress.preview != shown else None
        shown = progress.preview
        yield open_image(new) if new else None, render_stage(progress, total, run.stopped)


def render_stage(progress: training.Progress, total: int, stopped: bool) -> tuple[str, int, int]:
    """Return the text of a progress bar such as "Getting better: 1:40 to go", its value and its maximum."""
    if stopped:
        return "Stopping …", 0, 0
    if not progress.step:
        return "Starting …", 0, 0
    left = progress.seconds_left
    return f"Getting better: {format_time_left(left)}", round(total - left), total


def describe_result(style: styles.Style, result: training.Result) -> str:
    """Return the status line of a training that has a result."""
    if result.error:
        return f"The training failed after {result.steps} steps: {result.error}"
    return (
        f"{style.title}: trained for {result.steps} steps. Press again to go on, or download the model. "
        "It stylizes on any computer: faststyle stylize photo.jpg --checkpoint MODEL"
    )
