"""Measure the seconds from giving the web page a photo, or choosing a style, to the result on the screen.

python -m benchmarks.web_page photo.jpg

The page runs in headless Chromium, with its default preview of 1,024 pixels.
"""

import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from benchmarks.common import make_parser, print_head, print_row
from faststyle.web import styles
from tests.support.web_server import serving

ROUNDS = 7


# Checked in every frame: Playwright's own expect waits longer and longer between checks.
READY = """
(title) => {
  const line = [...document.querySelectorAll(".prose.news")].find((one) => one.innerText.startsWith(title));
  const image = document.querySelector("#result img.after");
  return line && line.innerText.includes(" s at ") && image && image.complete;
}
"""


def wait_for(page: Page, title: str, started: float) -> float:
    """Wait for the image and the line of a style's result, and return the seconds since ``started``."""
    page.wait_for_function(READY, arg=title, polling="raf")
    return time.perf_counter() - started


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photo", type=Path)
    photo = parser.parse_args(argv).photo
    titles = [style.title for style in styles.list_built_in_styles().values()]
    uploads, choices = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "server") as (address, _),
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(ROUNDS):
            page = browser.new_page()
            page.goto(address)
            page.get_by_role("tab", name="Stylize").wait_for()
            field = page.locator(".tabitem:visible input[type=file]")
            chosen = styles.list_built_in_styles()[styles.DEFAULT_STYLE].title
            started = time.perf_counter()
            field.set_input_files(photo)
            uploads.append(wait_for(page, chosen, started))
            for title in titles:
                if title != chosen:
                    started = time.perf_counter()
                    page.locator(".styles label", has_text=title).click()
                    choices.append(wait_for(page, title, started))
            page.close()
        browser.close()
    print_head("from", "median", "min", "max")
    for name, seconds in (("a photo given", uploads), ("a style chosen", choices)):
        print_row(name, *(f"{value:.2f}" for value in (median(seconds), min(seconds), max(seconds))))


if __name__ == "__main__":
    main()
