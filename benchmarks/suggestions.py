"""Suggestions while typing: the time of an answer, in a gallery of 100,000 captioned pictures.

    python benchmarks/suggestions.py [--pictures 100000]

Captions are drawn from a vocabulary of 30,000 made words by Zipf's law, eight words each, with every tenth word one of
the package's own lexicon; names are a camera's (IMG_012345) in 200 folders, and vectors are random, since none of this
changes the time. Measured inside the process, by a client of the app without a socket: one letter, two, three, and a
whole word, each word once, in a random order.
"""

import argparse
import hashlib
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from araclip import AraCLIP, Gallery
from araclip.gallery.catalog.records import File
from araclip.models.encoder_base import usable_cores
from araclip.models.folder import DEFAULT_MODEL
from araclip.pictures.images import Facts
from araclip.text.resources import interpreter
from serving import serving, settings_for

LETTERS = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"
FOLDERS, LENGTH = 200, 8


def made_words(rng: np.random.Generator, count: int) -> list[str]:
    """Words of three to seven letters; every tenth one is of the lexicon."""
    known = [entry.standard for entry in interpreter(None, Path()).lexicon.entries]
    made = ["".join(rng.choice(list(LETTERS), rng.integers(3, 8))) for _ in range(count)]
    made[::10] = [known[i % len(known)] for i in range(len(made[::10]))]
    return made


def filled(root: Path, count: int, rng: np.random.Generator, vocabulary: list[str]) -> Path:
    """A gallery of `count` pictures that are not on the disk, each with a caption in its metadata."""
    model = AraCLIP.load()
    with Gallery.open(root, model=model, create=True) as gallery:
        catalog = gallery._catalog
        for start in range(0, count, 10_000):
            with catalog.writing():
                for i in range(start, min(start + 10_000, count)):
                    vector = rng.normal(size=model.width).astype(np.float32)
                    content = catalog.add_content(
                        hashlib.sha256(str(i).encode()).digest(), vector / np.linalg.norm(vector)
                    )
                    catalog.put_facts(content, Facts("JPEG", 640, 480, None), int(rng.integers(1 << 62)))
                    caption = " ".join(vocabulary[min(rng.zipf(1.2), len(vocabulary)) - 1] for _ in range(LENGTH))
                    path = root.parent / "pictures" / f"رحلة {i % FOLDERS}" / f"IMG_{i:06}.jpg"
                    catalog.put_file(File(str(path), 1, 1), content, {"caption": caption})
    return root


def main(count: int) -> None:
    rng = np.random.default_rng(0)
    vocabulary = made_words(rng, 30_000)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        gallery = filled(Path(folder) / "gallery", count, rng, vocabulary)
        print(f"{count:,} pictures in {time.perf_counter() - began:.0f} s")
        with serving(settings_for(gallery, DEFAULT_MODEL)) as client:
            asked = [vocabulary[i] for i in rng.permutation(400)[:40]]
            for letters in (1, 2, 3, 7):
                times = []
                for word in asked:
                    start = time.perf_counter()
                    answer = client.get("/suggestions", params={"q": word[:letters]})
                    times.append((time.perf_counter() - start) * 1000)
                    assert answer.status_code == 200, answer.text
                typed = "the whole word" if letters == 7 else f"{letters} letters"
                print(f"{typed}: median {statistics.median(times):.0f} ms, slowest {max(times):.0f} ms")
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}, load {load:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100_000)
    main(parser.parse_args().pictures)
