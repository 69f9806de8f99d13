"""Stylize video files, with a progress bar; a run that ends early keeps the frames so far."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from tqdm import tqdm

from faststyle.cli.inputs import Job
from faststyle.cli.masks import open_video_masks
from faststyle.cli.reports import log
from faststyle.cli.stylize_options import Options
from faststyle.console import option_name
from faststyle.errors import InputError, name_parameters, one_line
from faststyle.inference.regions import stylize_clip_regions
from faststyle.inference.stylizer import Stylizer
from faststyle.models.pretrained import style_for_videos
from faststyle.video.clips import Clip, Frame
from faststyle.video.containers import import_av
from faststyle.video.gif import MAX_RATE, MAX_SIDE, gif_rate
from faststyle.video.opening import SUFFIXES, is_animated, open_clip
from faststyle.video.prefetch import ahead
from faststyle.video.recorder import Recorder, check_recording
from faststyle.video.settings import RecordingSettings


def model_for_videos(name: str) -> str:
    """Return the temporally consistent model of a built-in style, and report that; else the name itself."""
    chosen = name if Path(name).is_file() else style_for_videos(name)  # a file of that name comes first
    if chosen != name:
        log(f"{chosen} is used for videos: it flickers less ({name} itself: --checkpoint {name}:1)")
    return chosen


def check_videos(jobs: list[Job], recording: RecordingSettings) -> None:
    """Refuse before the work what could not be read or written.

    Raises:
        InputError: No such format, codec or quality, or PyAV is missing.
    """
    for job in jobs:
        if job.video:
            check_recording(job.target, recording.codec, recording.crf)
            if job.source.suffix.lower() in SUFFIXES:
                import_av()


def without_pyav(jobs: list[Job], typed: tuple[Path, ...]) -> list[Job]:
    """Return the jobs; where PyAV is missing, without the videos found in folders, which is reported.

    Raises:
        InputError: PyAV is missing, and nothing else is to be done.
    """
    found = [job for job in jobs if job.video and job.source not in typed]
    if found:
        try:
            import_av()
        except InputError as error:
            if len(found) == len(jobs):
                raise
            log(f"{error}: videos in folders are left out ({len(found)})")
            return [job for job in jobs if job not in found]
    return jobs


class Interruption:
    """Ctrl-C during a video: only the first one interrupts, and none in the middle of a frame.

    A second one would break the file that is being finished.
    """

    def __init__(self) -> None:
        self.postponed = self.requested = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle Ctrl-C, unless another handler is in charge."""
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self.interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(self, *_: object) -> None:
        """Raise KeyboardInterrupt, at once or at the end of the frame."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.requested = True
        if not self.postponed:
            raise KeyboardInterrupt

    def finish(self, write: Callable[[Frame], None], frame: Frame) -> None:
        """Write a whole frame, and count it, before an interruption."""
        self.postponed = True
        try:
            write(frame)
        finally:
            self.postponed = False
        if self.requested:
            raise KeyboardInterrupt


@contextmanager
def recording_to(target: Path, clip: Clip, settings: RecordingSettings) -> Iterator[Callable[[Frame], None]]:
    """Give a function that writes frames, and report what was kept of a video that could not be finished.

    Raises:
        InputError: It could not be finished; the message names the file with the frames so far.
    """
    recorder, interruption = Recorder(target, clip, settings.codec, settings.crf), Interruption()
    try:
        with interruption.handled(), recorder:
            yield partial(interruption.finish, recorder.write)
        if not recorder.count:
            raise InputError(f"{clip.name} gave no frames: nothing was written", file=clip.name)
    except KeyboardInterrupt:
        log(f"stopped{so_far(recorder, f'the {recorder.count} frames so far are')}")
        sys.exit(130)
    except (InputError, OSError) as error:
        # Frames already passed to the recorder may not be on disk yet.
        left = so_far(recorder, "what could be written is")
        why = getattr(error, "strerror", None)
        line = f"{target}: {why}{left}" if why else f"{error}{left}"
        raise InputError(line, file=clip.name) from error
    finally:
        for note in recorder.notes:
            log(f"{target}: {note}")


def so_far(recorder: Recorder, what: str) -> str:
    """Return the part of a message that names the file with the frames so far; empty where there is none."""
    if not recorder.count or not (recorder.partial == recorder.path or recorder.partial.exists()):
        return ""
    return f": {what} in {recorder.partial}"


def open_source(job: Job, options: Options) -> Clip:
    """Open a video. One that becomes a GIF is made smaller, unless the options say its size and rate.

    Raises:
        InputError: It cannot be read.
    """
    max_size, given = options.video.max_size, vars(options.clip)
    if job.target.suffix.lower() != ".gif" or is_animated(job.source):
        return open_clip(job.source, max_size=max_size, **given)
    clip = open_clip(job.source, max_size=max_size or MAX_SIDE, **given)
    if given["fps"] is None and clip.rate and clip.rate > MAX_RATE:
        clip.resample(gif_rate(clip.rate))
    if None in (max_size, given["fps"]):
        rate = f" at {float(clip.rate):.3g} frames per second" if clip.rate else ""
        size = f"{clip.width}x{clip.height} pixels{rate}"
        log(f"{job.target}: {size}, because GIFs are large files (change it by --max-size and --fps)")
    return clip


def stylize_video(models: Sequence[Stylizer], job: Job, options: Options, alone: bool = True) -> bool:
    """Stylize one video file; each of several models stylizes the region of its mask.

    Returns:
        False where the video is damaged, and was stylized up to there.

    Raises:
        InputError: It cannot be read or written.
    """
    with (
        open_source(job, options) as clip,
        recording_to(job.target, clip, options.recording) as write,
        # Closed before the recorder is, so that no thread reads on while the file is finished.
        closing(ahead(stylize_frames(models, clip, job, options))) as frames,
        tqdm(total=clip.count, unit="frame", desc=one_line(job.target.name), leave=alone) as bar,
    ):
        for frame in frames:
            write(frame)
            bar.update()
    for note in clip.notes:
        log(f"{job.source}: {name_parameters(note, option_name)}")
    if clip.damage:
        log(f"warning: {clip.damage}: {job.target} ends there")
    return not clip.damage


def stylize_frames(models: Sequence[Stylizer], clip: Clip, job: Job, options: Options) -> Iterator[Frame]:
    """Stylize the frames of a video, in the regions of the masks if there are any."""
    if not options.mask:
        return models[0].video(clip, **options.video.for_frames)
    masks = [open_video_masks(mask, job, clip, options) for mask in options.mask]
    return stylize_clip_regions(clip, models, masks, options.video)
