"""Take screenshots of the web page on a desktop and on a phone.

    python docs/screenshots.py

The images are docs/pictures/web.webp and docs/pictures/web_phone.webp. The script needs the extra ``test``
and Chromium, as the page's tests do.
"""

import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.web_server import serving  # noqa: E402

IMAGES = ROOT / "docs" / "pictures"
# An example's button, and the options of the browser window, by file name.
SCREENSHOTS = {
    "web": ("Astronaut", {"viewport": {"width": 1280, "height": 960}}),
    "web_phone": (
        "Coffee",
        {
            "viewport": {"width": 390, "height": 844},
            "device_scale_factor": 1.5,
            "is_mobile": True,
            "has_touch": True,
        },
    ),
}


def take_screenshot(page: Page, address: str, photo: str, path: Path) -> None:
    """Stylize an example photo on the page, and save a screenshot of the page."""
    page.goto(address)
    page.get_by_role("button", name=photo).click()
    expect(page.locator(".tabitem:visible .prose.news")).to_have_text(re.compile(" s at "), timeout=60_000)
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    shot = page.screenshot(full_page=True, animations="disabled")
    Image.open(io.BytesIO(shot)).convert("RGB").save(path, quality=88, method=6)
    print(path.relative_to(ROOT), path.stat().st_size // 1000, "kB")


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "server") as (address, _),
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (photo, options) in SCREENSHOTS.items():
            context = browser.new_context(**options)
            take_screenshot(context.new_page(), address, photo, IMAGES / f"{name}.webp")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
