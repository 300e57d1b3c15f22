"""The page: time from Enter to the first results on the screen, in a gallery of 10,000 pictures.

    python benchmarks/page.py [--pictures 10000]     # needs chromium and the extra `browser`

Pictures are 32 small JPEGs of noise, each file with a different number appended. Vectors are random, but those of every
20th picture near a query's, so that the page has something to show. Measured in the page itself, from the submission
of the search form to the second frame after the first tile is in the document; thumbnails load afterwards. Half a
second passes between searches, all distinct.
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
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from doing import CHROMIUM, FLAGS, serving

from araclip import AraCLIP, Gallery
from araclip.gallery.catalog.records import File
from araclip.models.encoder_base import text_vectors, usable_cores
from araclip.models.folder import DEFAULT_MODEL
from araclip.pictures.images import Facts

NOUNS = ("قطة", "بيت", "سيارة", "شجرة", "بحر", "طفل", "كتاب", "جبل", "حصان", "طائر")
SIZES = ((320, 240), (240, 320), (256, 256))
PLACES = ("على الشاطئ", "في الشارع", "فوق الطاولة")
QUERIES = [f"{noun} {place}" for noun in NOUNS for place in PLACES]
SHOWING = (
    20  # every so many pictures one that a query describes: where all are far from it, the page shows none unasked
)
TIMED = """query => new Promise((done) => {
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


def filled(root: Path, count: int) -> Path:
    """A gallery of `count` pictures, as `araclip index` would create it."""
    rng = np.random.default_rng(0)
    model = AraCLIP.load()
    (root / "pictures").mkdir()
    pictures = []
    for i in range(32):
        out = io.BytesIO()
        noise = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        noise.resize(SIZES[i % len(SIZES)], Image.Resampling.BICUBIC).save(out, "JPEG")
        pictures.append((SIZES[i % len(SIZES)], out.getvalue()))
    vectors = rng.normal(size=(count, model.width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = text_vectors(model, QUERIES)  # (Q, D)
    vectors[::SHOWING] = 0.7 * asked[np.arange(len(vectors[::SHOWING])) % len(asked)] + 0.3 * vectors[::SHOWING]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with Gallery.open(root / "gallery", model=model, create=True) as gallery:
        catalog = gallery._catalog
        with catalog.writing():
            for i, vector in enumerate(vectors):
                size, data = pictures[i % 32]
                data += i.to_bytes(4, "big")  # after the end of the picture, ignored by decoders
                path = root / "pictures" / f"{i:05}.jpg"
                path.write_bytes(data)
                content = catalog.add_content(hashlib.sha256(data).digest(), vector)
                catalog.put_facts(content, Facts("JPEG", *size, None), int(rng.integers(1 << 62)))
                catalog.put_file(File(str(path), len(data), path.stat().st_mtime_ns), content)
    return root / "gallery"


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        gallery = filled(Path(folder), count)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with serving(gallery, DEFAULT_MODEL) as address:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address)
            page.wait_for_selector(".total")
            times = []
            for query in QUERIES:
                times.append(page.evaluate(TIMED, query))
                page.wait_for_timeout(500)
        browser.close()
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}, load {load:.1f}")
    print(
        f"Enter to first results, {count:,} pictures: first search {times[0]:.0f} ms, then median "
        f"{statistics.median(times[1:]):.0f} ms, slowest {max(times[1:]):.0f} ms   ({len(times) - 1} searches)"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    main(parser.parse_args().pictures)
