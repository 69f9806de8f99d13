"""The second tab: a clip, a style, and the clip stylized, with its sound."""

import os
import threading
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr
from PIL import Image

from faststyle.errors import InputError
from faststyle.web import styles, uploads, video
from faststyle.web.components import MAX_UPLOAD, file_field, news, said, wrong

EMPTY = '<div class="empty"><p>Your clip will be here.</p></div>'
LIMITS = f"At most {MAX_UPLOAD.removesuffix('mb')} MB; of a longer clip the first {video.MAX_SECONDS} s."
# Gradio knows the file's address once it has given it for download.
PLAY = """
async (file) => {
  const player = () => document.querySelector("#clip video");
  for (let i = 0; i < 50 && !player(); i++) await new Promise((done) => setTimeout(done, 20));
  if (file?.url && player()) player().src = file.url;
}
"""


def choose(clip: str | None) -> tuple[str, str, Any, str]:
    """Another clip was chosen: its first frame, no progress, no file, and a line of news."""
    nothing = "", no_file()
    if clip is None:
        return EMPTY, *nothing, ""
    try:
        frame, line = video.first_frame(clip)
    except InputError as error:
        return EMPTY, *nothing, wrong(error)
    return picture(frame, "The clip's first frame"), *nothing, said(line)


def run(
    clip: str | None,
    name: str | None,
    strength: float,
    keep_color: bool,
    size: int,
    own: styles.Shelf,
    request: gr.Request,
) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Yields the stage, how far it is, the file and a line of news."""
    owner, stopped = request.session_hash or "", threading.Event()
    video.running[owner] = stopped
    try:
        style = styles.find(name, own)
        yield gr.skip(), bar(None), no_file(), said(f"Stylizing as {style.title} …")
        folder = os.environ["GRADIO_TEMP_DIR"]
        for step in video.stylize_clip(
            clip, str(name), style, strength, keep_color, size or None, folder, stopped
        ):
            if isinstance(step, video.Result):
                file = gr.DownloadButton(value=str(step.path), interactive=True)
                yield player(step), "", file, said(step.line)
            else:
                new = picture(step.preview, "The newest frame") if step.preview else gr.skip()
                yield new, bar(step), gr.skip(), gr.skip()
    except InputError as error:
        yield gr.skip(), "", gr.skip(), wrong(error)
    finally:
        stopped.set()
        if video.running.get(owner) is stopped:
            del video.running[owner]


def stop(clip: str | None, request: gr.Request) -> tuple[Any, Any, Any, str]:
    """The clip's first frame again, no progress, no file, and a line of news."""
    # Waits for the run's end: a step that is on its way shall not come after this.
    if not video.stop(request.session_hash or "", wait=True):
        return gr.skip(), gr.skip(), gr.skip(), said("Stopped.")  # it waited for its turn, or there was none
    stage, progress, file, _ = choose(clip)
    return stage, progress, file, said("Stopped.")


def no_file() -> gr.DownloadButton:
    return gr.DownloadButton(value=None, interactive=False)


def picture(frame: Image.Image, alt: str) -> str:
    return f'{figure(frame)}<img src="{uploads.data_uri(frame)}" alt="{escape(alt)}"></figure>'


def figure(frame: Image.Image) -> str:
    return f'<figure style="--ratio: {frame.width / frame.height:.4f}">'


def player(result: video.Result) -> str:
    return (
        f'{figure(result.poster)}<video controls playsinline preload="auto" '
        'aria-label="The stylized clip" '
        f'poster="{uploads.data_uri(result.poster)}"></video></figure>'
    )


def bar(progress: video.Progress | None) -> str:
    """How far it is, as a bar and in words."""
    if progress is None or not progress.done:
        return '<progress aria-label="Frames done"></progress><p>Preparing the style …</p>'
    done, total = progress.done, progress.total
    words = f"{done} of {total} frames" if total else f"{done} frames"
    if progress.rate:
        words += f", {progress.rate:.1f} a second"
    if progress.rate and total:
        seconds = round(max(0, total - done) / progress.rate)
        words += f", {seconds // 60}:{seconds % 60:02} to go"
    share = f'max="{total}" value="{min(done, total)}"' if total else ""
    return f'<progress aria-label="Frames done" {share}></progress><p>{words}</p>'


def build(own: gr.State) -> None:
    if not video.can_read_clips():
        gr.HTML(said(video.MISSING))
        return
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=2, min_width=300):
            clip = file_field("Clip", video.KINDS, height=150)
            # Their pictures are the first tab's.
            style = gr.Radio(
                styles.choices(styles.ready_styles()),
                value=styles.FAVOURITE,
                label="Style",
                elem_classes="styles",
            )
        with gr.Column(scale=3, min_width=300):
            stage = gr.HTML(EMPTY, elem_id="clip", elem_classes="pictures")
            line = news()
            progress = gr.HTML("", elem_classes="progress")
            with gr.Row(elem_classes="controls"):
                strength = gr.Slider(0, 1, 1, step=0.05, label="Strength")
                size = gr.Dropdown(
                    [*((f"{size} pixels", size) for size in video.SIZES), ("As it is", 0)],
                    value=720,
                    label="Longer side",
                    info="The smaller, the quicker",
                    filterable=False,
                )
                keep_color = gr.Checkbox(label="Keep the clip's colours")
            with gr.Row():
                start = gr.Button("Stylize the clip", variant="primary")
                end = gr.Button("Stop", variant="stop")
            file = gr.DownloadButton("Download the clip", interactive=False)
            gr.HTML(
                f"<small>{LIMITS} One clip at a time is stylized on this computer; closing the page ends it. "
                "Files are deleted from the server within the hour.</small>"
            )
    outputs = [stage, progress, file, line]
    clip.change(choose, clip, outputs, show_progress="hidden", api_name="clip")
    work = start.click(
        run,
        [clip, style, strength, keep_color, size, own],
        outputs,
        api_name="video",
        concurrency_id="heavy",  # shared with the download and the comparison
        show_progress="minimal",
        show_progress_on=line,
    )
    work.then(None, file, js=PLAY, api_visibility="private")
    end.click(stop, clip, outputs, cancels=work, api_visibility="private", show_progress="hidden")
    # A style trained on the third tab can be chosen here too.
    own.change(
        lambda own: gr.Radio(styles.choices(styles.everything(own)), value=list(own)[-1]),
        own,
        style,
        show_progress="hidden",
        api_visibility="private",
    )
