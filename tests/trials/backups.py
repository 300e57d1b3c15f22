"""Back up, restore and fill galleries in any order, and see whether anything that only one folder held is lost.

    python tests/trials/backups.py [--steps 600] [--seed 0]

Four folders hold galleries or nothing. At each step one of them is written (a picture added, removed or hidden, filled
from shards that name the same paths with other bytes), copied with `Gallery.backup` onto another folder, restored from
another folder, deleted, or gets a file that is not a gallery's. The trial keeps beside them what each must hold: the
changes that it has seen, its pictures, which of them are hidden, the other files. A backup must be made where the
target is empty or an earlier state of what is copied, and be refused anywhere else with both folders as they were.

Exit code 1 at the first difference, with the step that made it.
"""

import argparse
import hashlib
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from crash.story import pictures_bytes

from araclip import AraCLIP, Gallery
from araclip.bulk.embed import embed
from araclip.bulk.ingest import fill
from araclip.errors import InputError
from araclip.gallery.open import restore_gallery
from tiny import write_tiny_model

OTHERS = (
    "catalog.pdf",
    "thumbnails.zip",
    ".my-notes",
    "catalog.sqlite.2024-old-copy",
    "صور.txt",
    "catalog.sqlite~",
    "a.png",
)
# Of pictures; some are named as a scene of a video, or begin as another one.
NAMES = (
    "0.png",
    "0.png#t=1 copy.png",
    "0.png#t=2.png",
    "1.png",
    "1.png.png",
    "قطة.png",
    "قطة.png#t=0 نسخة.png",
    "2.png",
)


@dataclass
class Held:
    """What a folder must hold: the changes it has seen, digests of its pictures by path, hidden paths, other files."""

    changes: list[int] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)

    def copy(self) -> "Held":
        return Held(list(self.changes), dict(self.pictures), set(self.hidden))


class Trial:
    """The folders, what they must hold, and the steps."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.draw = random.Random(seed)
        self.album = folder / "album"
        self.album.mkdir()
        self.model = AraCLIP.load(write_tiny_model(folder / "model"), threads=1)
        self.held = {folder / name: Held() for name in ("a", "b", "c", "d")}
        self.counts = Counter[str]()
        self.number = 0
        for at, name in enumerate(NAMES):
            (self.album / name).write_bytes(pictures_bytes(1_000 + at))
        embed(self.album, folder / "shards", model=str(folder / "model"), jobs=1)
        self.shards = folder / "shards"
        self.in_shards = {str(path): digest(path.read_bytes()) for path in self.album.iterdir()}

    def step(self) -> None:
        """One step; AssertionError where a folder is not what it must be after it."""
        self.number += 1
        place = self.draw.choice(list(self.held))
        do = self.draw.choice(
            (self.write, self.write, self.write, self.backup, self.backup, self.restore, self.drop, self.clear)
        )
        try:
            did = do(place)
        except AssertionError as error:
            raise SystemExit(f"step {self.number}, {do.__name__} {place.name}: {error}") from error
        self.counts[did] += 1

    def write(self, place: Path) -> str:
        held = self.held[place]
        if held.others and not held.changes:
            return "no gallery beside other files"
        with Gallery.open(place, model=self.model, create=True) as gallery:
            kind = self.draw.choice(("add", "add", "add", "remove", "hide", "fill"))
            path, before = self.album / self.draw.choice(NAMES), gallery._catalog.generation
            if kind == "add":
                path.write_bytes(pictures_bytes(self.number))
                gallery.add([path])
                held.pictures[str(path)] = digest(path.read_bytes())
            elif kind == "remove" and str(path) in held.pictures:
                gallery.remove([path])
                del held.pictures[str(path)]
                held.hidden.discard(str(path))
            elif kind == "hide" and str(path) in held.pictures:
                gallery.hide([path])
                held.hidden.add(str(path))
            elif kind == "fill":
                fill(gallery, self.shards)
                held.pictures = {**self.in_shards, **held.pictures}
            if gallery._catalog.generation != before or not held.changes:
                held.changes.append(self.number)
        self.check(place)
        return kind

    def backup(self, place: Path) -> str:
        target = self.draw.choice([other for other in self.held if other != place])
        held, there = self.held[place], self.held[target]
        if not held.changes:
            return "nothing to copy"
        earlier = held.changes[: len(there.changes)] == there.changes
        before = contents(target)
        try:
            with Gallery.open(place, model=self.model) as gallery:
                gallery.backup(target)
        except InputError as error:
            assert not earlier or there.others, f"refused: {error}"
            assert contents(target) == before, "refused, and changed"
            return "backup refused"
        assert earlier, f"{target.name} had changes that {place.name} lacks"
        assert not there.others, f"{target.name} had other files"
        self.held[target] = held.copy()
        self.check(target)
        return "backup"

    def restore(self, place: Path) -> str:
        source = self.draw.choice([other for other in self.held if other != place])
        held, there = self.held[source], self.held[place]
        if not held.changes:
            return "nothing to restore"
        before = contents(place)
        try:
            aside = restore_gallery(source, place)
        except InputError as error:
            assert there.others, f"refused: {error}"
            assert contents(place) == before, "refused, and changed"
            return "restore refused"
        assert not there.others, f"{place.name} had other files"
        assert (aside is None) == (not there.changes), f"{place.name} was kept at {aside}"
        if aside is not None:
            self.check(aside, there)
        self.held[place] = held.copy()
        self.check(place)
        return "restore"

    def drop(self, place: Path) -> str:
        """A file that is not a gallery's, or none of them any more."""
        held = self.held[place]
        place.mkdir(exist_ok=True)
        if held.others:
            for name in held.others:
                (place / name).unlink()
            held.others.clear()
            return "other files taken away"
        name = self.draw.choice(OTHERS)
        (place / name).write_text(name, encoding="utf-8")
        held.others.add(name)
        return "other file"

    def clear(self, place: Path) -> str:
        """Its owner deletes the folder."""
        shutil.rmtree(place, ignore_errors=True)
        self.held[place] = Held()
        return "folder deleted"

    def check(self, place: Path, held: Held | None = None) -> None:
        """Compare a gallery with what it must hold."""
        held = held or self.held[place]
        with Gallery.open(place, model=self.model) as gallery:
            faults = [fault for fault in gallery.verify() if fault.what != "changed since it was indexed"]
            assert not faults, faults
            files = gallery._catalog.files()
            assert set(files) == set(held.pictures), f"{place.name} has {set(files) ^ set(held.pictures)}"
            for path, sha256 in held.pictures.items():
                found = gallery.details(path)
                assert found["sha256"] == sha256, f"{path} is another picture in {place.name}"
                assert found["hidden"] or path not in held.hidden, f"{path} is shown in {place.name}"
        for name in held.others:
            assert (place / name).read_text(encoding="utf-8") == name, f"{name} is gone from {place.name}"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def contents(folder: Path) -> dict[str, str]:
    """Digests of a folder's files by name, but for locks and SQLite's logs, which come and go with readers."""
    files = folder.iterdir() if folder.is_dir() else ()
    passing = re.compile(r"lock.*|.*-wal|.*-shm")
    return {each.name: digest(each.read_bytes()) for each in files if not passing.fullmatch(each.name)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), args.seed)
        for _ in range(args.steps):
            trial.step()
    print("\n".join(f"{count:5} {what}" for what, count in sorted(trial.counts.items())))


if __name__ == "__main__":
    main()
