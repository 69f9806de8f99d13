"""Use the web page in Chromium."""

import base64
import io
import re

import numpy as np
from PIL import Image
from playwright.sync_api import expect

TIMEOUT = 60_000  # ms, because the machine may be busy
PHONE = {"width": 390, "height": 844}


def open_page(server, browser, **options):
    """Open the page in a context of its own; it must request nothing from other servers."""
    context = browser.new_context(accept_downloads=True, **options)
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(server)
    page.get_by_role("tab", name="Stylize").wait_for()
    yield page
    outside = [url for url in requested if not url.startswith((server, "data:", "blob:"))]
    context.close()
    assert not outside


def upload(page, path, place=0):
    """Give a file to a field of the visible tab, the first by default."""
    page.locator(".tabitem:visible input[type=file]").nth(place).set_input_files(path)


def wait_for_status(page, pattern) -> str:
    """Wait until the status line of the visible tab matches, and return it."""
    line = page.locator(".tabitem:visible .prose.news")
    expect(line).to_have_text(re.compile(pattern), timeout=TIMEOUT)
    return line.inner_text()


def read_result(page, which) -> np.ndarray:
    """Return one of the two images of the result, before or after, as (H,W,3)."""
    address = page.locator(f"#result img.{which}").get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))), float)
