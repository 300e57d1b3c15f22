"""Exact scan: compare a query with every vector of a set of float16 vectors, by inner products.

FAISS is imported when it is first needed, not with this module: the import takes a tenth of a second, and a search from
the command line opens the text encoder in that time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from araclip.models.vectors import Ids

if TYPE_CHECKING:
    import faiss

Scores = NDArray[np.float32]
Found = tuple[Ids, Scores]
NOTHING_FOUND: Found = (np.empty(0, np.int64), np.empty(0, np.float32))


class Exact:
    """Finds the vectors, each with an id, that are nearest to a query, by comparing the query with all of them.

    A score depends only on the query and the vector, not on the other vectors.
    """

    def __init__(self, ids: Ids, vectors: NDArray[np.float16]) -> None:
        """Make an index of vectors (n, D) with ids (n,) in ascending order."""
        import faiss

        self.ids = ids
        self._scan = faiss.IndexScalarQuantizer(
            vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        if len(ids):
            self._scan.add_sa_codes(np.ascontiguousarray(vectors, "<f2").view(np.uint8))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def width(self) -> int:
        """The number of dimensions of a vector."""
        return int(self._scan.d)

    @property
    def vectors(self) -> NDArray[np.float16]:
        """The vectors (n, D): a view of FAISS's memory, valid only while this object lives."""
        import faiss

        codes = faiss.rev_swig_ptr(self._scan.codes.data(), len(self.ids) * self._scan.d * 2) if len(self.ids) else b""
        return np.frombuffer(codes, "<f2").reshape(len(self.ids), self._scan.d)

    def search(self, query: Scores, k: int, allowed: Ids | None = None) -> Found:
        """Return ids and cosines, (k,) each, of the k vectors nearest to a unit vector (D,), best first, ties by id.

        Args:
            allowed: the only ids that may be found, in ascending order; unknown ids are ignored.
        """
        rows = None if allowed is None else common_positions(self.ids, allowed)
        most = len(self.ids) if rows is None else len(rows)
        if k < 1 or most == 0:
            return NOTHING_FOUND
        only = None if rows is None else _restrict_to(rows, len(self.ids))
        count = min(k, most)
        # FAISS returns equal scores in any order: fetch all that equal the last hit's score, so that pages of hits
        # agree
        while True:
            with one_thread():
                scores, best = self._scan.search(query[None, :], count + (count < most), params=only)
            last = count + (count < most) - 1
            if count == most or scores[0, last] < scores[0, k - 1]:
                break
            count = min(2 * count, most)
        valid = best[0] >= 0  # FAISS gives row -1 for each missing vector, if there are too few
        row, score = best[0][valid], scores[0][valid]
        order = np.lexsort((row, -score))[:k]
        return self.ids[row[order]], score[order]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run FAISS without its thread pool inside the block.

    The pool's idle threads spin and compete with the encoder of the next query for cores: a warm query over 10,000
    pictures took 18 ms instead of 8.
    """
    import faiss

    # The number of threads is set for each search, because FAISS keeps such a number for each calling thread.
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def common_positions(ids: Ids, wanted: Ids) -> Ids:
    """Return the positions in `ids` of the ids that `wanted` and `ids` have in common. All arrays are ascending."""
    at = np.searchsorted(ids, wanted)
    at = at[at < len(ids)]
    rows: Ids = at[ids[at] == wanted[: len(at)]]
    return rows


def _restrict_to(rows: Ids, count: int) -> "faiss.SearchParameters":
    """Return FAISS's parameters for a search among only these rows, of `count` rows in all."""
    import faiss

    bits = np.zeros(count, bool)
    bits[rows] = True
    # FAISS's type stubs lack the array argument of IDSelectorBitmap and the keyword `sel`, which FAISS's wrappers add.
    selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))  # type: ignore[call-arg,arg-type,unused-ignore]
    return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg,unused-ignore]
