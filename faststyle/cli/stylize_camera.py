"""Stylize a camera live, to a window, a file or both."""

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tqdm import tqdm

from faststyle.cli.camera import Options
from faststyle.cli.stylize_video import log, model_for_videos, recording_to
from faststyle.device import keep_freed_memory
from faststyle.errors import InputError, one_line
from faststyle.files import check_writable, resolve_links
from faststyle.inference.stylizer import Stylizer
from faststyle.video.clips import Clip
from faststyle.video.live import Newest, Window, show_frames
from faststyle.video.opening import open_camera
from faststyle.video.prefetch import ahead
from faststyle.video.recorder import Recorder, check_recording


def stylize_camera(options: Options) -> int:
    """Stylize a camera until the user ends it; return 1 where the camera broke down."""
    keep_freed_memory()
    target = options.output
    if target is not None:
        if resolve_links(Path(options.source)) == resolve_links(target):
            raise InputError(f"{target} would overwrite an input: give another `output`")
        check_recording(target, options.recording.codec, options.recording.crf)
        check_writable(target)
    assert options.checkpoint is not None
    with window_for(options) as window:
        model = Stylizer.load(model_for_videos(options.checkpoint), **vars(options.machine))
        clip = open_camera(options.source, options.video.max_size)
        log(f"engine: {model}")
        with recording_to(target, clip, options.recording) if target else nullcontext() as recorder:
            run_live(model, clip, window, recorder, options)
    if target is not None:
        print(one_line(target))
    if clip.damage:
        log(f"warning: {clip.damage}")
    return int(bool(clip.damage))


def window_for(options: Options) -> AbstractContextManager[Window | None]:
    """Return the window, where one is wanted."""
    if options.output is not None and not options.preview:
        return nullcontext()
    return Window(f"faststyle: {options.checkpoint}")


def run_live(
    model: Stylizer,
    clip: Clip,
    window: Window | None,
    recorder: Recorder | None,
    options: Options,
) -> None:
    """Take the camera's newest frame whenever the network is ready for one."""
    feed = Newest(clip)  # its thread closes the clip: a camera that went silent would block others
    video = model.video(feed, **options.video.for_frames, live=True)
    with ExitStack() as threads:
        if window is not None:
            frames = show_frames(threads.enter_context(Newest(video)), window)
        else:
            frames = threads.enter_context(closing(ahead(video, 1)))
        # Left before those: the threads behind it then end without a frame from the camera.
        threads.enter_context(feed)
        threads.enter_context(interrupted_by(feed))
        for frame in tqdm(frames, unit="frame", desc=options.output and one_line(options.output.name)):
            if recorder is not None:
                recorder.write(frame)


@contextmanager
def interrupted_by(feed: Newest[Any]) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the feed, and the second one the program."""
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
