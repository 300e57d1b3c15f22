"""The scan index: which pictures are nearest to a query. Derived from the catalogue and always rebuildable.

Up to FEW pictures are compared exactly. Of more, most have short codes in one file (`gallery.index.rabitq`), the base,
made at some generation; those that came or changed since, by the catalogue's own log, are compared exactly beside it,
and those that changed or went are hidden. The base is made anew when many have changed. Few pictures have a file of
their vectors, and what changed since it was written is read from the catalogue; it is written anew when one in SPARED
has.

A file's name holds the generation it was made at, so one of another history is never read; one that is missing or
damaged is made again.
"""

import contextlib
import heapq
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip import atomic
from araclip.gallery.catalog import history
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import Condition
from araclip.gallery.index import index_file, rabitq
from araclip.gallery.index.exact import Exact, Ids, positions
from araclip.gallery.index.rabitq import FEW, Coded

MANY = 32_768  # changes from which on a writer makes the base anew: beside it they cost a query a few milliseconds
SPARED = 50  # of a gallery of few pictures: a followed folder need not write all vectors for each picture that comes
REMEMBERED = 8  # filters whose pictures are kept, for the next page of the same search

Floats = NDArray[np.float32]
Texts = Callable[[], Floats]


@dataclass(frozen=True)
class Base:
    """Codes of the pictures of one generation, and the file they came from."""

    generation: str
    path: Path
    codes: Coded


class ScanIndex:
    """Inner products of a query with every picture, of one generation of a catalogue."""

    def __init__(
        self, generation: str, rest: Exact, base: Base | None = None, changed: Ids | None = None, written: str = ""
    ) -> None:
        """Take what is compared exactly, and the base with the ids that changed since.

        Without a base, `written` is the generation of the file of vectors that this index began with, or of none.
        """
        self.generation = generation
        self.base = base
        self._written = written
        self._rest = rest
        self._shown: NDArray[np.bool_] | None = None
        if base and changed is not None and len(hidden := positions(base.codes.ids, changed)):
            self._shown = np.ones(len(base.codes.ids), bool)
            self._shown[hidden] = False
        self._selected: dict[Condition, Ids] = {}
        self._remembering = threading.Lock()  # a server searches one index from many threads

    @classmethod
    def of(cls, catalog: Catalog, texts: Texts, before: "ScanIndex | None" = None, many: int = FEW) -> "ScanIndex":
        """The index of the catalogue's present generation: `before` or a file brought up to date, or built anew.

        Args:
            texts: vectors of texts, (n, D), on which codes are measured when they are made.
            before: the index of an earlier generation.
            many: changes from which on a new base is worth the wait.
        """
        with history.snapshot(catalog) as frozen:
            if before and (later := before._later(frozen, many)):
                return later
            if not history.more_than(frozen, FEW):
                return cls._exact(frozen, many)
            for path in _files(frozen):
                if (file := index_file.read(path)) and "depth" in file.about:
                    base = Base(_generation(path), path, Coded(file))
                    if later := cls(base.generation, _nothing(frozen), base)._later(frozen, many):
                        return later
            return cls._build(frozen, texts)

    @classmethod
    def _exact(cls, frozen: Catalog, many: int) -> "ScanIndex":
        for path in _files(frozen):
            if (file := index_file.read(path)) and "depth" not in file.about and index_file.is_sound(file):
                generation = _generation(path)
                if later := cls(generation, Exact(file.ids, file.vectors), written=generation)._later(frozen, many):
                    return later
        ids, vectors = _together(history.blocks(frozen), _width(frozen))
        index = cls(frozen.generation, Exact(ids, vectors))
        index.keep(frozen)
        return index

    @classmethod
    def _build(cls, frozen: Catalog, texts: Texts) -> "ScanIndex":
        path = _path(frozen)
        with contextlib.suppress(OSError):  # read-only or full: below
            rabitq.write(path, _width(frozen), history.blocks(frozen), texts())
            _remove_older(frozen, path)
            if file := index_file.read(path):
                return cls(frozen.generation, _nothing(frozen), Base(frozen.generation, path, Coded(file)))
        return cls(frozen.generation, Exact(*_together(history.blocks(frozen), _width(frozen))))  # slow, but right

    def _later(self, frozen: Catalog, many: int) -> "ScanIndex | None":
        """This index at a later generation; None if its past is not that one's, or too much has changed."""
        if frozen.generation == self.generation:
            return self
        new = history.changed_since(frozen, self.generation)
        if new is None or _width(frozen) != self._rest.width or (self.base and not self.base.path.is_file()):
            return None
        changed = history.changed_since(frozen, self.base.generation) if self.base else None
        if len(new if changed is None else changed) > (many if self.base else len(self._rest) // 4):
            return None
        same = np.ones(len(self._rest), bool)
        same[positions(self._rest.ids, new)] = False
        came, vectors = history.vectors_of(frozen, new)
        ids = np.concatenate([self._rest.ids[same], came])
        order = np.argsort(ids)
        if not self.base and len(ids) > FEW:
            return None
        rest = Exact(ids[order], np.concatenate([self._rest.vectors[same], vectors])[order])
        return ScanIndex(frozen.generation, rest, self.base, changed, self._written)

    def keep(self, catalog: Catalog) -> None:
        """Write what the next start reads, if what is there is too old: without a base, all vectors."""
        if self.base:
            return
        changed = history.changed_since(catalog, self._written) if self._written else None
        if changed is not None and len(changed) <= len(self._rest) // SPARED:
            return
        with contextlib.suppress(OSError):  # read-only or full: the next start reads the catalogue, half a second
            path = catalog.folder / f"scan-{self.generation}.faiss"
            index_file.write(path, self._rest.width, [(self._rest.ids, self._rest.vectors)])
            self._written = self.generation
            _remove_older(catalog, path)

    @property
    def anchor(self) -> str:
        """The generation whose file this index stands on: the log is needed from there on."""
        return self.base.generation if self.base else self._written or self.generation

    def __len__(self) -> int:
        """Number of pictures."""
        if self.base is None:
            return len(self._rest)
        shown = len(self.base.codes.ids) if self._shown is None else int(np.count_nonzero(self._shown))
        return shown + len(self._rest)

    def search(self, query: Floats, k: int, allowed: Ids | None = None) -> tuple[list[int], list[float]]:
        """Ids and cosines of the k best pictures for one unit vector (D,), best first, ties by id.

        Args:
            allowed: only these ids may be found, in ascending order.
        """
        ids, scores = self._rest.search(query, k, allowed)
        if self.base is None:
            return ids.tolist(), scores.tolist()
        first, cosines = self.base.codes.search(query, k, allowed, self._shown)
        # A list that begins with candidates need not fall all the way; merged as if it did, its pages fit together.
        falling = np.minimum.accumulate(cosines)
        merged = heapq.merge(
            zip((-falling).tolist(), first.tolist(), cosines.tolist(), strict=True),
            zip((-scores).tolist(), ids.tolist(), scores.tolist(), strict=True),
            key=lambda hit: hit[:2],
        )
        best = [hit for hit, _ in zip(merged, range(k), strict=False)]
        return [hit[1] for hit in best], [hit[2] for hit in best]

    def selected(self, condition: Condition, select: Callable[[], Ids]) -> Ids:
        """Ids of the pictures that pass a filter, as `select` found them the first time."""
        found = self._selected.get(condition)
        if found is None:
            found = select()
            with self._remembering:
                while len(self._selected) >= REMEMBERED:
                    self._selected.pop(next(iter(self._selected)))
                self._selected[condition] = found
        return found

    def sample(self, most: int) -> Floats:
        """Vectors (n, D) of at most about `most` pictures, spread evenly over the gallery's history."""
        step = len(self) // most + 1
        vectors = self._rest.vectors[self._rest.ids % step == 0].astype(np.float32)
        if self.base:
            codes = self.base.codes
            rows = np.flatnonzero((codes.ids % step == 0) & (True if self._shown is None else self._shown))
            vectors = np.concatenate([codes.vectors[rows].astype(np.float32), vectors])
        sound: Floats = vectors[np.isfinite(vectors).all(axis=1)]  # damaged ones are for `verify` to find
        return sound


def recall(catalog: Catalog) -> float | None:
    """Recall at 10 of the index as it was measured on texts: 1 for an exact scan, None if there is no index yet."""
    if not history.more_than(catalog, FEW):
        return 1.0
    for path in _files(catalog):
        if (about := index_file.header_of(path)) and "recall" in about:
            return float(about["recall"])
    return None


def drop_derived(folder: Path) -> None:
    """Remove index files and what a killed run left half written; what is needed is built again."""
    for path in (*folder.glob("scan-*.faiss"), *folder.glob(".*.tmp")):
        atomic.unlink(path)


def damaged(catalog: Catalog) -> Iterator[Path]:
    """Index files of this catalogue's past that are not as they were written. Reads all of them."""
    for path in _files(catalog):
        file = index_file.read(path)
        if not (file and index_file.is_sound(file)):
            yield path


def _width(catalog: Catalog) -> int:
    return int(catalog.meta("width"))


def _nothing(catalog: Catalog) -> Exact:
    return Exact(np.empty(0, np.int64), np.empty((0, _width(catalog)), np.float16))


def _path(catalog: Catalog) -> Path:
    return catalog.folder / f"scan-{catalog.generation}.faiss"


def _generation(path: Path) -> str:
    return path.stem.removeprefix("scan-")


def _files(catalog: Catalog) -> list[Path]:
    """Index files of this catalogue's own past, the latest first."""
    numbers = {path: history.number_of(catalog, _generation(path)) for path in catalog.folder.glob("scan-*.faiss")}
    known = {path: number for path, number in numbers.items() if number is not None}
    return sorted(known, key=lambda path: -known[path])


def _remove_older(catalog: Catalog, written: Path) -> None:
    """Remove index files of another past, and of this one those older than the one that was just written."""
    known = _files(catalog)
    current = known[: known.index(written) + 1] if written in known else [written]
    for path in catalog.folder.glob("scan-*.faiss"):
        if path not in current:
            atomic.unlink(path)


def _together(blocks: Iterator[tuple[Ids, NDArray[np.float16]]], width: int) -> tuple[Ids, NDArray[np.float16]]:
    parts = [(np.empty(0, np.int64), np.empty((0, width), np.float16)), *blocks]
    return np.concatenate([ids for ids, _ in parts]), np.concatenate([vectors for _, vectors in parts])
