"""Install the static page, open it as a file, and use it in Chromium."""

import re
import shutil
import subprocess
from pathlib import Path

from playwright.sync_api import expect

from tests.support import ROOT

FOLDER = ROOT / "docs" / "browser"
TIMEOUT = 120_000  # ms, because the machine may be busy


def install(folder: Path) -> str:
    """Copy the page into a folder, install the npm package there, and return npm's error messages."""
    for path in (*FOLDER.glob("*.*"), *FOLDER.glob("models/*.js")):
        if not path.name.startswith("runtime_"):
            target = folder / path.relative_to(FOLDER)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
    command = ["npm", "install", "--no-audit", "--no-fund", "--fetch-retries=1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def open_static_page(folder, browser):
    """Open the page as a file; it must request nothing from other places and log no errors."""
    context = browser.new_context(
        accept_downloads=True, viewport={"width": 1100, "height": 850}, permissions=["camera"]
    )
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    requested, errors = [], []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((folder / "index.html").as_uri())
    yield page
    outside = [url for url in requested if not url.startswith((folder.as_uri(), "data:", "blob:"))]
    context.close()
    assert not outside and not errors


def choose(page, path):
    """Choose a file as the photo."""
    page.get_by_label("Choose a photo").set_input_files(path)


def wait_for_status(page, pattern) -> str:
    """Wait until the status line matches, and return it."""
    expect(page.get_by_role("status")).to_have_text(re.compile(pattern), timeout=TIMEOUT)
    return page.get_by_role("status").inner_text()


def save(page, kind, folder) -> Path:
    """Download the result into a folder, and return the file."""
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Save as {kind}").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path
