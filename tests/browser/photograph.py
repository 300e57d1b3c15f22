"""The screenshots of docs/page.md: the page with the demo's gallery, in Chromium.

    pip install -e '.[demo,browser]' && python tests/browser/photograph.py [--gallery FOLDER]
    python tests/browser/photograph.py --states FOLDER [--only NAME …]      # every state, to look at before a release

Without --gallery the demo's pictures are made and indexed first (a minute). --states takes each state of the page in
both languages, light and dark, 360, 820 and 1,440 pixels wide; one file has a state in its widths. The gallery's
pictures are OpenMoji's (CC BY-SA 4.0) and scikit-image's; `araclip demo` lists the authors.
"""

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from doing import CHROMIUM, FLAGS, PATIENCE_MS, serving
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from araclip import Gallery
from araclip.demo import sample_pictures
from araclip.model_folder import DEFAULT_MODEL

IMAGES = Path(__file__).parents[2] / "docs" / "images"


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
        scheme: str = "light",
        language: str = "ar",
        scale: int = 0,
    ) -> Iterator[Page]:
        """A page on which every picture in sight has loaded."""
        phone = size[0] < 500
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            locale="ar-EG" if language == "ar" else "en-GB",
            device_scale_factor=scale or (2 if phone else 1),
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

    def take(self, page: Page, name: str) -> None:
        """Save what is seen."""
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        path = IMAGES / f"page-{name}.webp"
        shot.save(path, quality=82, method=6)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def photograph(camera: Camera) -> None:
    with camera.aimed("") as page:
        camera.take(page, "home")
    with camera.aimed("?q=سيارة حمراء - دراجة") as page:
        camera.take(page, "results")
    with camera.aimed("?q=flowers", scheme="dark", language="en") as page:
        camera.take(page, "dark")
    with camera.aimed("?q=وجه قطة") as page:
        page.locator(".tile a", has_text="chelsea").click()
        page.wait_for_selector("#viewer dl")
        page.wait_for_timeout(1500)
        camera.take(page, "viewer")
    with camera.aimed("?q=فاكهة", size=(390, 780)) as page:
        camera.take(page, "phone")
    with camera.aimed("?q=قلب أحمر&where=orientation%3Dsquare") as page:
        page.click("#filter-switch")
        page.locator("#filter-switch").blur()
        camera.settled(page)
        camera.take(page, "filters")
    with camera.aimed("?q=قطة&where=captured%3D1999") as page:
        camera.take(page, "empty")
    with camera.aimed("?q=-%20كلب") as page:
        camera.take(page, "error")


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
    "paper": ("?q=زهرة", _on_paper),
}
WIDTHS = {360: 740, 820: 1180, 1440: 900}


def look(camera: Camera, folder: Path, only: list[str], looks: list[tuple[str, str]]) -> None:
    """States, all of them or `only` some, in these languages and colour schemes, for looking at.

    A page is opened once for phones and once for wider screens, and then shown in every colour scheme and width.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, (query, act) in STATES.items():
        for language in dict.fromkeys(language for language, _ in looks) if not only or name in only else ():
            schemes = [scheme for spoken, scheme in looks if spoken == language]
            shots: dict[str, list[Image.Image]] = {scheme: [] for scheme in schemes}
            for widths in ([360], [820, 1440]):
                size = (widths[0], WIDTHS[widths[0]])
                with camera.aimed(query, size=size, language=language, scale=1) as page:
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
    options.add_argument("--gallery", type=Path, help="a gallery of the demo's pictures")
    options.add_argument("--states", type=Path, help="take every state of the page into this folder instead")
    options.add_argument("--quick", action="store_true", help="states in Arabic and light, in English and dark")
    options.add_argument("--only", nargs="*", default=[], choices=[*STATES], help="of these states")
    given = options.parse_args()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        gallery = given.gallery or demo_gallery(Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--hide-scrollbars"])
        with serving(gallery, DEFAULT_MODEL, show_paths=False) as address:
            camera = Camera(browser, address)
            looks = [("ar", "light"), ("en", "dark"), *([] if given.quick else [("ar", "dark"), ("en", "light")])]
            look(camera, given.states, given.only, looks) if given.states else photograph(camera)
        browser.close()


if __name__ == "__main__":
    main()
