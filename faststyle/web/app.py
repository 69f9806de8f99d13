"""The page: its four tabs put together, and served."""

import threading
import time
from pathlib import Path

import gradio as gr
import skimage

from faststyle.console import fail
from faststyle.device import share_freed_memory
from faststyle.web import compare_tab, styles, stylize, stylize_tab, training, training_tab, video, video_tab
from faststyle.web.components import use_upload_paths
from faststyle.web.theme import CSS, HEAD, theme
from faststyle.web.uploads import MAX_UPLOAD, open_upload

WAITING = 60  # requests that may queue; more are told to come again
THREADS = 8  # each that has run a network keeps some memory
OLD = 3600  # seconds after which uploads and results are deleted
PHOTOS = Path(skimage.__file__).parent / "data"
EXAMPLES = {"Astronaut": "astronaut.png", "Coffee": "coffee.png", "Cat": "chelsea.png"}


def build() -> gr.Blocks:
    use_upload_paths()
    with gr.Blocks(
        title="faststyle: photos in the style of paintings",
        analytics_enabled=False,
        delete_cache=(60, OLD),
    ) as page:
        gr.HTML("<h1>faststyle</h1><p>Your photo, as a painter might have seen it.</p>", elem_id="top")
        own = gr.State({}, delete_callback=styles.forget)  # the styles that this person trained, by name
        with gr.Tabs():
            with gr.Tab("Stylize", id="stylize"):
                chooser = stylize_tab.build(own, {name: PHOTOS / file for name, file in EXAMPLES.items()})
            with gr.Tab("Video", id="video"):
                video_tab.build(own)
            with gr.Tab("Train a style", id="train"):
                training_tab.build(own, chooser)
            with gr.Tab("Fast and slow", id="compare"):
                compare_tab.build(own)
        page.unload(leave)
    return page.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)


def leave(request: gr.Request) -> None:
    """Somebody closed the page: nobody is left to wait for their training or their clip."""
    if request.session_hash:
        training.stop(request.session_hash)
        video.stop(request.session_hash)


def warm_up() -> None:
    """The first pass of a process takes longest, and OpenVINO's conversion seconds: let nobody wait."""
    photo = open_upload(str(PHOTOS / EXAMPLES["Coffee"]), "photo", 1024)
    ready = styles.ready_styles()
    stylize.paint(photo, styles.load(ready[styles.FAVOURITE].model), 1.0, False)
    for style in ready.values():
        styles.load(style.model)


def serve(host: str, port: int) -> None:
    """Serve the page, until KeyboardInterrupt."""
    share_freed_memory()
    page = build()
    try:
        page.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=port,
            theme=theme(),
            css_paths=CSS,
            head=HEAD,
            max_file_size=MAX_UPLOAD,
            allowed_paths=[str(PHOTOS)],
            footer_links=[],
            run_history=False,
            share=False,
            ssr_mode=False,
            pwa=False,
            max_threads=THREADS,
            quiet=True,
            prevent_thread_lock=True,
        )
        threading.Thread(target=warm_up, daemon=True).start()
        print(f"faststyle: {page.local_url} (Ctrl-C ends it)", flush=True)
        while True:  # Windows does not interrupt a wait without an end
            time.sleep(3600)
    except OSError:
        fail(f"cannot listen on {host}, port {port}: give another --host or --port")
    finally:
        training.stop_any()
        page.close(verbose=False)
