"""The page in a real browser, over the real server and a small real gallery. `make test-browser` runs these.

The browser is the system's Chromium (CHROMIUM names another one), driven by Playwright; nothing is downloaded.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from colours import write_gallery
from doing import CHROMIUM, FLAGS, PATIENCE_MS, Visit, serving
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright


@pytest.fixture(scope="session")
def gallery(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gallery(tmp_path_factory.mktemp("browser"), tiny_model)


@pytest.fixture(scope="session")
def address(gallery: Path, tiny_model: Path) -> Iterator[str]:
    with serving(gallery, tiny_model) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.fail(f"no browser at {CHROMIUM}. Run make test-browser, which installs Debian's, or set CHROMIUM.")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    """Opens a page: visit("?q=أحمر", width=320, language="en", expecting=FAILED, locale=…).

    After the test, no page may have logged an error or warning on the console, or requested another host. `expecting`
    is a part of messages that are allowed.
    """
    contexts, faults = [], []

    def open_page(
        path: str = "", *, at: str = address, width: int = 1280, height: int = 800, language: str = "ar",
        expecting: str = "", ready: str = "#theme svg", **options: Any,
    ) -> Page:  # fmt: skip
        options = {"locale": "ar-EG", "color_scheme": "light", "reduced_motion": "reduce"} | options
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)

        def heard(message: ConsoleMessage) -> None:
            expected = expecting and expecting in message.text
            if message.type in ("error", "warning") and not expected:
                faults.append(f"console: {message.text}")

        page.on("console", heard)
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", lambda request: request.url.startswith((at, "data:", "blob:")) or faults.append(request.url))
        if language == "en":
            page.add_init_script(
                "localStorage.getItem('araclip.language') ?? localStorage.setItem('araclip.language', 'en')"
            )
        page.goto(at + path)
        page.wait_for_selector(ready)  # the modules are there
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
