"""Options of reading and writing videos."""

from dataclasses import dataclass

from faststyle.errors import InputError
from faststyle.options import Settings, number, option, seconds, text


@dataclass(frozen=True)
class ClipSettings(Settings):
    """Which part of a video is read."""

    start: float = option(
        0.0, "leave out what is before: seconds, MM:SS or H:MM:SS", seconds(), "TIME", tag="from{}"
    )
    end: float | None = option(
        None, "leave out what is after, counted from the video's beginning", seconds(), "TIME", tag="to{}"
    )
    fps: float | None = option(
        None,
        "constant frames per second; by default the video's own times, and 25 for frames in a folder and raw "
        "streams",
        number(0.1, 1000),
        "N",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.end is not None and self.start >= self.end:
            raise InputError(
                f"`start` {self.start:g} is not before `end` {self.end:g} (seconds): give a later `end`"
            )


@dataclass(frozen=True)
class RecordingSettings(Settings):
    """How videos are encoded."""

    codec: str | None = option(
        None,
        "h264, hevc, av1, vp9, prores, ffv1, or an encoder of FFmpeg's; by default h264, and vp9 in .webm",
        text("h264, hevc, av1, vp9, prores, ffv1, or an encoder of FFmpeg's"),
        "NAME",
        tag="{}",
    )
    crf: float | None = option(
        None, "quality as the codec counts it, lower is better; 18 with h264", number(0, 63), "N"
    )
