"""The web page: its tabs, and its server."""

import ipaddress
import threading
import time
from pathlib import Path

import gradio as gr
import skimage

from faststyle.console import fail
from faststyle.device import share_freed_memory
from faststyle.web import (
    compare_tab,
    optimize_tab,
    own_styles,
    photos_tab,
    styles,
    stylize,
    stylize_tab,
    training,
    video,
    video_tab,
)
from faststyle.web.components import use_upload_paths
from faststyle.web.theme import CSS, HEAD, create_theme
from faststyle.web.uploads import MAX_UPLOAD_SIZE, open_upload

MAX_QUEUED_REQUESTS = 60  # Gradio rejects further requests
MAX_THREADS = 8  # each thread that has run a network keeps some memory
MAX_FILE_AGE_SECONDS = 3600  # older uploads and results are deleted
PHOTO_FOLDER = Path(skimage.__file__).parent / "data"
EXAMPLES = {"Astronaut": "astronaut.png", "Coffee": "coffee.png", "Cat": "chelsea.png"}


def build(slot: training.TrainingSlot, trained: styles.Styles | None = None) -> gr.Blocks:
    """Build the page, with a queue for its requests.

    Args:
        slot: The server's training slot.
        trained: Styles to offer beside the built-in ones.
    """

    def stop_session(request: gr.Request) -> None:
        """Stop the training and the video of a session whose page was closed."""
        if request.session_hash:
            slot.stop(request.session_hash)
            video.stop(request.session_hash)

    use_upload_paths()
    with gr.Blocks(
        title="faststyle: photos in the style of paintings",
        analytics_enabled=False,
        delete_cache=(60, MAX_FILE_AGE_SECONDS),
    ) as page:
        gr.HTML("<h1>faststyle</h1><p>Photos and videos in the style of paintings.</p>", elem_id="top")
        own = gr.State(trained or {}, delete_callback=own_styles.delete_styles)
        with gr.Tabs():
            with gr.Tab("Stylize", id="stylize"):
                stylize_tab.build(
                    page, own, {name: PHOTO_FOLDER / file for name, file in EXAMPLES.items()}, slot
                )
            with gr.Tab("Photos", id="photos"):
                photos_tab.build(own)
            with gr.Tab("Video", id="video"):
                video_tab.build(own)
            with gr.Tab("Optimize", id="optimize"):
                optimize_tab.build()
            with gr.Tab("Compare", id="compare"):
                compare_tab.build(own)
        page.unload(stop_session)
    return page.queue(max_size=MAX_QUEUED_REQUESTS, default_concurrency_limit=1, api_open=False)


def is_loopback(host: str) -> bool:
    """Return True if only this computer can open the page at an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def warm_up() -> None:
    """Load every built-in style and stylize one photo, so that the first request is fast.

    The first forward pass of a process is the slowest, and converting a model to OpenVINO takes seconds.
    """
    photo = open_upload(str(PHOTO_FOLDER / EXAMPLES["Coffee"]), "photo", 1024)
    built_in = styles.list_built_in_styles()
    default = styles.load_shared_stylizer(built_in[styles.DEFAULT_STYLE].model)
    stylize.stylize_image(photo, default, stylize.Look())
    for style in built_in.values():
        styles.load_shared_stylizer(style.model)


def serve(host: str, port: int, root_path: str = "") -> None:
    """Serve the page until KeyboardInterrupt.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        root_path: Path or URL that a proxy serves the page at, without a slash at its end.
    """
    share_freed_memory()
    slot = training.TrainingSlot()
    # Only for this computer, because the models of its owner are nobody else's business.
    alone = is_loopback(host) and not root_path  # a proxy lets others in
    page = build(slot, own_styles.find_trained_styles() if alone else None)
    try:
        page.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=port,
            root_path=root_path,
            theme=create_theme(),
            css_paths=CSS,
            head=HEAD,
            max_file_size=MAX_UPLOAD_SIZE,
            allowed_paths=[str(PHOTO_FOLDER)],
            footer_links=[],
            run_history=False,
            share=False,
            ssr_mode=False,
            pwa=False,
            max_threads=MAX_THREADS,
            quiet=True,
            prevent_thread_lock=True,
        )
        threading.Thread(target=warm_up, daemon=True).start()
        print(f"faststyle: {page.local_url} (Ctrl-C ends it)", flush=True)
        while True:  # on Windows, Ctrl-C cannot interrupt a wait without a timeout
            time.sleep(3600)
    except OSError:
        fail(f"cannot listen on {host}, port {port}: give another --host or --port")
    finally:
        slot.close()
        page.close(verbose=False)
