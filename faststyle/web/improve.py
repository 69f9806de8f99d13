"""The button "Make it better": training on the chosen painting, while the result is shown."""

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
from faststyle.image.color import blend_images
from faststyle.image.convert import to_opaque
from faststyle.image.files import open_image
from faststyle.web import own_styles, styles, stylize, training, uploads
from faststyle.web.components import format_time_left, render_error, render_message, render_progress
from faststyle.web.selection import Selection

LENGTHS = {"A minute": 60, "Five minutes": 300, "Half an hour": 1800}  # in seconds
POLL_SECONDS = 0.5


class Improvement:
    """The training of the chosen style, for the tab Stylize.

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
        name, own, owner = str(chosen.name), chosen.own, request.session_hash or ""
        self.slot.starting[owner] = False
        try:
            before, style, look = chosen.open_photo(), chosen.find_style(), chosen.look()
            check_painting(style)
            painting = uploads.open_upload(str(style.painting), "painting", uploads.MAX_PAINTING_SIDE)
            run = training.start_training(
                self.slot,
                to_opaque(painting),
                before.convert("RGB"),
                name,
                str(style.model) if style.is_trained else "auto",
                seconds,
                owner,
                os.environ["GRADIO_TEMP_DIR"],
            )
            with run:
                if self.slot.starting.pop(owner, False):
                    run.stop()
                for shown, line in follow(run):
                    after = apply_look(shown, before, look) if shown else None
                    image = uploads.render_slider(before, after) if after else gr.skip()
                    yield image, render_progress(*line), gr.skip(), gr.skip()
                result = run.take_result()
            job = run.job
            better = styles.Style(style.title, result.model, job.painting, job.painting, True, job.folder)
        except (InputError, OSError) as error:
            yield gr.skip(), render_error(error), gr.skip(), gr.skip()
            return
        finally:
            self.slot.starting.pop(owner, None)
        own_styles.delete_styles({name: style})
        image, message = show_result(before, better, look, result)
        others = {key: value for key, value in own.items() if key != name}
        yield image, message, offer_download(result.model), others | {name: better}

    def stop(self, request: gr.Request) -> list[Any]:
        """Stop the session's training, which keeps what it has learned.

        Returns:
            The status line, and three buttons that start another run, enabled if no training is stopping.
        """
        if self.slot.stop(request.session_hash or ""):
            return [gr.skip()] * 4
        return [render_message("Stopped."), *[gr.Button(interactive=True)] * 3]


def check_painting(style: styles.Style) -> None:
    """Check that there is a painting to train on.

    Raises:
        InputError: The style is a blend, or not of a painting of the session.
    """
    if isinstance(style.model, styles.Blend):
        raise InputError("A blend cannot be made better: set Blend with to No other style.")
    if style.painting is None:
        raise InputError("Only a painting of yours can be made better: drop it into the field Any painting.")


def show_result(
    photo: Image.Image, style: styles.Style, look: stylize.Look, result: training.Result
) -> tuple[Any, str]:
    """Return the photo in a trained style, and the status line."""
    try:
        image = stylize.stylize_preview(photo, style, look)
    except InputError as error:
        return gr.skip(), render_error(error)
    return uploads.render_slider(photo, image), render_message(describe_result(style, result))


def offer_download(model: Path) -> Any:
    """Return a button that downloads a copy of a model; no button if the disk is full.

    Gradio deletes downloaded files, and the style is still in use.
    """
    try:
        copy = shutil.copy(model, tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"]))
    except OSError:
        return gr.skip()
    return gr.DownloadButton(value=copy, visible=True)


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
