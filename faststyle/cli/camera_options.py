"""Options of ``faststyle camera``."""

from dataclasses import dataclass
from pathlib import Path

from faststyle.cli.inputs import model_option, output_option, verbose_option
from faststyle.errors import InputError
from faststyle.inference.settings import EngineSettings, VideoSettings
from faststyle.options import Settings, group, option, text
from faststyle.video.settings import RecordingSettings


@dataclass(frozen=True)
class Options(Settings):
    """Stylize a camera live, in a window, or into a file until Ctrl-C."""

    source: str = option(
        "0",
        "a camera's number, a device such as /dev/video2, or an address such as rtsp://…",
        text("a camera's number, a device or an address"),
        "SOURCE",
    )
    checkpoint: str = model_option()
    output: Path | None = output_option("video file to record")
    preview: bool = option(False, "with --output: show the window too")
    video: VideoSettings = group(VideoSettings)
    recording: RecordingSettings = group(RecordingSettings)
    machine: EngineSettings = group(EngineSettings)
    verbose: bool = verbose_option()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.checkpoint == "all":
            raise InputError(
                "--checkpoint all is a sheet of one image: for a camera give one style, such as starry_night"
            )
        if self.output is None:
            for name in self.recording.changed():
                raise InputError(f"`{name}` is for recordings: give `output` FILE too")
