"""The page on a phone: installed, without a network, below a path, given pictures by other apps, under fingers."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from doing import FAILED, Visit, search, shown, until
from playwright.sync_api import Page

PHONE = {"width": 390, "height": 780, "has_touch": True, "is_mobile": True}
KEPT = "caches.open('araclip-shell').then((shell) => shell.keys()).then((keys) => keys.map(({ url }) => url))"
READY = f"navigator.serviceWorker.ready.then(() => {KEPT}).then((kept) => kept.length > 20)"
TOO_SMALL = """() => {
  const small = [];
  for (const each of document.querySelectorAll('button, a, select, .pill')) {
    const box = each.getBoundingClientRect();
    const seen = each.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    if (!seen || each.disabled || each.matches('.skip') || (box.width >= 43.5 && box.height >= 43.5)) continue;
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const inWindow = (dx, dy) => y + dy > 0 && y + dy < innerHeight && x + dx > 0 && x + dx < innerWidth;
    const takes = (dx, dy) => !inWindow(dx, dy) || each.contains(document.elementFromPoint(x + dx, y + dy));
    if (!inWindow(0, 0) || !takes(0, 0)) continue; // under something else
    if ([[0, -21], [0, 21], [-21, 0], [21, 0]].every(([dx, dy]) => takes(dx, dy))) continue;
    small.push(`${each.className}#${each.id} ${Math.round(box.width)}×${Math.round(box.height)} ${each.textContent}`);
  }
  return small;
}"""


@pytest.fixture
def prefixed(address: str) -> Iterator[str]:
    """The server's address behind a proxy that puts it below a path."""
    target = urlsplit(address)

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path.startswith("/pictures/"), self.path
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            with closing(http.client.HTTPConnection(target.hostname or "", target.port)) as asked:
                asked.request(self.command, self.path.removeprefix("/pictures"), body or None, headers)
                with asked.getresponse() as answer:
                    self.send_response(answer.status)
                    for name, value in answer.getheaders():
                        if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                            self.send_header(name, value)
                    self.send_header("Connection", "close")
                    self.end_headers()
                    while data := answer.read1():
                        self.wfile.write(data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # of a browser that leaves
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/pictures/"
    server.shutdown()
    server.server_close()


def share(page: Page) -> None:
    """Send a picture to the page's share target, as Android does for an app that shares one."""
    page.evaluate(
        """async () => {
          const canvas = Object.assign(document.createElement('canvas'), { width: 40, height: 40 });
          canvas.getContext('2d').fillRect(0, 0, 40, 40);
          const blob = await new Promise((made) => canvas.toBlob(made));
          const transfer = new DataTransfer();
          transfer.items.add(new File([blob], 'shared.png', { type: 'image/png' }));
          const made = (tag, about) => Object.assign(document.createElement(tag), about);
          const form = made('form', { action: 'share', method: 'post', enctype: 'multipart/form-data' });
          form.append(made('input', { type: 'file', name: 'picture', files: transfer.files }));
          document.body.append(form);
          form.submit();
        }"""
    )


@pytest.mark.parametrize("below", [False, True], ids=["at the root", "below a path"])
def test_the_page_is_installed_and_opens_without_a_network(
    visit: Visit, address: str, request: pytest.FixtureRequest, below: bool
) -> None:
    at = request.getfixturevalue("prefixed") if below else address
    page = visit(at=at, expecting=FAILED, **PHONE)
    until(page, READY)
    search(page, "أحمر")
    assert page.evaluate("navigator.serviceWorker.ready.then(({ scope }) => scope)") == page.url.split("?")[0]
    page.reload()  # from now on the worker answers
    shown(page)
    share(page)
    page.wait_for_selector("#chips img")
    assert shown(page)
    assert "shared" not in page.url
    kept = page.evaluate(KEPT)
    root = page.url.split("?")[0]
    assert kept and all(url == root or "/assets/" in url for url in kept)  # no picture, no query, no answer
    page.context.set_offline(True)
    page.goto(root)
    page.wait_for_selector("#notice .offline")
    page.context.set_offline(False)


def test_a_picture_that_no_worker_took_is_asked_for_once_more(visit: Visit) -> None:
    page = visit(service_workers="block", expecting="registration blocked", **PHONE)
    share(page)
    page.wait_for_selector("text=تلزم مشاركتها من جديد")
    assert page.url.endswith("/")


def test_the_manifest_is_one_that_chromium_installs(visit: Visit) -> None:
    page = visit(**PHONE)
    until(page, READY)
    session = page.context.new_cdp_session(page)
    about = session.send("Page.getAppManifest")
    assert about["errors"] == [] and about["url"].endswith("/manifest.webmanifest")
    refused = [one["errorId"] for one in session.send("Page.getInstallabilityErrors")["installabilityErrors"]]
    assert [one for one in refused if one not in ("in-incognito", "not-in-main-frame")] == []


@pytest.mark.parametrize("language", ["ar", "en"])
def test_what_is_touched_is_44_pixels_high_and_wide(visit: Visit, language: str) -> None:
    page = visit(language=language, **PHONE)
    page.wait_for_selector(".tries a")
    assert page.evaluate(TOO_SMALL) == []
    search(page, "أحمر - أزرق")
    assert page.evaluate(TOO_SMALL) == []
    page.click("#filter-switch")
    page.wait_for_selector("#sheet[open]")
    page.wait_for_timeout(300)
    assert page.evaluate(TOO_SMALL) == []
    page.click("#sheet-done")
    page.locator(".tile a").first.tap()
    page.wait_for_selector("#viewer dl")
    assert page.evaluate(TOO_SMALL) == []
