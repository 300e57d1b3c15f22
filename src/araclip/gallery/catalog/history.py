"""What changed in a catalogue since an earlier generation, so that an index need not be built again at every commit.

Triggers (`gallery.catalog.schema`) write the log at every change of a vector. A generation that is not in the log is
unknown (a restored backup, a catalogue made anew, a log that was cut), and an index of it cannot be brought up to date.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.catalog import Catalog

Ids = NDArray[np.int64]
Vectors = NDArray[np.float16]

BLOCK = 16_384  # vectors read at once
_AT_ONCE = 500  # question marks in a statement; SQLite allows 999 in old versions


def number_of(catalog: Catalog, generation: str) -> int | None:
    """Up to where the log ran at a generation; None if that is not known."""
    rows = catalog.rows("SELECT number FROM commits WHERE generation = ?", (generation,))
    return rows[0][0] if rows else None


def changed_since(catalog: Catalog, generation: str) -> Ids | None:
    """Ids of the pictures whose vectors came, changed or went since, in order; None if that is not known."""
    number = number_of(catalog, generation)
    if number is None:
        return None
    rows = catalog.rows("SELECT DISTINCT content FROM changes WHERE number > ? ORDER BY content", (number,))
    return np.fromiter((row[0] for row in rows), np.int64, len(rows))


def forget_before(catalog: Catalog, generation: str) -> None:
    """Cut the log where no index begins any more. Only for the one that may write."""
    number = number_of(catalog, generation)
    if number:
        with catalog.writing(visible=False):
            catalog.change("DELETE FROM changes WHERE number <= ?", (number,))
            catalog.change("DELETE FROM commits WHERE number < ?", (number,))


def vectors_of(catalog: Catalog, ids: Ids) -> tuple[Ids, Vectors]:
    """Ids (n,) and vectors (n, D) of those of `ids` that the catalogue has, in order of the ids."""
    found: list[tuple[int, bytes]] = []
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE].tolist()
        marks = ", ".join("?" * len(some))
        found += catalog.rows(f"SELECT id, vector FROM contents WHERE id IN ({marks}) ORDER BY id", some)
    return catalog.as_vectors(found)


def blocks(catalog: Catalog) -> Iterator[tuple[Ids, Vectors]]:
    """Ids and vectors of all pictures in order of the ids, with or without a path, a block at a time."""
    last = -1
    while rows := catalog.rows(f"SELECT id, vector FROM contents WHERE id > ? ORDER BY id LIMIT {BLOCK}", (last,)):
        yield catalog.as_vectors(rows)
        last = rows[-1][0]


def more_than(catalog: Catalog, count: int) -> bool:
    """Whether the catalogue has more than so many pictures; without counting them all."""
    return bool(catalog.rows("SELECT 1 FROM contents LIMIT 1 OFFSET ?", (count,)))


@contextmanager
def snapshot(catalog: Catalog) -> Iterator[Catalog]:
    """The catalogue as it is now, whatever is committed meanwhile: through its own connection, in one transaction."""
    with closing(catalog.again()) as frozen, frozen.reading():
        _ = frozen.generation  # the transaction begins with the first thing it reads
        yield frozen
