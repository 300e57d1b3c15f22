"""The log of a catalogue's commits and changes (tables `commits` and `changes`).

With this log, an index of an earlier generation can be updated instead of rebuilt. A generation is unknown if the log
lacks it: after a backup was restored, the catalogue recreated, or the log shortened.
"""

import numpy as np

from araclip.gallery.catalog.catalog_file import CatalogFile
from araclip.models.vectors import Ids


class History:
    """The commits of one catalogue, by their tokens."""

    def __init__(self, file: CatalogFile) -> None:
        self._file = file

    def last_change(self, generation: str) -> int | None:
        """Return the number, in the log of changes, of the last change made by commit `generation` or before it.

        None if the log does not reach back to that commit.
        """
        rows = self._file.rows("SELECT number FROM commits WHERE generation = ? AND number >= 0", (generation,))
        return rows[0][0] if rows else None

    def changed_since(self, generation: str) -> Ids | None:
        """Return the sorted ids (n,) of pictures whose vector was added, changed or removed after commit `generation`.

        None if the log of changes does not reach back to that commit.
        """
        number = self.last_change(generation)
        if number is None:
            return None
        rows = self._file.rows("SELECT DISTINCT content FROM changes WHERE number > ? ORDER BY content", (number,))
        return np.fromiter((row[0] for row in rows), np.int64, len(rows))

    def forget_before(self, generation: str) -> None:
        """Drop the changes of commit `generation`, and of earlier commits, from the log. The caller holds the lock."""
        if number := self.last_change(generation):
            with self._file.writing(visible=False):
                self._file.change("DELETE FROM changes WHERE number <= ?", (number,))
                self._file.change("UPDATE commits SET number = -1 WHERE number >= 0 AND number < ?", (number,))
