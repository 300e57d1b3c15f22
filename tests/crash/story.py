"""A random sequence of actions on a gallery, reproducible from a seed, and the gallery's resulting state.

An interrupted action can be repeated: it first restores the files on the disk to its initial state, then calls one
public method of the gallery.
"""

import contextlib
import hashlib
import io
import os
import random
import re
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
from araclip.models.folder import read_config
from catalog_file import edited

COMMIT_EVERY = 4  # pictures: so that a story has many commits, and a kill many points between them
QUERIES = ("أحمر", "blue", "صورة", "green - أزرق", "رحلة", "renamed copy")  # words of names and metadata, too
NAMES = ("a.png", "ب.png", "c.bmp", "رحلة 🏖️/d.png", "deep/er/e.png", "café.png", "f.gif", "g.png")

Disk = dict[str, int]  # name of each picture file → number of its picture


@dataclass(frozen=True)
class Action:
    """One action, and the files on the disk at its beginning."""

    name: str
    disk: Disk
    detail: tuple[Any, ...] = ()


def story(seed: int, length: int = 9) -> list[Action]:
    """The actions of one story: the first fills the gallery, the last synchronises it with the disk."""
    rng = random.Random(seed)
    disk = {name: rng.randrange(40) for name in rng.sample(NAMES, 6)}
    disk |= {f"many/{i}.png": 100 + i for i in range(rng.randrange(4, 12))}
    actions, model = [Action("update", dict(disk))], 0
    while len(actions) < length:
        name = rng.choice(("update", "update", "add", "remove", "compact", "reembed", "repair", "export", "salvage"))
        if name == "update":
            disk = _changed(disk, rng)
        detail: tuple[Any, ...] = ()
        if name == "add":
            detail = (rng.randrange(40, 60), rng.choice(sorted(disk)), rng.randrange(3))
        elif name in ("remove", "repair"):
            detail = tuple(rng.sample(sorted(disk), 2))
        elif name == "reembed":
            model = 1 - model
            detail = (model,)
        actions.append(Action(name, dict(disk), detail))
    return [*actions, Action("update", dict(disk))]


def _changed(disk: Disk, rng: random.Random) -> Disk:
    """The files after renaming, editing, deleting, copying and adding some."""
    now = dict(disk)
    renamed, edited, deleted, copied = rng.sample(sorted(now), 4)
    now[f"renamed/{rng.randrange(1000)}.png"] = now.pop(renamed)
    now[edited] = rng.randrange(40)
    del now[deleted]
    now[f"copy {rng.randrange(1000)}.png"] = now[copied]
    for _ in range(rng.randrange(8)):
        now[f"new/{rng.randrange(1000)}.png"] = rng.randrange(200, 1000)
    return now


class Workspace:
    """The folders of one trial: pictures, gallery, export."""

    def __init__(self, root: Path, models: tuple[Path, Path]) -> None:
        self.pictures, self.gallery_path, self.export = root / "صور", root / "gallery", root / "export"
        self._root = root
        self._models = models

    def model(self) -> AraCLIP:
        """The gallery's model, or the first one while there is no gallery."""
        found = self._rows("SELECT value FROM meta WHERE key = 'fingerprint'")
        ours = (folder for folder in self._models if [(read_config(folder).fingerprint,)] == found)
        return AraCLIP.load(next(ours, self._models[0]), threads=1)

    def gallery(self, *, create: bool = False) -> Gallery:
        return Gallery.open(self.gallery_path, model=self.model(), create=create)

    def perform(self, action: Action) -> None:
        """Perform an action; repeated after a kill, it ends in the same state."""
        intake.COMMIT_EVERY = reembed.COMMIT_EVERY = COMMIT_EVERY
        self._lay_out(action.disk)
        methods: dict[str, Callable[[Action], object]] = {
            "add": self._add, "remove": self._remove, "repair": self._repair,
        }  # fmt: skip
        if action.name == "reembed":
            reembed.reembed(
                self.gallery_path, AraCLIP.load(self._models[action.detail[0]], threads=1), forget_missing=True
            )
        elif action.name == "salvage":
            salvage(self.gallery_path)
            with self.gallery() as opened:
                opened.repair()
        elif action.name in methods:
            methods[action.name](action)
        else:
            with self.gallery(create=True) as opened:
                if action.name == "update":
                    opened.update([self.pictures])
                elif action.name == "compact":
                    opened.compact()
                elif action.name == "export":
                    opened.export(self.export)

    def _add(self, action: Action) -> None:
        number, path, album = action.detail
        with self.gallery() as opened:
            opened.add([pictures_bytes(number), self.pictures / path], metadata={"album": f"رحلة {album}"})

    def _remove(self, action: Action) -> None:
        with self.gallery() as opened:
            known = set(opened._catalog.files())
            opened.remove([path for name in action.detail if (path := str(self.pictures / name)) in known])

    def _repair(self, action: Action) -> None:
        with self.gallery() as opened:
            for name in action.detail:
                content = opened._catalog.content_of(str(self.pictures / name))
                with opened._catalog.writing():  # damage the vector
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

    # ------------------------------------------------------------------ the resulting state

    def state(self) -> str:
        """A hash of everything committed: paths, contents, vectors, metadata, stored pixels, model."""
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
        """All committed paths."""
        return {os.fsdecode(raw) for (raw,) in self._rows("SELECT path FROM files")}

    def answers(self) -> list[tuple[str, list[tuple[str, float, tuple[str, ...], tuple[str, ...]]]]]:
        """Search results: paths below the workspace, scores, copies, texts with words of the query."""
        with self.gallery() as opened:
            return [
                (query, sorted(
                    (
                        self._short(hit.path), hit.score, tuple(map(self._short, hit.copies)),
                        tuple(f"{match.field}: {match.text}" for match in hit.matched),
                    )
                    for hit in opened.search(query, 1000)
                ))
                for query in QUERIES
            ]  # fmt: skip

    def found(self) -> set[str]:
        """The paths that a general search finds."""
        with self.gallery() as opened:
            return {path for hit in opened.search("صورة", 1000) for path in (hit.path, *hit.copies)}

    def existing(self) -> set[str]:
        """The committed paths whose picture exists."""
        return {path for path in self.paths() if path.startswith("picture:") or Path(path).is_file()}

    def exported(self) -> str:
        """An export of the gallery, without timestamps and absolute paths."""
        with self.gallery() as opened:
            opened.export(self.export)
        lines = sorted((self.export / "pictures.jsonl").read_text(encoding="utf-8").splitlines())
        return "\n".join(re.sub('"added": "[^"]*"', "", self._short(line)) for line in lines)

    def faults(self) -> list[str]:
        """The faults that `verify` finds, with contents."""
        with self.gallery() as opened:
            return [str(fault) for fault in opened.verify(contents=True)]

    def salvage(self) -> None:
        """Recover the catalogue, as `araclip repair` does if it cannot be opened."""
        salvage(self.gallery_path)

    def _short(self, path: str) -> str:
        return path.replace(str(self._root), "")

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows read directly from the catalogue; none while there is no catalogue."""
        if not (self.gallery_path / FILE_NAME).is_file():
            return []
        with contextlib.closing(edited(self.gallery_path)) as database:
            made = database.execute("SELECT count(*) FROM sqlite_schema").fetchall()[0][0]
            return database.execute(sql).fetchall() if made else []


@cache
def pictures_bytes(number: int) -> bytes:
    """The bytes of picture `number`; all are different."""
    rng = random.Random(number)
    small = Image.new("RGB", (4, 4))
    small.putdata([tuple(rng.randrange(256) for _ in range(3)) for _ in range(16)])
    written = io.BytesIO()
    small.resize((24, 24), Image.Resampling.NEAREST).save(written, "PNG")
    return written.getvalue()


def picture_files(folder: Path, count: int) -> list[Path]:
    """Write so many different pictures with Arabic names: صورة 0.png, صورة 1.png, …"""
    return [pictures.written(folder / f"صورة {i}.png", pictures_bytes(i)) for i in range(count)]
