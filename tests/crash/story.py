"""A gallery's life, drawn from a seed: what its owner does, and what the gallery then holds.

An act can be done again when it was interrupted: it first brings the disk to where the act begins, then calls one
method of the gallery's public door.
"""

import contextlib
import hashlib
import io
import os
import random
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

import pictures
from araclip import AraCLIP, Gallery
from araclip.gallery.catalog.salvage import salvage
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.ingest import intake, reembed
from araclip.model_folder import read_config

COMMIT_EVERY = 4  # pictures: a story has many commits, and a kill many places to fall between
QUERIES = ("أحمر", "blue", "صورة", "green - أزرق")
NAMES = ("a.png", "ب.png", "c.bmp", "رحلة 🏖️/d.png", "deep/er/e.png", "café.png", "f.gif", "g.png")

Disk = dict[str, int]  # name of each picture file → the number of the picture in it


@dataclass(frozen=True)
class Act:
    """One thing its owner does, with the files as they lie on the disk then."""

    name: str
    disk: Disk
    detail: tuple[Any, ...] = ()


def story(seed: int, length: int = 9) -> list[Act]:
    """The acts of one life: the first fills the gallery, the last brings it in step with the disk."""
    drawn = random.Random(seed)
    disk = {name: drawn.randrange(40) for name in drawn.sample(NAMES, 6)}
    disk |= {f"many/{i}.png": 100 + i for i in range(drawn.randrange(4, 12))}
    acts, model = [Act("update", dict(disk))], 0
    while len(acts) < length:
        name = drawn.choice(("update", "update", "add", "remove", "compact", "reembed", "repair", "export", "salvage"))
        if name == "update":
            disk = _changed(disk, drawn)
        detail: tuple[Any, ...] = ()
        if name == "add":
            detail = (drawn.randrange(40, 60), drawn.choice(sorted(disk)), drawn.randrange(3))
        elif name in ("remove", "repair"):
            detail = tuple(drawn.sample(sorted(disk), 2))
        elif name == "reembed":
            model = 1 - model
            detail = (model,)
        acts.append(Act(name, dict(disk), detail))
    return [*acts, Act("update", dict(disk))]


def _changed(disk: Disk, drawn: random.Random) -> Disk:
    """Files renamed, edited, deleted, copied, new ones, in one go."""
    now = dict(disk)
    renamed, edited, deleted, copied = drawn.sample(sorted(now), 4)
    now[f"renamed/{drawn.randrange(1000)}.png"] = now.pop(renamed)
    now[edited] = drawn.randrange(40)
    del now[deleted]
    now[f"copy {drawn.randrange(1000)}.png"] = now[copied]
    for _ in range(drawn.randrange(8)):
        now[f"new/{drawn.randrange(1000)}.png"] = drawn.randrange(200, 1000)
    return now


class Stage:
    """The folders of one trial: pictures, gallery, export."""

    def __init__(self, root: Path, models: tuple[Path, Path]) -> None:
        self.pictures, self.place, self.export = root / "صور", root / "gallery", root / "export"
        self._root = root
        self._models = models

    def model(self) -> AraCLIP:
        """That of the gallery, or the first while there is none."""
        found = self._rows("SELECT value FROM meta WHERE key = 'fingerprint'")
        ours = (folder for folder in self._models if [(read_config(folder).fingerprint,)] == found)
        return AraCLIP.load(next(ours, self._models[0]), threads=1)

    def gallery(self, *, create: bool = False) -> Gallery:
        return Gallery.open(self.place, model=self.model(), create=create)

    def perform(self, act: Act) -> None:
        """Do one act of a story; the same call again, after a kill, ends where one would have."""
        intake.COMMIT_EVERY = reembed.COMMIT_EVERY = COMMIT_EVERY
        self._lay_out(act.disk)
        doing: dict[str, Callable[[Act], object]] = {
            "add": self._add, "remove": self._remove, "repair": self._repair,
        }  # fmt: skip
        if act.name == "reembed":
            reembed.reembed(self.place, AraCLIP.load(self._models[act.detail[0]], threads=1), forget_missing=True)
        elif act.name == "salvage":
            salvage(self.place)
            with self.gallery() as opened:
                opened.repair()
        elif act.name in doing:
            doing[act.name](act)
        else:
            with self.gallery(create=True) as opened:
                if act.name == "update":
                    opened.update([self.pictures])
                elif act.name == "compact":
                    opened.compact()
                elif act.name == "export":
                    opened.export(self.export)

    def _add(self, act: Act) -> None:
        kept, path, album = act.detail
        with self.gallery() as opened:
            opened.add([pictures_bytes(kept), self.pictures / path], metadata={"album": f"رحلة {album}"})

    def _remove(self, act: Act) -> None:
        with self.gallery() as opened:
            known = set(opened._catalog.files())
            opened.remove([path for name in act.detail if (path := str(self.pictures / name)) in known])

    def _repair(self, act: Act) -> None:
        with self.gallery() as opened:
            for name in act.detail:
                content = opened._catalog.content_of(str(self.pictures / name))
                with opened._catalog.writing():  # damage, as a bad disk would do it
                    opened._catalog.change("UPDATE contents SET vector = zeroblob(16) WHERE id = ?", (content,))
            opened.repair()

    def _lay_out(self, disk: Disk) -> None:
        for path in list(self.pictures.rglob("*")):
            if path.is_file() and str(path.relative_to(self.pictures)) not in disk:
                path.unlink()
        for name, number in disk.items():
            path, content = self.pictures / name, pictures_bytes(number)
            if not path.is_file() or path.read_bytes() != content:
                pictures.written(path, content)
            os.utime(path, (10**9, 10**9 + number))

    # ------------------------------------------------------------------ what came of it

    def state(self) -> str:
        """A hash of all that is committed: paths, contents, vectors, metadata, kept pixels, model."""
        rows = [
            *self._rows("SELECT value FROM meta WHERE key = 'fingerprint'"),
            *self._rows(
                "SELECT path, size, mtime_ns, metadata, hash, vector, format, phash "
                "FROM files LEFT JOIN contents ON id = content ORDER BY path"
            ),
            *self._rows("SELECT hash, picture FROM kept JOIN contents ON id = content ORDER BY hash"),
        ]
        return hashlib.sha256(repr(rows).replace(str(self._root), "").encode()).hexdigest()[:16]

    def paths(self) -> set[str]:
        """Every path that is committed."""
        return {os.fsdecode(raw) for (raw,) in self._rows("SELECT path FROM files")}

    def answers(self) -> list[tuple[str, list[tuple[str, float, tuple[str, ...]]]]]:
        """What searches find: paths below the stage, scores, copies."""
        with self.gallery() as opened:
            return [
                (query, sorted(
                    (self._short(hit.path), hit.score, tuple(map(self._short, hit.copies)))
                    for hit in opened.search(query, 1000)
                ))
                for query in QUERIES
            ]  # fmt: skip

    def found(self) -> set[str]:
        """The paths that a search for anything finds."""
        with self.gallery() as opened:
            return {path for hit in opened.search("صورة", 1000) for path in (hit.path, *hit.copies)}

    def there(self) -> set[str]:
        """The committed paths that lead to a picture now."""
        return {path for path in self.paths() if path.startswith("picture:") or Path(path).is_file()}

    def exported(self) -> str:
        """An export of the gallery as it is now, without what no two runs share."""
        with self.gallery() as opened:
            opened.export(self.export)
        lines = sorted((self.export / "pictures.jsonl").read_text(encoding="utf-8").splitlines())
        return "\n".join(re.sub('"added": "[^"]*"', "", self._short(line)) for line in lines)

    def faults(self) -> list[str]:
        """What `verify` finds, every file read."""
        with self.gallery() as opened:
            return [str(fault) for fault in opened.verify(contents=True)]

    def salvage(self) -> None:
        """As `araclip repair` does it for a catalogue that cannot be opened."""
        salvage(self.place)

    def _short(self, path: str) -> str:
        return path.replace(str(self._root), "")

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the catalogue answers, past the gallery; nothing while there is none."""
        if not (self.place / FILE_NAME).is_file():
            return []
        with contextlib.closing(sqlite3.connect(self.place / FILE_NAME)) as database:
            made = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            return database.execute(sql).fetchall() if made else []


@cache
def pictures_bytes(number: int) -> bytes:
    """The bytes of picture `number`: no two pictures look the same."""
    drawn = random.Random(number)
    small = Image.new("RGB", (4, 4))
    small.putdata([tuple(drawn.randrange(256) for _ in range(3)) for _ in range(16)])
    written = io.BytesIO()
    small.resize((24, 24), Image.Resampling.NEAREST).save(written, "PNG")
    return written.getvalue()
