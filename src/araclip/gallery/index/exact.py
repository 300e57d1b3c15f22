"""The exact scan: inner products of a query with every one of some float16 vectors."""

from collections.abc import Iterator
from contextlib import contextmanager

import faiss
import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]
Found = tuple[Ids, Scores]
NONE: Found = (np.empty(0, np.int64), np.empty(0, np.float32))


class Exact:
    """Vectors under ids, compared one by one: a score depends on query and vector alone, not on what lies beside it."""

    def __init__(self, ids: Ids, vectors: NDArray[np.float16]) -> None:
        """Take ids (n,) in ascending order and vectors (n, D)."""
        self.ids = ids
        self._scan = faiss.IndexScalarQuantizer(
            vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        if len(ids):
            self._scan.add_sa_codes(np.ascontiguousarray(vectors, "<f2").view(np.uint8))

    def __len__(self) -> int:
        """Number of vectors."""
        return len(self.ids)

    @property
    def width(self) -> int:
        """Dimensions of a vector."""
        return int(self._scan.d)

    @property
    def vectors(self) -> NDArray[np.float16]:
        """The vectors (n, D), as FAISS holds them; good only as long as this object."""
        held = faiss.rev_swig_ptr(self._scan.codes.data(), len(self.ids) * self._scan.d * 2) if len(self.ids) else b""
        return np.frombuffer(held, "<f2").reshape(len(self.ids), self._scan.d)

    def search(self, query: Scores, k: int, allowed: Ids | None = None) -> Found:
        """Ids and cosines of the k best for one unit vector (D,), best first, ties by id.

        Args:
            allowed: only these ids may be found, in ascending order; ids that are not here are passed over.
        """
        rows = None if allowed is None else positions(self.ids, allowed)
        most = len(self.ids) if rows is None else len(rows)
        if k < 1 or most == 0:
            return NONE
        only = None if rows is None else _only(rows, len(self.ids))
        found = min(k, most)
        while True:  # FAISS cuts ties anywhere: take all that tie with the last, or pages would not fit together
            with one_thread():
                scores, best = self._scan.search(query[None, :], found + (found < most), params=only)
            last = found + (found < most) - 1
            if found == most or scores[0, last] < scores[0, k - 1]:
                break
            found = min(2 * found, most)
        there = best[0] >= 0
        row, score = best[0][there], scores[0][there]
        order = np.lexsort((row, -score))[:k]
        return self.ids[row[order]], score[order]


@contextmanager
def one_thread() -> Iterator[None]:
    """FAISS without its thread pool, which one query does not need.

    The pool's threads spin while they wait for work and compete with the encoder of the next query for cores: a warm
    query over 10,000 pictures took 18 ms in place of 8.
    """
    before = faiss.omp_get_max_threads()  # of this thread, as is what follows
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def positions(ids: Ids, wanted: Ids) -> Ids:
    """Positions in `ids` of those of `wanted` that are there; both in ascending order, and so is the answer."""
    at = np.searchsorted(ids, wanted)
    at = at[at < len(ids)]
    rows: Ids = at[ids[at] == wanted[: len(at)]]
    return rows


def _only(rows: Ids, count: int) -> "faiss.SearchParameters":
    bits = np.zeros(count, bool)
    bits[rows] = True
    # FAISS's type stubs know neither the array nor the keyword that its wrappers add.
    selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))  # type: ignore[call-arg,arg-type,unused-ignore]
    return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg,unused-ignore]
