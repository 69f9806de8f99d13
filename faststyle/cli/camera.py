"""``faststyle camera``: a camera, live in a window or recorded."""

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faststyle.cli.inputs import output_option
from faststyle.cli.stylize import MODEL
from faststyle.errors import InputError, one_line
from faststyle.files import check_place, real
from faststyle.inference.settings import EngineSettings, VideoSettings
from faststyle.options import Settings, group, option, text
from faststyle.video.settings import RecordingSettings

if TYPE_CHECKING:
    from faststyle.inference.stylizer import Stylizer
    from faststyle.video.clips import Clip
    from faststyle.video.live import Newest, Window
    from faststyle.video.recorder import Recorder


@dataclass(frozen=True)
class Options(Settings):
    """Stylize a camera live, in a window, or into a file until Ctrl-C."""

    source: str = option(
        "0",
        "a camera's number, a device such as /dev/video2, or an address such as rtsp://…",
        text("a camera's number, a device or an address"),
        "SOURCE",
    )
    checkpoint: str | None = option(None, "a built-in style's name or a model's file", MODEL, "MODEL")
    output: Path | None = output_option("video file to record")
    preview: bool = option(False, "with --output: show the window too")
    video: VideoSettings = group(VideoSettings)
    recording: RecordingSettings = group(RecordingSettings)
    machine: EngineSettings = group(EngineSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.checkpoint is None:
            raise InputError("a camera needs `checkpoint` MODEL")
        if self.checkpoint == "all":
            raise InputError(
                "--checkpoint all is a sheet of one image: for a camera give one style, such as starry_night"
            )
        if self.output is None:
            for name in self.recording.changed():
                raise InputError(f"`{name}` is for recordings: give `output` FILE too")

    @property
    def look(self) -> dict[str, Any]:
        """Options of ``Stylizer.video``."""
        return {name: value for name, value in vars(self.video).items() if name != "max_size"}


def run(options: Options) -> int:
    """Stylize a camera until the user ends it; return 1 where the camera broke down."""
    from faststyle.cli.stylize_video import log, model_for_videos, recording_to
    from faststyle.device import keep_freed_memory
    from faststyle.inference.stylizer import Stylizer
    from faststyle.video.opening import open_camera
    from faststyle.video.recorder import check_recording

    keep_freed_memory()
    target = options.output
    if target is not None:
        if real(Path(options.source)) == real(target):
            raise InputError(f"{target} would overwrite an input: give another `output`")
        check_recording(target, options.recording.codec, options.recording.crf)
        check_place(target)
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


def window_for(options: Options) -> "AbstractContextManager[Window | None]":
    """Return the window, where one is wanted."""
    from faststyle.video.live import Window

    if options.output is not None and not options.preview:
        return nullcontext()
    return Window(f"faststyle: {options.checkpoint}")


def run_live(
    model: "Stylizer",
    clip: "Clip",
    window: "Window | None",
    recorder: "Recorder | None",
    options: Options,
) -> None:
    """Take the camera's newest frame whenever the network is ready for one."""
    from tqdm import tqdm

    from faststyle.video.live import Newest, shown
    from faststyle.video.prefetch import ahead

    feed = Newest(clip)  # its thread closes the clip: a camera that went silent would block others
    video = model.video(feed, **options.look, live=True)
    with ExitStack() as threads:
        if window is not None:
            frames = shown(threads.enter_context(Newest(video)), window)
        else:
            frames = threads.enter_context(closing(ahead(video, 1)))
        # Left before those: the threads behind it then end without a frame from the camera.
        threads.enter_context(feed)
        threads.enter_context(interrupted_by(feed))
        for frame in tqdm(frames, unit="frame", desc=options.output and one_line(options.output.name)):
            if recorder is not None:
                recorder.write(frame)


@contextmanager
def interrupted_by(feed: "Newest[Any]") -> Iterator[None]:
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
