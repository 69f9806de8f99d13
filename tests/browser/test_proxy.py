"""The web page in headless Chromium, behind a reverse proxy that serves it below a path."""

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.support.images import sample
from tests.support.web_server import serving

pytest.importorskip("gradio")

from tests.support.proxy import proxied

TIMEOUT = 60_000  # ms, because the machine may be busy


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("web"), "--root-path", "/a/style/") as (address, _):
        yield address


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "beach.jpg"
    sample("coffee", 160).save(path)
    return path


def stylize_and_download(browser, address: str, photo: Path, target: Path) -> list[str]:
    """Stylize a photo and download the result. Return the paths that the browser requested."""
    context = browser.new_context(accept_downloads=True)
    context.set_default_timeout(TIMEOUT)
    page, requested = context.new_page(), []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(address)
    page.locator(".tabitem:visible input[type=file]").first.set_input_files(photo)
    page.locator("#result img.after").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download at full size").click()
    download.value.save_as(target)
    context.close()
    host = re.match(r"http://[^/]+", address)[0]
    return [url.removeprefix(host) for url in requested if url.startswith("http")]


@pytest.mark.parametrize("strip", [True, False], ids=["path stripped", "path kept"])
def test_photo_is_uploaded_stylized_and_downloaded_below_a_path(server, browser, photo, strip, tmp_path):
    with proxied(server, "/a/style", strip) as address:
        requested = stylize_and_download(browser, address, photo, tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (160, 107)
    assert any("upload" in url for url in requested)
    assert all(url.startswith("/a/style/") for url in requested), requested


def test_page_still_works_without_the_proxy(server, browser, photo, tmp_path):
    stylize_and_download(browser, server, photo, tmp_path / "out.jpg")
    assert (tmp_path / "out.jpg").stat().st_size > 0
