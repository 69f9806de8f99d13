"""The second tab's work: an uploaded clip is stylized into a file, in a thread that is watched."""

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from faststyle.errors import InputError, OutOfMemoryError
from faststyle.image.convert import limit_size
from faststyle.models import pretrained
from faststyle.video.clips import Clip
from faststyle.video.decoding import ffmpeg_message
from faststyle.video.opening import open_clip
from faststyle.video.prefetch import ahead
from faststyle.web.styles import Style, open_model, ready_styles
from faststyle.web.stylize import joint_name

SIZES = (480, 720, 1080)  # of the longer side
MAX_SECONDS = 60  # of a clip; what is longer is cut off
SLACK = 0.1  # seconds that a clip may be longer without a word, so that one of a minute's is whole
MAX_RATE = 60  # frames a second; of a clip of more some are left out
MAX_PIXELS = 36_000_000  # of a frame: 8K
KINDS = (".mp4", ".mov", ".webm", ".mkv", ".gif", ".avi")
# FFmpeg's readers of these. Others stay out: a play list of a stranger's may name files of the server.
READERS = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif", "protocol_whitelist": "file"}
TICK = 0.3  # seconds between two looks at the work
LONGEST_STOP = 5  # seconds to wait for a run's end
PREVIEW = 640  # pixels of a preview's longer side
PREVIEW_SECONDS = 1.0
MISSING = "Clips need PyAV: pip install -e '.[video]'"

running: dict[str, threading.Event] = {}  # what ends each person's clip


class Progress(NamedTuple):
    """How far a clip is.

    Attributes:
        done, total: frames; the total is an estimate, None where there is none.
        rate: frames a second, 0 where it is too early to say.
        preview: the newest frame, now and then.
    """

    done: int
    total: int | None
    rate: float
    preview: Image.Image | None


class Result(NamedTuple):
    """The stylized clip's file, its first frame, and a line about it."""

    path: Path
    poster: Image.Image
    line: str


class Stopped(Exception):
    """Nobody waits for the clip any more."""


def can_read_clips() -> bool:
    return find_spec("av") is not None


def stop(owner: str, wait: bool = False) -> bool:
    """End what ``owner`` began, and perhaps wait for that; whether there was anything."""
    stopped = running.get(owner)
    if stopped is None:
        return False
    stopped.set()
    deadline = time.monotonic() + LONGEST_STOP
    while wait and running.get(owner) is stopped and time.monotonic() < deadline:
        time.sleep(0.02)
    return True


def check_upload(path: str | None) -> str:
    """See that an upload is a clip, before anything of it is decoded.

    Returns:
        Its path.

    Raises:
        InputError: nothing was uploaded, or no clip, one in none of ``KINDS``, or one of larger frames
            than ``MAX_PIXELS``.
    """
    if path is None:
        raise InputError("Add a clip first.")
    name = Path(path).name
    if not Path(path).exists():
        raise InputError(f"The clip {name} was cleared in the meantime: add it again.")
    if Path(path).suffix.lower() not in KINDS:
        raise InputError(f"{name} is not a clip: its name must end in one of {', '.join(KINDS)}.")
    if Path(path).suffix.lower() == ".gif":
        try:
            with Image.open(path, formats=["GIF"]) as image:
                pixels = image.width * image.height
        except (OSError, ValueError, SyntaxError):
            raise InputError(f"{name} is not a GIF that can be read.") from None
    else:
        import av

        try:
            with av.open(path, options=READERS) as container:
                pixels = max((one.width * one.height for one in container.streams.video), default=0)
        except (av.FFmpegError, OSError, ValueError):
            raise InputError(f"{name} is not a video that can be read.") from None
    if pixels > MAX_PIXELS:
        raise InputError(
            f"{name} has frames of {pixels / 1e6:.0f} megapixels, and {MAX_PIXELS / 1e6:.0f} are the most "
            "here: make it smaller first."
        )
    return path


def page_error(error: InputError, path: str) -> InputError:
    """Return the error to show on the page for a library's error about the upload at ``path``."""
    if isinstance(error, OutOfMemoryError):
        return OutOfMemoryError(
            "Frames of this size do not fit into this computer's memory: choose a smaller one."
        )
    if "codec" in error.parameters and error.__cause__ is not None:  # which the page does not let choose
        return InputError(f"The clip could not be written ({ffmpeg_message(error.__cause__)}).")
    return InputError(without_folder(str(error), path))


def without_folder(line: str, path: str) -> str:
    """Name an upload without its folder, which is the server's."""
    return line.replace(path, Path(path).name)


def length(clip: Clip) -> float | None:
    """Seconds of a clip that was opened whole, None where it does not tell."""
    return float(clip.count / clip.rate) if clip.count and clip.rate else None


def first_frame(path: str | None) -> tuple[Image.Image, str]:
    """A clip's first frame, for the screen, and a line about the clip.

    Raises:
        InputError: as of ``check_upload``, or it cannot be decoded.
    """
    path = check_upload(path)
    try:
        with open_clip(path) as clip:
            seconds = length(clip)
            frame = limit_size(Image.fromarray(next(clip).pixels), PREVIEW)
    except InputError as error:
        raise page_error(error, path) from None
    line = f"{Path(path).name}: {clip.width} × {clip.height} pixels"
    if seconds:
        line += f", {seconds:.1f} s"
        line += f", of which the first {MAX_SECONDS} s are taken" if seconds > MAX_SECONDS + SLACK else ""
    return frame, line


class Work:
    """One clip on its way: what the thread that stylizes it tells the one that watches."""

    def __init__(self, stopped: threading.Event):
        self.stopped = stopped
        self.done, self.started = 0, 0.0
        self.total: int | None = None
        self.first: np.ndarray | None = None
        self.newest: np.ndarray | None = None

    def rate(self) -> float:
        """Frames a second since the first."""
        return (self.done - 1) / (time.perf_counter() - self.started) if self.done > 1 else 0.0

    def check(self) -> None:
        if self.stopped.is_set():
            raise Stopped

    def run(
        self, path: str, target: Path, model: Path, strength: float, keep_color: bool, size: int | None
    ) -> str:
        """Stylize a clip, and return a line about it."""
        from faststyle.video.recorder import Recorder

        begun = time.perf_counter()
        stylize = open_model(model)  # previews of the same style shall not wait for it
        with open_clip(path) as whole:
            seconds, rate = length(whole), whole.rate or 0
        fast = rate > MAX_RATE * 1.02  # than phones' own sixty, which are seldom exact
        wanted: dict[str, Any] = {"max_size": size, "end": MAX_SECONDS, "fps": MAX_RATE if fast else None}
        with (
            open_clip(path, **wanted) as clip,
            Recorder(target, clip) as recorder,
            # Closed before the recorder is: no thread reads on while the file is finished.
            closing(ahead(stylize.video(clip, strength, keep_color))) as frames,
        ):
            self.check()
            self.total, end = clip.count, 0.0
            for frame in frames:
                self.check()
                recorder.write(frame)
                if not self.done:
                    self.first, self.started = frame.pixels, time.perf_counter()
                self.newest, end = frame.pixels, float((frame.pts + (frame.duration or 0)) * clip.time_base)
                self.done += 1
            self.check()
        took = time.perf_counter() - begun
        count = "1 frame" if self.done == 1 else f"{self.done} frames"
        line = f"{target.name}: {count} of {clip.width} × {clip.height} pixels in {took:.1f} s."
        longer = (seconds is None or seconds > MAX_SECONDS + SLACK) and end > MAX_SECONDS - SLACK
        cut = [f"These are its first {MAX_SECONDS} s."] if longer else []
        if fast:
            cut.append(f"Of its {float(rate):.0f} frames a second {MAX_RATE} are taken.")
        damage = [without_folder(clip.damage, path)] if clip.damage else []
        notes = [f"{note.rstrip('.')}." for note in [*damage, *recorder.notes]]
        return " ".join([line, *cut, *notes])


def stylize_clip(
    path: str | None,
    name: str,
    style: Style,
    strength: float,
    keep_color: bool,
    size: int | None,
    folder: str,
    stopped: threading.Event,
) -> Iterator[Progress | Result]:
    """Stylize an uploaded clip into a file, with its sound.

    Args:
        path: the upload.
        name: the style's, for the file's; of a ready one the steady form is taken, where there is one.
        size: bring the longer side down to so many pixels.
        folder: a folder of its own is made in it, which goes unless it holds the result.
        stopped: set it, or close the iterator, and the work ends at the next frame.

    Yields:
        How far it is, some times a second, and last the result; none when it was stopped.

    Raises:
        InputError: no clip, not one that can be read, or no memory or disk for it.
    """
    path, model = check_upload(path), style.model
    is_built_in = ready_styles().get(name) == style
    steady = pretrained.steady_styles().get(f"{name}-steady") if is_built_in else None
    place = Path(tempfile.mkdtemp(prefix="clip_", dir=folder))
    target = place / f"{joint_name(path, name, 'clip')}.mp4"
    work, pool = Work(stopped), ThreadPoolExecutor(1)
    job = pool.submit(work.run, path, target, steady or model, strength, keep_color, size)
    pool.shutdown(wait=False)
    kept = False
    try:
        yield from watch(work, job)
        if job.done():
            line = job.result() + (" The style is in its steady form, for clips." if steady else "")
            assert work.first is not None
            kept = True
            yield Result(target, limit_size(Image.fromarray(work.first), PREVIEW), line)
    except Stopped:
        return
    except InputError as error:
        raise page_error(error, path) from None
    except OSError as error:
        raise InputError(f"The clip could not be written ({error.strerror or 'no reason given'}).") from None
    finally:
        if not kept:
            stopped.set()
            # At once where the thread has ended, else when it does: a frame may take a second.
            job.add_done_callback(lambda _: shutil.rmtree(place, ignore_errors=True))


def watch(work: Work, job: Future) -> Iterator[Progress]:
    """Look at the work until it is done, or was stopped."""
    shown, at = 0, 0.0
    while not wait([job], TICK).done and not work.stopped.is_set():
        picture, now = None, time.perf_counter()
        if work.newest is not None and work.done > shown and now - at >= PREVIEW_SECONDS:
            picture, shown, at = limit_size(Image.fromarray(work.newest), PREVIEW), work.done, now
        yield Progress(work.done, work.total, work.rate(), picture)
