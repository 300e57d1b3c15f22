"""The timeline: time until a gallery of 100,000 pictures shows its first pictures by month, and after a jump.

    python benchmarks/timeline.py [--pictures 100000] [--gallery FOLDER]     # needs chromium and the extra `browser`

The gallery is made as for benchmarks/page.py: random vectors, small pictures of noise; dates are spread over fifteen
years, the newest --files of them have a file each, so that their thumbnails load. With --gallery it is kept, and used
again. Measured in the page: from the start of the navigation to the second frame after the first tile is there (the
page's files come from the browser's cache, as on every later visit), from a click on the first tab to the same, and
from a jump into the middle to a tile there. Half a second passes between them; the first of all also pays for the first
reading of the catalogue.
"""

import argparse
import hashlib
import io
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from doing import CHROMIUM, FLAGS, serving

from araclip import AraCLIP, Gallery
from araclip.gallery.catalog.records import File
from araclip.models.encoder_base import usable_cores
from araclip.models.folder import DEFAULT_MODEL
from araclip.pictures.images import Facts

LARGEST_STEP = 20_000  # pictures of a commit
PAINTED = """() => new Promise((done) => {
  const painted = () => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())));
  const seen = () => document.querySelector('#timeline .tile');
  if (seen()) return painted();
  new MutationObserver((_, watching) => { if (seen()) { watching.disconnect(); painted(); } })
    .observe(document, { childList: true, subtree: true });
})"""
EARLY = f"window.firstPaint = ({PAINTED})()"
JUMP = """() => new Promise((done) => {
  const start = performance.now();
  const there = () => [...document.querySelectorAll('#timeline .tile')].some((tile) => {
    const { top, bottom } = tile.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
  scrollTo(0, document.documentElement.scrollHeight * (0.2 + 0.6 * Math.random()));
  const ended = () => done(performance.now() - start);
  const look = () => requestAnimationFrame(there() ? ended : look);
  look();
})"""


def filled(folder: Path, count: int, files: int) -> None:
    """A gallery of `count` pictures with dates, of which the newest have files."""
    rng = np.random.default_rng(0)
    model = AraCLIP.load()
    pictures = folder.with_name(f"{folder.name}-pictures")
    pictures.mkdir(parents=True)
    noise = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    out = io.BytesIO()
    noise.resize((320, 240), Image.Resampling.BICUBIC).save(out, "JPEG")
    minutes = np.sort(rng.integers(0, 15 * 365 * 24 * 60, count))[::-1]
    dates = np.datetime_as_string(np.datetime64("2011-01-01T00:00") + minutes.astype("timedelta64[m]"), "s")
    with Gallery.open(folder, model=model, create=True) as gallery:
        catalog = gallery._catalog
        for start in range(0, count, LARGEST_STEP):
            with catalog.writing():
                for i in range(start, min(count, start + LARGEST_STEP)):
                    data = out.getvalue() + i.to_bytes(4, "big")  # after the end of the picture
                    path = pictures / f"{i % 200:03}" / f"{i:06}.jpg"
                    if i < files:
                        path.parent.mkdir(exist_ok=True)
                        path.write_bytes(data)
                    vector = rng.normal(size=model.width).astype(np.float32)
                    content = catalog.add_content(hashlib.sha256(data).digest(), vector / np.linalg.norm(vector))
                    facts = Facts("JPEG", 320, 240, str(dates[i]))
                    catalog.put_facts(content, facts, int(rng.integers(1 << 62)))
                    catalog.put_file(File(str(path), len(data), 0), content)


def shown(times: list[float]) -> str:
    return (
        f"first {times[0]:.0f} ms, then median {statistics.median(times[1:]):.0f} ms, slowest {max(times[1:]):.0f} ms"
    )


def opened(page: Page, address: str) -> float:
    page.goto(address)
    return float(page.evaluate("window.firstPaint"))


def main(count: int, files: int, rounds: int, kept: Path | None) -> None:
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        gallery = kept or Path(temporary) / "gallery"
        if not gallery.exists():
            filled(gallery, count, files)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with serving(gallery, DEFAULT_MODEL) as address:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.add_init_script(EARLY)
            opening, returning, jumps = [], [], []
            for _ in range(rounds):
                opening.append(opened(page, address))
                page.wait_for_timeout(500)
                page.click("#views a:nth-child(2)")
                page.wait_for_selector("#albums .card, #albums p")
                returning.append(
                    page.evaluate(
                        f"""async () => {{ const start = performance.now();
                        document.querySelector('#views a').click();
                        return await ({PAINTED})() - start; }}"""
                    )
                )
                page.wait_for_timeout(500)
                jumps.append(page.evaluate(JUMP))
                page.wait_for_timeout(500)
        browser.close()
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}, load {load:.1f}")
    print(f"{count:,} pictures, {rounds} rounds")
    print(f"navigation to first pictures: {shown(opening)}")
    print(f"back to the timeline:         {shown(returning)}")
    print(f"jump to pictures there:       {shown(jumps)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=2_000, help="pictures that have a file")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--gallery", type=Path, help="where to keep the gallery")
    given = parser.parse_args()
    main(given.pictures, given.files, given.rounds, given.gallery)
