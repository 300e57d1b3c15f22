"""Helpers of the page's tests: serving, searching, reading results."""

import asyncio
import json
import os
import queue
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page
from starlette.types import Receive, Scope, Send

from araclip.server.run import Serving
from araclip.server.settings import Settings

INSTALLED = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")  # without windows it takes half of the time
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(os.path.exists, INSTALLED), INSTALLED[-1])
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = int(os.environ.get("PATIENCE_MS", "30000"))  # a busy machine is no failure
LATE_MS = int(os.environ.get("LATE_MS", "0"))  # every answer is late by a random time up to this, as in a slow network
FAILED = "Failed to load resource"  # what the console says of every answer that is an error

Visit = Callable[..., Page]


class Late(Serving):
    async def _call_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(random.random() * LATE_MS / 1000)
        await super()._call_app(scope, receive, send)


@contextmanager
def serving(gallery: Path, model: Path | str, **settings: Any) -> Iterator[str]:
    """A server in a thread; gives its address."""
    addresses: queue.Queue[str] = queue.Queue()
    read = Settings.read(gallery=gallery, model=str(model), port=0, **settings)
    server = (Late if LATE_MS else Serving)(read, ready=addresses.put)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],), name="server")
    thread.start()
    try:
        yield addresses.get(timeout=60)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def until(page: Page, expression: str, arg: object = None) -> None:
    """Wait until an expression of JavaScript holds: Playwright's own waiting needs eval, which the policy stops."""
    patiently(page, lambda: bool(page.evaluate(expression, arg)), expression)


def patiently(page: Page, holds: Callable[[], bool], what: str = "") -> None:
    """Wait, while the page goes on, until something holds."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        page.wait_for_timeout(25)


def ask(page: Page, query: str) -> None:
    """Type a query and press Enter, whatever comes of it."""
    page.fill("#query", query)
    page.press("#query", "Enter")


def search(page: Page, query: str) -> None:
    """Type a query, press Enter, wait for its results."""
    ask(page, query)
    until(page, "text => document.title.startsWith(text)", arg=query)
    shown(page)


def shown(page: Page) -> list[str]:
    """Names of the pictures that can be seen, in order, once the search is over."""
    until(
        page,
        "document.querySelector('#results .tile, .notice') && document.querySelector('main').ariaBusy !== 'true'",
    )
    return page.locator("#results .tile .name").all_inner_texts()


def boxes(page: Page, *selectors: str) -> list[dict[str, float]]:
    """x, y, width and height of the first element of each, at one moment: between two calls a page may be laid out."""
    found: list[dict[str, float]] = page.evaluate(
        "all => all.map((each) => document.querySelector(each).getBoundingClientRect().toJSON())", selectors
    )
    return found


def focused(page: Page) -> str:
    """The accessible name of what has the focus, without marks of direction, or its id."""
    name = page.evaluate("(({ id, ariaLabel, innerText }) => ariaLabel || innerText || id)(document.activeElement)")
    return name.translate(dict.fromkeys(range(0x2066, 0x206A)))


def changed(page: Page, generation: str = "another") -> None:
    """The server says that the gallery has changed, until the page has asked what it holds now."""
    body = f"event: generation\ndata: {json.dumps({'generation': generation, 'pictures': 96})}\n\n"
    page.route("**/events", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    with page.expect_response("**/stats"):
        for hidden in ("true", "false"):  # a page that is seen again connects anew
            page.evaluate(
                f"""Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});
                    document.dispatchEvent(new Event('visibilitychange'))"""
            )
    page.wait_for_timeout(100)
