"""Stylize videos as the web page does."""

import threading
import time
from pathlib import Path

from faststyle.web import styles, video


def start_run(
    path, folder, stopped=None, name=styles.DEFAULT_STYLE, size=None, strength=1.0, keep_color=False
):
    """Start the stylization of a video in a built-in style, and return its iterator of steps."""
    stopped = stopped or threading.Event()
    style = styles.list_built_in_styles()[name]
    path = None if path is None else str(path)
    return video.stylize_video(path, name, style, strength, keep_color, size, str(folder), stopped)


def becomes_empty(folder: Path) -> bool:
    """Return True if the folder is empty within 30 seconds."""
    deadline = time.monotonic() + 30
    while list(folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not list(folder.iterdir())
