"""Tests of the video tab: stylization, stopping, refused uploads, the server, and the page in Chromium."""

import json
import re
import shutil
import signal
import threading
import time
import urllib.request
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.images import draw_image
from tests.support.web_server import serving

pytest.importorskip("gradio")
pytest.importorskip("av")

from gradio_client import Client, handle_file

from faststyle.errors import InputError, OutOfMemoryError
from faststyle.inference.stylizer import Stylizer
from faststyle.models import pretrained
from faststyle.video.opening import open_clip
from faststyle.web import app, styles, stylize, video, video_tab
from tests.support.videos import inspect_video, make_clip

NAME = styles.DEFAULT_STYLE
STARRY = styles.list_built_in_styles()[NAME].title
TIMEOUT = 120_000  # ms, because the machine may be busy


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Return a video of half a second and 64 × 48 pixels, with a tone."""
    return make_clip(tmp_path_factory.mktemp("clips") / "walk.mp4", frames=12, sound="aac")


@pytest.fixture(scope="module")
def silent(tmp_path_factory) -> Path:
    """Return the same video without sound, because Chromium's sound threads overload two cores."""
    return make_clip(tmp_path_factory.mktemp("clips") / "walk.mp4", frames=12)


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "results"
    place.mkdir()
    return place


def start_run(path, folder, stopped=None, name=NAME, size=None, strength=1.0, keep_color=False):
    stopped = stopped or threading.Event()
    style = styles.list_built_in_styles()[name]
    path = None if path is None else str(path)
    return video.stylize_video(path, name, style, strength, keep_color, size, str(folder), stopped)


def becomes_empty(folder: Path) -> bool:
    """Return True if the folder is empty within 30 seconds."""
    deadline = time.monotonic() + 30
    while list(folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not list(folder.iterdir())


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


def test_video_is_reduced_to_the_chosen_size(clip, folder):
    *_, result = start_run(clip, folder, size=32)
    assert inspect_video(result.path).size == (32, 24)


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
    app.leave(SimpleNamespace(session_hash="me"))
    assert mine.is_set()


def test_full_disk_is_reported_and_leaves_no_file(clip, folder, monkeypatch):
    from faststyle.video.recorder import Recorder

    def full(*_):
        raise OSError(28, "No space left on device", "/secret/place")

    monkeypatch.setattr(Recorder, "write", full)
    with pytest.raises(InputError, match=r"could not be written \(No space left on device\)"):
        list(start_run(clip, folder))
    assert becomes_empty(folder)


def test_ffmpeg_error_is_reported_in_words(clip, folder, monkeypatch):
    import av

    from faststyle.video.recorder import Video

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


# Refused uploads


def read_refusal(path, folder) -> str:
    with pytest.raises(InputError) as caught:
        list(start_run(path, folder))
    assert becomes_empty(folder)
    return str(caught.value)


def test_errors_for_missing_deleted_and_other_files_say_what_to_do(folder, tmp_path):
    assert read_refusal(None, folder) == "Add a video first."
    assert "add it again" in read_refusal(tmp_path / "gone.mp4", folder)
    for name in ("letter.mp4", "letter.gif", "letter.mkv"):
        (tmp_path / name).write_text("Dear Theo")
        assert re.fullmatch(rf"{name} is not a \w+ that can be read\.", read_refusal(tmp_path / name, folder))
    (tmp_path / "letter.txt").write_text("Dear Theo")
    assert "must end in one of .mp4" in read_refusal(tmp_path / "letter.txt", folder)


def test_file_with_sound_alone_is_refused(folder, tmp_path):
    import av

    from tests.support.videos import tone

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        for packet in tone(container.add_stream("aac", rate=48000), 0.5):
            container.mux(packet)
    line = read_refusal(path, folder)
    assert "no video in it" in line and str(tmp_path) not in line


def test_playlist_that_names_files_of_the_server_is_refused(clip, folder, tmp_path):
    lists = {
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{clip}\n#EXT-X-ENDLIST\n",
        "concat.mp4": f"ffconcat version 1.0\nfile {clip.name}\n",
    }
    for name, text in lists.items():
        shutil.copy(clip, tmp_path)
        (tmp_path / name).write_text(text)
        assert "not a video" in read_refusal(tmp_path / name, folder)


def test_too_large_frames_are_refused_before_they_are_decoded(clip, folder, monkeypatch):
    monkeypatch.setattr(video, "MAX_FRAME_PIXELS", 1000)
    monkeypatch.setattr(video, "open_clip", lambda *_, **__: pytest.fail("decoded"))
    assert "walk.mp4 has frames of" in read_refusal(clip, folder)


def test_first_frame_and_length_are_shown(clip, monkeypatch):
    frame, line = video.read_first_frame(str(clip))
    assert frame.size == (64, 48) and line == "walk.mp4: 64 × 48 pixels, 0.5 s"
    monkeypatch.setattr(video, "MAX_SECONDS", -1)
    assert "only the first" in video.read_first_frame(str(clip))[1]


def test_file_names_are_short_enough_for_file_systems():
    assert stylize.join_names("….mp4", NAME, "clip") == f"clip_{NAME}"
    assert len(stylize.join_names(f"{'山' * 80}.mp4", "水" * 80, "clip").encode()) < 240


# The tab and the server


def test_text_of_the_progress_bar():
    assert "Preparing" in video_tab.render_progress(None)
    text = video_tab.render_progress(video.Progress(12, 148, 3.2, None))
    assert "12 of 148 frames, 3.2 per second, 0:42 to go" in text and 'value="12"' in text
    assert "12 frames, 3.2 per second<" in video_tab.render_progress(video.Progress(12, None, 3.2, None))


@pytest.mark.slow
def test_videos_share_a_queue_with_other_long_computations(temporary):
    ids = {fn.api_name: fn.concurrency_id for fn in app.build().fns.values()}
    assert ids["video"] == ids["download"] == ids["compare"] != ids["stylize"]


def test_page_without_pyav_says_what_to_install(temporary, monkeypatch):
    monkeypatch.setattr(video, "find_spec", lambda name: None)
    blocks = app.build()
    assert any("Videos need PyAV" in str(getattr(block, "value", "")) for block in blocks.blocks.values())
    assert "video" not in {fn.api_name for fn in blocks.fns.values()}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("web") / "temporary"


@pytest.fixture(scope="module")
def served(place):
    with serving(place) as served:
        yield served


@pytest.fixture(scope="module")
def server(served) -> str:
    return served[0]


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """Return a video that takes longer to stylize than a test."""
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    return make_clip(path, frames=1400, size=(320, 240), options={"preset": "ultrafast"})


@pytest.mark.slow
def test_client_gets_the_video_and_cannot_read_a_file_of_the_server(server, clip, tmp_path):
    client = Client(server, verbose=False, download_files=str(tmp_path))
    options = (NAME, 1.0, False, 720)
    stage, _, file, line = client.predict(handle_file(str(clip)), *options, api_name="/video")
    assert "<video controls" in stage and "12 frames" in line
    found = file["value"] if isinstance(file, dict) else file
    assert Path(found).name == f"walk_{NAME}.mp4" and len(inspect_video(Path(found)).times) == 12
    forged = {"path": str(clip), "meta": {"_type": "gradio.FileData"}}
    for payload in (forged, {"path": str(clip)}, {"path": str(clip), "url": f"file://{clip}"}):
        for name, more in (("clip", ()), ("video", options)):
            answer = send_request(server, name, [payload, *more])
            assert "event: error" in answer or "Add a video first" in answer
            assert "data:image" not in answer and "12 frames" not in answer


def send_request(server: str, name: str, data: list) -> str:
    """Send a request that Gradio's client would refuse to send, and return the response."""
    body = json.dumps({"data": data}).encode()
    head = {"Content-Type": "application/json"}
    call = f"{server}gradio_api/call/{name}"
    with urllib.request.urlopen(urllib.request.Request(call, body, head)) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{call}/{event}") as answer:
        return answer.read().decode()


# Chromium


@pytest.fixture(scope="module")
def context(browser):
    """Return one context for all tests, so that Gradio's scripts are loaded and compiled once."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(TIMEOUT)
    yield context
    context.close()


@pytest.fixture
def tab(server, context):
    page = context.new_page()
    page.goto(server)
    page.get_by_role("tab", name="Video").click()
    yield page
    page.close()


def wait_for_status(page, pattern) -> str:
    """Wait until the status line of the visible tab matches, and return it."""
    line = page.locator(".tabitem:visible .prose.news")
    line.get_by_text(re.compile(pattern)).wait_for()
    return line.inner_text()


def upload(page, path) -> None:
    page.locator(".tabitem:visible input[type=file]").set_input_files(path)


def check_names(page) -> None:
    """Assert that every control has a name."""
    tree = page.locator("body").aria_snapshot()
    kinds = "button|slider|radio|radiogroup|checkbox|combobox|spinbutton|textbox|listbox|link|tab"
    found = re.findall(rf"- '?({kinds})\b(.*)", tree)
    assert len(found) > 6 and 'group "Video"' in tree
    assert not [kind for kind, rest in found if not rest.strip().startswith('"')], tree


@pytest.mark.slow
def test_video_is_uploaded_stylized_played_and_downloaded(tab, silent, tmp_path):
    upload(tab, silent)
    assert wait_for_status(tab, "walk.mp4") == "walk.mp4: 64 × 48 pixels, 0.5 s"
    tab.get_by_role("img", name="The video's first frame").wait_for()
    check_names(tab)
    tab.get_by_role("button", name="Stylize the video").click()
    tab.get_by_role("progressbar", name="Frames done").wait_for()
    assert "12 frames of 64 × 48 pixels" in wait_for_status(tab, f"^walk_{NAME}.mp4")
    tab.wait_for_function("document.querySelector('#clip video')?.readyState >= 1")
    tab.locator("#clip video").evaluate("v => v.play()")
    tab.wait_for_function("document.querySelector('#clip video').ended")
    size = tab.locator("#clip video").evaluate("v => [v.videoWidth, v.videoHeight, v.duration]")
    assert size[:2] == [64, 48] and 0.4 < size[2] < 0.6
    assert tab.get_by_role("progressbar").count() == 0
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download the video").click()
    assert download.value.suggested_filename == f"walk_{NAME}.mp4"
    download.value.save_as(tmp_path / "out.mp4")
    assert len(inspect_video(tmp_path / "out.mp4").times) == 12
    assert str(Path("/tmp")) not in tab.locator("body").inner_text()


@pytest.mark.slow
def test_stop_removes_the_file_and_the_progress_bar(tab, place, long):
    upload(tab, long)
    wait_for_status(tab, "long.mp4")
    tab.get_by_role("button", name="Stylize the video").click()
    tab.get_by_text(re.compile(r"^\d+ of 1400 frames, .* to go")).wait_for()
    tab.get_by_role("img", name="The newest frame").wait_for()
    tab.get_by_role("button", name="Stop").click()
    started = time.monotonic()
    wait_for_status(tab, r"^Stopped\.$")
    assert time.monotonic() - started < 10
    deadline = time.monotonic() + 20
    while list(place.rglob("long_*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(place.rglob("long_*"))
    tab.get_by_role("progressbar").wait_for(state="detached", timeout=5000)
    tab.get_by_role("img", name="The video's first frame").wait_for()
    assert tab.get_by_role("button", name="Download the video").is_disabled()


@pytest.mark.slow
def test_run_delays_other_videos_but_no_previews_and_stops_with_its_page(
    tab, server, context, place, photo, long, tmp_path
):
    upload(tab, shutil.copy(long, tmp_path / "mine.mp4"))
    wait_for_status(tab, "mine.mp4")
    tab.get_by_role("button", name="Stylize the video").click()
    tab.get_by_text(re.compile(r"^\d+ of 1400 frames")).wait_for()
    page = context.new_page()  # another session
    page.goto(server)
    upload(page, photo)
    assert wait_for_status(page, " s at ")
    page.get_by_role("tab", name="Video").click()
    upload(page, shutil.copy(long, tmp_path / "other.mp4"))
    wait_for_status(page, "other.mp4")
    page.get_by_role("button", name="Stylize the video").click()
    page.get_by_text("queue").wait_for()
    page.get_by_role("button", name="Stop").click()
    wait_for_status(page, r"^Stopped\.$")
    assert list(place.rglob("mine_*"))
    tab.close()
    deadline = time.monotonic() + 20
    while list(place.rglob("mine_*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(place.rglob("mine_*"))
    time.sleep(3)
    assert not list(place.rglob("other_*")) and page.get_by_role("progressbar").count() == 0
    page.close()


@pytest.mark.slow
def test_dropped_video_is_uploaded_and_errors_are_one_line(tab, tmp_path):
    tab.get_by_role("button", name="Stylize the video").click()
    assert wait_for_status(tab, "Add a video") == "Add a video first."
    tab.evaluate("""() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["Dear Theo"], "dropped.mp4", { type: "video/mp4" }));
      document.querySelector("#top").dispatchEvent(
        new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }""")
    assert wait_for_status(tab, "dropped") == "dropped.mp4 is not a video that can be read."
    tab.locator(".tabitem:visible").get_by_role("button", name="Clear").click()
    (tmp_path / "letter.mp4").write_text("Dear Theo")
    upload(tab, tmp_path / "letter.mp4")
    assert wait_for_status(tab, "letter") == "letter.mp4 is not a video that can be read."


@pytest.mark.slow
def test_phone_does_not_scroll_sideways(server, browser, silent):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    page.goto(server)
    page.get_by_role("tab", name="Video").click()
    upload(page, silent)
    wait_for_status(page, "walk.mp4")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    wide = """[...document.querySelectorAll(".tabitem *")].filter((e) => e.offsetParent &&
      !e.closest(".styles .wrap") && e.getBoundingClientRect().right > innerWidth + 1).length"""
    assert page.evaluate(wide) == 0
    context.close()


# Last, because this test stops the server of the others


@pytest.mark.slow
def test_stopped_server_leaves_no_file_of_a_run(served, place, long):
    address, process = served
    client = Client(address, verbose=False)
    client.submit(handle_file(str(long)), NAME, 1.0, False, 720, api_name="/video")
    deadline = time.monotonic() + 60
    while not list(place.rglob("long_*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(place.rglob("long_*"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not list(place.iterdir())
