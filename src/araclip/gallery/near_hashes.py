"""Find pairs of near hashes among a million perceptual hashes, without comparing every pair. Pure.

Multi-index hashing (Norouzi, Punjani and Fleet 2012): each 64-bit hash is cut into PARTS. If two hashes differ in at
most NEAR bits, some part of them differs in at most one bit: if each of the four parts differed in two bits, the hashes
would differ in eight. So only hashes with a part that is equal or differs in one bit are compared. FAISS's
IndexBinaryMultiHash does the same and took 14 times as long (docs/log/2026-11.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from araclip.models.vectors import Ids

NEAR = 6  # limit: differing bits, of 64; of 25 million pairs of unlike photos, none has 6 or fewer, three have 7 or 8
PARTS = 4
BITS = 64 // PARTS
AT_ONCE = 1 << 22  # pairs compared at once; they take 100 MB

Hashes = NDArray[np.uint64]


def mask_near(hashes: Hashes, phash: int | np.uint64) -> NDArray[np.bool_]:
    """Return a mask (n,) of the perceptual hashes (n,) that differ from `phash`, which is not 0, in at most NEAR bits.

    Hash 0, that of a picture of one colour, is near to no hash.
    """
    near: NDArray[np.bool_] = (np.bitwise_count(hashes ^ np.uint64(phash)) <= NEAR) & (hashes != 0)
    return near


class SeenHashes:
    """A growing list of perceptual hashes; hash 0 is near to no hash, and is not kept."""

    def __init__(self) -> None:
        self._hashes: Hashes = np.zeros(64, np.uint64)
        self._count = 0

    def add_unless_near(self, phash: int) -> bool:
        """Add a perceptual hash and return True; return False if it is near to one that was added before."""
        if not phash:
            return True
        if mask_near(self._hashes[: self._count], phash).any():
            return False
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
        self._hashes[self._count] = phash
        self._count += 1
        return True


@dataclass(frozen=True)
class HashTable:
    """The perceptual hashes (n,) of a gallery's pictures, with their ids (n,) in ascending order."""

    ids: Ids
    hashes: Hashes

    def hash_of(self, content: int) -> int:
        """Return the perceptual hash of a picture; 0, which is near to no hash, if it is not known."""
        row = int(np.searchsorted(self.ids, content))
        return int(self.hashes[row]) if row < len(self.ids) and self.ids[row] == content else 0

    def near(self, content: int, allowed: Ids | None = None) -> list[int]:
        """Return the ids of the other pictures that are near to a picture; takes 30 µs per 100,000 pictures.

        `allowed` (ascending ids) restricts the answer; None allows all pictures.
        """
        if not (phash := self.hash_of(content)):
            return []
        found = self.ids[mask_near(self.hashes, phash)]
        found = found[found != content]
        near: list[int] = (found if allowed is None else np.intersect1d(found, allowed, assume_unique=True)).tolist()
        return near


def near_pairs(hashes: Hashes) -> Iterator[tuple[int, int]]:
    """Yield pairs of rows (first < second) with near perceptual hashes: enough to connect all near rows, not all pairs.

    A row with hash 0 (a picture of one colour) is near to no other row. Of the rows with the same hash, only the first
    is paired with rows of near hashes; the others are paired with the first. Otherwise a thousand copies would make
    half a million pairs.
    """
    known, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    for row in np.flatnonzero((first[which] != np.arange(len(hashes))) & (hashes != 0)).tolist():
        yield int(first[which[row]]), row
    nonzero = np.flatnonzero(known)  # leave out pictures of one colour, which have hash 0
    for one, other in _pairs_of_different_hashes(known[nonzero]):
        low, high = sorted((int(first[nonzero[one]]), int(first[nonzero[other]])))
        yield low, high


def _pairs_of_different_hashes(hashes: Hashes) -> set[tuple[int, int]]:
    """Return the pairs (lower row, higher row) of near perceptual hashes; no hash may occur twice in `hashes`."""
    near: set[tuple[int, int]] = set()
    for part in range(PARTS):
        keys = ((hashes >> np.uint64(BITS * part)) & np.uint64((1 << BITS) - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        keys, sorted_ = keys[order], hashes[order]
        starts = np.searchsorted(keys, np.arange((1 << BITS) + 1))
        for flip in (0, *(1 << bit for bit in range(BITS))):
            begins, ends = starts[keys ^ flip], starts[(keys ^ flip) + 1]
            if flip:
                ends = np.where(keys ^ flip > keys, ends, begins)  # the parts differ: pair two rows in one order only
            else:
                begins = np.arange(1, len(keys) + 1)  # the parts are equal: pair each row only with later rows
            for one, other in _expand_ranges(begins, ends):
                close = np.bitwise_count(sorted_[one] ^ sorted_[other]) <= NEAR
                near.update(zip(order[one[close]].tolist(), order[other[close]].tolist(), strict=True))
    return {(min(pair), max(pair)) for pair in near}


def _expand_ranges(begins: Ids, ends: Ids) -> Iterator[tuple[Ids, Ids]]:
    """Pair each row i with each of the rows begins[i] … ends[i] - 1.

    Yields blocks of about AT_ONCE pairs: two arrays, with the first and the second row of each pair.
    """
    rows = np.flatnonzero(ends > begins)
    counts = (ends - begins)[rows]
    total = np.cumsum(counts)
    at = 0
    while at < len(rows):
        before = total[at - 1] if at else 0
        stop = max(at + 1, int(np.searchsorted(total, before + AT_ONCE, side="right")))
        many, here = counts[at:stop], rows[at:stop]
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        yield np.repeat(here, many), np.repeat(begins[here], many) + within
        at = stop
