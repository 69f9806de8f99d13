"""Fixture of videos long enough for several seconds of audio and for reordered frames."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.videos import make_clip


class LongVideo(NamedTuple):
    path: Path
    frames: int


@pytest.fixture(scope="session", params=["sound", "silent"])
def long_video(request, tmp_path_factory) -> LongVideo:
    """Make a video of five seconds with sound, or of ten seconds without."""
    frames, sound = {"sound": (132, "aac"), "silent": (250, None)}[request.param]
    path = tmp_path_factory.mktemp("video") / f"{request.param}.mp4"
    return LongVideo(make_clip(path, frames, size=(320, 180), sound=sound), frames)
