"""The page in a real browser, over the real server and a small real gallery. `make test-browser` runs these.

The browser is the system's Chromium (CHROMIUM names another one), driven by Playwright; nothing is downloaded.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from araclip.server.run import Serving
from araclip.server.settings import Settings
from gallery import write_gallery

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 30_000  # a busy machine is no failure

Visit = Callable[..., Page]


@contextmanager
def serving(gallery: Path, model: Path, **settings: Any) -> Iterator[str]:
    """A server in a thread; gives its address."""
    addresses: queue.Queue[str] = queue.Queue()
    server = Serving(Settings.read(gallery=gallery, model=str(model), port=0, **settings), ready=addresses.put)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        yield addresses.get(timeout=60)
    finally:
        server.should_exit = True
        thread.join()


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
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    """Opens a page: visit("?q=أحمر", width=320, language="en", failing=True, locale=…).

    After the test, every page must have kept the peace: no error or warning on the console, no request to another
    host. `failing` lets requests fail.
    """
    contexts, faults = [], []

    def open_page(
        path: str = "", *, at: str = address, width: int = 1280, height: int = 800, language: str = "ar",
        failing: bool = False, **options: Any,
    ) -> Page:  # fmt: skip
        options = {"locale": "ar-EG", "color_scheme": "light", "reduced_motion": "reduce"} | options
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)

        def heard(message: ConsoleMessage) -> None:
            expected = failing and message.text.startswith("Failed to load resource")
            if message.type in ("error", "warning") and not expected:
                faults.append(f"console: {message.text}")

        page.on("console", heard)
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", lambda request: request.url.startswith((at, "data:", "blob:")) or faults.append(request.url))
        if language == "en":
            page.add_init_script("localStorage.getItem('araclip.language') ?? localStorage.setItem('araclip.language', 'en')")
        page.goto(at + path)
        page.wait_for_selector("#theme svg")  # the modules are there
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def search(page: Page, query: str) -> None:
    """Type a query, press Enter, wait for its results."""
    page.fill("#query", query)
    page.press("#query", "Enter")
    page.wait_for_function("text => document.title.startsWith(text)", arg=query)
    shown(page)


def shown(page: Page) -> list[str]:
    """Names of the pictures that can be seen, in order, once the search is over."""
    page.wait_for_function("document.querySelector('.tile, #notice .notice') && document.querySelector('main').ariaBusy !== 'true'")
    return page.locator(".tile .name").all_inner_texts()


def focused(page: Page) -> str:
    """The accessible name of what has the focus, or its id."""
    return page.evaluate("(({ id, ariaLabel, innerText }) => ariaLabel || innerText || id)(document.activeElement)")
