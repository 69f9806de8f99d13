"""The web page in headless Chromium."""

import base64
import re

import numpy as np
import pytest
from PIL import Image

from tests.support.images import sample

pytest.importorskip("gradio")
pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from faststyle.web import styles
from tests.support.browser_page import PHONE, TIMEOUT, read_result, upload, wait_for_status

# Titles of styles on the page.
STARRY, WAVE = (styles.list_built_in_styles()[name].title for name in ("starry_night", "great_wave"))
TABS = ("Stylize", "Photos", "Video", "Optimize", "Compare")


def choose_style(page, title):
    page.locator(".styles label", has_text=title).click()


def drop_painting(page, path):
    page.locator(".tabitem:visible .picture input[type=file]").last.set_input_files(path)


def test_photo_is_stylized_and_another_style_changes_the_result(page, photo):
    upload(page, photo)
    assert re.search(r"[\d.]+ s at 160 × 107 pixels", wait_for_status(page, f"^{STARRY}"))
    starry = read_result(page, "after")
    assert starry.shape == read_result(page, "before").shape == (107, 160, 3)
    assert np.abs(starry - read_result(page, "before")).mean() > 10
    choose_style(page, WAVE)
    wait_for_status(page, f"^{WAVE}")
    assert np.abs(starry - read_result(page, "after")).mean() > 10


def test_dropped_painting_is_a_style_at_once(page, photo, painting):
    upload(page, photo)
    wait_for_status(page, f"^{STARRY}")
    starry = read_result(page, "after")
    drop_painting(page, painting)
    wait_for_status(page, "^Painting \\(yours\\): .* s at 160 × 107 pixels")
    assert np.abs(starry - read_result(page, "after")).mean() > 10
    choose_style(page, STARRY)
    wait_for_status(page, f"^{STARRY}")
    assert np.abs(starry - read_result(page, "after")).mean() < 1


def test_slider_moves_by_keyboard_and_by_mouse(page, photo):
    upload(page, photo)
    wait_for_status(page, "s at")
    slider = page.get_by_role("slider", name=re.compile("Before and after"))
    before = page.locator("#result .before")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    assert "60%" in before.evaluate("e => getComputedStyle(e).clipPath")
    # Cut at the slider, so that the image after does not show through a transparent photo.
    after = page.locator("#result .after").evaluate("e => getComputedStyle(e).clipPath")
    assert after == "inset(0px 0px 0px 40%)"
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert 75 < int(slider.input_value()) < 85
    choose_style(page, WAVE)
    wait_for_status(page, f"^{WAVE}")
    assert 75 < int(slider.input_value()) < 85  # the next result keeps the position


def test_strength_colour_and_size_change_the_result(page, photo, tmp_path):
    sample("coffee", 700).save(tmp_path / "large.jpg")
    upload(page, tmp_path / "large.jpg")
    wait_for_status(page, "700 × 467")
    full = read_result(page, "after")
    page.get_by_role("checkbox", name="Keep the photo's colours").check()
    page.wait_for_function(
        "old => document.querySelector('#result .after').src !== old",
        arg=page.locator("#result .after").get_attribute("src"),
    )
    kept = read_result(page, "after")
    assert np.abs(full - kept).mean() > 5
    page.get_by_label("Preview size").click()
    page.get_by_role("option", name="640 pixels").click()
    wait_for_status(page, "640 × 427")
    page.get_by_role("spinbutton", name=re.compile("Strength")).fill("0")
    page.wait_for_function(
        "document.querySelector('#result .after').src === document.querySelector('#result .before').src"
    )


def test_strokes_and_a_second_style_change_the_result(page, photo):
    upload(page, photo)
    wait_for_status(page, f"^{STARRY}")
    usual, address = read_result(page, "after"), page.locator("#result .after").get_attribute("src")
    page.get_by_role("radio", name="Bold").check()
    expect(page.locator("#result .after")).not_to_have_attribute("src", address)
    assert np.abs(usual - read_result(page, "after")).mean() > 3
    assert not page.get_by_label("Share of the other style").first.is_visible()
    page.get_by_label("Blend with").click()
    page.get_by_role("option", name=WAVE).click()
    wait_for_status(page, f"^{STARRY}, with 50% of {WAVE}")
    assert page.get_by_label("Share of the other style").first.is_visible()


def test_download_is_an_image_of_full_size(page, photo, tmp_path):
    upload(page, photo)
    wait_for_status(page, "s at")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download at full size").click()
    assert download.value.suggested_filename == "beach_starry_night.jpg"
    download.value.save_as(tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        image.load()
        assert image.format == "JPEG" and image.size == (160, 107)
    assert "160 × 107" in wait_for_status(page, "beach_starry_night.jpg")


def test_text_file_named_as_image_gives_an_error_and_the_next_photo_works(page, photo, tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Theo")
    upload(page, path)
    assert wait_for_status(page, "letter").startswith("letter.jpg is not an image that can be read: ")
    upload(page, photo)
    wait_for_status(page, "s at")
    upload(page, path)
    wait_for_status(
        page, "letter.jpg is not an image that can be read"
    )  # although the page has replaced the field


def test_too_large_upload_gives_an_error(page, tmp_path):
    path = tmp_path / "huge.jpg"
    path.write_bytes(bytes(60 << 20))
    upload(page, path)
    expect(page.get_by_text(re.compile("exceed the maximum allowed size of 50"))).to_be_visible()


def test_photo_can_be_pasted_or_dropped_anywhere(page, photo):
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
    page.locator(".tabitem:visible .picture input[type=file]").first.wait_for(state="attached")
    page.evaluate(give, ["paste", data, "pasted.jpg", "body"])
    wait_for_status(page, "160 × 107")
    for name, target in (("dropped.jpg", "#result"), ("again.jpg", ".picture .image-frame")):
        page.evaluate(give, ["drop", data, name, target])
        expect(page.locator(".tabitem:visible .picture img")).to_have_attribute("src", re.compile(name))


def test_dropped_file_that_is_no_image_keeps_the_page_and_the_photo(page, photo):
    upload(page, photo)
    wait_for_status(page, "s at")
    drop = """(target) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["Dear Theo"], "letter.pdf", { type: "application/pdf" }));
      const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
      document.querySelector(target).dispatchEvent(event);
      return event.defaultPrevented;
    }"""
    assert page.evaluate(drop, "#top")
    expect(page.locator(".tabitem:visible .picture img")).to_be_visible()


def test_example_photo_is_stylized(page):
    page.get_by_role("button", name="Coffee").click()
    wait_for_status(page, f"^{STARRY}: .* s at 600 × 400")


def test_removing_the_photo_removes_the_result(page, photo):
    upload(page, photo)
    wait_for_status(page, "s at")
    page.get_by_role("button", name="Remove Image").click()
    expect(page.get_by_text("The stylized photo will be here.")).to_be_visible()


def test_style_can_be_chosen_by_keyboard(page, photo):
    upload(page, photo)
    wait_for_status(page, f"^{STARRY}")
    names = list(styles.list_built_in_styles())
    left = styles.list_built_in_styles()[names[names.index("starry_night") - 1]].title
    page.get_by_role("radiogroup", name="Style").get_by_role("radio", name=STARRY).focus()
    page.keyboard.press("ArrowLeft")
    wait_for_status(page, f"^{re.escape(left)}")
    expect(page.get_by_role("radio", name=left)).to_be_focused()
    page.keyboard.press("ArrowRight")
    wait_for_status(page, f"^{STARRY}")


def test_every_control_has_a_name(page, photo):
    assert page.locator("html").get_attribute("lang") == "en"
    assert "faststyle" in page.title()
    upload(page, photo)
    wait_for_status(page, "s at")
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        tree = page.locator("body").aria_snapshot()
        kinds = "button|slider|radio|radiogroup|checkbox|combobox|spinbutton|textbox|listbox|link|tab"
        found = re.findall(rf"- '?({kinds})\b(.*)", tree)
        assert len(found) > 6
        assert re.search('group "(Photos?|Video|Painting)"', tree)
        assert not [kind for kind, rest in found if not rest.strip().startswith('"')], tree


def test_phone_has_no_sideways_scroll(phone, photo):
    upload(phone, photo)
    wait_for_status(phone, "s at")
    for tab in TABS:
        phone.get_by_role("tab", name=tab).click()
        assert phone.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
        # No element is cut off: each ends inside the window, or in the list of styles, which scrolls.
        wide = """[...document.querySelectorAll(".tabitem *")].filter((e) => e.offsetParent &&
          !e.closest(".styles .wrap") && e.getBoundingClientRect().right > innerWidth + 1).length"""
        assert phone.evaluate(wide) == 0


def test_painting_is_made_better_while_the_result_changes_and_then_compared(page, photo, painting):
    upload(page, photo)
    wait_for_status(page, "s at")
    drop_painting(page, painting)
    wait_for_status(page, "^Painting \\(yours\\): .* s at 160 × 107 pixels")
    at_once = read_result(page, "after")
    button = page.get_by_role("button", name="Make it better")
    button.click()
    expect(button).to_be_disabled()
    shown = page.locator("#result .after").get_attribute("src")
    for _ in range(2):  # previews of the photo that was uploaded
        page.wait_for_function(
            "old => document.querySelector('#result .after').src !== old", arg=shown, timeout=2 * TIMEOUT
        )
        shown = page.locator("#result .after").get_attribute("src")
    wait_for_status(page, r"^Getting better: 0:\d\d to go")
    page.get_by_role("button", name="Stop").click()
    wait_for_status(page, r"^Painting \(yours\): trained for \d+ steps")
    expect(button).to_be_enabled()
    better = read_result(page, "after")
    assert better.shape == at_once.shape and np.abs(better - at_once).mean() > 5
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the model").click()
    assert download.value.suggested_filename == "painting.safetensors"

    # The style keeps its painting for the comparison.
    page.get_by_role("tab", name="Compare").click()
    upload(page, photo)
    page.get_by_role("button", name="Compare").click()
    wait_for_status(page, r"Step [1-9]\d* of 50")
    expect(page.get_by_text(re.compile(r"^Fast: [\d.]+ s, distance [\d.]+$"))).to_be_visible()
    first = page.get_by_text(re.compile(r"^Slow: step")).inner_text()
    expect(page.get_by_text(first)).to_have_count(0)  # the step advances
    page.get_by_role("button", name="Stop").click()
    wait_for_status(page, r"^Stopped\.$")


def test_comparison_without_a_painting_asks_for_it(page, photo):
    page.get_by_role("tab", name="Compare").click()
    upload(page, photo)
    page.get_by_role("button", name="Compare").click()
    wait_for_status(page, f"^Add the painting of {STARRY}")
