"""Tests of the video tab: its text, the server, and the page in Chromium."""

import json
import re
import shutil
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.web_server import serving

pytest.importorskip("gradio")
pytest.importorskip("av")

from gradio_client import Client, handle_file

from faststyle.inference.settings import VideoSettings
from faststyle.web import styles, stylize, video, video_tab
from tests.support.videos import inspect_video, make_clip

NAME = styles.DEFAULT_STYLE
TIMEOUT = 120_000  # ms, because the machine may be busy


def test_file_names_are_short_enough_for_file_systems():
    settings = VideoSettings()
    assert stylize.join_names("….mp4", NAME, settings, "clip") == f"clip_{NAME}"
    assert len(stylize.join_names(f"{'山' * 80}.mp4", "水" * 80, settings, "clip").encode()) < 240


def test_text_of_the_progress_bar():
    assert "Preparing" in video_tab.render_frames(None)
    text = video_tab.render_frames(video.Progress(12, 148, 3.2, None))
    assert "12 of 148 frames, 3.2 per second, 0:42 to go" in text and 'value="12"' in text
    assert "12 frames, 3.2 per second <" in video_tab.render_frames(video.Progress(12, None, 3.2, None))


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
    assert Path(found).name == f"walk_{NAME}_max720.mp4" and len(inspect_video(Path(found)).times) == 12
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
    page.locator(".tabitem:visible input[type=file]").first.set_input_files(path)


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
    tab.get_by_role("progressbar", name=re.compile("Preparing|12 frames")).wait_for()
    assert "12 frames of 64 × 48 pixels" in wait_for_status(tab, f"^walk_{NAME}_max720.mp4")
    tab.wait_for_function("document.querySelector('#clip video')?.readyState >= 1")
    tab.locator("#clip video").evaluate("v => v.play()")
    tab.wait_for_function("document.querySelector('#clip video').ended")
    size = tab.locator("#clip video").evaluate("v => [v.videoWidth, v.videoHeight, v.duration]")
    assert size[:2] == [64, 48] and 0.4 < size[2] < 0.6
    assert tab.get_by_role("progressbar").count() == 0
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download the video").click()
    assert download.value.suggested_filename == f"walk_{NAME}_max720.mp4"
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
    assert list(place.rglob("mine_*")), tab.locator("body").inner_text()
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
