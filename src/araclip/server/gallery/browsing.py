"""Browsing the gallery of a server: timelines, albums and places, kept as long as the gallery does not change."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from araclip.errors import InputError
from araclip.gallery.browsing.albums import Albums
from araclip.gallery.browsing.browsing import Browsing
from araclip.gallery.browsing.places import Cluster, clusters
from araclip.gallery.browsing.timeline import Timeline
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import PictureRecord

KEPT = 12  # timelines, 27 bytes a picture each
ALBUM = "album="

T = TypeVar("T")


class ServedBrowsing:
    """What browsing shows; thread-safe. Values of one generation are made once, by the first request for them."""

    def __init__(self, gallery: Browsing) -> None:
        self._gallery = gallery
        self._kept: OrderedDict[tuple[str, str], object] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def generation(self) -> str:
        """A token of the last commit."""
        return self._gallery.generation

    def filters(self, texts: Iterable[str], *, collapse: bool = False) -> Filters:
        """Filters of a client, KEY=VALUE each; folders match by name, at any depth, or as `album=KEY`, never by path.

        A path would be resolved on the disk, and so reveal where links lead.

        Raises:
            InputError: as for `Filters.read`, or an unknown album.
        """
        given = list(texts)
        keys = [text.removeprefix(ALBUM).strip() for text in given if text.startswith(ALBUM)]
        read = Filters.read([text for text in given if not text.startswith(ALBUM)], collapse=collapse)
        if read.folder is not None:
            read = replace(read, folder=None, folder_name=Path(read.folder).name)
        if len(keys) > 1:
            raise InputError("'album' is given twice. Name one album.")
        if keys:
            album = self.albums().by_key.get(keys[0])
            if album is None:
                raise InputError(f"no album '{keys[0]:.40}'. Ask GET /folders for the albums there are.")
            read = replace(read, below=album.path)
        return read

    def timeline(self, filters: Filters) -> Timeline:
        """The pictures that pass, the newest first."""
        return self._made(f"timeline {replace(filters, collapse=False)!r}", lambda: self._gallery.timeline(filters))

    def albums(self) -> Albums:
        """All albums."""
        return self._made("albums", lambda: Albums(self._gallery.files()))

    def places(self, filters: Filters, cell: float) -> list[Cluster] | None:
        """The pictures that pass and have a place, in a grid; None where places are not known."""
        found = self._made("positions", self._gallery.positions)
        if found is None:
            return None
        timeline = self.timeline(filters)
        ids, latitudes, longitudes = found
        if not len(ids):
            return []
        order = np.argsort(ids)
        at = order[np.clip(np.searchsorted(ids, timeline.ids, sorter=order), 0, len(ids) - 1)]
        known = ids[at] == timeline.ids
        return clusters(timeline.ids[known], latitudes[at[known]], longitudes[at[known]], cell)

    def records(self, contents: Sequence[int]) -> list[PictureRecord]:
        """Pictures in the order given; those that are gone are left out."""
        found = self._gallery.records([int(content) for content in contents])
        return [found[int(content)] for content in contents if int(content) in found]

    def _made(self, name: str, make: Callable[[], T]) -> T:
        key = self.generation, name
        with self._lock:  # the second of two requests at once waits for the first one's result
            if key not in self._kept:
                self._kept = OrderedDict((old, value) for old, value in self._kept.items() if old[0] == key[0])
                self._kept[key] = make()
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            value: T = self._kept[key]  # type: ignore[assignment]
        return value
