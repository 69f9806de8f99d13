"""Clips and cameras as a command: a bar, what is kept of a run that ends early, and lines that say so."""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from faststyle.cli.inputs import Job
from faststyle.errors import InputError, one_line
from faststyle.files import check_place, real
from faststyle.models.pretrained import for_clips
from faststyle.video.clips import Clip
from faststyle.video.decoding import import_av
from faststyle.video.live import Newest, Window, shown
from faststyle.video.opening import SUFFIXES, open_camera, open_clip
from faststyle.video.prefetch import ahead
from faststyle.video.recorder import Recorder, check_recording

if TYPE_CHECKING:
    from faststyle.inference.stylizer import Stylizer


def say(line: str) -> None:
    tqdm.write(one_line(line), file=sys.stderr)  # past the bars


def model_for_clips(name: str) -> str:
    """The steady network of a ready style, where there is one; any other model itself."""
    taken = name if Path(name).is_file() else for_clips(name)  # a file of that name comes first
    if taken != name:
        say(f"{taken} is taken for clips: it flickers less ({name} itself: --checkpoint {name}:1)")
    return taken


def codec_of(arguments: argparse.Namespace) -> tuple[str | None, float | None]:
    return getattr(arguments, "codec", None), getattr(arguments, "crf", None)


def check_clips(jobs: list[Job], arguments: argparse.Namespace) -> None:
    """Refuse before the work what could not be read or written.

    Raises:
        InputError: no such format, codec or quality, or no PyAV.
    """
    for source, target, clip, _ in jobs:
        if clip:
            check_recording(target, *codec_of(arguments))
            if source.suffix.lower() in SUFFIXES:
                import_av()


def look(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was typed of how it shall look, by the names of ``Stylizer.video``."""
    names = ("strength", "preserve_color", "motion_blend")
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


def without_pyav(jobs: list[Job], typed: list[Path]) -> list[Job]:
    """The jobs; without PyAV less the clips that were found in folders, which is said.

    Raises:
        InputError: no PyAV, and nothing else to do.
    """
    found = [job for job in jobs if job.clip and job.source not in typed]
    if found:
        try:
            import_av()
        except InputError as error:
            if len(found) == len(jobs):
                raise
            say(f"{error}: clips in folders are left out ({len(found)})")
            return [job for job in jobs if job not in found]
    return jobs


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Ctrl-C interrupts; the second one would break the file, or close it while threads read."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # elsewhere it is others' to handle
        return

    def interrupt(*_) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def recording(target: Path, clip: Clip, arguments: argparse.Namespace) -> Iterator[Recorder]:
    """A recorder that says what there is of a clip that could not be finished.

    Raises:
        InputError: it could not be; the line tells where the frames so far are.
    """
    recorder = Recorder(target, clip, *codec_of(arguments))
    try:
        with interrupted_once(), recorder:
            yield recorder
        if not recorder.count:
            raise InputError(f"{clip.name} gave no frames: nothing was written")
    except KeyboardInterrupt:
        say(f"stopped{so_far(recorder, f'the {recorder.count} frames so far are')}")
        sys.exit(130)
    except (InputError, OSError) as error:
        # Of what the recorder took some may not have got to the disk.
        left = so_far(recorder, "what could be written is")
        why = getattr(error, "strerror", None)
        raise InputError(f"{target}: {why}{left}" if why else f"{error}{left}") from error
    finally:
        for note in recorder.notes:
            say(f"{target}: {note}")


def so_far(recorder: Recorder, what: str) -> str:
    if not recorder.count or not (recorder.partial == recorder.path or recorder.partial.exists()):
        return ""
    return f": {what} in {recorder.partial}"


def stylize_clip(stylize: "Stylizer", job: Job, arguments: argparse.Namespace, alone: bool = True) -> bool:
    """Stylize one clip; False where it is damaged, and was stylized up to there.

    Raises:
        InputError: it cannot be read or written.
    """
    names = ("start", "end", "max_size", "fps")
    wanted = {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}
    with (
        open_clip(job.source, **wanted) as clip,
        recording(job.target, clip, arguments) as recorder,
        # Closed before the recorder is: no thread reads on while the file is finished.
        closing(ahead(stylize.video(clip, **look(arguments)))) as frames,
        tqdm(total=clip.count, unit="frame", desc=one_line(job.target.name), leave=alone) as bar,
    ):
        for frame in frames:
            recorder.write(frame)
            bar.update()
    if clip.damage:
        say(f"warning: {clip.damage}: {job.target} ends there")
    return not clip.damage


@contextmanager
def interrupted_by(feed: Newest[Any]) -> Iterator[None]:
    """Ctrl-C, or a request to end, ends the feed; the second one ends the program."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(*_) -> None:
        feed.stop()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        restore()


def stylize_camera(arguments: argparse.Namespace) -> int:
    """Stylize a camera live, to a window, a file or both, until that is ended; 1 where the camera broke."""
    from faststyle.device import keep_freed_memory
    from faststyle.inference.stylizer import Stylizer

    keep_freed_memory()
    target: Path | None = arguments.output
    if target is not None:
        if real(Path(arguments.camera)) == real(target):
            raise InputError(f"{target} would overwrite an input: give another -o")
        check_recording(target, *codec_of(arguments))
        check_place(target)
    with window_for(arguments) as window:
        name, engine = model_for_clips(arguments.checkpoint), getattr(arguments, "engine", "auto")
        model = Stylizer.load(name, arguments.device, arguments.precision, engine)
        clip = open_camera(arguments.camera, getattr(arguments, "max_size", None))
        say(f"engine: {model}")
        with recording(target, clip, arguments) if target else nullcontext() as recorder:
            run_live(model, clip, window, recorder, arguments)
    if target is not None:
        print(one_line(target))
    if clip.damage:
        say(f"warning: {clip.damage}")
    return int(bool(clip.damage))


def window_for(arguments: argparse.Namespace) -> AbstractContextManager[Window | None]:
    wanted = arguments.output is None or hasattr(arguments, "preview")
    return Window(f"faststyle: {arguments.checkpoint}") if wanted else nullcontext()


def run_live(
    model: "Stylizer",
    clip: Clip,
    window: Window | None,
    recorder: Recorder | None,
    arguments: argparse.Namespace,
) -> None:
    """Take the camera's newest frame whenever the network is ready for one."""
    feed = Newest(clip)  # its thread closes the clip: a camera that went silent would keep others waiting
    film = model.video(feed, **look(arguments), live=True)
    with ExitStack() as threads:
        if window is not None:
            frames = shown(threads.enter_context(Newest(film)), window)
        else:
            frames = threads.enter_context(closing(ahead(film, 1)))
        # Left before those: the threads behind it then end without a frame from the camera.
        threads.enter_context(feed)
        threads.enter_context(interrupted_by(feed))
        for frame in tqdm(frames, unit="frame", desc=arguments.output and one_line(arguments.output.name)):
            if recorder is not None:
                recorder.write(frame)
