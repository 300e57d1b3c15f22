"""Copy a gallery while a process writes it: `cp`, a slow copy that tears files, and `araclip backup`.

    python tests/trials/copies.py --copies 100

A writer adds and removes pictures without pause, so that at each commit the gallery holds pictures FIRST … LAST of a
numbered row. Meanwhile its folder is copied: a third with plain copies of its files in any order, a third chunk by
chunk with pauses (which tears the catalogue), a third with `Gallery.backup`. Then each copy is opened. `right`: it
holds an unbroken row of numbers, each with its picture's vector, `verify` finds nothing, a search finds exactly these.
`refused`: an error of ours that names `araclip backup` or `araclip repair`. Anything else is `WRONG`. A backup must not
be refused. At the end the writer is killed, and nothing that it had committed may be missing.

Exit code 1 if anything was wrong, a backup refused, or the writer lost something.
"""

import argparse
import hashlib
import io
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np
from crash.story import pictures_bytes
from PIL import Image

from araclip import AraCLIP, Gallery
from araclip.errors import AraCLIPError
from tiny import write_tiny_model

HELD = 400  # pictures in the gallery, about
CHUNK = 16_384  # bytes of a slow copy

WRITER = """
import hashlib, random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from araclip import AraCLIP, Gallery
from crash.story import pictures_bytes
rng = random.Random(int(sys.argv[3]))
model = AraCLIP.load(sys.argv[2], threads=1)
first = last = 0
with Gallery.open(sys.argv[1], model=model, create=True) as gallery:
    while True:
        paths = gallery.add([pictures_bytes(last + i) for i in range(rng.randrange(1, 40))]).paths
        last += len(paths)
        print(first, last, flush=True)
        if last - first > int(sys.argv[5]):
            gone = rng.randrange(1, last - first - 1)
            digests = [pictures_bytes(first + i) for i in range(gone)]
            gallery.remove([f"picture:{hashlib.sha256(raw).hexdigest()[:32]}" for raw in digests])
            first += gone
            print(first, last, flush=True)
"""


def plain(source: Path, target: Path, rng: random.Random) -> None:
    """The files one after the other, in any order."""
    target.mkdir()
    names = [path.name for path in source.iterdir() if path.is_file()]
    rng.shuffle(names)
    for name in names:
        try:
            shutil.copy2(source / name, target / name)
        except FileNotFoundError:  # a temporary file, or the log between two connections
            continue


def slow(source: Path, target: Path, rng: random.Random) -> None:
    """Chunk by chunk with pauses, in any order of the files."""
    target.mkdir()
    names = [path.name for path in source.iterdir() if path.is_file()]
    rng.shuffle(names)
    for name in names:
        try:
            with (source / name).open("rb") as read, (target / name).open("wb") as written:
                while chunk := read.read(CHUNK):
                    written.write(chunk)
                    time.sleep(rng.choice((0, 0, 0.002, 0.02)))
        except FileNotFoundError:
            continue


class Expected:
    """The pictures by their path, and their vectors."""

    def __init__(self, model: AraCLIP) -> None:
        self.model = model
        self._numbers: dict[str, int] = {}

    def check(self, place: Path) -> str:
        """The outcome of opening a copy."""
        try:
            with Gallery.open(place, model=self.model) as gallery:
                faults = gallery.verify()
                files = set(gallery._catalog.files())
                found = {hit.path for hit in gallery.search("أحمر", 100_000)}
                numbers = sorted(self._number(path) for path in files)
                unbroken = numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True
                ids, vectors = gallery._catalog.vectors()
                sound = all(self._is_right(gallery, path) for path in sorted(files)[:20])
        except AraCLIPError as error:
            return "refused" if "araclip backup" in str(error) or "araclip repair" in str(error) else f"WRONG: {error}"
        if faults or found != files or not unbroken or not sound or len(ids) != len(vectors):
            return f"WRONG: {len(faults)} faults, {len(files)} files, {len(found)} found, unbroken {unbroken}, {sound}"
        return "right"

    def _number(self, path: str) -> int:
        while path not in self._numbers:
            number = len(self._numbers)
            self._numbers[f"picture:{hashlib.sha256(pictures_bytes(number)).hexdigest()[:32]}"] = number
        return self._numbers[path]

    def _is_right(self, gallery: Gallery, path: str) -> bool:
        content = gallery._catalog.content_of(path)
        assert content is not None
        again = self.model.encode_image(Image.open(io.BytesIO(pictures_bytes(self._number(path)))))
        return float(np.dot(gallery._catalog.vector(content), again)) > 0.99


def main() -> None:
    """Run the trial and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, outcomes, good = random.Random(options.seed), Counter[tuple[str, str]](), True
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model_folder, live = write_tiny_model(folder / "model", width=256), folder / "live"
        expected = Expected(AraCLIP.load(model_folder, threads=1))
        tests = str(Path(__file__).parent.parent)
        command = [sys.executable, "-c", WRITER, str(live), str(model_folder), str(options.seed), tests, str(HELD)]
        with (folder / "said").open("wb") as said, subprocess.Popen(command, stdout=said) as writer:
            said_lines = folder / "said"
            while len(said_lines.read_text().splitlines()) < 20:
                time.sleep(0.05)
                assert writer.poll() is None
            for number in range(options.copies):
                kind, copied = ("plain", "slow", "backup")[number % 3], folder / f"copy {number}"
                time.sleep(rng.random() * 0.3)
                if kind == "backup":
                    with Gallery.open(live, model=expected.model) as gallery:
                        gallery.backup(copied)
                else:
                    {"plain": plain, "slow": slow}[kind](live, copied, rng)
                outcome = expected.check(copied)
                outcomes[kind, outcome.split(":")[0]] += 1
                if outcome.startswith("WRONG") or (kind == "backup" and outcome != "right"):
                    good = False
                    print(f"copy {number}, {kind}: {outcome}", file=sys.stderr)
                shutil.rmtree(copied)
            assert writer.poll() is None, "the writer ended by itself"
            writer.kill()
        first, last = map(int, said_lines.read_text().splitlines()[-1].split())
        with Gallery.open(live, model=expected.model) as gallery:
            held = {expected._number(path) for path in gallery._catalog.files()}
        committed = set(range(first, last))
        kept = committed <= held or held <= committed  # one more commit may have followed the last line
        good &= kept and len(held ^ committed) <= HELD * 2
    print("| copied by | copies | right | refused | wrong |\n|---|---|---|---|---|")
    for kind in ("plain", "slow", "backup"):
        counts = [outcomes[kind, outcome] for outcome in ("right", "refused", "WRONG")]
        print(f"| {kind} | {sum(counts)} | {' | '.join(map(str, counts))} |")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
