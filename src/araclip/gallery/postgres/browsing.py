"""Browsing a gallery in PostgreSQL."""

import os
from collections.abc import Iterable, Sequence

import numpy as np

from araclip.gallery.browsing.browsing import Browsing, Positions, positions_of
from araclip.gallery.browsing.timeline import Timeline
from araclip.gallery.catalog.counting import LATER_SCENES
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import PictureRecord
from araclip.gallery.postgres.catalog import PostgresCatalog
from araclip.gallery.postgres.conditions import condition_of
from araclip.gallery.remote.rows import record_of


class PostgresBrowsing(Browsing):
    """Reads a gallery."""

    def __init__(self, catalog: PostgresCatalog) -> None:
        self._catalog = catalog

    @property
    def generation(self) -> str:
        """The gallery's."""
        return self._catalog.generation

    def timeline(self, filters: Filters) -> Timeline:
        """The pictures that pass; of a video its first scene, unless every scene is asked for."""
        condition, values = condition_of(filters)
        if not filters.every_scene:
            condition += f" AND id NOT IN ({LATER_SCENES})"
        rows = self._catalog.database.rows(f"SELECT id, coalesce(taken, '') FROM contents WHERE {condition}", values)
        return Timeline(np.array([number for number, _ in rows], np.int64), [date for _, date in rows])

    def records(self, contents: Sequence[int]) -> dict[int, PictureRecord]:
        """Pictures with all their paths."""
        wanted = [int(each) for each in contents]
        return {row.id: record_of(row) for row in self._catalog.rows("shown AND id = ANY(?)", (wanted,))}

    def files(self) -> Iterable[tuple[str, int, str | None]]:
        """Every path."""
        rows = self._catalog.database.rows(
            "SELECT path, content, taken FROM files JOIN contents ON contents.id = files.content "
            f"WHERE NOT hidden AND content NOT IN ({LATER_SCENES}) ORDER BY path"
        )
        return ((os.fsdecode(raw), content, date) for raw, content, date in rows)

    def positions(self) -> Positions | None:
        """Those of all photographs."""
        rows = self._catalog.database.rows(
            "SELECT id, latitude, longitude FROM contents WHERE shown AND latitude IS NOT NULL "
            f"AND id NOT IN ({LATER_SCENES}) ORDER BY id"
        )
        return positions_of([(content, latitude, longitude) for content, latitude, longitude in rows])
