"""The vector index: an exact FAISS scan over float16, derived from the catalogue and always rebuildable.

The file carries the catalogue's generation in its name, so a stale one is never read; one that is damaged is rebuilt.
"""

import contextlib
from pathlib import Path

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
        if path.is_file():
            with contextlib.suppress(RuntimeError):  # FAISS's word for a damaged file; the catalogue has everything
                return cls(faiss.deserialize_index(np.frombuffer(path.read_bytes(), np.uint8)))
        index = cls._build(*catalog.vectors())

        def fill(temporary: Path) -> None:  # not faiss.write_index, which takes no path that is not UTF-8
            temporary.write_bytes(faiss.serialize_index(index._index).tobytes())

        with contextlib.suppress(OSError):  # read-only or full: the next start builds it again, a fraction of a second
            atomic.write(path, fill)
            for stale in catalog.folder.glob("scan-*.faiss"):
                if stale != path:
                    stale.unlink(missing_ok=True)
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

    def search(self, query: NDArray[np.float32], k: int) -> tuple[list[int], list[float]]:
        """Ids and cosines of the k best pictures for one unit vector (D,), best first, ties by id."""
        if k < 1 or self._index.ntotal == 0:
            return [], []
        scores, ids = self._index.search(query[None, :], min(k, self._index.ntotal))
        best = sorted(zip(ids[0].tolist(), scores[0].tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))
        return [hit[0] for hit in best], [hit[1] for hit in best]
