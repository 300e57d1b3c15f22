"""The states of a gallery that was never indexed, in Chromium, to look at before a release.

    pip install -e '.[demo,browser]' && python tests/browser/photograph_first_run.py FOLDER [--quick] [--only NAME …]

The offer, an empty folder, one with formats that are not read, a failed run; languages, colours and widths as by
photograph.py, which takes pictures as they come too.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from doing import CHROMIUM, FLAGS, serving
from photograph import LOOKS, Camera, look
from playwright.sync_api import Page, sync_playwright

from araclip.models.folder import DEFAULT_MODEL


def _shown(page: Page) -> None:
    page.wait_for_selector(".notice:not(:has(.coming)) h2")


def _stops(page: Page) -> None:
    _shown(page)
    if not page.locator(".notice.broken").count():
        page.locator(".notice .solid").click()
    page.wait_for_selector(".notice.broken")


def _empty(folder: Path) -> None:
    folder.mkdir()


def _foreign(folder: Path) -> None:
    folder.mkdir()
    for name in ("شعار.svg", "تصميم.psd", "تصميم ٢.psd", "رسم.svg"):
        (folder / name).write_bytes(b"not read")


# name → (how the folder is filled, whether it is indexed at once, what is done on the page)
STATES: dict[str, tuple[Callable[[Path], None], bool, Callable[[Page], None]]] = {
    "offered": (_empty, False, _shown),
    "empty": (_empty, True, _shown),
    "foreign": (_foreign, True, _shown),
    "failed": (_empty, False, _stops),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, help="where the photographs go")
    options.add_argument("--quick", action="store_true", help="states in Arabic and light, in English and dark")
    options.add_argument("--only", nargs="*", choices=[*STATES], help="of these states")
    given = options.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--hide-scrollbars"])
        for name in given.only or STATES:
            fill, at_once, act = STATES[name]
            with tempfile.TemporaryDirectory() as root:
                folder = Path(root) / "صور العائلة"
                fill(folder)
                settings: dict[str, Any] = {"index": (folder,)} if at_once else {"offer": folder}
                with serving(Path(root) / "gallery", DEFAULT_MODEL, **settings) as address:
                    if name == "failed":
                        shutil.rmtree(folder)
                    look(Camera(browser, address), given.folder, name, "", act, LOOKS[:2] if given.quick else LOOKS)
        browser.close()


if __name__ == "__main__":
    main()
