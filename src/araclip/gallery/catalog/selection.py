"""Pictures and paths that pass a filter, selected by SQL."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.counting import LATER_SCENES
from araclip.gallery.catalog.filters import EVERYTHING, Condition
from araclip.gallery.catalog.integrity.checksums import is_sound
from araclip.gallery.catalog.photo.tables import HIDDEN

Ids = NDArray[np.int64]


def select(catalog: Catalog, condition: Condition) -> Ids:
    """Ids of the pictures that pass, in order. Pictures without any path may be included."""
    passed: Ids | None = None
    for table, column, sql, values in (
        ("files", "content", condition.of_file, condition.file_values),
        ("contents", "id", condition.of_content, condition.content_values),
    ):
        if sql != EVERYTHING.of_file:
            ids = _numbers(catalog, f"SELECT group_concat({column}) FROM {table} WHERE {sql}", values)
            passed = ids if passed is None else np.intersect1d(passed, ids, assume_unique=True)
    if passed is None:
        passed = _numbers(catalog, "SELECT group_concat(content) FROM files", ())
    if condition.hidden is None:
        return passed
    hidden = _numbers(catalog, f"SELECT group_concat(content) FROM ({HIDDEN})", ())
    return np.intersect1d(passed, hidden) if condition.hidden else np.setdiff1d(passed, hidden)


def later_scenes(catalog: Catalog) -> Ids:
    """Ids of the scenes that are not the first of their video: a listing without them shows each video once."""
    return _numbers(catalog, f"SELECT group_concat(content) FROM ({LATER_SCENES})", ())


def newest_first(catalog: Catalog, condition: Condition) -> list[int]:
    """Ids of the pictures that pass, by the date they were taken, the newest first; those without a date come last."""
    passed = set(select(catalog, condition).tolist())
    rows = catalog.rows("SELECT id FROM contents ORDER BY taken IS NULL, taken DESC, id", ())
    return [content for (content,) in rows if content in passed]


def _numbers(catalog: Catalog, sql: str, values: Sequence[Any]) -> Ids:
    """The ids that a query concatenates with commas, sorted and unique.

    One text is three times as fast to fetch as rows. DISTINCT or ORDER BY would make SQLite scan the index of that
    column instead of the one that answers the condition: 0.7 s instead of 0.003 for 1 % of a million pictures.
    """
    ((text,),) = catalog.rows(sql, values)
    return np.unique(np.fromstring(text or "", np.int64, sep=","))


def paths_of(catalog: Catalog, content: int, condition: Condition) -> list[str]:
    """Paths of a picture: those that pass the condition, then the others, each sorted by bytes."""
    rows = catalog.sound_rows(
        f"SELECT path, {is_sound('files', 'crc')} FROM files JOIN contents ON contents.id = files.content "
        "WHERE content = ? "
        f"ORDER BY NOT ifnull(({condition.of_file}) AND ({condition.of_content}), FALSE), path",
        (content, *condition.file_values, *condition.content_values),
    )
    return [os.fsdecode(raw) for (raw,) in rows]


def check_loose(catalog: Catalog, content: int) -> None:
    """Check that a picture of the current generation without paths has lost them, and not by damage.

    Raises:
        GalleryCorrupt: its rows cannot be found.
    """
    if not catalog.rows("SELECT 1 FROM loose WHERE content = ?", (content,)):
        raise catalog.damaged(f"the rows of picture {content} cannot be found")
