"""The scan index finds the pictures nearest to a query. It is derived from the catalogue and can always be rebuilt.

In galleries of up to EXACT_UP_TO pictures, every vector is compared. The vectors come from a file and from the changes
since that file was written; the file is written again when one vector in REWRITE_PART has changed.

In larger galleries there is a base: a file with short codes (`gallery.index.rabitq`) of all pictures of one generation.
Pictures that were added or changed since then (the catalogue's change log tells which) are compared exactly, beside the
base; pictures that were changed or removed are masked in the base. The base is rebuilt after REBUILD_AFTER changes.

A file's name contains its generation, so a file of another history (after a backup was restored) is never read. A
missing or damaged file is made again.
"""

import contextlib
import heapq
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.core import atomic
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import Condition
from araclip.gallery.index import index_file, rabitq
from araclip.gallery.index.exact import Exact, common_positions
from araclip.gallery.index.rabitq import EXACT_UP_TO, CodedVectors
from araclip.models.vectors import Ids, Vectors

REBUILD_AFTER = 32_768  # after this many changed vectors, codes are made anew; before, these are compared exactly
REWRITE_PART = 50  # the file is rewritten if 1/50 of the vectors has changed, not for each new picture
CACHED_FILTERS = 8  # number of filters whose passing ids are cached, for the next page of the same search
NO_IDS: Ids = np.empty(0, np.int64)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: ids times this are spread evenly (Knuth, 6.4)

Texts = Callable[[], Vectors]


@dataclass(frozen=True)
class Base:
    """The codes (short forms) of all pictures' vectors after one commit (generation), and the path of their file."""

    generation: str
    path: Path
    codes: CodedVectors


class ScanIndex:
    """Finds the pictures whose vectors have the largest inner product with a query.

    An index is of one generation of the catalogue: its state after one commit, named by a random token.
    """

    def __init__(
        self, generation: str, rest: Exact, base: Base | None = None, changed: Ids | None = None, written: str = ""
    ) -> None:
        """Make an index from vectors and, for a large gallery, from codes in a file.

        Args:
            rest: the vectors that are scanned exactly: all, or those that the base lacks.
            base: in large galleries, the codes of the vectors after an earlier commit.
            changed: the ids of pictures that were added, changed or removed since the base was built.
            written: without a base, the token of the commit that the file of vectors shows; "" if there is no file.
        """
        self.generation = generation
        self.base = base
        self._file_generation = written
        self._exact_part = rest
        self._base_mask: NDArray[np.bool_] | None = None
        if base and changed is not None and len(hidden := common_positions(base.codes.ids, changed)):
            self._base_mask = np.ones(len(base.codes.ids), bool)
            self._base_mask[hidden] = False
        self._selected: dict[Condition, Ids] = {}
        self._cache_lock = threading.Lock()  # because `araclip serve` searches an index from many threads

    @classmethod
    def of(
        cls, catalog: Catalog, texts: Texts, before: "ScanIndex | None" = None, rebuild_after: int = EXACT_UP_TO
    ) -> "ScanIndex":
        """Return the index of the catalogue's last commit.

        First, `before` is brought up to date; if that fails, the index in the gallery's file; else a new one is made.

        Args:
            texts: a function that returns vectors of texts (n, D); a new index measures its recall with them.
            before: the index of an earlier commit; None if there is none.
            rebuild_after: build a new base if there are more changes than this number.
        """
        with catalog.frozen() as frozen:
            if before and (updated := before._update(frozen, rebuild_after)):
                return updated
            if not frozen.has_more_than(EXACT_UP_TO):
                return cls._exact_index(frozen, rebuild_after)
            for path in _own_files(frozen):
                if (file := index_file.read(path)) and "depth" in file.about:
                    base = Base(_generation_in_name(path), path, CodedVectors(file))
                    if updated := cls(base.generation, _no_vectors(frozen), base)._update(frozen, rebuild_after):
                        return updated
            return cls._build_with_codes(frozen, texts)

    @classmethod
    def _exact_index(cls, frozen: Catalog, rebuild_after: int) -> "ScanIndex":
        """Return an index without codes, for a small gallery: from the file of vectors, or else from the catalogue."""
        for path in _own_files(frozen):
            if (file := index_file.read(path)) and "depth" not in file.about and index_file.is_sound(file):
                generation = _generation_in_name(path)
                if updated := cls(generation, Exact(file.ids, file.vectors), written=generation)._update(
                    frozen, rebuild_after
                ):
                    return updated
        index = cls(frozen.generation, _all_vectors(frozen))
        index.save(frozen)
        return index

    @classmethod
    def _build_with_codes(cls, frozen: Catalog, texts: Texts) -> "ScanIndex":
        """Make codes of all vectors, write them into a new file, and return an index that uses the file."""
        path = frozen.folder / f"scan-{frozen.generation}.faiss"
        # if the file cannot be written (read-only or full disk), the exact index below is used
        with contextlib.suppress(OSError):
            rabitq.write(path, _width(frozen), frozen.vector_blocks(), texts())
            _remove_older(frozen, path)
            if file := index_file.read(path):
                return cls(frozen.generation, _no_vectors(frozen), Base(frozen.generation, path, CodedVectors(file)))
        # An exact scan needs no file: searches are slow, but correct.
        return cls(frozen.generation, _all_vectors(frozen))

    def _update(self, frozen: Catalog, rebuild_after: int) -> "ScanIndex | None":
        """Return this index updated to the state of the catalogue `frozen`, from its log of changes.

        None if it must be built anew: the log does not reach back, the base's file is gone, or too much has changed.
        """
        if frozen.generation == self.generation:
            return self
        new = frozen.history.changed_since(self.generation)
        if new is None or _width(frozen) != self._exact_part.width or (self.base and not self.base.path.is_file()):
            return None
        changed = frozen.history.changed_since(self.base.generation) if self.base else None
        if len(new if changed is None else changed) > (rebuild_after if self.base else len(self._exact_part) // 4):
            return None
        same = np.ones(len(self._exact_part), bool)
        same[common_positions(self._exact_part.ids, new)] = False
        added, vectors = frozen.vectors_of(new)
        ids = np.concatenate([self._exact_part.ids[same], added])
        order = np.argsort(ids)
        if not self.base and len(ids) > EXACT_UP_TO:
            return None
        rest = Exact(ids[order], np.concatenate([self._exact_part.vectors[same], vectors])[order])
        return ScanIndex(frozen.generation, rest, self.base, changed, self._file_generation)

    def save(self, catalog: Catalog) -> None:
        """Write the file of vectors if the existing file is too old; do nothing in a large gallery (with a base)."""
        if self.base:
            return
        changed = catalog.history.changed_since(self._file_generation) if self._file_generation else None
        if changed is not None and len(changed) <= len(self._exact_part) // REWRITE_PART:
            return
        # if the file cannot be written (read-only or full disk), the next process builds the index again
        with contextlib.suppress(OSError):
            path = catalog.folder / f"scan-{self.generation}.faiss"
            index_file.write(path, self._exact_part.width, [(self._exact_part.ids, self._exact_part.vectors)])
            self._file_generation = self.generation
            _remove_older(catalog, path)

    @property
    def file_generation(self) -> str:
        """Token of the commit that this index's file shows; the catalogue must keep its log of all later changes."""
        return self.base.generation if self.base else self._file_generation or self.generation

    def __len__(self) -> int:
        if self.base is None:
            return len(self._exact_part)
        shown = len(self.base.codes.ids) if self._base_mask is None else int(np.count_nonzero(self._base_mask))
        return shown + len(self._exact_part)

    def search(self, query: Vectors, k: int, allowed: Ids | None = None) -> tuple[list[int], list[float]]:
        """Return ids and cosines, (k,) each, of the k pictures nearest to a unit vector (D,), best first, ties by id.

        Args:
            allowed: the only ids that may be found, in ascending order.
        """
        ids, scores = self._exact_part.search(query, k, allowed)
        if self.base is None:
            return ids.tolist(), scores.tolist()
        first, cosines = self.base.codes.search(query, k, allowed, self._base_mask)
        # After the first `depth / TRUSTED_PART` hits (see `rabitq`), all vectors are compared, and a hit may score
        # higher than an earlier one. Merging by the running minimum of the scores keeps the order of earlier hits, so
        # that pages of hits agree.
        falling = np.minimum.accumulate(cosines)
        merged = heapq.merge(
            zip((-falling).tolist(), first.tolist(), cosines.tolist(), strict=True),
            zip((-scores).tolist(), ids.tolist(), scores.tolist(), strict=True),
            key=lambda hit: hit[:2],
        )
        best = [hit for hit, _ in zip(merged, range(k), strict=False)]
        return [hit[1] for hit in best], [hit[2] for hit in best]

    def cached_selection(self, condition: Condition, select: Callable[[], Ids]) -> Ids:
        """Return the ids of the pictures that pass a filter, from the cache or else from `select()`."""
        ids = self._selected.get(condition)
        if ids is None:
            ids = select()
            with self._cache_lock:
                while len(self._selected) >= CACHED_FILTERS:
                    self._selected.pop(next(iter(self._selected)))
                self._selected[condition] = ids
        return ids

    def sample(self, most: int, without: Ids = NO_IDS) -> Vectors:
        """Return the vectors (n, D) of at most about `most` pictures, spread evenly over the ids, but not `without`."""
        step = len(self) // most + 1
        ids = self._exact_part.ids
        mask = _sample_mask(ids, step) & ~np.isin(ids, without)
        vectors = self._exact_part.vectors[mask].astype(np.float32)
        if self.base:
            codes = self.base.codes
            mask = _sample_mask(codes.ids, step) & ~np.isin(codes.ids, without)
            rows = np.flatnonzero(mask & (True if self._base_mask is None else self._base_mask))
            vectors = np.concatenate([codes.vectors[rows].astype(np.float32), vectors])
        # damaged vectors are left out here; `verify` reports them
        sound: Vectors = vectors[np.isfinite(vectors).all(axis=1)]
        return sound


def recall(catalog: Catalog) -> float | None:
    """Return the index's recall@10, measured on texts: 1 for an exact scan, None if there is no index yet."""
    if not catalog.has_more_than(EXACT_UP_TO):
        return 1.0
    for path in _own_files(catalog):
        if (about := index_file.read_header(path)) and "recall" in about:
            return float(about["recall"])
    return None


def delete_index_files(folder: Path) -> None:
    """Delete index files and temporary files; the index is rebuilt when it is needed."""
    for path in (*folder.glob("scan-*.faiss"), *folder.glob(".*.tmp")):
        atomic.unlink(path)


def damaged_files(catalog: Catalog) -> Iterator[Path]:
    """Yield the damaged index files of this catalogue; reads all its index files."""
    for path in _own_files(catalog):
        file = index_file.read(path)
        if not (file and index_file.is_sound(file)) and path.exists():  # not replaced by a newer index meanwhile
            yield path


def _sample_mask(ids: Ids, step: int) -> NDArray[np.bool_]:
    """Return a mask (n,) of about one in `step` of the n ids; whether an id is selected depends on that id alone."""
    hashes: NDArray[np.uint64] = ids.astype(np.uint64) * _GOLDEN
    return hashes <= np.uint64((2**64 - 1) // step)


def _width(catalog: Catalog) -> int:
    return int(catalog.meta("width"))


def _no_vectors(catalog: Catalog) -> Exact:
    return Exact(np.empty(0, np.int64), np.empty((0, _width(catalog)), np.float16))


def _generation_in_name(path: Path) -> str:
    return path.stem.removeprefix("scan-")


def _own_files(catalog: Catalog) -> list[Path]:
    """List the index files that belong to this catalogue's history, the latest first."""
    numbers = {
        path: catalog.history.last_change(_generation_in_name(path)) for path in catalog.folder.glob("scan-*.faiss")
    }
    known = {path: number for path, number in numbers.items() if number is not None}
    return sorted(known, key=lambda path: -known[path])


def _remove_older(catalog: Catalog, written: Path) -> None:
    """Delete index files of another gallery that was at this place, and those older than the file just written."""
    known = _own_files(catalog)
    current = known[: known.index(written) + 1] if written in known else [written]
    for path in catalog.folder.glob("scan-*.faiss"):
        if path not in current:
            atomic.unlink(path)


def _all_vectors(catalog: Catalog) -> Exact:
    parts = [(np.empty(0, np.int64), np.empty((0, _width(catalog)), np.float16)), *catalog.vector_blocks()]
    return Exact(np.concatenate([ids for ids, _ in parts]), np.concatenate([vectors for _, vectors in parts]))
