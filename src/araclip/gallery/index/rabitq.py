"""Scan short codes of the vectors (RaBitQ) and re-rank the best exactly, for galleries too large for an exact scan.

Each vector is reduced to a code of one bit for each dimension and a few numbers (RaBitQ, Gao and Long 2024): the bits
are the signs of its difference from the mean, after a fixed random rotation. With 512 dimensions, a code takes 72 bytes
instead of 1,024. A query is compared with all codes, and the best `depth` candidates are then compared exactly.
Clusters or a graph are not used: with these, the recall of text queries suffers, because their vectors are distributed
differently from picture vectors.

The depth that is needed differs between models. So it is measured on texts when the codes are made: one half of the
texts chooses the depth, the other half measures the recall.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from araclip.core.processes import usable_cores
from araclip.gallery.index import index_file
from araclip.gallery.index.exact import NOTHING_FOUND, Exact, Found, Scores, common_positions, one_thread
from araclip.gallery.index.index_file import IndexFile
from araclip.models.vectors import Ids, StoredVectors, Vectors

if TYPE_CHECKING:
    import faiss  # here for the type checker only: functions import FAISS, because the import takes long (see `exact`)

Mask = NDArray[np.bool_]

EXACT_UP_TO = 100_000  # limit: vectors that are all compared: 102 MB with 512 dimensions, a few milliseconds
SHARDS = 4  # the codes are divided into this many shards, which are scanned in parallel
BLOCK = 16_384  # vectors decoded at once: 25 MB
TRAINED_ON = 65_536  # vectors in the sample from which the mean is computed
RECALL_AT = 10  # to measure depth and recall, the ten vectors nearest to each test text are looked for
# A depth (how many candidates are compared exactly) suffices if, over the texts that choose it, this percentage of the
# truly nearest vectors are among the candidates.
DEPTH_PERCENTILE = 99.5
DEPTH_FACTOR = 2  # the depth that is used, as a multiple of the least sufficient depth
MIN_DEPTH, MAX_DEPTH = 1024, 32_768
# Of the `depth` candidates that are compared exactly, only the best eighth is trusted to be the nearest. If more hits
# are wanted, all vectors are compared.
TRUSTED_PART = 8
# Estimated cosines that differ by less than this count as equal, because FAISS rounds the estimates of equal codes
# differently, depending on their place in a block.
TIE = 1e-5
EXTRA = 64  # candidates fetched beyond `depth`, to find all that tie with the last of the `depth` best


class CodedVectors:
    """Searches the vectors of an index file: by their short codes first; the best `depth` are then compared exactly.

    `recall` is the recall@10 for text queries, as measured when the codes were made.
    """

    def __init__(self, file: IndexFile) -> None:
        self.ids, self.vectors = file.ids, file.vectors
        self.depth, self.recall = int(file.about["depth"]), float(file.about["recall"])
        self._scan = _CodeScan.read(file)

    def search(self, query: Vectors, k: int, allowed: Ids | None, shown: Mask | None) -> Found:
        """Return ids and cosines, (k,) each, of the k vectors nearest to a unit vector (D,), best first, ties by id.

        The best `depth` vectors by their codes are compared exactly. The first hits do not depend on k, so pages of
        hits are consistent. If k is more than an eighth of `depth`, or few ids are allowed, all allowed vectors are
        compared exactly.

        Args:
            allowed: the only ids that may be found, in ascending order.
            shown: mask of the rows that may be found; None if all may.
        """
        passed = shown
        if allowed is not None:
            rows = common_positions(self.ids, allowed)
            rows = rows if shown is None else rows[shown[rows]]
            if len(rows) <= EXACT_UP_TO:
                return self._search_exactly(query, k, rows)
            passed = np.zeros(len(self.ids), bool)
            passed[rows] = True
        first = self._search_exactly(query, min(k, self.depth // TRUSTED_PART), self._candidates(query, passed))
        if k <= self.depth // TRUSTED_PART:
            return first
        every = self._search_exactly(query, k, np.arange(len(self.ids)) if passed is None else np.flatnonzero(passed))
        late = ~np.isin(every[0], first[0])
        return np.concatenate([first[0], every[0][late]])[:k], np.concatenate([first[1], every[1][late]])[:k]

    def _search_exactly(self, query: Vectors, k: int, rows: Ids) -> Found:
        best: Found = NOTHING_FOUND
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            found = Exact(self.ids[some], self.vectors[some]).search(query, k)
            ids, scores = np.concatenate([best[0], found[0]]), np.concatenate([best[1], found[1]])
            order = np.lexsort((ids, -scores))[:k]  # best first, ties by id
            best = ids[order], scores[order]
        return best

    def _candidates(self, query: Vectors, passed: Mask | None) -> Ids:
        """Return the `depth` rows with the best cosines by their codes, and all that tie with the last, in row order.

        Args:
            passed: mask of the rows that may be returned; None if all may.
        """
        ask = self.depth + EXTRA
        if passed is not None:
            ask = int(ask * len(passed) / max(int(np.count_nonzero(passed)), 1))
        while True:
            rows, estimates, sure = self._scan.search(query, ask)
            if passed is not None:
                here = passed[rows]
                rows, estimates = rows[here], estimates[here]
            if ask >= len(self.ids) or (len(rows) >= self.depth and estimates[self.depth - 1] - TIE > sure):
                last = estimates[min(self.depth, len(rows)) - 1] if len(rows) else 0.0
                return np.sort(rows[estimates >= last - TIE])
            ask *= 2


class _CodeScan:
    """The short codes (RaBitQ) of all vectors, in shards that are searched in parallel."""

    def __init__(self, shards: list["faiss.IndexRaBitQFastScan"], rotation: Vectors) -> None:
        self._shards = shards
        self._starts = np.cumsum([0, *(shard.ntotal for shard in shards)])
        self._rotation = rotation
        self._pool = ThreadPoolExecutor(len(shards), "scan") if len(shards) > 1 else None

    @classmethod
    def of(cls, vectors: StoredVectors) -> "_CodeScan":
        """Compute the short codes of vectors (n, D), in parallel."""
        import faiss

        width = vectors.shape[1]
        # a random but fixed rotation, which spreads the variance evenly over the dimensions
        rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))[0].astype(np.float32)
        training = vectors[:: len(vectors) // TRAINED_ON + 1].astype(np.float32) @ rotation

        def encode(some: NDArray[np.int64]) -> "faiss.IndexRaBitQFastScan":
            shard = faiss.IndexRaBitQFastScan(width, faiss.METRIC_INNER_PRODUCT)
            shard.train(training)
            for start in range(int(some[0]), int(some[-1]) + 1, BLOCK):
                shard.add(vectors[start : min(start + BLOCK, int(some[-1]) + 1)].astype(np.float32) @ rotation)
            return shard

        # few threads, because each of them holds two blocks of vectors in float32 in memory
        with ThreadPoolExecutor(min(SHARDS, usable_cores()), "encode") as pool:
            return cls(list(pool.map(encode, np.array_split(np.arange(len(vectors)), SHARDS))), rotation)

    @classmethod
    def read(cls, file: IndexFile) -> "_CodeScan":
        import faiss

        rotation, *shards = np.split(file.codes, np.cumsum(file.about["parts"])[:-1])
        width = file.about["width"]
        # typed Any, because FAISS's type stubs say faiss.Index
        indexes: list[Any] = [faiss.deserialize_index(part) for part in shards]
        return cls(indexes, rotation.view("<f4").reshape(width, width))

    def as_bytes(self) -> list[bytes]:
        """Return rotation and shards as bytes; the rotation is stored because other NumPy versions draw another one."""
        import faiss

        return [
            self._rotation.astype("<f4").tobytes(),
            *(faiss.serialize_index(part).tobytes() for part in self._shards),
        ]

    def search(self, query: Vectors, k: int) -> tuple[Ids, Scores, float]:
        """Return k rows or more, their cosines as the codes estimate them (best first), and a bound.

        Every row whose estimated cosine is above the bound is among the returned rows.
        """
        rotated = (query @ self._rotation)[None]

        def scan(shard: "faiss.IndexRaBitQFastScan") -> tuple[Scores, Ids]:
            with one_thread():
                estimates, rows = shard.search(rotated, min(k, shard.ntotal))
            return estimates[0], rows[0]

        found = list(self._pool.map(scan, self._shards) if self._pool else map(scan, self._shards))
        rows = np.concatenate([rows + start for start, (_, rows) in zip(self._starts[:-1], found, strict=True)])
        estimates = np.concatenate([estimates for estimates, _ in found])
        order = np.argsort(-estimates, kind="stable")
        cut = [estimates[-1] for shard, (estimates, _) in zip(self._shards, found, strict=True) if k < shard.ntotal]
        return rows[order], estimates[order], float(max(cut, default=-np.inf))


def write(path: Path, width: int, blocks: Iterator[tuple[Ids, StoredVectors]], texts: Vectors) -> None:
    """Make the codes of all vectors, measure depth and recall, and write an index file.

    Args:
        texts: vectors (n, D) of the texts on which depth and recall are measured.
    """

    def encode(vectors: StoredVectors) -> tuple[bytes, dict[str, Any]]:
        scan = _CodeScan.of(vectors)
        written = scan.as_bytes()
        about = {"parts": [len(part) for part in written], **_choose_depth(vectors, scan, texts)}
        return b"".join(written), about

    index_file.write(path, width, blocks, encode)


def _choose_depth(vectors: StoredVectors, scan: _CodeScan, texts: Vectors) -> dict[str, Any]:
    """Choose the depth (how many candidates are re-ranked) by every second text; measure recall by the other texts.

    Returns "depth", "recall" and "texts" (how many texts measured the recall), for the header of the index file.
    """
    nearest = best_rows(vectors, texts, min(RECALL_AT, len(vectors)))
    ranks = []  # for each text, the ranks of its nearest rows in the order of the codes' estimates
    for text, wanted in zip(texts, nearest, strict=True):
        rows, _, _ = scan.search(text, MAX_DEPTH)
        same = rows[:, None] == wanted
        ranks.append(np.where(same.any(axis=0), same.argmax(axis=0), 2 * MAX_DEPTH))
    reached = np.stack(ranks)
    enough = np.percentile(reached[::2], DEPTH_PERCENTILE) * DEPTH_FACTOR
    depth = int(min(max(enough, MIN_DEPTH), MAX_DEPTH))
    return {"depth": depth, "recall": float((reached[1::2] < depth).mean()), "texts": len(reached[1::2])}


def best_rows(vectors: StoredVectors, queries: Vectors, k: int) -> Ids:
    """Return the rows (n, k) of the k vectors nearest to each of n queries, by an exact scan."""
    import faiss

    scores = np.full((len(queries), k), -np.inf, np.float32)
    rows = np.full((len(queries), k), -1, np.int64)
    for start in range(0, len(vectors), BLOCK):
        here = vectors[start : start + BLOCK].astype(np.float32)
        found, at = faiss.knn(queries, here, min(k, len(here)), metric=faiss.METRIC_INNER_PRODUCT)
        both, where = np.hstack([scores, found]), np.hstack([rows, at + start])
        order = np.argsort(-both, axis=1, kind="stable")[:, :k]
        scores, rows = np.take_along_axis(both, order, 1), np.take_along_axis(where, order, 1)
    return rows
