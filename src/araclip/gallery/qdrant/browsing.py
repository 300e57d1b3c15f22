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
from araclip.video.scene_paths import file_of

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
        """The pictures that pass; of a video its first scene, unless every scene is asked for."""
        left_out = set() if filters.every_scene else self._later_scenes()
        points = self._payloads(filters, "order", "taken")
        rows = [(point["order"], point.get("taken") or "") for point in points if point["order"] not in left_out]
        return Timeline(np.array([number for number, _ in rows], np.int64), [date for _, date in rows])

    def records(self, contents: Sequence[int]) -> dict[int, PictureRecord]:
        """Pictures with all their paths."""
        if not contents:
            return {}
        match = models.FieldCondition(key="order", match=models.MatchAny(any=list(map(int, contents))))
        return {row.id: record_of(row) for row in self._catalog.rows(models.Filter(must=[match]))}

    def files(self) -> Iterable[tuple[str, int, str | None]]:
        """Every path."""
        left_out = self._later_scenes()
        for point in self._payloads(Filters(), "order", "taken", "files"):
            for entry in point["files"] if point["order"] not in left_out else ():
                yield read_path(entry["path"]), point["order"], point.get("taken")

    def positions(self) -> Positions | None:
        """Those of all photographs."""
        rows, left_out = [], self._later_scenes()
        for point in self._payloads(Filters(hidden=None), "order", "location"):
            if (place := point.get("location")) and point["order"] not in left_out:
                rows.append((point["order"], place["lat"], place["lon"]))
        return positions_of(rows)

    def _later_scenes(self) -> set[int]:
        """Ids of the scenes that are not the first of their video."""
        scenes = self._payloads(Filters(kind="video", hidden=None), "order", "files")
        paths = sorted((read_path(entry["path"]), point["order"]) for point in scenes for entry in point["files"])
        first: dict[str, int] = {}
        return {content for path, content in paths if first.setdefault(file_of(path), content) != content}

    def _payloads(self, filters: Filters, *names: str) -> Iterator[dict[str, Any]]:
        passing = both(both(visible(self._catalog.state().number), not_hidden_of(filters)), condition_of(filters))
        for point in self._catalog.connection.scroll(passing, payload=list(names), page=PAGE):
            yield point.payload or {}
