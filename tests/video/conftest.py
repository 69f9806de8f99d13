"""Videos that are long enough for seconds of sound, and for frames that are stored out of order."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.videos import make_clip


class Film(NamedTuple):
    path: Path
    frames: int


@pytest.fixture(scope="session", params=["sound", "silent"])
def film(request, tmp_path_factory) -> Film:
    """A video of five seconds with sound, or of ten without."""
    frames, sound = {"sound": (132, "aac"), "silent": (250, None)}[request.param]
    path = tmp_path_factory.mktemp("film") / f"{request.param}.mp4"
    return Film(make_clip(path, frames, size=(320, 180), sound=sound), frames)
