"""The pictures of a gallery by the date they were taken, the newest first; those without a date come last. Pure.

A timeline holds a number and a date for each picture, 27 bytes, so that any position of 100,000 pictures is found
without a query.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from araclip.errors import InputError

DATE_LETTERS = 19  # YYYY-MM-DDTHH:MM:SS
MONTH_LETTERS = 7  # YYYY-MM


@dataclass(frozen=True)
class Month:
    """A month of a timeline, YYYY-MM or "" for pictures without a date, and how many pictures it has."""

    month: str
    pictures: int


class Timeline:
    """Pictures, the newest first: `ids` (n,) are the store's numbers, `dates` (n,) texts, empty where unknown."""

    def __init__(self, ids: NDArray[np.int64], dates: Sequence[str]) -> None:
        """From ids and their dates (as in `images.Facts.captured_at`, empty where unknown) in any order."""
        known = np.array(dates, f"S{DATE_LETTERS}") if len(dates) else np.empty(0, f"S{DATE_LETTERS}")
        order = np.lexsort((ids, known))[::-1]  # an empty date sorts below all others
        self.ids: NDArray[np.int64] = ids[order]
        self.dates: NDArray[np.bytes_] = known[order]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def months(self) -> tuple[Month, ...]:
        """The months that have pictures, the newest first; "" comes last."""
        if not len(self):
            return ()
        months = self.dates.astype(f"S{MONTH_LETTERS}")
        starts = np.flatnonzero(np.r_[True, months[1:] != months[:-1]])  # (m,)
        counts = np.diff(np.r_[starts, len(months)])
        return tuple(
            Month(months[start].decode("ascii", "replace"), int(count))
            for start, count in zip(starts, counts, strict=True)
        )

    def cursor_at(self, position: int) -> str | None:
        """The cursor of the page that begins at a position; None at the end."""
        if position >= len(self):
            return None
        return f"{self.dates[position].decode('ascii', 'replace')}~{self.ids[position]}"

    def position(self, cursor: str) -> int:
        """Where the page of a cursor begins: at its picture, or, if that is gone, at the next one.

        Raises:
            InputError: it is no cursor.
        """
        date, tilde, number = cursor.partition("~")
        if not (tilde and date.isascii() and number.isascii() and number.isdigit() and len(number) < DATE_LETTERS):
            raise InputError("the cursor is not one of this server's answers. Pass `next` of the page before.")
        key, content, size = date.encode(), int(number), len(self)
        rising = self.dates[::-1]
        first = size - int(np.searchsorted(rising, key, "right"))
        last = size - int(np.searchsorted(rising, key, "left"))
        same = self.ids[first:last][::-1]  # rising
        return first + len(same) - int(np.searchsorted(same, content, "right"))
