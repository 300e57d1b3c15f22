"""Damage a gallery's files in many ways, and see whether a search is ever wrong in silence, and what a repair loses.

    python tests/trials/gallery_damage.py                                  # 300 damages at 20 MB and at 200 MB
    python tests/trials/gallery_damage.py --megabytes 20 --damages 1000

A gallery of `--megabytes` (real picture files, the tests' model with wide vectors, metadata, pictures without a file)
is damaged `--damages` times: single bits, also in the schema's text, bytes, runs, zeroed or swapped or outdated pages,
a truncated file; in the catalogue, its log, its seal, its scan file. Half of the damages leave the file's time and size
as they were, as a failing disk does; the others change the time, as whatever writes a file does. Then, each time from
the sound gallery,

- it is opened and asked: searches, filters, metadata. `right` is the sound gallery's answer, `refused` an error of ours
  that names the file and the remedy, anything else is `WRONG`;
- every `--repair-every`th time the gallery is copied and repaired (`Gallery.rescue`), then synchronised with its
  folder. Then `verify` must be clean. A picture without a file, or a file's metadata, that is gone although its row was
  not damaged is `LOST`; one whose only copy was hit is counted as `hit`.

Exit code 1 if anything was lost, or wrong after a damage that changed the file's time. Damage below the file system
that leaves a whole older page is found by `verify` only.
"""

import argparse
import os
import random
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from crash.story import pictures_bytes

from araclip import AraCLIP, Filters, Gallery
from araclip.errors import AraCLIPError, GalleryCorrupt
from tiny import write_tiny_model

PAGE = 4096
HEADER = 100  # bytes of a SQLite file before its first page's rows
STORED = 40  # pictures without a file
BYTES_OF_ROW = 900  # of a picture beside its vector: rows of files and contents, indexes
WIDTHS = {20: 1024, 200: 4096}  # so that 200 MB are 22,000 pictures, not a million

STATEMENT = re.compile(rb"CREATE (?:TABLE|INDEX|VIRTUAL|UNIQUE)[^\0]{20,60}")
Blow = Callable[[bytearray, bytes, random.Random], None]


def bit(raw: bytearray, _: bytes, rng: random.Random) -> None:
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)


def byte(raw: bytearray, _: bytes, rng: random.Random) -> None:
    raw[rng.randrange(len(raw))] = rng.randrange(256)


def run(raw: bytearray, _: bytes, rng: random.Random) -> None:
    start = rng.randrange(len(raw))
    length = min(rng.choice((16, 512)), len(raw) - start)
    raw[start : start + length] = rng.randbytes(length)


def zeroed_page(raw: bytearray, _: bytes, rng: random.Random) -> None:
    start = rng.randrange(0, len(raw), PAGE)
    raw[start : start + PAGE] = bytes(min(PAGE, len(raw) - start))


def outdated_page(raw: bytearray, before: bytes, rng: random.Random) -> None:
    """A write that never reached the disk: a page as it was before the last changes."""
    starts = [at for at in range(0, min(len(raw), len(before)), PAGE) if raw[at : at + PAGE] != before[at : at + PAGE]]
    if not starts:
        return bit(raw, before, rng)
    start = rng.choice(starts)
    raw[start : start + PAGE] = before[start : start + PAGE]
    return None


def swapped_pages(raw: bytearray, _: bytes, rng: random.Random) -> None:
    one, two = (rng.randrange(0, max(PAGE, len(raw) - PAGE), PAGE) for _ in range(2))
    raw[one : one + PAGE], raw[two : two + PAGE] = raw[two : two + PAGE], raw[one : one + PAGE]


def truncated(raw: bytearray, _: bytes, rng: random.Random) -> None:
    del raw[rng.randrange(len(raw)) :]


def schema_bit(raw: bytearray, before: bytes, rng: random.Random) -> None:
    """A bit in the text of a statement that makes a table or an index, without which SQLite opens nothing."""
    starts = [found.span() for found in STATEMENT.finditer(raw)]
    if not starts:
        return bit(raw, before, rng)
    raw[rng.randrange(*rng.choice(starts))] ^= 1 << rng.randrange(8)
    return None


BLOWS: tuple[Blow, ...] = (bit, bit, bit, byte, run, zeroed_page, outdated_page, swapped_pages, truncated, schema_bit)


class Trial:
    """A sound gallery, its answers, and its copies that are damaged."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        width = WIDTHS.get(megabytes, 1024)
        self.count = int(megabytes * 1e6 / (2 * width + BYTES_OF_ROW))
        self.model = AraCLIP.load(write_tiny_model(folder / "model", width=width), threads=1)
        self.root, self.sound = folder / "صور", folder / "sound"
        self.root.mkdir()
        for i in range(self.count):
            (self.root / f"صورة {i}.png").write_bytes(pictures_bytes(i))
        with Gallery.open(self.sound, model=self.model, create=True) as gallery:
            gallery.update([self.root])
            paths = [self.root / f"صورة {i}.png" for i in range(0, self.count, 50)]
            gallery.add(paths, metadata=[{"album": f"رحلة {i % 7}"} for i in range(len(paths))])
        shutil.copytree(self.sound, folder / "before")
        with Gallery.open(self.sound, model=self.model) as gallery:
            gallery.remove([self.root / f"صورة {i}.png" for i in range(3, self.count, 97)])
            gallery.add([pictures_bytes(10**6 + i) for i in range(STORED)], metadata={"album": "بحر"})
            gallery.update([self.root])
            self.rows = rows(gallery)
            self.sought = sorted(self.rows)[:: max(1, len(self.rows) // 20)]
        self.before = folder / "before"
        self.right = self.answers(self.sound)
        self.damaged = Path(shutil.copytree(self.sound, folder / "damaged"))
        assert self.answers(self.damaged) == self.right

    def answers(self, place: Path) -> list[object]:
        """What a person sees of the gallery."""
        only = (
            Filters(),
            Filters(formats=("PNG",), min_size=10),
            Filters(metadata={"album": "رحلة 3"}),
            Filters(metadata={"album": "بحر"}),
            Filters(folder=str(self.root)),
            Filters(formats=("JPEG",)),
        )
        with Gallery.open(place, model=self.model) as gallery:
            found: list[object] = [
                [(hit.path.replace(str(place), ""), hit.score) for hit in gallery.search(query, 60, where=where)]
                for query in ("أحمر", "blue - أخضر")
                for where in only
            ]
            return [*found, len(gallery), *(gallery.metadata(path) for path in self.sought)]

    def blow(self, name: str, rng: random.Random, *, silent: bool) -> tuple[str, bytes]:
        """Damage a file of the copy; returns the kind of damage and the sound bytes."""
        path = self.damaged / name
        about, raw = path.stat(), path.read_bytes()
        hurt, old = bytearray(raw), self.before / name
        while bytes(hurt) == raw:  # two equal pages, or a byte as it was
            blow = rng.choice(BLOWS)
            blow(hurt, old.read_bytes() if old.exists() else raw, rng)
        path.write_bytes(hurt)
        if silent and len(hurt) == len(raw):
            restore_times(path, about.st_mtime_ns)
        return blow.__name__, raw

    def after_repair(self, folder: Path) -> tuple[int, int]:
        """Pictures without a file and metadata that a repair of the damaged copy lost, and those that were hit."""
        place = Path(shutil.copytree(self.damaged, folder / "repaired"))
        try:
            try:
                Gallery.rescue(place, model=self.model)
            except GalleryCorrupt as error:
                assert "elete" not in str(error), error
                shutil.rmtree(place)
            with Gallery.open(place, model=self.model, create=True) as gallery:
                gallery.update([self.root])
                assert [fault for fault in gallery.verify() if fault.repairable] == []
                now = rows(gallery)
            gone = {path for path in self.rows if now.get(path) != self.rows[path]}
            assert not [path for path in self.rows if path not in now and not path.startswith("picture:")]
            hit = gone & self.hit_rows(gone)
            return len(gone - hit), len(hit)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def hit_rows(self, gone: set[str]) -> set[str]:
        """Which rows cannot be read, or differ, in the damaged file itself, read by SQLite and nothing else.

        The schema's pages are put right before: the rows can be read whatever became of them.
        """
        place = Path(shutil.copytree(self.damaged, self.damaged.with_name("read")))
        hurt, sound = bytearray((place / "catalog.sqlite").read_bytes()), (self.sound / "catalog.sqlite").read_bytes()
        for start in {found.start() // PAGE * PAGE for found in STATEMENT.finditer(sound)}:
            hurt[start or HEADER : start + PAGE] = sound[start or HEADER : start + PAGE]
        (place / "catalog.sqlite").write_bytes(hurt)
        readable: dict[str, tuple[object, ...]] = {}
        try:
            for order in ("ASC", "DESC"):
                try:
                    with closing(sqlite3.connect(place / "catalog.sqlite")) as database:
                        database.text_factory = bytes
                        for path, metadata, digest, picture in database.execute(
                            "SELECT path, metadata, hash, picture FROM files JOIN contents ON id = files.content "
                            f"LEFT JOIN kept ON kept.content = id ORDER BY path {order}"
                        ):
                            readable[path.decode("utf-8", "replace")] = (metadata, digest, picture)
                except sqlite3.Error:
                    continue
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return {path for path in gone if readable.get(path) != self.raw[path]}

    @property
    def raw(self) -> dict[str, tuple[object, ...]]:
        """The rows of the sound file as `hit_rows` reads them."""
        if "_raw" not in vars(self):
            with closing(sqlite3.connect(self.sound / "catalog.sqlite")) as database:
                database.text_factory = bytes
                found = database.execute(
                    "SELECT path, metadata, hash, picture FROM files JOIN contents ON id = files.content "
                    "LEFT JOIN kept ON kept.content = id"
                )
                self._raw = {path.decode(): (metadata, digest, picture) for path, metadata, digest, picture in found}
        return self._raw


def rows(gallery: Gallery) -> dict[str, tuple[object, ...]]:
    """Metadata and stored bytes of every path: what only the catalogue knows."""
    catalog = gallery._catalog
    return {
        raw.decode(): (metadata, picture)
        for raw, metadata, picture in catalog.rows(
            "SELECT path, metadata, picture FROM files LEFT JOIN kept ON kept.content = files.content"
        )
    }


def restore_times(path: Path, changed: int) -> None:
    os.utime(path, ns=(changed, changed))


def trials(megabytes: int, damages: int, repair_every: int, seed: int) -> bool:
    """Run the trials of one size and print its row; returns whether nothing was wrong or lost."""
    rng, began, outcomes = random.Random(seed), time.monotonic(), Counter[str]()
    lost = hit = repairs = 0
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial(Path(scratch), megabytes)
        names = sorted(path.name for path in trial.damaged.iterdir() if path.is_file() and path.stat().st_size > 20)
        size = (trial.sound / "catalog.sqlite").stat().st_size / 1e6
        print(f"{trial.count:,} pictures, catalogue of {size:.0f} MB, files {', '.join(names)}", file=sys.stderr)
        for number in range(damages):
            silent = bool(number % 2)
            name = "catalog.sqlite" if number % 6 else rng.choice(names)
            times = {path.name: path.stat().st_mtime_ns for path in trial.damaged.iterdir()}
            sound = {path.name: path.read_bytes() for path in trial.damaged.iterdir() if path.name != "catalog.sqlite"}
            kind, raw = trial.blow(name, rng, silent=silent)
            try:
                outcome = "right" if trial.answers(trial.damaged) == trial.right else "WRONG"
            except AraCLIPError as error:
                outcome = "refused" if str(trial.damaged) in str(error) and "araclip" in str(error) else "WRONG"
            except Exception as error:
                outcome = f"WRONG, {type(error).__name__}"
            outcomes["silent " * silent + outcome] += 1
            if outcome.startswith("WRONG"):
                print(f"damage {number}: {kind} in {name}, silent {silent}: {outcome}", file=sys.stderr)
            if number % repair_every == 0:
                repairs += 1
                new_lost, new_hit = trial.after_repair(Path(scratch))
                lost, hit = lost + new_lost, hit + new_hit
                if new_lost:
                    print(f"damage {number}: {kind} in {name}: {new_lost} lost", file=sys.stderr)
            for path in list(trial.damaged.iterdir()):
                if path.name not in times:
                    path.unlink()
            for file, content in {**sound, name: raw}.items():
                (trial.damaged / file).write_bytes(content)
            for file, changed in times.items():
                restore_times(trial.damaged / file, changed)
    wrong = [0, 0]
    for outcome, count in outcomes.items():
        wrong[outcome.startswith("silent")] += count if "WRONG" in outcome else 0
    minutes = (time.monotonic() - began) / 60
    right, refused = (f"{outcomes[name]} / {outcomes[f'silent {name}']}" for name in ("right", "refused"))
    wrongs = f"{wrong[0]} / {wrong[1]}"
    cells = [f"{size:.0f} MB", f"{trial.count:,}", damages, right, refused, wrongs, repairs, hit, lost]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
    print(f"{minutes:.1f} minutes", file=sys.stderr)
    return not wrong[0] and not lost


def main() -> None:
    """Parse the arguments and run the trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--damages", type=int, default=300)
    parser.add_argument("--repair-every", type=int, default=5)  # not 6, at which another file may be damaged
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| catalogue | pictures | damages | right, time changed / kept | refused | wrong | repairs | hit | lost |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    good = [trials(size, options.damages, options.repair_every, options.seed) for size in options.megabytes]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
