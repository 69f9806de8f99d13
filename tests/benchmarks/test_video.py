import sys

import pytest
from PIL import Image

from benchmarks import flicker, stills, video
from tests.support.videos import make_clip

pytest.importorskip("cv2")


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "clip.mp4", 6)


def run(module, monkeypatch, *words) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, words)])
    module.main()


@pytest.mark.slow
def test_flicker_of_photos_and_clips_in_four_ways(clip, model, photos, painting, monkeypatch, capsys):
    monkeypatch.setattr(flicker, "SIZE", 64)
    words = [model, "--style", painting, "--photos", photos, "--count", 1, "--clips", clip, "--frames", 4]
    run(flicker, monkeypatch, *words)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[:2] for row in rows] == [["photos", "small"], *[["clip", "small"]] * 4]
    for row in rows:
        floor, error, above, _, style, _ = map(float, row[-6:])
        assert above == pytest.approx(error - floor, abs=2e-3) and error >= 0 and style > 0


@pytest.mark.slow
def test_stills_are_a_row_for_each_model(clip, model, tmp_path, monkeypatch):
    run(
        stills,
        monkeypatch,
        clip,
        model,
        model,
        "--at",
        0,
        "--crop",
        8,
        8,
        32,
        24,
        "--output",
        tmp_path / "a.png",
    )
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.size == (4 * 32 + 3 * stills.GAP, 2 * 24 + stills.GAP)


@pytest.mark.slow
def test_speed_is_told_in_three_ways(clip, model, monkeypatch, capsys):
    monkeypatch.setattr(video, "ROUNDS", 1)
    run(video, monkeypatch, clip, "--checkpoint", model, "--frames", 4)
    printed = capsys.readouterr().out
    for line in ("64x48, 4 frames", "network alone", "encoder alone", "end to end is "):
        assert line in printed


def test_a_clip_is_made_up(tmp_path):
    video.made_up(tmp_path / "a.mp4", 1)
    from faststyle.video.opening import open_clip

    with open_clip(tmp_path / "a.mp4") as opened:
        assert len(list(opened)) == video.RATE
