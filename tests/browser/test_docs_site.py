"""The documentation's site as readers meet it. `make test-docs` builds it and names its folder in ARACLIP_DOCS."""

import functools
import os
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

SITE = os.environ.get("ARACLIP_DOCS", "")
pytestmark = pytest.mark.skipif(not SITE, reason="make test-docs builds the site and runs these")
PAGES = ("index.html", "commands.html", "python.html", "ar/index.html", "ar/searching.html")


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """No line for each request."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(Path(SITE).absolute()))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page, faults = context.new_page(), []
    page.on("request", lambda request: request.url.startswith((site, "data:")) or faults.append(request.url))
    page.on("console", lambda message: message.type in ("error", "warning") and faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert faults == []


def test_pages_fit_narrow_and_wide_light_and_dark(page: Page, site: str) -> None:
    for name in PAGES:
        page.goto(site + name)
        arabic = name.startswith("ar/")
        assert page.locator("html").get_attribute("lang") == ("ar" if arabic else "en")
        assert page.evaluate("getComputedStyle(document.documentElement).direction") == ("rtl" if arabic else "ltr")
        for scheme, light in (("light", True), ("dark", False)):
            page.emulate_media(color_scheme=scheme)
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (int(colour.split("(")[1].split(",")[0]) > 127) is light, (name, scheme, colour)
        for width in (360, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)


def test_the_menu_opens_from_the_side_where_reading_begins(page: Page, site: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for name, inside in (("start.html", lambda box: box["x"] == 0), ("ar/start.html", lambda box: box["x"] > 0)):
        page.goto(site + name)
        page.locator(".nav-overlay-icon").click()
        drawer = page.locator(".sidebar-drawer")
        expect(drawer.locator(".sidebar-search")).to_be_in_viewport()
        page.wait_for_function("document.querySelector('.sidebar-drawer').getAnimations().length == 0")
        box = drawer.bounding_box()
        assert box is not None and inside(box) and box["x"] + box["width"] <= 361, (name, box)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("الأوصاف", "ar/start.html"),
        ("اوصاف", "ar/start.html"),  # without hamza and article
        ("اللَّهَجات", "ar/searching.html"),  # with tashkeel
        ("calibrate", "commands.html"),
        ("Gallery.duplicates", "python.html"),
    ],
)
def test_search_finds_words_however_they_are_written(page: Page, site: str, query: str, found: str) -> None:
    start = "ar/start.html" if found.startswith("ar/") else "start.html"
    page.goto(site + start)
    page.locator(".sidebar-search").fill(query)
    page.locator(".sidebar-search").press("Enter")
    expect(page.locator(f'ul.search a[href*="{found.rpartition("/")[2]}"]').first).to_be_visible()
    assert page.locator("html").get_attribute("lang") == ("ar" if found.startswith("ar/") else "en")
