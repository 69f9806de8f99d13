"""Tests of videos on the page: results, stopping and the queue."""

import re
import threading
import time
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.images import draw_image

pytest.importorskip("gradio")
pytest.importorskip("av")


from faststyle.errors import InputError, OutOfMemoryError
from faststyle.inference.stylizer import Stylizer
from faststyle.models import pretrained
from faststyle.video.opening import open_clip
from faststyle.video.recorder import Recorder, Video
from faststyle.web import app, styles, video, video_upload
from faststyle.web.training import TrainingSlot
from tests.support.videos import inspect_video, make_clip
from tests.support.web_videos import becomes_empty, start_run

NAME = styles.DEFAULT_STYLE


# Stylization


def test_video_keeps_its_frames_and_its_sound(clip, folder):
    *steps, result = start_run(clip, folder)
    before, after = inspect_video(clip), inspect_video(result.path)
    assert result.path.name == f"walk_{NAME}.mp4" and after.size == (64, 48)
    assert after.times == before.times and len(after.times) == 12
    assert after.packets["audio"] == before.packets["audio"] and before.packets["audio"]
    assert "12 frames of 64 × 48 pixels" in result.line and "first" not in result.line
    assert all(isinstance(step, video.Progress) for step in steps)
    with open_clip(clip) as old, open_clip(result.path) as new:
        difference = np.abs(next(old).pixels.astype(float) - next(new).pixels).mean()
    assert difference > 10
    assert [path.name for path in folder.rglob("*.*")] == [result.path.name]  # no partial file remains


@pytest.mark.slow
def test_progress_counts_frames_and_shows_the_newest(clip, folder, monkeypatch):
    slow_down(monkeypatch, 0.05)
    monkeypatch.setattr(video, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(video, "PREVIEW_SECONDS", 0.1)
    *steps, _ = start_run(clip, folder)
    done = [step.done for step in steps]
    assert done == sorted(done) and done[0] == 0 and done[-1] > 6
    assert steps[-1].total == 12 and 0 < steps[-1].rate < 20
    previews = [step.preview for step in steps if step.preview]
    assert 1 < len(previews) < len(steps) and previews[0].size == (64, 48)


def slow_down(monkeypatch, seconds: float) -> None:
    """Delay each frame by so many seconds."""
    original = video.ahead

    def slow(frames):
        for frame in original(frames):
            time.sleep(seconds)
            yield frame

    monkeypatch.setattr(video, "ahead", slow)


def test_video_is_reduced_to_the_chosen_size_and_named_after_its_settings(clip, folder):
    *_, result = start_run(clip, folder, size=32, strength=0.6, keep_color=True)
    assert inspect_video(result.path).size == (32, 24)
    assert result.path.name == f"walk_{NAME}_s0.6_color_max32.mp4"


def test_animated_gif_becomes_a_video(folder, tmp_path):
    frames = [draw_image(41, 30, seed) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    *_, result = start_run(tmp_path / "a.gif", folder)
    assert len(inspect_video(result.path).times) == 3 and result.path.name == f"a_{NAME}.mp4"
    assert "odd" in result.line


def test_too_long_video_is_cut_and_the_cut_is_reported(clip, folder, monkeypatch):
    monkeypatch.setattr(video, "MAX_SECONDS", 0.2)
    *_, result = start_run(clip, folder)
    assert len(inspect_video(result.path).times) == 5
    assert "Only the first 0.2 s were stylized." in result.line


def test_video_of_the_maximum_length_is_not_reported_as_cut(clip, folder, monkeypatch):
    monkeypatch.setattr(video, "MAX_SECONDS", 0.48)
    *_, result = start_run(clip, folder)
    assert len(inspect_video(result.path).times) == 12 and "first" not in result.line


def test_high_frame_rate_is_reduced_and_reported(folder, tmp_path):
    path = make_clip(tmp_path / "slow motion.mp4", frames=48, rate=240, base=Fraction(1, 240), step=1)
    *_, result = start_run(path, folder)
    assert inspect_video(result.path).times == [Fraction(number, 60) for number in range(12)]
    assert "The frame rate was reduced from 240 to 60 per second." in result.line
    sixty = make_clip(tmp_path / "sixty.mp4", frames=6, rate=60, base=Fraction(1, 60), step=1)
    *_, result = start_run(sixty, folder)
    assert "6 frames of" in result.line and "frame rate" not in result.line


def test_each_frame_is_stylized_once_whatever_rate_the_header_claims(folder, tmp_path):
    times = [33 * number for number in range(30) if number % 5 != 3]
    encoding = {"codec": "libvpx", "rate": 1000, "base": Fraction(1, 1000), "step": 33}
    path = make_clip(tmp_path / "recorded.webm", times, muxing={"live": "1"}, **encoding)
    assert re.fullmatch(r"recorded\.webm: .*, [01]\.\d s", video_upload.read_first_frame(str(path))[1])
    *steps, result = start_run(path, folder)
    assert "24 frames of" in result.line and "frame rate" not in result.line
    assert {step.total for step in steps} <= {None, 24}
    assert inspect_video(result.path).times == [Fraction(time, 1000) for time in times]


def test_interlaced_video_is_reported(folder, tmp_path):
    options = {"options": {"x264-params": "tff=1"}, "field": "tff"}
    *_, result = start_run(make_clip(tmp_path / "tape.mov", 4, **options), folder)
    assert "the video is interlaced: each frame is deinterlaced (bwdif)." in result.line


def test_intact_part_of_a_damaged_video_is_stylized_and_the_damage_reported(folder, tmp_path):
    path = make_clip(tmp_path / "torn.mkv", frames=60, options={"g": "5"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    *_, result = start_run(path, folder)
    assert 5 < len(inspect_video(result.path).times) < 60
    assert re.search(r"torn\.mkv is damaged after [\d.]+ s", result.line)
    assert str(tmp_path) not in result.line


def test_consistent_model_is_used_for_a_built_in_style_but_not_for_an_own_one(clip, folder, monkeypatch):
    steady = {f"{NAME}-steady": pretrained.built_in_styles()["great_wave"]}
    monkeypatch.setattr(pretrained, "steady_styles", lambda: steady)
    taken, load = [], video.load_stylizer
    monkeypatch.setattr(video, "load_stylizer", lambda model: taken.append(model) or load(model))
    *_, result = start_run(clip, folder)
    assert "temporally consistent" in result.line and taken == [steady[f"{NAME}-steady"]]
    mine = styles.list_built_in_styles()[NAME]._replace(title="Mine")
    *_, result = video.stylize_video(str(clip), NAME, mine, 1.0, False, None, str(folder), threading.Event())
    assert "temporally" not in result.line and taken[-1] == mine.model


# Stopping and failures


@pytest.mark.slow
def test_stopped_run_ends_soon_and_leaves_no_file(clip, folder, monkeypatch):
    slow_down(monkeypatch, 1)  # 12 s for all
    stopped = threading.Event()
    work = start_run(clip, folder, stopped)
    assert any(step.done for step in work)
    started = time.monotonic()
    stopped.set()
    assert not [step for step in work if isinstance(step, video.Result)]
    assert time.monotonic() - started < 10
    assert becomes_empty(folder)


@pytest.mark.slow
def test_closing_the_iterator_stops_the_run(clip, folder, monkeypatch):
    slow_down(monkeypatch, 0.3)
    stopped = threading.Event()
    work = start_run(clip, folder, stopped)
    next(work)
    work.close()
    assert stopped.is_set() and becomes_empty(folder)


def test_a_session_can_stop_only_its_own_run(monkeypatch):
    mine = threading.Event()
    monkeypatch.setitem(video.stop_events, "me", mine)
    assert not video.stop("you") and not mine.is_set()
    assert video.stop("me") and mine.is_set()


def test_closing_the_page_stops_the_run(monkeypatch):
    mine = threading.Event()
    monkeypatch.setitem(video.stop_events, "me", mine)
    page = app.build(TrainingSlot())
    (stop_session,) = (fn.fn for fn in page.fns.values() if "unload" in [event for _, event in fn.targets])
    stop_session(SimpleNamespace(session_hash="me"))
    assert mine.is_set()


def test_full_disk_is_reported_and_leaves_no_file(clip, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "/secret/place")

    monkeypatch.setattr(Recorder, "write", full)
    with pytest.raises(InputError, match=r"could not be written \(No space left on device\)"):
        list(start_run(clip, folder))
    assert becomes_empty(folder)


def test_ffmpeg_error_is_reported_in_words(clip, folder, monkeypatch):
    import av

    def broken(*_):
        raise av.error.ExternalError(-542398533, "Generic error in an external library", "libx264")

    monkeypatch.setattr(Video, "encode", broken)
    with pytest.raises(InputError, match=r"could not be written \(Generic error.*\)\.$"):
        list(start_run(clip, folder))
    assert becomes_empty(folder)


def test_out_of_memory_error_names_a_remedy_of_the_page(clip, folder, monkeypatch):
    def full(*_, **__):
        raise OutOfMemoryError("frames of 64x48 pixels do not fit into memory: lower `max_size`")

    monkeypatch.setattr(Stylizer, "video", full)
    with pytest.raises(OutOfMemoryError, match="choose a smaller one"):
        list(start_run(clip, folder))
    assert becomes_empty(folder)


# The page


@pytest.mark.slow
def test_videos_share_a_queue_with_other_long_computations(temporary):
    ids = {fn.api_name: fn.concurrency_id for fn in app.build(TrainingSlot()).fns.values()}
    assert ids["video"] == ids["download"] == ids["compare"] != ids["stylize"]


def test_page_without_pyav_says_what_to_install(temporary, monkeypatch):
    monkeypatch.setattr(video_upload, "find_spec", lambda name: None)
    blocks = app.build(TrainingSlot())
    assert any("Videos need PyAV" in str(getattr(block, "value", "")) for block in blocks.blocks.values())
    assert "video" not in {fn.api_name for fn in blocks.fns.values()}
