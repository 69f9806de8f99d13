"""The tab Video: a video, a style, and the stylized video with its sound."""

import os
import threading
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr
from PIL import Image

from faststyle.errors import InputError
from faststyle.web import styles, uploads, video, video_upload
from faststyle.web.components import (
    MAX_MEGABYTES,
    PRIVATE,
    connect_run,
    create_file_field,
    create_settings,
    create_status_line,
    format_time_left,
    render_error,
    render_message,
    render_progress,
)
from faststyle.web.style_picker import create_style_buttons, offer_own_styles

SIZES = [*((f"{size} pixels", size) for size in video.SIZES), ("Original size", 0)]
EMPTY = '<div class="empty"><p>The stylized video will be here.</p></div>'
LIMITS = f"{MAX_MEGABYTES}; only the first {video_upload.MAX_SECONDS} s of a longer video are stylized."
# Show the file in the player. Its address is known only after it has been set as the download's file.
PLAY = """
async (file) => {
  const player = () => document.querySelector("#clip video");
  for (let i = 0; i < 50 && !player(); i++) await new Promise((done) => setTimeout(done, 20));
  if (file?.url && player()) player().src = file.url;
}
"""


def show_first_frame(upload: str | None) -> tuple[str, str, Any, str]:
    """Return the stage with the upload's first frame, no progress, no file, and the status line."""
    cleared = "", disable_download()
    if upload is None:
        return EMPTY, *cleared, ""
    try:
        frame, line = video_upload.read_first_frame(upload)
    except InputError as error:
        return EMPTY, *cleared, render_error(error)
    return render_frame(frame, "The video's first frame"), *cleared, render_message(line)


def run(
    upload: str | None,
    name: str | None,
    strength: float,
    keep_color: bool,
    size: int,
    own: styles.Styles,
    request: gr.Request,
) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Stylize the video; yield the stage, the progress, the download button and the status line."""
    owner, stopped = request.session_hash or "", threading.Event()
    video.stop_events[owner] = stopped
    try:
        style = styles.find_style(name, own)
        yield (
            gr.skip(),
            render_frames(None),
            disable_download(),
            render_message(f"Stylizing as {style.title} …"),
        )
        folder = os.environ["GRADIO_TEMP_DIR"]
        for step in video.stylize_video(
            upload, str(name), style, strength, keep_color, size or None, folder, stopped
        ):
            if isinstance(step, video.Result):
                file = gr.DownloadButton(value=str(step.path), interactive=True)
                yield render_player(step), "", file, render_message(step.line)
            else:
                new = render_frame(step.preview, "The newest frame") if step.preview else gr.skip()
                yield new, render_frames(step), gr.skip(), gr.skip()
    except InputError as error:
        yield gr.skip(), "", gr.skip(), render_error(error)
    finally:
        stopped.set()
        if video.stop_events.get(owner) is stopped:
            del video.stop_events[owner]


def stop(upload: str | None, request: gr.Request) -> tuple[Any, Any, Any, str, gr.Button]:
    """Stop the run; return the updates of ``show_first_frame``, and enable the button that starts a run."""
    message, start = render_message("Stopped."), gr.Button(interactive=True)
    # Wait for the end of the run, so that none of its updates arrives after this one.
    if not video.stop(request.session_hash or "", wait=True):
        return gr.skip(), gr.skip(), gr.skip(), message, start  # the run was in the queue, or there was none
    stage, progress, file, _ = show_first_frame(upload)
    return stage, progress, file, message, start


def disable_download() -> gr.DownloadButton:
    """Return a download button without a file."""
    return gr.DownloadButton(value=None, interactive=False)


def render_frame(frame: Image.Image, alt: str) -> str:
    """Return HTML of a frame."""
    return f'{open_figure(frame)}<img src="{uploads.encode_data_uri(frame)}" alt="{escape(alt)}"></figure>'


def open_figure(frame: Image.Image) -> str:
    """Return the opening tag of a figure with the aspect ratio of a frame."""
    return f'<figure style="--ratio: {frame.width / frame.height:.4f}">'


def render_player(result: video.Result) -> str:
    """Return HTML of a video player that shows the first frame."""
    return (
        f'{open_figure(result.poster)}<video controls playsinline preload="auto" '
        'aria-label="The stylized video" '
        f'poster="{uploads.encode_data_uri(result.poster)}"></video></figure>'
    )


def render_frames(progress: video.Progress | None) -> str:
    """Return HTML of a progress bar with a line such as "12 of 148 frames, 3.2 per second, 0:42 to go"."""
    if progress is None or not progress.done:
        return render_progress("Preparing the style …")
    done, total = progress.done, progress.total
    line = f"{done} of {total} frames" if total else f"{done} frames"
    if progress.rate:
        line += f", {progress.rate:.1f} per second"
    if progress.rate and total:
        line += f", {format_time_left(max(0, total - done) / progress.rate)}"
    return render_progress(line, done, total or 0)


def build(own: gr.State) -> None:
    """Build the tab's controls, and connect their events; without PyAV, show how to install it."""
    if not video_upload.has_pyav():
        gr.HTML(render_message(video_upload.MISSING_PYAV))
        return
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=2, min_width=300):
            upload = create_file_field("Video", video_upload.SUFFIXES, height=150)
            style = create_style_buttons(own.value)  # the tab Stylize holds their sample images
        with gr.Column(scale=3, min_width=300):
            stage = gr.HTML(EMPTY, elem_id="clip", elem_classes="pictures")
            status = create_status_line()
            progress = gr.HTML("", elem_classes="progress")
            strength, keep_color, size = create_settings(
                "video", SIZES, 720, "Longer side", "Smaller is faster"
            )
            with gr.Row():
                start = gr.Button("Stylize the video", variant="primary")
                end = gr.Button("Stop", variant="stop")
            file = gr.DownloadButton("Download the video", interactive=False)
            gr.HTML(
                f"<small>{LIMITS} One video at a time is stylized on this computer. Closing the page stops "
                "it. Files are deleted from the server within the hour.</small>"
            )
    outputs = [stage, progress, file, status]
    upload.change(
        show_first_frame,
        upload,
        outputs,
        show_progress="minimal",
        show_progress_on=status,
        api_name="clip",
    )
    running = connect_run(
        start,
        status,
        fn=run,
        inputs=[upload, style, strength, keep_color, size, own],
        outputs=outputs,
        api_name="video",
    )
    running.then(None, file, js=PLAY, api_visibility="private")
    end.click(stop, upload, [*outputs, start], cancels=running, **PRIVATE)
    offer_own_styles(own, style)
