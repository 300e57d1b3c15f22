"""The screenshots of docs/page.md: the page with the demo's gallery, in Chromium.

    pip install -e '.[demo,browser]' && python tests/browser/photograph.py [--gallery FOLDER]

Without --gallery the demo's pictures are made and indexed first (a minute). The gallery's pictures are OpenMoji's
(CC BY-SA 4.0) and scikit-image's; `araclip demo` lists the authors.
"""

import argparse
import io
import tempfile
from collections.abc import Iterator
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
        self, query: str, *, size: tuple[int, int] = (1280, 800), scheme: str = "light", language: str = "ar"
    ) -> Iterator[Page]:
        """A page on which every picture in sight has loaded."""
        phone = size[0] < 500
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            locale="ar-EG" if language == "ar" else "en-GB",
            device_scale_factor=2 if phone else 1,
            has_touch=phone,
            is_mobile=phone,
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(f"localStorage.setItem('araclip.language', '{language}')")
        page.goto(self.address + query)
        page.wait_for_selector(".tile, .notice, .tries a")
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


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--gallery", type=Path, help="a gallery of the demo's pictures")
    given = options.parse_args()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        gallery = given.gallery or demo_gallery(Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--hide-scrollbars"])
        with serving(gallery, DEFAULT_MODEL, show_paths=False) as address:
            photograph(Camera(browser, address))
        browser.close()


if __name__ == "__main__":
    main()
