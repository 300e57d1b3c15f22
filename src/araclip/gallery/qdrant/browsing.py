"""Browsing a gallery on a server: the dates and paths of a generation, read in pages."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from araclip.gallery.browsing.browsing import Browsing, Positions, positions_of
from araclip.gallery.browsing.timeline import Timeline
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import PictureRecord
from araclip.gallery.qdrant.catalog import QdrantCatalog
from araclip.gallery.qdrant.conditions import both, condition_of, not_hidden_of, visible
from araclip.gallery.remote.rows import read_path, record_of

PAGE = 5_000  # points of a request, of a few short fields each


class QdrantBrowsing(Browsing):
    """Reads a collection."""

    def __init__(self, catalog: QdrantCatalog) -> None:
        self._catalog = catalog

    @property
    def generation(self) -> str:
        """The collection's."""
        return self._catalog.generation

    def timeline(self, filters: Filters) -> Timeline:
        """The pictures that pass."""
        rows = [(point["order"], point.get("taken") or "") for point in self._payloads(filters, "order", "taken")]
        return Timeline(np.array([number for number, _ in rows], np.int64), [date for _, date in rows])

    def records(self, contents: Sequence[int]) -> dict[int, PictureRecord]:
        """Pictures with all their paths."""
        if not contents:
            return {}
        match = models.FieldCondition(key="order", match=models.MatchAny(any=list(map(int, contents))))
        return {row.id: record_of(row) for row in self._catalog.rows(models.Filter(must=[match]))}

    def files(self) -> Iterable[tuple[str, int, str | None]]:
        """Every path."""
        for point in self._payloads(Filters(), "order", "taken", "files"):
            for entry in point["files"]:
                yield read_path(entry["path"]), point["order"], point.get("taken")

    def positions(self) -> Positions | None:
        """Those of all photographs."""
        rows = []
        for point in self._payloads(Filters(hidden=None), "order", "location"):
            if place := point.get("location"):
                rows.append((point["order"], place["lat"], place["lon"]))
        return positions_of(rows)

    def _payloads(self, filters: Filters, *names: str) -> Iterator[dict[str, Any]]:
        passing = both(both(visible(self._catalog.state().number), not_hidden_of(filters)), condition_of(filters))
        for point in self._catalog.connection.scroll(passing, payload=list(names), page=PAGE):
            yield point.payload or {}
