"""Controls and messages that the tabs share."""

import os
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ListFiles
from gradio.events import Dependency

from faststyle.errors import name_parameters
from faststyle.inference.settings import StylizeSettings
from faststyle.web.uploads import MAX_PIXELS, MAX_UPLOAD_SIZE
from faststyle.web.waiting import WAITING, Waiting

# Labels of the controls whose parameters an error message can name.
CONTROL_LABELS = {"max_size": "the preview size", "size": "the size", "strength": "the strength"}
# Arguments of an event listener that is no part of the page's API.
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
# Download the file of a hidden button.
SAVE_FILE = """
(file) => {
  if (!file) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}
"""
MAX_MEGABYTES = f"At most {MAX_UPLOAD_SIZE.removesuffix('mb')} MB"
IMAGE_LIMITS = f"{MAX_MEGABYTES} and {MAX_PIXELS // 1_000_000} megapixels."


def create_image_field(
    label: str, placeholder: str, height: int, optional: bool = False, camera: bool = False
) -> gr.Image:
    """Create a field to drop, paste, choose or photograph an image. Its value is the path of the upload."""
    return gr.Image(
        label=label,
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard", "webcam"] if camera else ["upload", "clipboard"],
        placeholder=placeholder,
        buttons=[],
        elem_classes=["picture", "optional"] if optional else "picture",
        height=height,
    )


def create_file_field(label: str, suffixes: Iterable[str], height: int, many: bool = False) -> gr.File:
    """Create a field to drop or choose a file, or many, with one of the suffixes. Its value is the path."""
    return gr.File(
        label=label,
        file_types=list(suffixes),
        file_count="multiple" if many else "single",
        elem_classes=["clip", "many"] if many else "clip",
        height=height,
    )


def create_strength_slider() -> gr.Slider:
    """Create the slider of the blend between the original and the stylized result."""
    return gr.Slider(0, 1, StylizeSettings.strength, step=0.05, label="Strength")


def create_settings(
    source: str, sizes: list[tuple[str, int]], size: int, label: str, info: str
) -> tuple[gr.Slider, gr.Checkbox, gr.Dropdown]:
    """Create the controls of the strength, of the source's own colours and of the size.

    Args:
        source: What is stylized: photo or video.
        sizes: Texts and values of the sizes in pixels.
        size: The size chosen at first.
        label: Label of the sizes.
        info: What a smaller size changes.
    """
    with gr.Row(elem_classes="controls"):
        strength = create_strength_slider()
        sizes_field = gr.Dropdown(sizes, value=size, label=label, info=info, filterable=False)
        keep_color = gr.Checkbox(label=f"Keep the {source}'s colours")
    return strength, keep_color, sizes_field


def get_upload_path(_: gr.Component, payload: Any) -> str | list[str] | None:
    """Return the path of an upload, or None for a path outside the upload folder; a list for several uploads.

    A forged request can name any file of the server.
    """
    if isinstance(payload, ListFiles):
        return [path for file in payload if isinstance(path := get_upload_path(_, file), str)]
    if not getattr(payload, "path", None):
        return None
    upload = Path(payload.path).resolve()
    return str(upload) if upload.is_relative_to(Path(os.environ["GRADIO_TEMP_DIR"]).resolve()) else None


def use_upload_paths() -> None:
    """Let the fields and buttons of this process pass on the path of an upload without opening it.

    Gradio's own preprocessing opens the image, and shows only "Error" if that fails. The page shows the
    reason instead. This replaces a method of Gradio's classes, because Gradio creates a field anew from its
    class when an event updates the field. A subclass is no alternative, because Gradio writes a .pyi file
    beside the source of every subclass.
    """
    gr.Image.preprocess = get_upload_path  # type: ignore[method-assign, assignment]
    gr.File.preprocess = get_upload_path  # type: ignore[method-assign, assignment]
    gr.UploadButton.preprocess = get_upload_path  # type: ignore[method-assign, assignment]


def create_status_line() -> gr.HTML:
    """Create the line for messages and errors. Screen readers read it aloud when it changes."""
    return gr.HTML(
        elem_classes="news",
        js_on_load='element.setAttribute("role", "status"); element.setAttribute("aria-live", "polite");',
    )


def render_message(text: str) -> str:
    """Return HTML of a message for the status line."""
    return f"<p>{escape(text)}</p>"


def render_progress(text: str, done: int = 0, total: int = 0) -> str:
    """Return HTML of a message with a progress bar; a bar without a value if ``total`` is 0."""
    attributes = f'value="{done}" max="{total}" ' if total else ""
    text = escape(text)
    return f'<p>{text} <progress {attributes}aria-label="{text}"></progress></p>'


def render_waiting(waiting: Waiting) -> str:
    """Return HTML of the progress bar of a computation that has not ended yet."""
    return render_progress(f"{waiting.stage} … {waiting.seconds:.0f} s")


def format_time_left(seconds: float) -> str:
    """Return the time to the end of a computation, such as "1:40 to go"."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02} to go"


def connect_run(
    start: gr.Button,
    status: gr.HTML,
    stop: gr.Button | None = None,
    download: gr.DownloadButton | None = None,
    **event: Any,
) -> Dependency:
    """Connect a button that starts a long run, and disable it until the run ends.

    All runs wait for one another in one queue, whatever their tab.

    Args:
        start: Button that starts the run.
        status: Status line.
        stop: Button that cancels the run. Without one, the event that stops the run must enable ``start``.
        download: Hidden button whose file the browser saves after the run.
        **event: Arguments of the run's event listener.

    Returns:
        The run's event, for the argument ``cancels`` of others.
    """
    begun = start.click(
        lambda: [gr.Button(interactive=False), render_progress(f"{WAITING} …")],
        outputs=[start, status],
        queue=False,
        **PRIVATE,
    )
    running = begun.then(concurrency_id="heavy", show_progress="minimal", show_progress_on=status, **event)
    running.then(lambda: gr.Button(interactive=True), outputs=start, queue=False, **PRIVATE)
    if download is not None:
        running.then(None, download, js=SAVE_FILE, api_visibility="private")
    if stop is not None:
        # Report after the cancellation, because a step that is already on its way would overwrite the line.
        stop.click(None, cancels=running, **PRIVATE).then(
            lambda: [render_message("Stopped."), gr.Button(interactive=True)],
            outputs=[status, start],
            **PRIVATE,
        )
    return running


def render_grid(*figures: str) -> str:
    """Return HTML of figures in a grid, or nothing if there are none."""
    return f'<div class="grid">{"".join(figures)}</div>' if figures else ""


def render_error(error: Exception) -> str:
    """Return HTML of an error's message. Parameters in it become the labels of their controls."""
    message = name_parameters(str(error), lambda name: CONTROL_LABELS.get(name, name.replace("_", " ")))
    return f'<p class="wrong">{escape(message)}</p>'
