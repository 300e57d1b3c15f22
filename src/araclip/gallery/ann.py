"""The vector index: an exact FAISS scan over float16, derived from the catalogue and always rebuildable.

The file carries the catalogue's generation in its name, so a stale one is never read; one that is damaged is rebuilt.
"""

import contextlib

import faiss
import numpy as np
from numpy.typing import NDArray

from araclip import atomic
from araclip.gallery.catalog import Catalog


class ScanIndex:
    """Inner products of a query with every picture: exact up to float16 rounding of the stored vectors."""

    def __init__(self, index: "faiss.Index") -> None:
        self._index = index

    @classmethod
    def of(cls, catalog: Catalog) -> "ScanIndex":
        """The index of the catalogue's present generation, from its file or built anew."""
        path = catalog.folder / f"scan-{catalog.generation}.faiss"
        if stored := atomic.read_checked(path):
            with contextlib.suppress(RuntimeError):  # written by another release of FAISS; the catalogue has everything
                return cls(faiss.deserialize_index(np.frombuffer(stored, np.uint8)))
        index = cls._build(*catalog.vectors())

        with contextlib.suppress(OSError):  # read-only or full: the next start builds it again, a fraction of a second
            # Not by faiss.write_index, which takes no path that is not UTF-8.
            atomic.write_checked(path, faiss.serialize_index(index._index).tobytes())
            for stale in catalog.folder.glob("scan-*.faiss"):
                if stale != path:
                    atomic.unlink(stale)
        return index

    @classmethod
    def _build(cls, ids: NDArray[np.int64], vectors: NDArray[np.float16]) -> "ScanIndex":
        scan = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index = faiss.IndexIDMap2(scan)
        if len(ids):
            index.add_with_ids(vectors.astype(np.float32), ids)
        return cls(index)

    def __len__(self) -> int:
        """Number of pictures."""
        return int(self._index.ntotal)

    def search(
        self, query: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None = None
    ) -> tuple[list[int], list[float]]:
        """Ids and cosines of the k best pictures for one unit vector (D,), best first, ties by id.

        Args:
            allowed: only these ids may be found. Their scores are exact, and none is missed however few they are.
        """
        most = self._index.ntotal if allowed is None else len(allowed)
        if k < 1 or most == 0:
            return [], []
        only = None if allowed is None else _only(allowed)
        found = min(k, most)
        while True:  # FAISS cuts ties anywhere: take all that tie with the last, or pages would not fit together
            scores, ids = self._index.search(query[None, :], found + (found < most), params=only)
            last = found + (found < most) - 1
            if found == most or scores[0, last] < scores[0, k - 1]:
                break
            found = min(2 * found, most)
        pairs = ((int(id_), float(score)) for id_, score in zip(ids[0], scores[0], strict=True) if id_ >= 0)
        best = sorted(pairs, key=lambda hit: (-hit[1], hit[0]))[:k]
        return [hit[0] for hit in best], [hit[1] for hit in best]


def _only(allowed: NDArray[np.int64]) -> "faiss.SearchParameters":
    bits = np.zeros(int(allowed.max()) + 1, bool)
    bits[allowed] = True
    # FAISS's type stubs know neither the array nor the keyword that its wrappers add.
    selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))  # type: ignore[call-arg,arg-type,unused-ignore]
    return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg,unused-ignore]
