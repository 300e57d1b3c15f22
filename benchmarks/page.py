"""The page, in a large gallery: first results of a search, pictures by month, suggestions while typing.

    python benchmarks/page.py search [--pictures 10000]     # needs chromium and the extra `browser`, as timeline does
    python benchmarks/page.py timeline [--pictures 100000] [--files 2000] [--rounds 10] [--gallery FOLDER]
    python benchmarks/page.py suggestions [--pictures 100000]

Pictures are 32 small JPEGs of noise, each file with a different number appended, and vectors are random: none of this
changes the times.

- search: from the submission of the search form to the second frame after the first tile is in the document; thumbnails
  load afterwards. Vectors of every 20th picture are near a query's, so that the page has something to show. Half a
  second passes between searches, all distinct.
- timeline: from the start of the navigation to the second frame after the first tile is there (the page's files come
  from the browser's cache, as on every later visit), from a click on the first tab to the same, and from a jump into
  the middle to a tile there. Dates are spread over fifteen years, and the newest --files pictures have a file each, so
  that their thumbnails load. With --gallery the gallery is kept, and used again. The first of all also pays for the
  first reading of the catalogue.
- suggestions: inside the process, by a client of the app without a socket: one letter, two, three, and a whole word,
  each word once, in a random order. Captions of eight words are drawn by Zipf's law from a vocabulary of 30,000 made
  words, with every tenth word one of the package's own lexicon; names are a camera's (IMG_012345) in 200 folders.
"""

import argparse
import hashlib
import io
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from araclip import AraCLIP, Gallery
from araclip.gallery.catalog.records import File
from araclip.models.encoder_base import text_vectors, usable_cores
from araclip.models.folder import DEFAULT_MODEL
from araclip.pictures.images import Facts
from araclip.text.resources import interpreter

NOUNS = ("قطة", "بيت", "سيارة", "شجرة", "بحر", "طفل", "كتاب", "جبل", "حصان", "طائر")
PLACES = ("على الشاطئ", "في الشارع", "فوق الطاولة")
QUERIES = [f"{noun} {place}" for noun in NOUNS for place in PLACES]
SIZES = ((320, 240), (240, 320), (256, 256))
# every so many pictures one that a query describes: where all are far from it, the page shows none unasked
SHOWING = 20
STEP = 20_000  # pictures of a commit
LETTERS = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"
FOLDERS, LENGTH = 200, 8
RESULTS = """query => new Promise((done) => {
  const field = document.querySelector('#query');
  field.value = query;
  const before = document.querySelector('.tile')?.querySelector('a').href;
  const start = performance.now();
  const watching = new MutationObserver(() => {
    const first = document.querySelector('.tile a')?.href;
    if (!first || first === before) return;
    watching.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
  });
  watching.observe(document.querySelector('#results'), { childList: true, subtree: true });
  document.querySelector('#search').requestSubmit();
})"""
PAINTED = """() => new Promise((done) => {
  const painted = () => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())));
  const seen = () => document.querySelector('#timeline .tile');
  if (seen()) return painted();
  new MutationObserver((_, watching) => { if (seen()) { watching.disconnect(); painted(); } })
    .observe(document, { childList: true, subtree: true });
})"""
RETURN = f"""async () => {{ const start = performance.now();
  document.querySelector('#views a').click();
  return await ({PAINTED})() - start; }}"""
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


class Picture(NamedTuple):
    """What a made gallery says of one picture."""

    path: Path
    vector: np.ndarray
    date: str | None = None
    about: dict[str, str] | None = None
    on_disk: bool = True


def fill(gallery: Path, count: int, picture: Callable[[int, np.random.Generator], Picture]) -> Path:
    """Make a gallery of `count` pictures, as `araclip index` would."""
    rng = np.random.default_rng(0)
    noises = []
    for i in range(32):
        out, size = io.BytesIO(), SIZES[i % len(SIZES)]
        noise = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        noise.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG")
        noises.append((size, out.getvalue()))
    with Gallery.open(gallery, model=AraCLIP.load(), create=True) as opened:
        catalog = opened._catalog
        for start in range(0, count, STEP):
            with catalog.writing():
                for i in range(start, min(start + STEP, count)):
                    each, (size, data) = picture(i, rng), noises[i % 32]
                    data += i.to_bytes(4, "big")  # after the end of the picture, ignored by decoders
                    if each.on_disk:
                        each.path.parent.mkdir(parents=True, exist_ok=True)
                        each.path.write_bytes(data)
                    changed = each.path.stat().st_mtime_ns if each.on_disk else 0
                    unit = (each.vector / np.linalg.norm(each.vector)).astype(np.float32)
                    content = catalog.add_content(hashlib.sha256(data).digest(), unit)
                    catalog.put_facts(content, Facts("JPEG", *size, each.date), int(rng.integers(1 << 62)))
                    catalog.put_file(File(str(each.path), len(data), changed), content, each.about)
    return gallery


@contextmanager
def browsing(gallery: Path) -> Iterator[tuple[Any, str]]:
    """A page of Chromium, and the address of a server of the gallery."""
    from doing import CHROMIUM, FLAGS, serving
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, serving(gallery, DEFAULT_MODEL) as address:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser.new_page(viewport={"width": 1280, "height": 800}), address
        browser.close()


def shown(times: list[float]) -> str:
    """The first time, and those of the others."""
    later = times[1:] or times
    return f"first {times[0]:.0f} ms, then median {statistics.median(later):.0f} ms, slowest {max(later):.0f} ms"


def search(root: Path, count: int) -> None:
    asked = text_vectors(AraCLIP.load(), QUERIES)  # (Q, D)

    def picture(i: int, rng: np.random.Generator) -> Picture:
        vector = rng.normal(size=asked.shape[1])
        vector /= np.linalg.norm(vector)
        if i % SHOWING == 0:
            vector = 0.7 * asked[i // SHOWING % len(asked)] + 0.3 * vector
        return Picture(root / "pictures" / f"{i:05}.jpg", vector)

    with browsing(fill(root / "gallery", count, picture)) as (page, address):
        page.goto(address)
        page.wait_for_selector(".total")
        times = []
        for query in QUERIES:
            times.append(page.evaluate(RESULTS, query))
            page.wait_for_timeout(500)
    print(f"Enter to first results, {count:,} pictures, {len(times)} searches: {shown(times)}")


def timeline(root: Path, count: int, files: int, rounds: int) -> None:
    width = AraCLIP.load().width
    minutes = np.sort(np.random.default_rng(0).integers(0, 15 * 365 * 24 * 60, count))[::-1]
    dates = np.datetime_as_string(np.datetime64("2011-01-01T00:00") + minutes.astype("timedelta64[m]"), "s")

    def picture(i: int, rng: np.random.Generator) -> Picture:
        path = root / "pictures" / f"{i % 200:03}" / f"{i:06}.jpg"
        return Picture(path, rng.normal(size=width), str(dates[i]), on_disk=i < files)

    if not (root / "gallery").exists():
        fill(root / "gallery", count, picture)
    with browsing(root / "gallery") as (page, address):
        page.add_init_script(f"window.firstPaint = ({PAINTED})()")
        times: dict[str, list[float]] = {"navigation to first pictures": [], "back to the timeline": [], "a jump": []}
        opening, returning, jumps = times.values()
        for _ in range(rounds):
            page.goto(address)
            opening.append(float(page.evaluate("window.firstPaint")))
            page.wait_for_timeout(500)
            page.click("#views a:nth-child(2)")
            page.wait_for_selector("#albums .card, #albums p")
            returning.append(page.evaluate(RETURN))
            page.wait_for_timeout(500)
            jumps.append(page.evaluate(JUMP))
            page.wait_for_timeout(500)
    print(f"{count:,} pictures, {rounds} rounds")
    for what, own in times.items():
        print(f"{what}: {shown(own)}")


def suggestions(root: Path, count: int) -> None:
    from serving import serving, settings_for

    rng, width = np.random.default_rng(0), AraCLIP.load().width
    known = [entry.standard for entry in interpreter(None, Path()).lexicon.entries]
    words = ["".join(rng.choice(list(LETTERS), rng.integers(3, 8))) for _ in range(30_000)]
    words[::10] = [known[i % len(known)] for i in range(len(words[::10]))]

    def picture(i: int, rng: np.random.Generator) -> Picture:
        caption = " ".join(words[min(rng.zipf(1.2), len(words)) - 1] for _ in range(LENGTH))
        path = root / "pictures" / f"رحلة {i % FOLDERS}" / f"IMG_{i:06}.jpg"
        return Picture(path, rng.normal(size=width), None, {"caption": caption}, on_disk=False)

    with serving(settings_for(fill(root / "gallery", count, picture), DEFAULT_MODEL)) as client:
        typed = [words[i] for i in rng.permutation(400)[:40]]
        for letters in (1, 2, 3, 7):
            times = []
            for word in typed:
                start = time.perf_counter()
                answer = client.get("/suggestions", params={"q": word[:letters]})
                times.append((time.perf_counter() - start) * 1000)
                assert answer.status_code == 200, answer.text
            what = "the whole word" if letters == 7 else f"{letters} letters"
            print(f"{what}: median {statistics.median(times):.0f} ms, slowest {max(times):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("search", "timeline", "suggestions"))
    parser.add_argument("--pictures", type=int, help="by default 10,000 for search, else 100,000")
    parser.add_argument("--files", type=int, default=2_000, help="of timeline: pictures that have a file")
    parser.add_argument("--rounds", type=int, default=10, help="of timeline")
    parser.add_argument("--gallery", type=Path, help="of timeline: a folder that keeps the gallery")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        if given.what == "timeline":
            timeline(given.gallery or root, given.pictures or 100_000, given.files, given.rounds)
        elif given.what == "search":
            search(root, given.pictures or 10_000)
        else:
            suggestions(root, given.pictures or 100_000)
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}, load {load:.1f}")


if __name__ == "__main__":
    main()
