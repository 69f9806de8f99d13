"""Record videos again and compare their times."""

from fractions import Fraction
from pathlib import Path

from faststyle.video.opening import open_clip
from faststyle.video.recorder import Recorder

VARIABLE = [640, 740, 2340, 2440, 5640, 6152, 9640, 10152, 20640, 21040, 26640]


def record(source: Path, target: Path, codec: str | None = None, crf: float | None = None, **options):
    """Copy the frames of a video to ``target`` and return the recorder's notes."""
    with open_clip(source, **options) as clip, Recorder(target, clip, codec, crf) as recorder:
        for frame in clip:
            recorder.write(frame)
    assert target.exists() and not recorder.partial.exists()
    return recorder.notes


def are_close(times: list[Fraction], others: list[Fraction], within: Fraction) -> bool:
    return len(times) == len(others) and all(abs(a - b) <= within for a, b in zip(times, others, strict=True))
