"""Pairs of perceptual hashes that are near, of a million, without comparing each with each. Pure.

A hash of 64 bits is cut into PARTS. Two that differ in at most NEAR bits differ in at most one of them in some part (or
there would be two in each, eight in all), so in each part only those are compared whose part is equal or one bit off
(multi-index hashing, Norouzi, Punjani and Fleet 2012). FAISS's IndexBinaryMultiHash does the same and took 14 times as
long (docs/RESULTS.md).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

NEAR = 6  # bits of 64; among 25 million pairs of different photographs none was so near, at 8 three were
PARTS = 4
BITS = 64 // PARTS
AT_ONCE = 1 << 22  # candidates compared at once: 100 MB

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]


def is_near(one: int, other: int) -> bool:
    """Whether two perceptual hashes are those of nearly the same picture; a flat picture (hash 0) is never near."""
    return bool(one and other) and (one ^ other).bit_count() <= NEAR


def near_pairs(hashes: Hashes) -> Iterator[tuple[int, int]]:
    """Pairs of rows, first below second, that connect all of (n,) hashes that are near each other; see `is_near`.

    Rows with the same hash are each paired with the first of them only, and that one with rows of near hashes:
    otherwise a thousand copies would make half a million pairs.
    """
    known, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    for row in np.flatnonzero((first[which] != np.arange(len(hashes))) & (hashes != 0)).tolist():
        yield int(first[which[row]]), row
    found = np.flatnonzero(known)  # the flat ones' hash is 0, and the lowest
    for one, other in _pairs(known[found]):
        low, high = sorted((int(first[found[one]]), int(first[found[other]])))
        yield low, high


def _pairs(hashes: Hashes) -> set[tuple[int, int]]:
    """Pairs of rows of different hashes that are near."""
    near: set[tuple[int, int]] = set()
    for part in range(PARTS):
        keys = ((hashes >> np.uint64(BITS * part)) & np.uint64((1 << BITS) - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        keys, sorted_ = keys[order], hashes[order]
        starts = np.searchsorted(keys, np.arange((1 << BITS) + 1))
        for flip in (0, *(1 << bit for bit in range(BITS))):
            begins, ends = starts[keys ^ flip], starts[(keys ^ flip) + 1]
            if flip:
                ends = np.where(keys ^ flip > keys, ends, begins)  # each pair of buckets from one side
            else:
                begins = np.arange(1, len(keys) + 1)  # those after it in its own bucket
            for one, other in _candidates(begins, ends):
                close = np.bitwise_count(sorted_[one] ^ sorted_[other]) <= NEAR
                near.update(zip(order[one[close]].tolist(), order[other[close]].tolist(), strict=True))
    return {(min(pair), max(pair)) for pair in near}


def _candidates(begins: Rows, ends: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Row i with each of the rows begins[i] … ends[i] - 1, about AT_ONCE at a time."""
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
