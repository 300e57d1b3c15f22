"""Every state of the page over the demo's gallery, in Chromium, to look at before a release.

    pip install -e '.[demo,browser]' && python tests/browser/photograph.py FOLDER [--gallery FOLDER] [--only NAME …]

Without --gallery the demo's pictures are made and indexed first (a minute). Each state is taken in both languages,
light and dark, 360, 820 and 1,440 pixels wide; one file has a state in its widths. photograph_first_run.py takes those
of a gallery that was never indexed, docs/images/make.py the screenshots of docs/page.md.
"""

import argparse
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from doing import CHROMIUM, FLAGS, PATIENCE_MS, serving
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from araclip import Gallery
from araclip.demo import sample_pictures
from araclip.models.folder import DEFAULT_MODEL

LOOKS = [("ar", "light"), ("en", "dark"), ("ar", "dark"), ("en", "light")]


def demo_gallery(folder: Path) -> Path:
    """The demo's pictures, indexed."""
    sample_pictures(folder / "pictures", lambda done, found: None)
    with Gallery.open(folder / "gallery", create=True) as gallery:
        gallery.update([folder / "pictures"])
    return folder / "gallery"


class Camera:
    """Takes one picture after the other of the page at an address."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser, self.address = browser, address

    @contextmanager
    def aimed(
        self,
        query: str,
        *,
        size: tuple[int, int] = (1280, 800),
        language: str = "ar",
    ) -> Iterator[Page]:
        """A page on which every picture in sight has loaded."""
        phone = size[0] < 500
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            locale="ar-EG" if language == "ar" else "en-GB",
            has_touch=phone,
            is_mobile=phone,
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(f"localStorage.setItem('araclip.language', '{language}')")
        page.goto(self.address + query)
        page.wait_for_selector(".tile, .notice, .tries a, .card, .world")
        self.settled(page)
        yield page
        context.close()

    def settled(self, page: Page) -> None:
        """Wait for every picture in sight."""
        waiting = """[...document.querySelectorAll('.tile')].filter((tile) =>
          tile.getBoundingClientRect().top < innerHeight && !('loaded' in tile.dataset)).length"""
        while page.evaluate(waiting) or page.evaluate("document.querySelector('main').ariaBusy === 'true'"):
            page.wait_for_timeout(100)
        page.wait_for_timeout(300)


def _typed(page: Page) -> None:
    page.fill("#query", "")
    page.locator("#query").press_sequentially("قط" if page.locator("html").get_attribute("lang") == "ar" else "ca")
    page.wait_for_selector("#suggestions li")
    page.wait_for_timeout(600)
    page.locator("#query").press("ArrowDown")


def _filtered(page: Page) -> None:
    page.click("#filter-switch")
    page.wait_for_timeout(300)


def _unreached(page: Page, offline: bool) -> None:
    if offline:
        page.context.set_offline(True)
    else:
        page.route("**/search?*", lambda route: route.abort())
    page.fill("#query", "x")
    page.press("#query", "Enter")
    page.wait_for_selector(".notice")


def _answered(page: Page, status: int, headers: dict[str, str]) -> None:
    page.route("**/search?*", lambda route: route.fulfill(status=status, headers=headers, body=""))
    page.fill("#query", "x")
    page.press("#query", "Enter")
    page.wait_for_selector(".notice")


def _viewed(page: Page) -> None:
    page.locator(".tile a").nth(1).click()
    page.wait_for_selector("#viewer dl")
    page.wait_for_timeout(1500)


def _asked_for_token(page: Page) -> None:
    page.route("**/search?*", lambda route: route.fulfill(status=401, body=""))
    page.fill("#query", "x")
    page.press("#query", "Enter")
    page.wait_for_selector("#token form")


def _indexed(page: Page) -> None:
    news = '{"state": "running", "done": 1200, "found": 12000, "message": ""}'
    body = f"event: indexing\ndata: {news}\n\n"
    page.route("**/events", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.reload()
    page.wait_for_selector("#progress p")
    page.wait_for_timeout(500)


def _coming(page: Page) -> None:
    """The first run of this gallery, as if it had begun a moment ago."""
    counts = page.request.get(page.url + "stats").json() | {"pictures": 0}
    newest = [each["id"] for each in page.request.get(page.url + "pictures?k=24").json()["results"]]
    run = {"state": "running", "done": 24, "found": 400, "message": "", "folders": ["صور العائلة"], "newest": newest}
    news = f"event: indexing\ndata: {json.dumps(run)}\n\n"
    page.route("**/stats", lambda route: route.fulfill(json=counts))
    page.route("**/index", lambda route: route.fulfill(json=run))
    page.route("**/events", lambda route: route.fulfill(body=news, content_type="text/event-stream"))
    page.reload()
    page.wait_for_selector(".coming img")
    page.wait_for_timeout(800)


def _unfolded(page: Page) -> None:
    if page.locator(".near").count():
        page.locator(".near").first.click()
        page.wait_for_timeout(800)


def _on_paper(page: Page) -> None:
    page.emulate_media(media="print")


def _scrolled(page: Page) -> None:
    page.evaluate("scrollTo(0, 2600)")
    page.wait_for_timeout(900)


def _chosen(page: Page) -> None:
    onward = "Left" if page.locator("html").get_attribute("dir") == "rtl" else "Right"
    page.locator("#timeline .tile .open").nth(2).focus()
    page.keyboard.press(" ")
    page.keyboard.press(f"Shift+Arrow{onward}")
    page.wait_for_selector("#chosen p")


def _searched_before(page: Page) -> None:
    page.evaluate("localStorage.setItem('araclip.recent', JSON.stringify(['كلب على الشاطئ', 'boat', 'طعام']))")
    page.reload()
    page.wait_for_selector(".earlier li")
    page.wait_for_timeout(500)


STATES: dict[str, tuple[str, Callable[[Page], object]]] = {
    "home": ("", lambda page: page.wait_for_timeout(800)),
    "scrolled": ("", _scrolled),
    "chosen": ("", _chosen),
    "recent": ("", _searched_before),
    "albums": ("?show=albums", lambda page: page.wait_for_timeout(800)),
    "map": ("?show=map", lambda page: page.wait_for_timeout(800)),
    "typing": ("", _typed),
    "results": ("?q=سيارة حمراء - دراجة", lambda page: None),
    "understood": ("?q=بسه بيضا من غير كلاب", lambda page: None),
    "unfolded": ("?q=قطة", _unfolded),
    "weak": ("?q=zxqv wrtpl", lambda page: None),
    "nothing": ("?q=قطة&where=captured%3D1999", lambda page: None),
    "filters": ("?q=قلب أحمر&where=orientation%3Dsquare", _filtered),
    "folder": ("?where=format%3DJPEG", lambda page: page.wait_for_timeout(800)),
    "viewer": ("?q=وجه قطة", _viewed),
    "error": ("?q=-%20كلب", lambda page: None),
    "offline": ("", lambda page: _unreached(page, True)),
    "unreachable": ("", lambda page: _unreached(page, False)),
    "busy": ("", lambda page: _answered(page, 429, {"Retry-After": "30"})),
    "closed": ("", lambda page: _answered(page, 503, {})),
    "token": ("", _asked_for_token),
    "indexing": ("?q=زهرة", _indexed),
    "coming": ("", _coming),
    "paper": ("?q=زهرة", _on_paper),
}
WIDTHS = {360: 740, 820: 1180, 1440: 900}


def look(
    camera: Camera, folder: Path, name: str, query: str, act: Callable[[Page], object], looks: list[tuple[str, str]]
) -> None:
    """One state in these languages and colour schemes, into `folder`.

    A page is opened once for phones and once for wider screens, and then shown in every colour scheme and width.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for language in dict.fromkeys(language for language, _ in looks):
        schemes = [scheme for spoken, scheme in looks if spoken == language]
        shots: dict[str, list[Image.Image]] = {scheme: [] for scheme in schemes}
        for widths in ([360], [820, 1440]):
            size = (widths[0], WIDTHS[widths[0]])
            with camera.aimed(query, size=size, language=language) as page:
                act(page)
                for width in widths:
                    page.set_viewport_size({"width": width, "height": WIDTHS[width]})
                    camera.settled(page)
                    for scheme in schemes:
                        page.emulate_media(color_scheme=scheme)
                        shots[scheme].append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        for scheme in schemes:
            _sheet(shots[scheme]).save(folder / f"{name}-{language}-{scheme}.png")
        print(name, language, flush=True)


def _sheet(shots: list[Image.Image]) -> Image.Image:
    """Pictures beside each other."""
    sheet = Image.new("RGB", (sum(shot.width for shot in shots) + 40, max(WIDTHS.values())), "#7f7f7f")
    for at, shot in enumerate(shots):
        sheet.paste(shot, (sum(before.width + 20 for before in shots[:at]), 0))
    return sheet


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, help="where the photographs go")
    options.add_argument("--gallery", type=Path, help="a gallery of the demo's pictures")
    options.add_argument("--quick", action="store_true", help="states in Arabic and light, in English and dark")
    options.add_argument("--only", nargs="*", choices=[*STATES], help="of these states")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        gallery = given.gallery or demo_gallery(Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--hide-scrollbars"])
        with serving(gallery, DEFAULT_MODEL, show_paths=False) as address:
            for name in given.only or STATES:
                look(Camera(browser, address), given.folder, name, *STATES[name], LOOKS[:2] if given.quick else LOOKS)
        browser.close()


if __name__ == "__main__":
    main()
