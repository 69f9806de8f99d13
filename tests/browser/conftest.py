"""Fixtures of the tests in Chromium: the web page's server, and the page in it."""

import re
import shutil
from pathlib import Path

import pytest

from tests.support.images import sample
from tests.support.web_server import serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("web")) as (address, _):
        yield address


@pytest.fixture
def page(server, browser):
    from tests.support.browser_page import open_page

    yield from open_page(server, browser, viewport={"width": 1280, "height": 900})


@pytest.fixture
def phone(server, browser):
    from tests.support.browser_page import PHONE, open_page

    yield from open_page(server, browser, viewport=PHONE, has_touch=True, is_mobile=True)


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "beach.jpg"
    sample("coffee", 160).save(path, quality=95)
    return path


@pytest.fixture(scope="session")
def static_folder(tmp_path_factory) -> Path:
    """Install the static page into a folder."""
    if shutil.which("chromium") is None or shutil.which("npm") is None:
        pytest.skip("needs chromium and npm")
    from tests.support.static_page import install

    folder = tmp_path_factory.mktemp("browser page")  # with a space, as users' folders may have
    if failed := install(folder):
        if not re.search("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH", failed):
            pytest.fail(failed)
        pytest.skip("npm cannot reach a registry")
    return folder


@pytest.fixture
def static_page(static_folder, browser):
    from tests.support.static_page import open_static_page

    yield from open_static_page(static_folder, browser)
