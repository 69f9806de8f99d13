"""Stylization of an uploaded video into a file, in a thread."""

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.convert import limit_size
from faststyle.inference.settings import VideoSettings
from faststyle.models import pretrained
from faststyle.video.opening import open_clip
from faststyle.video.prefetch import ahead
from faststyle.video.recorder import Recorder
from faststyle.web.styles import Blend, Style, list_built_in_styles, load_stylizer
from faststyle.web.stylize import join_names
from faststyle.web.video_upload import (
    LENGTH_TOLERANCE,
    MAX_PREVIEW_SIDE,
    MAX_SECONDS,
    check_upload,
    get_seconds,
    page_error,
    remove_folder,
)

SIZES = (480, 720, 1080)  # pixels of the longer side
MAX_FRAME_RATE = 60  # frames per second; of faster videos some frames are skipped
FRAME_RATE_TOLERANCE = 1.02  # because the rate of a phone's 60 frames per second is rarely exact
POLL_SECONDS = 0.3  # between two checks of the thread's progress
MAX_STOP_SECONDS = 5  # to wait for the end of a stopped run
PREVIEW_SECONDS = 1.0  # between two previews

stop_events: dict[str, threading.Event] = {}  # by session; setting an event stops the session's run


class Progress(NamedTuple):
    """The state of a run.

    Attributes:
        done: Number of frames done.
        total: Estimated number of all frames, or None if it is unknown.
        rate: Frames per second; 0 until two frames are done.
        preview: The newest frame, about every ``PREVIEW_SECONDS``, otherwise None.
    """

    done: int
    total: int | None
    rate: float
    preview: Image.Image | None


class Result(NamedTuple):
    """The stylized video.

    Attributes:
        path: Path of the file.
        poster: The first frame.
        line: A line that describes the video.
    """

    path: Path
    poster: Image.Image
    line: str


class Stopped(Exception):
    """The run was stopped."""


def stop(owner: str, wait: bool = False) -> bool:
    """Stop the run of a session.

    Args:
        owner: The session.
        wait: Wait up to ``MAX_STOP_SECONDS`` for the end of the run.

    Returns:
        False if the session has no run.
    """
    stopped = stop_events.get(owner)
    if stopped is None:
        return False
    stopped.set()
    deadline = time.monotonic() + MAX_STOP_SECONDS
    while wait and stop_events.get(owner) is stopped and time.monotonic() < deadline:
        time.sleep(0.02)
    return True


class Job:
    """The stylization of one video.

    One thread runs the job, and another thread reads its attributes.

    Args:
        stopped: Set this event to stop the job at the next frame.

    Attributes:
        done: Number of frames done.
        total: Estimated number of all frames, or None if it is unknown.
        first: Pixels of the first stylized frame.
        newest: Pixels of the newest stylized frame.
    """

    def __init__(self, stopped: threading.Event):
        self.stopped = stopped
        self.done, self.started = 0, 0.0
        self.total: int | None = None
        self.first: np.ndarray | None = None
        self.newest: np.ndarray | None = None

    def measure_rate(self) -> float:
        """Return the frames per second since the first frame."""
        return (self.done - 1) / (time.perf_counter() - self.started) if self.done > 1 else 0.0

    def raise_if_stopped(self) -> None:
        """Raise Stopped if the job is to stop."""
        if self.stopped.is_set():
            raise Stopped

    def run(
        self,
        path: str,
        target: Path,
        model: Path | Blend,
        strength: float,
        keep_color: bool,
        size: int | None,
    ) -> str:
        """Stylize the video, and return a line that describes the result."""
        begun = time.perf_counter()
        stylize = load_stylizer(model)  # not the shared one, because previews of the style would wait for it
        with open_clip(path) as whole:
            seconds, rate = get_seconds(whole), whole.rate or 0
        fast = rate > MAX_FRAME_RATE * FRAME_RATE_TOLERANCE
        new_rate = MAX_FRAME_RATE if fast else None
        with (
            open_clip(path, end=MAX_SECONDS, max_size=size, fps=new_rate) as clip,
            Recorder(target, clip) as recorder,
            # Closed before the recorder, so that no thread reads while the file is finished.
            closing(ahead(stylize.video(clip, strength, keep_color))) as frames,
        ):
            self.raise_if_stopped()
            self.total, end = clip.count, 0.0
            for frame in frames:
                self.raise_if_stopped()
                recorder.write(frame)
                if not self.done:
                    self.first, self.started = frame.pixels, time.perf_counter()
                self.newest, end = frame.pixels, float((frame.pts + (frame.duration or 0)) * clip.time_base)
                self.done += 1
            self.raise_if_stopped()
        took = time.perf_counter() - begun
        count = "1 frame" if self.done == 1 else f"{self.done} frames"
        parts = [f"{target.name}: {count} of {clip.width} × {clip.height} pixels in {took:.1f} s."]
        is_longer = seconds is None or seconds > MAX_SECONDS + LENGTH_TOLERANCE
        if is_longer and end > MAX_SECONDS - LENGTH_TOLERANCE:
            parts.append(f"Only the first {MAX_SECONDS} s were stylized.")
        if fast:
            parts.append(f"The frame rate was reduced from {float(rate):.0f} to {MAX_FRAME_RATE} per second.")
        damage = [remove_folder(clip.damage, path)] if clip.damage else []
        parts += [f"{note.rstrip('.')}." for note in [*damage, *clip.notes, *recorder.notes]]
        return " ".join(parts)


def stylize_video(
    path: str | None,
    name: str,
    style: Style,
    strength: float,
    keep_color: bool,
    size: int | None,
    folder: str,
    stopped: threading.Event,
) -> Iterator[Progress | Result]:
    """Stylize an uploaded video into a file, with its sound.

    Args:
        path: Path of the upload.
        name: Name of the style, for the file name. For a built-in style that has a temporally consistent
            model, that model is used.
        style: The style.
        strength: Blend from 0 (the video) to 1 (the style).
        keep_color: Keep the video's colours.
        size: Maximum longer side in pixels; None keeps the video's size.
        folder: Folder in which a new folder for the file is created. The new folder is deleted if the run
            does not finish.
        stopped: Set this event, or close the iterator, to stop at the next frame.

    Yields:
        The progress, several times per second, and finally the result, unless the run was stopped.

    Raises:
        InputError: The video is missing or cannot be read, or the memory or the disk is full.
    """
    path, model = check_upload(path), style.model
    is_built_in = list_built_in_styles().get(name) == style
    steady = pretrained.steady_styles().get(f"{name}-steady") if is_built_in else None
    place = Path(tempfile.mkdtemp(prefix="clip_", dir=folder))
    settings = VideoSettings(strength, keep_color, size)
    target = place / f"{join_names(path, name, settings, 'clip')}.mp4"
    job, pool = Job(stopped), ThreadPoolExecutor(1)
    future = pool.submit(job.run, path, target, steady or model, strength, keep_color, size)
    pool.shutdown(wait=False)
    finished = False
    try:
        yield from watch_job(job, future)
        if future.done():
            line = future.result()
            if steady:
                line += " The style's temporally consistent model for videos was used."
            assert job.first is not None
            finished = True
            yield Result(target, limit_size(Image.fromarray(job.first), MAX_PREVIEW_SIDE), line)
    except Stopped:
        return
    except InputError as error:
        raise page_error(error, path) from None
    except OSError as error:
        raise InputError(f"The video could not be written ({error.strerror or 'unknown reason'}).") from None
    finally:
        if not finished:
            stopped.set()
            # Called when the thread ends, or at once if it has ended: the current frame can take a second.
            future.add_done_callback(lambda _: shutil.rmtree(place, ignore_errors=True))


def watch_job(job: Job, future: Future) -> Iterator[Progress]:
    """Yield the progress of a job until the job is done or stopped."""
    shown, shown_at = 0, 0.0
    while not wait([future], POLL_SECONDS).done and not job.stopped.is_set():
        preview, now = None, time.perf_counter()
        if job.newest is not None and job.done > shown and now - shown_at >= PREVIEW_SECONDS:
            preview = limit_size(Image.fromarray(job.newest), MAX_PREVIEW_SIDE)
            shown, shown_at = job.done, now
        yield Progress(job.done, job.total, job.measure_rate(), preview)
