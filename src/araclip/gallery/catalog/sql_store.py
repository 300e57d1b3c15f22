"""A database of a gallery, SQLite or PostgreSQL, that runs SQL: queries and transactions."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from araclip.errors import GalleryCorrupt
from araclip.gallery.catalog.records import RecordedModel

AT_ONCE = 500  # limit: parameters that one SQL statement gets
JOINED = "files JOIN contents ON contents.id = files.content"


class SqlStore(ABC):
    """The database of one gallery. All changes are made in `writing()`.

    Attributes:
        folder: the gallery's location, for messages.
        hidden: SQL that selects the ids of all hidden pictures.
        is_hidden: an SQL condition on a row of `files` joined with `contents`: the picture is hidden.
    """

    folder: Path | str
    hidden: str
    is_hidden: str

    @property
    @abstractmethod
    def generation(self) -> str:
        """A token of the last commit; equal tokens mean equal content."""

    @abstractmethod
    def rows(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Any]:
        """Run an SQL statement and return its rows."""

    @abstractmethod
    def meta(self, key: str) -> str:
        """Return a setting of the gallery, such as "model", "fingerprint" or "width"; "" if there is none."""

    @property
    def recorded(self) -> RecordedModel:
        """What the gallery records about its model."""
        return RecordedModel.read(self.meta)

    @abstractmethod
    def reading(self) -> AbstractContextManager[None]:
        """Run a `with` block as a read transaction: all reads inside see the same state."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[None]:
        """Run a `with` block as a transaction: all changes inside are committed, or none."""

    @property
    @abstractmethod
    def stored_bytes(self) -> int:
        """The size of the store in bytes: of its catalogue file or, in PostgreSQL, of its tables with their indexes."""

    def damage_error(self, what: str) -> GalleryCorrupt:
        """Return the error to raise when a read has found damage; `what` says what is damaged."""
        return GalleryCorrupt(f"{self.folder} is damaged: {what}. Run `araclip repair`.")

    def rows_in(self, sql: str, values: Sequence[Any]) -> Iterator[Any]:
        """Yield the rows of an SQL query that contains `IN ({marks})`, for any number of values.

        The query is run for a few hundred values at a time.
        """
        for start in range(0, len(values), AT_ONCE):
            some = values[start : start + AT_ONCE]
            yield from self.rows(sql.format(marks=", ".join("?" * len(some))), some)

    def _first_value(self, sql: str, *values: Any) -> Any:
        """Return the first value of the first row of a query; None if there is no row."""
        found = self.rows(sql, values)
        return found[0][0] if found else None

    def known_paths(self, content: int) -> list[str]:
        """Return the paths of a picture, sorted by bytes."""
        rows = self.rows("SELECT path FROM files WHERE content = ? ORDER BY path", (content,))
        return [os.fsdecode(raw) for (raw,) in rows]

    @abstractmethod
    def mark_hidden(self, contents: Sequence[int], hide: bool) -> int:
        """Mark pictures as hidden (`hide`), or as not hidden; return the number of pictures changed."""
