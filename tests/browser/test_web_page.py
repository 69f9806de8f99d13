"""The web page in headless Chromium."""

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.images import sample
from tests.support.web_server import serving

pytest.importorskip("gradio")

from faststyle.web import styles

playwright = pytest.importorskip("playwright.sync_api")
chromium = shutil.which("chromium")
pytestmark = pytest.mark.skipif(chromium is None, reason="needs chromium")

# Titles as the page has them.
STARRY, WAVE = (styles.ready_styles()[name].title for name in ("starry_night", "great_wave"))
TABS = ("Stylize", "Video", "Train a style", "Fast and slow")
PHONE = {"width": 390, "height": 844}
SLOWEST = 60_000  # ms that anything may take on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("web")) as (address, _):
        yield address


@pytest.fixture
def page(server, browser):
    yield from opened(server, browser, viewport={"width": 1280, "height": 900})


@pytest.fixture
def phone(server, browser):
    yield from opened(server, browser, viewport=PHONE, has_touch=True, is_mobile=True)


def opened(server, browser, **options):
    """The page, in a context of its own, that may ask nobody but its server."""
    context = browser.new_context(accept_downloads=True, **options)
    context.set_default_timeout(SLOWEST)
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server)
    page.get_by_role("tab", name="Stylize").wait_for()
    yield page
    outside = [url for url in asked if not url.startswith((server, "data:", "blob:"))]
    context.close()
    assert not outside


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "beach.jpg"
    sample("coffee", 160).save(path, quality=95)
    return path


def upload(page, path, place=0):
    page.locator(".tabitem:visible input[type=file]").nth(place).set_input_files(path)


def news(page, pattern) -> str:
    """Wait for a line of news, and return it."""
    line = page.locator(".tabitem:visible .prose.news")
    playwright.expect(line).to_have_text(re.compile(pattern), timeout=SLOWEST)
    return line.inner_text()


def shown(page, which) -> np.ndarray:
    """One of the two pictures of the result, (H,W,3)."""
    address = page.locator(f"#result img.{which}").get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))), float)


def choose(page, title):
    page.locator(".styles label", has_text=title).click()


# Stylize


def test_upload_and_choose_and_the_result_is_another_picture(page, photo):
    upload(page, photo)
    assert re.search(r"[\d.]+ s at 160 × 107 pixels", news(page, f"^{STARRY}"))
    starry = shown(page, "after")
    assert starry.shape == shown(page, "before").shape == (107, 160, 3)
    assert np.abs(starry - shown(page, "before")).mean() > 10
    choose(page, WAVE)
    news(page, f"^{WAVE}")
    assert np.abs(starry - shown(page, "after")).mean() > 10


def test_slider_moves_by_keyboard_and_by_mouse(page, photo):
    upload(page, photo)
    news(page, "s at")
    slider = page.get_by_role("slider", name=re.compile("Before and after"))
    before = page.locator("#result .before")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    assert "60%" in before.evaluate("e => getComputedStyle(e).clipPath")
    # The other is cut where this one begins: else a transparent photo would show it.
    after = page.locator("#result .after").evaluate("e => getComputedStyle(e).clipPath")
    assert after == "inset(0px 0px 0px 40%)"
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert 75 < int(slider.input_value()) < 85
    choose(page, WAVE)
    news(page, f"^{WAVE}")
    assert 75 < int(slider.input_value()) < 85  # it stays for the next result


def test_strength_colour_and_size_change_the_result(page, photo, tmp_path):
    sample("coffee", 700).save(tmp_path / "large.jpg")
    upload(page, tmp_path / "large.jpg")
    news(page, "700 × 467")
    full = shown(page, "after")
    page.get_by_role("checkbox", name="Keep the photo's colours").check()
    page.wait_for_function(
        "old => document.querySelector('#result .after').src !== old",
        arg=page.locator("#result .after").get_attribute("src"),
    )
    kept = shown(page, "after")
    assert np.abs(full - kept).mean() > 5
    page.get_by_label("Preview size").click()
    page.get_by_role("option", name="640 pixels").click()
    news(page, "640 × 427")
    page.get_by_role("spinbutton", name=re.compile("Strength")).fill("0")
    page.wait_for_function(
        "document.querySelector('#result .after').src === document.querySelector('#result .before').src"
    )


def test_download_opens_as_a_picture_of_full_size(page, photo, tmp_path):
    upload(page, photo)
    news(page, "s at")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download at full size").click()
    assert download.value.suggested_filename == "beach_starry_night.jpg"
    download.value.save_as(tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as picture:
        picture.load()
        assert picture.format == "JPEG" and picture.size == (160, 107)
    assert "160 × 107" in news(page, "beach_starry_night.jpg")


def test_text_file_named_as_picture_gets_a_readable_message_and_the_next_photo_works(page, photo, tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Theo")
    upload(page, path)
    assert news(page, "letter").startswith("letter.jpg is not an image that can be read: ")
    upload(page, photo)
    news(page, "s at")
    upload(page, path)
    news(page, "letter.jpg is not an image that can be read")  # the field is another object by now


def test_too_large_upload_gets_a_readable_message(page, tmp_path):
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(60 << 20)
    upload(page, path)
    playwright.expect(page.get_by_text(re.compile("exceed the maximum allowed size of 50"))).to_be_visible()


def test_photo_is_pasted_or_dropped_anywhere(page, photo):
    give = """async ([kind, data, name, target]) => {
      const bytes = await (await fetch(data)).blob();
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
      const event = kind === "paste"
        ? new ClipboardEvent(kind, { clipboardData: transfer, bubbles: true, cancelable: true })
        : new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
      document.querySelector(target).dispatchEvent(event);
    }"""
    data = f"data:image/jpeg;base64,{base64.b64encode(photo.read_bytes()).decode()}"
    page.locator(".tabitem:visible .picture input[type=file]").wait_for(state="attached")
    page.evaluate(give, ["paste", data, "pasted.jpg", "body"])
    news(page, "160 × 107")
    for name, target in (("dropped.jpg", "#result"), ("again.jpg", ".picture .image-frame")):
        page.evaluate(give, ["drop", data, name, target])
        playwright.expect(page.locator(".tabitem:visible .picture img")).to_have_attribute(
            "src", re.compile(name)
        )


def test_dropped_file_that_is_no_picture_leaves_neither_page_nor_photo(page, photo):
    upload(page, photo)
    news(page, "s at")
    drop = """(target) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["Dear Theo"], "letter.pdf", { type: "application/pdf" }));
      const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
      document.querySelector(target).dispatchEvent(event);
      return event.defaultPrevented;
    }"""
    assert page.evaluate(drop, "#top")
    playwright.expect(page.locator(".tabitem:visible .picture img")).to_be_visible()


def test_example_needs_no_photo_of_ones_own(page):
    page.get_by_role("button", name="Coffee").click()
    news(page, f"^{STARRY}: .* s at 600 × 400")


def test_removed_photo_takes_its_result_with_it(page, photo):
    upload(page, photo)
    news(page, "s at")
    page.get_by_role("button", name="Remove Image").click()
    playwright.expect(page.get_by_text("Your picture will be here.")).to_be_visible()


def test_style_is_chosen_by_keyboard(page, photo):
    upload(page, photo)
    news(page, f"^{STARRY}")
    names = list(styles.ready_styles())
    left = styles.ready_styles()[names[names.index("starry_night") - 1]].title
    page.get_by_role("radiogroup", name="Style").get_by_role("radio", name=STARRY).focus()
    page.keyboard.press("ArrowLeft")
    news(page, f"^{re.escape(left)}")
    playwright.expect(page.get_by_role("radio", name=left)).to_be_focused()
    page.keyboard.press("ArrowRight")
    news(page, f"^{STARRY}")


def test_everything_that_can_be_operated_has_a_name(page, photo):
    assert page.locator("html").get_attribute("lang") == "en"
    assert "faststyle" in page.title()
    upload(page, photo)
    news(page, "s at")
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        tree = page.locator("body").aria_snapshot()
        kinds = "button|slider|radio|radiogroup|checkbox|combobox|spinbutton|textbox|listbox|link|tab"
        found = re.findall(rf"- '?({kinds})\b(.*)", tree)
        assert len(found) > 6
        assert re.search('group "(Photo|Clip|Painting)"', tree)
        assert not [kind for kind, rest in found if not rest.strip().startswith('"')], tree


def test_phone_has_no_sideways_scroll(phone, photo):
    upload(phone, photo)
    news(phone, "s at")
    for tab in TABS:
        phone.get_by_role("tab", name=tab).click()
        assert phone.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
        # Nor is anything cut off: it ends inside the window, or in a strip that scrolls by itself.
        wide = """[...document.querySelectorAll(".tabitem *")].filter((e) => e.offsetParent &&
          !e.closest(".styles .wrap") && e.getBoundingClientRect().right > innerWidth + 1).length"""
        assert phone.evaluate(wide) == 0


# Train, and compare


def test_training_shows_previews_and_stops_with_a_style_to_choose(page, photo):
    upload(page, photo)
    news(page, "s at")
    page.get_by_role("tab", name="Train a style").click()
    upload(page, photo)
    playwright.expect(page.locator(".tabitem:visible .picture img")).to_be_visible()
    page.get_by_role("button", name="Train", exact=True).click()
    playwright.expect(page.get_by_role("img", name=re.compile("painted at step 1"))).to_be_visible(
        timeout=3 * SLOWEST
    )
    page.get_by_role("button", name="Stop").click()
    assert re.match(r"Stopped after \d+ steps", news(page, "Stopped after"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the model").click()
    assert download.value.suggested_filename == "beach.safetensors"
    page.get_by_role("tab", name="Stylize").click()
    news(page, r"^Beach \(yours\)")

    # The same style where it has its painting already.
    page.get_by_role("tab", name="Fast and slow").click()
    upload(page, photo)
    page.get_by_role("button", name="Compare").click()
    news(page, r"Step [1-9]\d* of 50")
    playwright.expect(page.get_by_text(re.compile(r"^Fast: [\d.]+ s, objective [\d.]+$"))).to_be_visible()
    first = page.get_by_text(re.compile(r"^Slow: step")).inner_text()
    playwright.expect(page.get_by_text(first)).to_have_count(0)  # it goes on
    page.get_by_role("button", name="Stop").click()
    news(page, r"^Stopped\.$")


def test_comparison_without_a_painting_says_what_is_missing(page, photo):
    page.get_by_role("tab", name="Fast and slow").click()
    upload(page, photo)
    page.get_by_role("button", name="Compare").click()
    news(page, f"^Add the painting of {STARRY}")
