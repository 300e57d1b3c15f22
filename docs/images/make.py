"""Take the pictures of the page that the documentation shows, over the sample gallery of `araclip demo`.

    python docs/images/make.py --gallery FOLDER      (extras demo and browser; Debian's chromium, or CHROMIUM names one)

The queries are some whose answers benchmarks/queries.py found good, so the pictures show the page and say nothing
of how good answers are.
"""

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "tests" / each) for each in ("browser", "support")]

from doing import CHROMIUM, FLAGS, serving, shown, until  # noqa: E402  (the helpers of the page's tests)

PHONE = {"viewport": {"width": 390, "height": 780}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


@contextmanager
def visited(browser: Browser, address: str, language: str = "ar", **options: Any) -> Iterator[Page]:
    """The page at an address, once its modules are there."""
    settings = {"viewport": {"width": 1280, "height": 800}, "locale": "ar-EG", "color_scheme": "light"}
    context = browser.new_context(**{**settings, "reduced_motion": "reduce", **options})
    page = context.new_page()
    page.add_init_script(f"localStorage.setItem('araclip.language', '{language}')")
    page.goto(address)
    page.wait_for_selector("#theme svg")
    yield page
    context.close()


def results(page: Page) -> None:
    """Wait until results and their thumbnails are there."""
    shown(page)
    until(page, "[...document.querySelectorAll('#results img')].slice(0, 12).every((image) => image.complete)")


def viewer(page: Page) -> None:
    """Open the first result."""
    results(page)
    page.locator("#results .tile").first.click()
    page.wait_for_selector("#viewer[open] dl")


def filters(page: Page) -> None:
    """Open the panel of filters."""
    results(page)
    page.click("#filter-switch")


def home(page: Page) -> None:
    """Wait for the pictures of the first screen."""
    page.wait_for_selector("main img")
    until(page, "[...document.querySelectorAll('main img')].slice(0, 6).every((image) => image.complete)")


SHOTS: dict[str, tuple[str, Callable[[Page], None], dict[str, Any]]] = {
    "home": ("", home, {}),
    "results": ("?q=ساعة", results, {}),
    "viewer": ("?q=وجه قطة", viewer, {}),
    "filters": ("?q=قلب أحمر&where=orientation%3Dsquare", filters, {}),
    "dark": ("?q=cat face", results, {"language": "en", "locale": "en-GB", "color_scheme": "dark"}),
    "phone": ("?q=سفينة", results, PHONE),
    "empty": ("?q=قطة&where=captured%3D1999", shown, {}),
    "error": ("?q=قطة%20%2B%20-%20كلب", shown, {}),
}


def main() -> None:
    """Write page-*.webp beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gallery", type=Path, required=True, help="the sample gallery")
    args = parser.parse_args()
    with serving(args.gallery, "araclip-mini", show_paths=False) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, (query, ready, options) in SHOTS.items():
            with visited(browser, address + query, **options) as page:
                ready(page)
                page.wait_for_timeout(500)  # thumbnails fade in
                Image.open(io.BytesIO(page.screenshot())).save(HERE / f"page-{name}.webp", quality=80, method=6)
        browser.close()


if __name__ == "__main__":
    main()
