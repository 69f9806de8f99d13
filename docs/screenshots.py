"""Take screenshots of the web page on a desktop and on a phone, and of the page without a server.

    python docs/screenshots.py

The images are docs/pictures/web*.webp and docs/pictures/static_page.webp. The script needs the extra
``test``, Chromium and npm, as the pages' tests do.
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import skimage
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.web_server import serving  # noqa: E402

IMAGES = ROOT / "docs" / "pictures"
PHOTO = Path(skimage.__file__).parent / "data" / "astronaut.png"
DESKTOP = {"viewport": {"width": 1280, "height": 960}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 1.5,
    "is_mobile": True,
    "has_touch": True,
}
TIMEOUT = 60_000  # ms


def save(page: Page, name: str, quality: int = 86) -> None:
    """Save a screenshot of the whole page, whose file must stay below 300 kB."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    path = IMAGES / f"{name}.webp"
    shot = page.screenshot(full_page=True, animations="disabled")
    Image.open(io.BytesIO(shot)).convert("RGB").save(path, quality=quality, method=6)
    print(path.relative_to(ROOT), path.stat().st_size // 1000, "kB")


def wait_for_status(page: Page, pattern: str) -> None:
    expect(page.locator(".tabitem:visible .prose.news")).to_have_text(re.compile(pattern), timeout=TIMEOUT)


def stylize_example(page: Page, address: str, photo: str) -> None:
    """Stylize an example photo on the page."""
    page.goto(address)
    page.get_by_role("button", name=photo).click()
    wait_for_status(page, " s at ")


def paint_region(page: Page) -> None:
    """Paint a region over the photo's upper half, and show every style."""
    page.get_by_role("button", name="Paint a region").click()
    canvas = page.locator("#region canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    for line in range(1, 7):
        x = 20 if line % 2 == 0 else box["width"] - 20
        page.mouse.move(box["x"] + x, box["y"] + box["height"] * line / 12, steps=10)
    page.mouse.up()
    wait_for_status(page, " s at ")
    page.get_by_role("button", name="In every style").click()
    wait_for_status(page, "Choose a style")


def show_static_page(browser: Browser, folder: Path) -> Page:
    """Install the page without a server into a folder, and stylize a photo on it."""
    shutil.copytree(ROOT / "docs" / "browser", folder, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)
    page = browser.new_context(viewport={"width": 1000, "height": 800}).new_page()
    page.goto((folder / "index.html").as_uri())
    page.get_by_label("Choose a photo").set_input_files(PHOTO)
    expect(page.get_by_role("status")).to_have_text(re.compile(" s at "), timeout=TIMEOUT)
    return page


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "server") as (address, _),
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(**DESKTOP).new_page()
        stylize_example(page, address, "Astronaut")
        save(page, "web")
        paint_region(page)
        save(page, "web_region", 55)
        phone = browser.new_context(**PHONE).new_page()
        stylize_example(phone, address, "Coffee")
        save(phone, "web_phone")
        save(show_static_page(browser, Path(folder) / "page"), "static_page")
        browser.close()


if __name__ == "__main__":
    main()
