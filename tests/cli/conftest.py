"""Fixtures of the tests of the commands."""

from pathlib import Path

import pytest

from faststyle.cli.main import infer as main


@pytest.fixture
def infer(work, model):
    """Return ``python infer.py`` with the small model, or the one given, run in an empty folder."""
    options = ["--device=cpu", "--precision=fp32", "--engine=torch"]

    def run(*arguments):
        model_options = [] if "--checkpoint" in arguments else ["--checkpoint", str(model)]
        return main([*model_options, *options, *map(str, arguments)])

    return run


@pytest.fixture
def infer_video(infer):
    """Return ``infer`` with the video a.mp4 in its folder."""
    from tests.support.videos import make_clip  # needs PyAV, which tests of images do not

    make_clip(Path("a.mp4"), 8, sound="aac")
    return infer
