"""Compute perceptual hashes: 64 bits that hardly change when a picture is scaled, recompressed or slightly edited.

Each bit of the hash (pHash, Zauner 2010) says whether one of the 64 lowest frequencies of the grey picture is above the
median of the 64. Crops, rotations and mirror images get other hashes.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.errors import ImageError
from araclip.pictures.images import decode_ahead

SIZE = 32  # side in pixels of the square to which a picture is scaled and made grey before its hash is computed
# Limit: bits in which a picture's hash, turned or mirrored as fits best, differs from that of its edited version. Of 600
# photographs, 98 % pass when 5 % are cropped on each side, all when turned, made grey, brighter or tilted by 2°; of
# pairs of unlike photographs .6 % do.
EDITED = 18
CELLS = 1 << 20  # pairs of hashes that are compared at once, in 9 MB of memory

Hashes = NDArray[np.uint64]

_FREQUENCY, _PIXEL = np.arange(9)[:, None], np.arange(SIZE)[None, :]
_COSINES = np.cos(np.pi * _FREQUENCY * (2 * _PIXEL + 1) / (2 * SIZE))  # rows of the discrete cosine transform (DCT-II)
_BITS = np.uint64(1) << np.arange(64, dtype=np.uint64)
_ODD = np.arange(8) % 2 == 1  # mirroring a picture changes the sign of the odd frequencies


def phash(squares: NDArray[np.uint8]) -> Hashes:
    """Compute the hashes (n,) of RGB squares (n, SIZE, SIZE, 3). A picture of one colour has the hash 0."""
    grey = squares @ np.array([0.299, 0.587, 0.114])  # (n, S, S)
    waves = (_COSINES @ grey @ _COSINES.T).reshape(len(squares), -1)  # (n, 81): 9 vertical × 9 horizontal frequencies
    low = waves.reshape(-1, 9, 9)[:, :8, :8].reshape(len(squares), -1).copy()  # (n, 64)
    low[:, 0] = waves[:, -1]  # frequency (8, 8) replaces the mean brightness (0, 0), which tells pictures apart badly
    bits = low > np.median(low, axis=1, keepdims=True)
    # a picture of one colour, in which no frequency reaches ¼ grey level, has the hash 0
    bits[np.abs(low).max(axis=1) < SIZE * SIZE / 4] = False
    words: Hashes = (bits * _BITS).sum(axis=1, dtype=np.uint64)
    return words


def is_edited(before: int, after: int) -> bool:
    """True if a picture with the hash `after` may be an edited version of one with the hash `before`.

    Slight edits, and quarter turns and mirror images of them, count.
    """
    bits = ((np.uint64(after) & _BITS) != 0).reshape(8, 8)
    turned = [
        flipped
        for each in (bits, bits.T)
        for rows in (each, each ^ _ODD[:, None])
        for flipped in (rows, rows ^ _ODD)
    ]
    known = ((np.uint64(before) & _BITS) != 0).reshape(8, 8)
    return min(np.count_nonzero(each != known) for each in turned) <= EDITED


def hashes(pictures: Iterable[Path], threads: int = 2) -> Iterator[tuple[Path, int | ImageError]]:
    """Yield each picture in order, with its hash, or with the error if it cannot be decoded."""
    for path, square in decode_ahead(pictures, SIZE, threads):
        yield path, square if isinstance(square, ImageError) else int(phash(square[None])[0])


def nearest_hashes(queries: Hashes, among: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for each of the hashes `queries`, the row of the nearest hash in `among` and its Hamming distance.

    Both results have one number for each query; `among` may not be empty.
    """
    if not len(among):
        raise ValueError("no hashes to compare with.")
    rows, apart = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
    block = max(1, CELLS // len(among))
    for start in range(0, len(queries), block):
        here = slice(start, start + block)
        different = np.bitwise_count(queries[here, None] ^ among)  # (B, N): in how many bits two hashes differ
        rows[here] = different.argmin(axis=1)
        apart[here] = different.min(axis=1)
    return rows, apart
