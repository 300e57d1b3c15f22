"""What browsing asks of a gallery, and the answers of a gallery in a folder."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.browsing.timeline import Timeline
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.counting import LATER_SCENES
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.photos import HIDDEN
from araclip.gallery.catalog.records import PictureRecord

Positions = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


class Browsing(ABC):
    """A gallery without a query; pictures are named by the store's numbers."""

    @property
    @abstractmethod
    def generation(self) -> str:
        """A token of the last commit: equal tokens, equal answers."""

    @abstractmethod
    def timeline(self, filters: Filters) -> Timeline:
        """The pictures that pass."""

    @abstractmethod
    def records(self, contents: Sequence[int]) -> dict[int, PictureRecord]:
        """Pictures with all their paths; those that are gone are left out."""

    @abstractmethod
    def files(self) -> Iterable[tuple[str, int, str | None]]:
        """The path of every file that can be seen, the number of its picture, and its date."""

    @abstractmethod
    def positions(self) -> Positions | None:
        """Numbers (n,), latitudes (n,) and longitudes (n,) of pictures; None where they are not known."""


def positions_of(rows: Sequence[tuple[int, float, float]]) -> Positions:
    """Rows of number, latitude and longitude as arrays."""
    ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    latitudes, longitudes = (np.fromiter((row[at] for row in rows), np.float64, len(rows)) for at in (1, 2))
    return ids, latitudes, longitudes


class FolderBrowsing(Browsing):
    """Reads a catalogue."""

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        """`catalog` returns the calling thread's catalogue."""
        self._catalog = catalog

    @property
    def generation(self) -> str:
        """The catalogue's."""
        return self._catalog().generation

    def timeline(self, filters: Filters) -> Timeline:
        """The pictures that pass; 100,000 take about a tenth of a second."""
        catalog = self._catalog()
        passed = catalog.select(filters.condition(hidden_exist=catalog.has_hidden()))
        if not filters.every_scene:
            passed = np.setdiff1d(passed, catalog.later_scenes(), assume_unique=True)
        # Two texts are three times as fast to fetch as rows; the index of the dates has both columns.
        ((numbers, dates),) = catalog.rows(
            "SELECT group_concat(id), group_concat(ifnull(replace(taken, ',', ''), '')) FROM contents"
        )
        ids = np.fromstring(numbers or "", np.int64, sep=",")
        known = (dates or "").split(",") if len(ids) else []
        if len(passed) == len(ids):
            return Timeline(ids, known)
        wanted = np.flatnonzero(np.isin(ids, passed))
        return Timeline(ids[wanted], [known[at] for at in wanted])

    def records(self, contents: Sequence[int]) -> dict[int, PictureRecord]:
        """Pictures with all their paths."""
        return self._catalog().records_of(contents)

    def files(self) -> Iterable[tuple[str, int, str | None]]:
        """Every path."""
        rows = self._catalog().rows(
            "SELECT path, content, taken FROM files JOIN contents ON contents.id = files.content "
            f"WHERE content NOT IN ({LATER_SCENES}) AND content NOT IN ({HIDDEN}) ORDER BY path"
        )
        return ((os.fsdecode(raw), content, date) for raw, content, date in rows)

    def positions(self) -> Positions | None:
        """Those of all photographs; a damaged position is left out."""
        rows = self._catalog().rows(
            "SELECT content, latitude, longitude FROM photos WHERE latitude BETWEEN -90 AND 90 "
            f"AND longitude BETWEEN -180 AND 180 AND content NOT IN ({LATER_SCENES}) ORDER BY content"
        )
        return positions_of(rows)
