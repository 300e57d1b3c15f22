"""A scan of short codes for more vectors than an exact scan can read in a few milliseconds.

Every vector becomes one bit a dimension and a few numbers (RaBitQ, Gao and Long 2024): the signs of its difference from
the mean, along a rotation that depends on nothing. A query is compared with all the codes, 56 bytes a picture at 384
dimensions instead of 768, and the best `depth` of them are compared exactly. Nothing is clustered and no graph is
walked: such indexes are made for queries that look like the vectors, and a text is no picture.

How deep is deep enough differs from model to model, so it is measured while the codes are made: on texts, half of which
choose the depth and half of which tell the recall.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from araclip.gallery.index import index_file
from araclip.gallery.index.exact import NONE, Exact, Found, Ids, Scores, one_thread, positions
from araclip.gallery.index.index_file import IndexFile

Vectors = NDArray[np.float16]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

FEW = 100_000  # vectors that are compared exactly: 77 MB at 384 dimensions, a few milliseconds
SHARDS = 4  # parts that are scanned at the same time
BLOCK = 16_384  # vectors decoded at once: 25 MB
LEARNT = 65_536  # vectors that the mean is taken of
WANTED = 10  # recall is measured at
SURE = 99.5  # per cent of the wanted that the depth must reach, among the texts that choose it
MARGIN = 2  # times that depth
LEAST, MOST = 1024, 32_768  # depth
SAFE = 8  # of `depth` candidates, the best in this many are taken for the best of all
SAME = 1e-5  # estimates that differ by less are one: for equal codes FAISS rounds by their place in a block
SPARE = 64  # more candidates than asked for, to see where the last ties end


class Coded:
    """An index file with codes. `depth` candidates are compared exactly; `recall` is at 10, on texts."""

    def __init__(self, file: IndexFile) -> None:
        self.ids, self.vectors = file.ids, file.vectors
        self.depth, self.recall = int(file.about["depth"]), float(file.about["recall"])
        self._scan = _Scan.read(file)

    def search(self, query: Floats, k: int, allowed: Ids | None, shown: Mask | None) -> Found:
        """Ids and cosines of the k best for one unit vector (D,), best first, ties by id.

        What is found first does not depend on k: pages fit together. Beyond the depth, and where few are allowed, all
        are compared exactly.

        Args:
            allowed: only these ids may be found, in ascending order.
            shown: a mark for each row that may be found; None when all may.
        """
        passed = shown
        if allowed is not None:
            rows = positions(self.ids, allowed)
            rows = rows if shown is None else rows[shown[rows]]
            if len(rows) <= FEW:
                return self._exact(query, k, rows)
            passed = np.zeros(len(self.ids), bool)
            passed[rows] = True
        first = self._exact(query, min(k, self.depth // SAFE), self._candidates(query, passed))
        if k <= self.depth // SAFE:
            return first
        every = self._exact(query, k, np.arange(len(self.ids)) if passed is None else np.flatnonzero(passed))
        late = ~np.isin(every[0], first[0])
        return np.concatenate([first[0], every[0][late]])[:k], np.concatenate([first[1], every[1][late]])[:k]

    def _exact(self, query: Floats, k: int, rows: Ids) -> Found:
        """The best of some rows by their vectors."""
        best: Found = NONE
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            best = joined(best, Exact(self.ids[some], self.vectors[some]).search(query, k), k)
        return best

    def _candidates(self, query: Floats, passed: Mask | None) -> Ids:
        """The `depth` rows that the codes call best, and all within `SAME` of the last; in ascending order.

        Args:
            passed: a mark for each row that may be one.
        """
        ask = self.depth + SPARE
        if passed is not None:
            ask = int(ask * len(passed) / max(int(np.count_nonzero(passed)), 1))
        while True:
            rows, estimates, sure = self._scan.search(query, ask)
            if passed is not None:
                here = passed[rows]
                rows, estimates = rows[here], estimates[here]
            if ask >= len(self.ids) or (len(rows) >= self.depth and estimates[self.depth - 1] - SAME > sure):
                last = estimates[min(self.depth, len(rows)) - 1] if len(rows) else 0.0
                return np.sort(rows[estimates >= last - SAME])
            ask *= 2


class _Scan:
    """The codes of all rows, in shards that are searched at the same time."""

    def __init__(self, shards: list["faiss.IndexRaBitQFastScan"], turn: Floats) -> None:
        self._shards = shards
        self._starts = np.cumsum([0, *(shard.ntotal for shard in shards)])
        self._turn = turn
        self._pool = ThreadPoolExecutor(len(shards), "scan") if len(shards) > 1 else None

    @classmethod
    def of(cls, vectors: Vectors) -> "_Scan":
        width = vectors.shape[1]
        turn = rotation(width)
        learnt = vectors[:: len(vectors) // LEARNT + 1].astype(np.float32) @ turn
        shards = []
        for some in np.array_split(np.arange(len(vectors)), SHARDS):
            shard = faiss.IndexRaBitQFastScan(width, faiss.METRIC_INNER_PRODUCT)
            shard.train(learnt)
            for start in range(int(some[0]), int(some[-1]) + 1, BLOCK):
                shard.add(vectors[start : min(start + BLOCK, int(some[-1]) + 1)].astype(np.float32) @ turn)
            shards.append(shard)
        return cls(shards, turn)

    @classmethod
    def read(cls, file: IndexFile) -> "_Scan":
        turn, *shards = np.split(file.codes, np.cumsum(file.about["parts"])[:-1])
        width = file.about["width"]
        indexes: list[Any] = [faiss.deserialize_index(part) for part in shards]  # of faiss.Index, say its type stubs
        return cls(indexes, turn.view("<f4").reshape(width, width))

    def written(self) -> list[bytes]:
        """Rotation and shards; another version of NumPy would draw another rotation."""
        return [self._turn.astype("<f4").tobytes(), *(faiss.serialize_index(part).tobytes() for part in self._shards)]

    def search(self, query: Floats, k: int) -> tuple[Ids, Scores, float]:
        """Rows and estimates, best first: k and more, if there are so many. All whose estimate is above the third are
        among them."""
        turned = (query @ self._turn)[None]

        def scan(shard: "faiss.IndexRaBitQFastScan") -> tuple[Scores, Ids]:
            with one_thread():
                estimates, rows = shard.search(turned, min(k, shard.ntotal))
            return estimates[0], rows[0]

        found = list(self._pool.map(scan, self._shards) if self._pool else map(scan, self._shards))
        rows = np.concatenate([rows + start for start, (_, rows) in zip(self._starts[:-1], found, strict=True)])
        estimates = np.concatenate([estimates for estimates, _ in found])
        order = np.argsort(-estimates, kind="stable")
        cut = [estimates[-1] for shard, (estimates, _) in zip(self._shards, found, strict=True) if k < shard.ntotal]
        return rows[order], estimates[order], float(max(cut, default=-np.inf))


def write(path: Path, width: int, blocks: Iterator[tuple[Ids, Vectors]], texts: Floats) -> None:
    """Write an index file with codes.

    Args:
        texts: vectors (n, D) of texts that the depth and the recall are measured on.

    Raises:
        OSError: as for `index_file.write`.
    """

    def encode(vectors: Vectors) -> tuple[bytes, dict[str, Any]]:
        scan = _Scan.of(vectors)
        written = scan.written()
        about = {"parts": [len(part) for part in written], **_measured(vectors, scan, texts)}
        return b"".join(written), about

    index_file.write(path, width, blocks, encode)


def _measured(vectors: Vectors, scan: _Scan, texts: Floats) -> dict[str, Any]:
    """The depth that finds what every other text is to find, and the recall of the others at that depth."""
    wanted = best_rows(vectors, texts, min(WANTED, len(vectors)))
    reached = np.stack([_depths(scan, text, rows) for text, rows in zip(texts, wanted, strict=True)])
    enough = np.percentile(reached[::2], SURE) * MARGIN
    depth = int(min(max(enough, LEAST), MOST))
    return {"depth": depth, "recall": float((reached[1::2] < depth).mean()), "texts": len(reached[1::2])}


def _depths(scan: _Scan, text: Floats, wanted: Ids) -> NDArray[np.int64]:
    """How far down the list of the codes each wanted row stands."""
    rows, _, _ = scan.search(text, MOST)
    place = {int(row): at for at, row in enumerate(rows.tolist())}
    return np.array([place.get(row, 2 * MOST) for row in wanted.tolist()])


def best_rows(vectors: Vectors, queries: Floats, k: int) -> Ids:
    """(n, k) rows of the k vectors nearest to each query, by comparing all."""
    scores = np.full((len(queries), k), -np.inf, np.float32)
    rows = np.full((len(queries), k), -1, np.int64)
    for start in range(0, len(vectors), BLOCK):
        here = vectors[start : start + BLOCK].astype(np.float32)
        found, at = faiss.knn(queries, here, min(k, len(here)), metric=faiss.METRIC_INNER_PRODUCT)
        both, where = np.hstack([scores, found]), np.hstack([rows, at + start])
        order = np.argsort(-both, axis=1, kind="stable")[:, :k]
        scores, rows = np.take_along_axis(both, order, 1), np.take_along_axis(where, order, 1)
    return rows


def joined(one: Found, other: Found, k: int) -> Found:
    """The k best of two lists of ids and cosines, best first, ties by id."""
    ids, scores = np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])
    order = np.lexsort((ids, -scores))[:k]
    return ids[order], scores[order]


def rotation(width: int) -> Floats:
    """A random rotation (D, D): no dimension of a model is left with more than its share."""
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))
    return turn.astype(np.float32)
