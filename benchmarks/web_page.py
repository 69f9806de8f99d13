"""Seconds from giving the web page a photo, or choosing a style, to the result on the screen.

python -m benchmarks.web_page photo.jpg

In headless Chromium, at the page's default preview of 1,024 pixels.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from faststyle.web import styles
from tests.support.web_server import serving

TIMES = 7


# Looked at with every frame: Playwright's own expect looks ever more seldom.
READY = """
(title) => {
  const line = [...document.querySelectorAll(".prose.news")].find((one) => one.innerText.startsWith(title));
  const picture = document.querySelector("#result img.after");
  return line && line.innerText.includes(" s at ") && picture && picture.complete;
}
"""


def wait_for(page: Page, title: str, started: float) -> float:
    """Seconds until the line of this style's result stands there, with its picture."""
    page.wait_for_function(READY, arg=title, polling="raf")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photo", type=Path)
    photo = parser.parse_args().photo
    titles = [style.title for style in styles.ready_styles().values()]
    uploads, choices = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "server") as (address, _),
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(TIMES):
            page = browser.new_page()
            page.goto(address)
            page.get_by_role("tab", name="Stylize").wait_for()
            field = page.locator(".tabitem:visible input[type=file]")
            chosen = styles.ready_styles()[styles.FAVOURITE].title
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
    print("| from | median | min | max |\n| --- | --- | --- | --- |")
    for name, seconds in (("a photo given", uploads), ("a style chosen", choices)):
        print(f"| {name} | {median(seconds):.2f} | {min(seconds):.2f} | {max(seconds):.2f} |")


if __name__ == "__main__":
    main()
