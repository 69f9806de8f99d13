"""Photograph the web page, on a desk and on a phone: ``python docs/screenshots.py`` (extra ``test``).

Writes docs/pictures/web.webp and docs/pictures/web_phone.webp. It needs Chromium, as the page's
tests do.
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

PICTURES = ROOT / "docs" / "pictures"
# Photos of the examples' buttons, and what the window is.
SHOTS = {
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


def photograph(page: Page, address: str, photo: str, path: Path) -> None:
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
        for name, (photo, options) in SHOTS.items():
            context = browser.new_context(**options)
            photograph(context.new_page(), address, photo, PICTURES / f"{name}.webp")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
