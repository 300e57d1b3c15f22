"""Exact scan: compare a query with every vector of a set of float16 vectors, by inner products.

FEW vectors are compared by NumPy, more by FAISS. FAISS is imported when it is first needed, because the import takes a
tenth of a second, thirty times as long as NumPy takes for FEW vectors.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from araclip.models.vectors import Ids, products

if TYPE_CHECKING:
    import faiss

Scores = NDArray[np.float32]
Found = tuple[Ids, Scores]
FEW = 16_384  # vectors are kept as float32, 42 MB with 639 dimensions, and compared by NumPy
NOTHING_FOUND: Found = (np.empty(0, np.int64), np.empty(0, np.float32))


class Exact:
    """Searches vectors with ids exactly. A score depends only on query and vector, not on the other vectors."""

    def __init__(self, ids: Ids, vectors: NDArray[np.float16]) -> None:
        """Make an index of vectors (n, D) with ids (n,) in ascending order."""
        self.ids, self.width = ids, vectors.shape[1]
        self._few = vectors.astype(np.float32) if len(ids) <= FEW else None
        if self._few is None:
            import faiss

            self._scan = faiss.IndexScalarQuantizer(
                self.width, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
            self._scan.add_sa_codes(np.ascontiguousarray(vectors, "<f2").view(np.uint8))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def vectors(self) -> NDArray[np.float16]:
        """The vectors (n, D): a copy of few, of many a view of FAISS's memory, valid only while this object lives."""
        if self._few is not None:
            return self._few.astype(np.float16)
        import faiss

        codes = faiss.rev_swig_ptr(self._scan.codes.data(), len(self.ids) * self.width * 2)
        return np.frombuffer(codes, "<f2").reshape(len(self.ids), self.width)

    def search(self, query: Scores, k: int, allowed: Ids | None = None) -> Found:
        """Return ids and cosines of the k vectors nearest to a unit vector (D,), best first, ties by id.

        Args:
            allowed: the only ids that may be found, in ascending order; unknown ids are ignored.
        """
        rows = None if allowed is None else positions(self.ids, allowed)
        most = len(self.ids) if rows is None else len(rows)
        if k < 1 or most == 0:
            return NOTHING_FOUND
        row, score = self._nearest(query, min(k, most), most, rows)
        order = np.lexsort((row, -score))[:k]
        return self.ids[row[order]], score[order]

    def _nearest(self, query: Scores, k: int, most: int, rows: Ids | None) -> tuple[Ids, Scores]:
        """Return positions and scores of the k best of `most` vectors and of all that equal the last of them.

        Args:
            rows: the positions of the only vectors to compare; None for all.
        """
        if self._few is not None:
            scores = products(self._few if rows is None else self._few[rows], query)
            sound = np.flatnonzero(np.isfinite(scores))  # a damaged vector is not found, as with FAISS
            k = min(k, len(sound))
            best = sound[scores[sound] >= np.partition(scores[sound], -k)[-k]] if k else sound
            return (best if rows is None else rows[best]), scores[best]
        only, count = None if rows is None else _only(rows, len(self.ids)), k
        while True:  # FAISS returns equal scores in any order: fetch all equal to the last, so that pages agree
            with one_thread():
                found, at = self._scan.search(query[None, :], count + (count < most), params=only)
            last = count + (count < most) - 1
            if count == most or found[0, last] < found[0, k - 1]:
                break
            count = min(2 * count, most)
        valid = at[0] >= 0  # FAISS pads with -1
        return at[0][valid], found[0][valid]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run FAISS without its thread pool inside the block.

    The pool's idle threads spin and compete with the encoder of the next query for cores: a warm query over 10,000
    pictures took 18 ms instead of 8.
    """
    import faiss

    # The number is set for each search, because FAISS keeps a number of threads for each calling thread.
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def positions(ids: Ids, wanted: Ids) -> Ids:
    """Return the positions in `ids` of the ids that `wanted` and `ids` have in common. All arrays are ascending."""
    at = np.searchsorted(ids, wanted)
    at = at[at < len(ids)]
    rows: Ids = at[ids[at] == wanted[: len(at)]]
    return rows


def _only(rows: Ids, count: int) -> "faiss.SearchParameters":
    import faiss

    bits = np.zeros(count, bool)
    bits[rows] = True
    # FAISS's type stubs lack the array argument of IDSelectorBitmap and the keyword `sel`, which FAISS's wrappers add.
    selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))  # type: ignore[call-arg,arg-type,unused-ignore]
    return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg,unused-ignore]
