"""Which pictures and paths pass a filter: the catalogue's rows under a condition."""

import os

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog import Catalog
from araclip.gallery.filters import EVERYTHING, Condition

Ids = NDArray[np.int64]


def select(catalog: Catalog, condition: Condition) -> Ids:
    """Ids of the pictures of which some path passes, in order. A picture without any path may be among them."""
    passed: Ids | None = None
    for table, column, sql, values in (
        ("files", "content", condition.of_file, condition.file_values),
        ("contents", "id", condition.of_content, condition.content_values),
    ):
        if sql != EVERYTHING.of_file:
            rows = catalog.rows(f"SELECT DISTINCT {column} FROM {table} WHERE {sql}", values)
            ids = np.sort(np.fromiter((row[0] for row in rows), np.int64, len(rows)))
            passed = ids if passed is None else np.intersect1d(passed, ids, assume_unique=True)
    if passed is None:
        rows = catalog.rows("SELECT DISTINCT content FROM files ORDER BY content")
        passed = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    return passed


def paths_of(catalog: Catalog, content: int, condition: Condition) -> list[str]:
    """Paths that hold a picture, those that pass first, each part in order of the bytes."""
    rows = catalog.rows(
        "SELECT path FROM files JOIN contents ON contents.id = files.content WHERE content = ? "
        f"ORDER BY NOT ifnull(({condition.of_file}) AND ({condition.of_content}), FALSE), path",
        (content, *condition.file_values, *condition.content_values),
    )
    return [os.fsdecode(raw) for (raw,) in rows]
