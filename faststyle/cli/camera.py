"""``faststyle camera``: a camera, live in a window, recorded, or both."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tqdm import tqdm

from faststyle.cli.camera_options import Options
from faststyle.cli.inputs import check_overwriting
from faststyle.cli.reports import log
from faststyle.cli.stylize_video import model_for_videos, recording_to
from faststyle.device import keep_freed_memory
from faststyle.errors import one_line
from faststyle.files import check_writable
from faststyle.inference.stylizer import Stylizer
from faststyle.video.clips import Clip, Frame
from faststyle.video.gif import MAX_SIDE
from faststyle.video.live import Newest, Window, show_frames
from faststyle.video.opening import open_camera
from faststyle.video.prefetch import ahead
from faststyle.video.recorder import check_recording


def run(options: Options) -> int:
    """Stylize a camera until the user stops it; return 1 if the camera failed, else 0."""
    keep_freed_memory()
    target = options.output
    if target is not None:
        check_overwriting([target], [Path(options.source)])
        check_recording(target, options.recording.codec, options.recording.crf)
        check_writable(target)
    shown = target is None or options.preview
    with Window(f"faststyle: {options.checkpoint}") if shown else nullcontext() as window:
        model = Stylizer.load(model_for_videos(options.checkpoint), **vars(options.machine))
        smaller = MAX_SIDE if target is not None and target.suffix.lower() == ".gif" else None
        camera = open_camera(options.source, options.video.max_size or smaller)
        if options.verbose:
            log(f"engine: {model}")
        with recording_to(target, camera, options.recording) if target else nullcontext() as write:
            run_live(model, camera, window, write, options)
    if target is not None:
        print(one_line(target))
    for note in camera.notes:
        log(f"{options.source}: {note}")
    if camera.damage:
        log(f"warning: {camera.damage}")
    return int(bool(camera.damage))


def run_live(
    model: Stylizer,
    camera: Clip,
    window: Window | None,
    write: Callable[[Frame], None] | None,
    options: Options,
) -> None:
    """Stylize the camera's newest frame whenever the network is free."""
    # The feed's own thread closes the camera, because closing a camera that sends no frames can block.
    feed = Newest(camera)
    video = model.video(feed, **options.video.for_frames, live=True)
    with ExitStack() as threads:
        if window is not None:
            frames = show_frames(threads.enter_context(Newest(video)), window)
        else:
            frames = threads.enter_context(closing(ahead(video, 1)))
        # Entered last, so that the feed is closed first: the other threads then end without another frame.
        threads.enter_context(feed)
        threads.enter_context(interrupted_by(feed))
        for frame in tqdm(frames, unit="frame", desc=options.output and one_line(options.output.name)):
            if write is not None:
                write(frame)


@contextmanager
def interrupted_by(feed: Newest[Any]) -> Iterator[None]:
    """Stop the feed at the first Ctrl-C or SIGTERM, and the program at the second."""
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
