"""The pictures of a catalogue that pass a condition."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from araclip.gallery.catalog.catalog_file import CatalogFile
from araclip.gallery.catalog.filters import EVERYTHING, Condition
from araclip.gallery.catalog.photos import HIDDEN
from araclip.models.vectors import Ids


def select(catalog: CatalogFile, condition: Condition) -> Ids:
    """Return the ids (n,) of the pictures that pass a condition, ascending; some may have no path any more."""
    passed: Ids | None = None
    for table, column, sql, values in (
        ("files", "content", condition.of_file, condition.file_values),
        ("contents", "id", condition.of_content, condition.content_values),
    ):
        if sql != EVERYTHING.of_file:
            ids = fetch_ids(catalog, f"SELECT group_concat({column}) FROM {table} WHERE {sql}", values)
            passed = ids if passed is None else np.intersect1d(passed, ids, assume_unique=True)
    if passed is None:
        passed = fetch_ids(catalog, "SELECT group_concat(content) FROM files")
    if condition.hidden is None:
        return passed
    hidden = fetch_ids(catalog, f"SELECT group_concat(content) FROM ({HIDDEN})")
    return np.intersect1d(passed, hidden) if condition.hidden else np.setdiff1d(passed, hidden)


def by_date(catalog: CatalogFile, condition: Condition, *, oldest: bool) -> list[int]:
    """Return the ids of the pictures that pass a condition, newest or `oldest` first, undated pictures last."""
    passed = set(select(catalog, condition).tolist())
    rows = catalog.rows(f"SELECT id FROM contents ORDER BY taken IS NULL, taken {'ASC' if oldest else 'DESC'}, id")
    return [content for (content,) in rows if content in passed]


def fetch_ids(catalog: CatalogFile, sql: str, values: Sequence[Any] = ()) -> Ids:
    """Run a query that returns ids joined by commas; return the ids, sorted and without repetition.

    One text is three times as fast to fetch as rows. The query must not sort: with DISTINCT or ORDER BY, SQLite
    would scan the index of the id column instead of the index for the condition, which takes 0.7 s instead of
    0.003 s for 1 % of a million pictures.
    """
    ((text,),) = catalog.rows(sql, values)
    return np.unique(np.fromstring(text or "", np.int64, sep=","))
