"""The web page in headless Chromium: all styles at once, regions, undo, own models, many photos, a camera."""

import re
import zipfile

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")
pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from faststyle.models.pretrained import built_in_styles
from faststyle.web import styles
from tests.support.browser_page import read_result, upload, wait_for_status

STARRY, INK = (styles.list_built_in_styles()[name].title for name in ("starry_night", "ink"))


def press(page, name):
    page.locator(".tabitem:visible").get_by_role("button", name=name).click()


def test_style_is_chosen_by_its_image_and_undone_and_kept_over_a_reload(page, photo):
    upload(page, photo)
    wait_for_status(page, f"^{STARRY}")
    press(page, "In every style")
    wait_for_status(page, "Choose a style by its image")
    assert page.locator(".grid [data-style]").count() == len(styles.list_built_in_styles())
    page.locator("[data-style=ink]").click()
    wait_for_status(page, f"^{INK}")
    press(page, "Undo")
    wait_for_status(page, f"^{STARRY}")
    page.locator("[data-style=ink]").click()
    wait_for_status(page, f"^{INK}")
    page.reload()
    expect(page.get_by_role("radio", name=INK)).to_be_checked()
    upload(page, photo)
    wait_for_status(page, f"^{INK}")


def test_style_is_limited_to_the_painted_region(page, photo):
    upload(page, photo)
    wait_for_status(page, f"^{STARRY}")
    before, whole = read_result(page, "before"), read_result(page, "after")
    press(page, "Paint a region")
    canvas = page.locator("#region canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    address = page.locator("#result .after").get_attribute("src")
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] - 5, steps=5)
    page.mouse.up()
    expect(page.locator("#result .after")).not_to_have_attribute("src", address)
    part = read_result(page, "after")
    assert np.abs(part - before)[:, 80:].mean() < 5 < 10 < np.abs(part - before)[:, 28:36].mean()
    assert np.abs(whole - before)[:, 80:].mean() > 10
    press(page, "Whole photo")
    expect(page.locator("#result .after")).to_have_attribute("src", address)
    expect(canvas).to_have_count(0)


def test_model_file_is_a_style(page, photo):
    upload(page, photo)
    wait_for_status(page, f"^{STARRY}")
    page.locator("input[type=file][accept*=safetensors]").set_input_files(built_in_styles()["ink"])
    wait_for_status(page, f"^{INK}: .* s at 160 × 107")


def test_several_photos_become_a_zip(page, photo, painting, tmp_path):
    page.get_by_role("tab", name="Photos").click()
    page.locator(".tabitem:visible input[type=file]").set_input_files([photo, painting])
    page.locator(".tabitem:visible").get_by_text(painting.name[-4:]).first.wait_for()
    with page.expect_download() as download:
        press(page, "Stylize and download a ZIP")
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert sorted(archive.namelist()) == ["beach_starry_night.jpg", "painting_starry_night.jpg"]
    wait_for_status(page, "2 of 2 photos")


@pytest.mark.slow
def test_slow_method_downloads_its_image(page, photo, painting, tmp_path):
    page.get_by_role("tab", name="Optimize").click()
    upload(page, painting, 1)  # first, because a field with an image has no more input
    page.locator(".tabitem:visible .picture img").first.wait_for()
    upload(page, photo)
    page.locator(".tabitem:visible .picture img").nth(1).wait_for()
    page.get_by_role("radio", name="256 pixels").last.check()
    page.get_by_role("spinbutton", name=re.compile("Steps")).first.fill("10")
    with page.expect_download() as download:
        press(page, "Optimize and download")
    download.value.save_as(tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as image:
        assert image.size == (160, 107)


def test_camera_is_a_source(server, browser):
    context = browser.new_context(permissions=["camera"])
    page = context.new_page()
    page.goto(server)
    page.get_by_role("button", name="Capture from camera").first.click()
    page.get_by_text("Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('.picture video')?.videoWidth > 0")
    page.wait_for_timeout(1000)  # for the first frame, before which the button does nothing
    page.get_by_role("button", name="capture photo").click()
    wait_for_status(page, f"^{STARRY}")
    context.close()
