"""What the page's tests do again and again: serve, search, look."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from araclip.server.run import Serving
from araclip.server.settings import Settings

PATIENCE_MS = 30_000  # a busy machine is no failure
FAILED = "Failed to load resource"  # what the console says of every answer that is an error

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


def search(page: Page, query: str) -> None:
    """Type a query, press Enter, wait for its results."""
    page.fill("#query", query)
    page.press("#query", "Enter")
    page.wait_for_function("text => document.title.startsWith(text)", arg=query)
    shown(page)


def shown(page: Page) -> list[str]:
    """Names of the pictures that can be seen, in order, once the search is over."""
    page.wait_for_function(
        "document.querySelector('.tile, #notice .notice') && document.querySelector('main').ariaBusy !== 'true'"
    )
    return page.locator(".tile .name").all_inner_texts()


def focused(page: Page) -> str:
    """The accessible name of what has the focus, or its id."""
    return page.evaluate("(({ id, ariaLabel, innerText }) => ariaLabel || innerText || id)(document.activeElement)")
