"""The change log of a catalogue, by which an index of an earlier generation is updated instead of rebuilt.

Triggers (`gallery.catalog.schema`) append to it at every change of a vector. A generation that is not in the log (a
restored backup, a recreated catalogue, a truncated log) is unknown, and an index of it cannot be updated.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.triggers import without_triggers

Ids = NDArray[np.int64]
Vectors = NDArray[np.float16]

BLOCK = 16_384  # vectors read at once
_MANY = 1024  # changes
_AT_ONCE = 500  # parameters of a statement; old versions of SQLite allow 999


def number_of(catalog: Catalog, generation: str) -> int | None:
    """The number of the last change at a generation; None if the generation is unknown."""
    rows = catalog.rows("SELECT number FROM commits WHERE generation = ?", (generation,))
    return rows[0][0] if rows else None


def changed_since(catalog: Catalog, generation: str) -> Ids | None:
    """Ids of pictures whose vectors were added, changed or removed since, in order; None if that is unknown."""
    number = number_of(catalog, generation)
    if number is None:
        return None
    rows = catalog.rows("SELECT DISTINCT content FROM changes WHERE number > ? ORDER BY content", (number,))
    return np.fromiter((row[0] for row in rows), np.int64, len(rows))


def forget_before(catalog: Catalog, generation: str) -> None:
    """Truncate the log before a generation that no index needs; inside the writer's lock."""
    number = number_of(catalog, generation)
    if number:
        with catalog.writing(visible=False):
            first, last = catalog.rows("SELECT ifnull(min(number), 0), ifnull(max(number), 0) FROM changes")[0]
            if last <= number and last - first > _MANY:  # all of it: triggers would take longer than the rest
                with without_triggers(catalog.connection, ("changes",)):
                    catalog.change("DELETE FROM changes")
                catalog.change("UPDATE totals SET rows = 0, sum = 0 WHERE name = 'changes'")
            catalog.change("DELETE FROM changes WHERE number <= ?", (number,))
            catalog.change("DELETE FROM commits WHERE number < ?", (number,))


def vectors_of(catalog: Catalog, ids: Ids) -> tuple[Ids, Vectors]:
    """Ids (n,) and vectors (n, D) of those `ids` that the catalogue has, in order of the ids."""
    rows = list[tuple[int, bytes]]()
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE].tolist()
        marks = ", ".join("?" * len(some))
        rows += catalog.sound_vectors(f"WHERE id IN ({marks}) ORDER BY id", some)
    return catalog.as_vectors(rows)


def blocks(catalog: Catalog) -> Iterator[tuple[Ids, Vectors]]:
    """Ids and vectors of all pictures in order of the ids, in blocks; pictures without a path too."""
    last = -1
    while rows := catalog.sound_vectors(f"WHERE id > ? ORDER BY id LIMIT {BLOCK}", (last,)):
        yield catalog.as_vectors(rows)
        last = rows[-1][0]


def more_than(catalog: Catalog, count: int) -> bool:
    """Whether the catalogue has more than `count` pictures, without counting them all."""
    return bool(catalog.rows("SELECT 1 FROM contents LIMIT 1 OFFSET ?", (count,)))


@contextmanager
def snapshot(catalog: Catalog) -> Iterator[Catalog]:
    """A consistent view of the catalogue: a second connection inside one read transaction."""
    with closing(catalog.again()) as frozen, frozen.reading():
        _ = frozen.generation  # SQLite starts the read transaction with the first SELECT
        yield frozen
