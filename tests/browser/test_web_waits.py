"""Waits on the web page in headless Chromium: a bar, a button that is disabled, and Stop."""

import pytest

from tests.support.images import sample

pytest.importorskip("gradio")
pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from tests.support.browser_page import upload, wait_for_status


@pytest.mark.parametrize("name", ["Download at full size", "Refine"])
def test_long_run_shows_a_bar_disables_its_button_and_can_be_stopped(page, tmp_path, name):
    sample("coffee", 2400).save(tmp_path / "large.png")
    upload(page, tmp_path / "large.png")
    wait_for_status(page, "s at")
    button, bar = page.get_by_role("button", name=name), page.locator(".tabitem:visible progress")
    shown = page.locator("#result .after").get_attribute("src")
    button.click()
    expect(button).to_be_disabled()
    expect(bar).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    wait_for_status(page, r"^Stopped\.$")
    expect(button).to_be_enabled()
    expect(bar).to_have_count(0)
    page.wait_for_timeout(3000)  # nothing arrives late
    wait_for_status(page, r"^Stopped\.$")
    assert page.locator("#result .after").get_attribute("src") == shown


def test_buttons_are_enabled_after_a_run_and_after_an_error(page, photo):
    button = page.get_by_role("button", name="Download at full size")
    button.click()
    wait_for_status(page, "Add a photo first")
    expect(button).to_be_enabled()
    upload(page, photo)
    wait_for_status(page, "s at")
    with page.expect_download():
        button.click()
    expect(button).to_be_enabled()


def test_training_shows_a_bar_disables_its_button_and_can_be_stopped(page, photo, painting):
    upload(page, photo)
    wait_for_status(page, "s at")
    button = page.get_by_role("button", name="Make it better")
    button.click()
    wait_for_status(page, "drop it into the field Any painting")
    expect(button).to_be_enabled()
    page.locator(".tabitem:visible .picture input[type=file]").last.set_input_files(painting)
    wait_for_status(page, r"^Painting \(yours\)")
    button.click()
    expect(page.get_by_text("Starting …")).to_be_visible()
    bar = page.locator(".tabitem:visible progress")
    expect(bar).to_be_visible()
    expect(button).to_be_disabled()
    page.get_by_role("button", name="Stop").click()
    wait_for_status(page, "Stopped before the first step|trained for")
    expect(button).to_be_enabled()
    expect(bar).to_have_count(0)
