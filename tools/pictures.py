"""The pictures of pages in ``docs``, of a release that is served::

regrow serve build/bard &
python -m tools.pictures http://127.0.0.1:8000 build/bard
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

DOCS = Path(__file__).resolve().parents[1] / "docs"
_PATIENCE = 300_000
"""Milliseconds: kernels may have to be compiled, and an index made."""
_PROMPT, _TOKENS = "To be, or not to be", "90"


def main(url: str, release: Path) -> None:
    """Make all of them.

    Args:
        url: where the release is served, as whoever serves it was told.
        release: its folder.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with _page(browser, 1200, 800, "light") as page:
            _answer(page, url)
            page.screenshot(path=DOCS / "serve.png")
        with _page(browser, 360, 720, "dark") as page:
            _answer(page, url)
            page.screenshot(path=DOCS / "serve-phone.png")
        with _page(browser, 1200, 1900, "light") as page:
            page.goto((release / "report.html").resolve().as_uri())
            page.screenshot(path=DOCS / "report.png")
        browser.close()


@contextmanager
def _page(browser: Browser, width: int, height: int, scheme: str) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    context.set_default_timeout(_PATIENCE)
    yield context.new_page()
    context.close()


def _answer(page: Page, url: str) -> None:
    """Let the model go on with a text, and show where the longest of its words stand."""
    page.goto(url)
    page.get_by_role("spinbutton", name="Tokens").fill(_TOKENS)
    page.get_by_role("textbox", name="A text to continue").fill(_PROMPT)
    page.keyboard.press("Enter")
    page.locator(".where", has_text=re.compile("stand")).filter(has_not_text="The first time").wait_for()
    places = page.locator(".place")
    lengths = [len(one) for one in places.all_text_contents()]
    place = places.nth(lengths.index(max(lengths)))
    place.scroll_into_view_if_needed()
    place.click()
    page.locator("#spans mark").first.wait_for()
    top = "document.querySelector('.turn').getBoundingClientRect().top"  # what was asked first, then the panel
    page.evaluate(f"scrollBy(0, {top} - (innerWidth < 600 ? 60 : 310))")
    page.wait_for_timeout(500)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
