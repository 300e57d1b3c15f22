"""The gallery that a server serves: its reader, and cached data for the page, such as timeline, albums and examples."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from araclip.errors import ImageError, InputError
from araclip.gallery import browsing
from araclip.gallery.browsing import Albums, Cluster, Timeline, clusters
from araclip.gallery.catalog.connection import may_write
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import Overview, PictureRecord
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import Intake, LoadedPicture
from araclip.gallery.ingest.scan import checked_root
from araclip.gallery.ingest.videos import stored_paths
from araclip.gallery.locations import Location
from araclip.gallery.open import open_reader
from araclip.gallery.reader import GalleryReader, Snapshot
from araclip.gallery.reference_queries import EVERYDAY
from araclip.gallery.results import STRONG
from araclip.models.encoder import Encoder

EXAMPLES, SHORT = 8, 18  # the number of example queries on the page's buttons; the most characters of each
ALBUM = "album="
T = TypeVar("T")
CHECK_SECONDS = 1.0  # pause between checks for commits of other processes; a check is one small query
MAX_PAUSE_SECONDS = 30.0
PATIENCE_S = 5.0  # limit: seconds to wait for other writers while a client waits; a commit takes less than a second


class ServedGallery:
    """The gallery of a server, with a cache of what the page shows; thread-safe."""

    def __init__(self, location: Location, model: Encoder, *, create: bool = False) -> None:
        """Open the gallery at a location.

        Args:
            create: create the gallery if it does not exist.
        """
        self.location = location
        # readers with an earlier model: requests that began before the model was changed still use them
        self._earlier_readers: list[GalleryReader] = []
        self._reader = open_reader(location, model, create=create)
        self._queries_with_hits: tuple[str, dict[str, bool]] = "", {}
        self.refresh()

    @property
    def model(self) -> Encoder:
        """The model of the gallery's vectors; it changes when the gallery is re-embedded."""
        return self._reader.model

    def change_model(self, model: Encoder) -> None:
        """Search with `model` from now on, because the gallery was re-embedded with this model."""
        reader = open_reader(self.location, model)
        reader.refresh(prepared=True)
        self._earlier_readers.append(self._reader)
        self._reader = reader

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot (the gallery after one commit) that searches use."""
        return self._reader.snapshot

    @property
    def store(self) -> Store:
        """The gallery's store (its database), through the calling thread's connection."""
        return self._reader.store

    def refresh(self) -> bool:
        """Switch to a new snapshot if the gallery has changed; return True if it has."""
        return self._reader.refresh(prepared=True)

    def overview(self) -> Overview:
        """Return what the gallery shows now, in numbers: files, formats, folders, dates."""
        return self._cached("overview", self.store.overview)

    def examples(self) -> tuple[str, ...]:
        """Return example queries that suit the gallery's pictures; none for an empty gallery."""
        found = self.snapshot
        return self._cached(
            f"examples {found.generation}", lambda: example_queries(found.reference.everyday, found.sample)
        )

    def finds(self, query: str, vector: NDArray[np.float32]) -> bool:
        """True if a query with this vector (D,) has a strong hit (likely right) in a sample of the pictures.

        False in a gallery with too few pictures to judge scores. The answer is cached until the gallery changes.
        """
        snapshot, (generation, known) = self.snapshot, self._queries_with_hits
        if generation != snapshot.generation:
            known = {}
            self._queries_with_hits = snapshot.generation, known
        if query not in known:
            scale = snapshot.scale
            best = float((snapshot.sample @ vector).max()) if scale else 0.0
            known[query] = scale is not None and scale.relevance(vector)(best) >= STRONG
        return known[query]

    @property
    def generation(self) -> str:
        """A token of the gallery's last commit; equal tokens mean equal content."""
        return self._reader.store.generation

    def filters(self, texts: Iterable[str], *, collapse: bool = False) -> Filters:
        """Parse a client's filters, each written as KEY=VALUE; `collapse`: keep only the best of near-duplicates.

        A folder is given by its name, which matches at any depth, or as `album=KEY` with the key of an `Album`. A path
        is never used, since it would be resolved on the disk, and so reveal where links lead.
        """
        given = list(texts)
        keys = [text.removeprefix(ALBUM).strip() for text in given if text.startswith(ALBUM)]
        parsed = Filters.read([text for text in given if not text.startswith(ALBUM)], collapse=collapse)
        if parsed.folder is not None:
            parsed = replace(parsed, folder=None, folder_name=Path(parsed.folder).name)
        parsed = replace(parsed, outside=tuple(Path(folder).name for folder in parsed.outside))
        if len(keys) > 1:
            raise InputError("'album' is given twice. Name one album.")
        if keys:
            album = self.albums().by_key.get(keys[0])
            if album is None:
                raise InputError(f"no album '{keys[0]:.40}'. Ask GET /folders for the albums there are.")
            parsed = replace(parsed, below=album.path)
        return self._cached(f"known {parsed!r}", lambda: browsing.check_values(self._reader.store, parsed))

    def timeline(self, filters: Filters) -> Timeline:
        """Return the pictures that pass the filters, the newest first."""
        name = f"timeline {replace(filters, collapse=False)!r}"
        return self._cached(name, lambda: browsing.timeline(self._reader.store, filters))

    def albums(self) -> Albums:
        """Return all albums of the gallery: its folders with pictures."""
        return self._cached("albums", lambda: Albums(self._reader.store.listing()))

    def places(self, filters: Filters, cell: float | None) -> list[Cluster]:
        """Group the pictures that pass the filters and have a position, by cells of `cell` degrees; None: by town."""
        ids, latitudes, longitudes = self._cached("positions", lambda: browsing.picture_positions(self._reader.store))
        timeline = self.timeline(filters)
        if not len(ids):
            return []
        order = np.argsort(ids)
        at = order[np.clip(np.searchsorted(ids, timeline.ids, sorter=order), 0, len(ids) - 1)]
        known = ids[at] == timeline.ids
        return clusters(timeline.ids[known], latitudes[at[known]], longitudes[at[known]], cell)

    def place_names(self) -> Mapping[str, str]:
        """Return the names of the places where pictures were taken, by their keys (`text.places.names_by_key`)."""
        return self._reader.place_names(self.generation)

    def is_away(self) -> bool:
        """True if no file of a sample of the pictures can be found now, as when a drive is unplugged."""
        return browsing.missing_folder(self._reader.store) is not None

    def records(self, contents: Sequence[int]) -> list[PictureRecord]:
        """Return pictures in the order of the given ids; pictures that are gone are left out."""
        found = self._reader.store.records(contents)
        return [found[int(content)] for content in contents if int(content) in found]

    def _cached(self, name: str, make: Callable[[], T]) -> T:
        """Return the value cached under `name` since the gallery's last commit; without one, make and cache it."""
        return self._reader.cached_value(self.generation, name, make)

    def add(self, loaded: LoadedPicture, metadata: Mapping[str, str]) -> None:
        """Add an uploaded picture. When `add` returns, the picture is on the disk or in the PostgreSQL database.

        Raises:
            GalleryLocked: another process holds the writer's lock for longer than PATIENCE_S.
            WidthMismatch: the gallery was re-embedded with another model.
            OSError: the disk is full or read-only.
        """

        def raise_error(_: int, error: OSError | ImageError) -> None:
            raise error

        store, turn = self._reader.writer(PATIENCE_S)
        Intake(store, self.model, turn).ingest([loaded], raise_error, metadata=[metadata])

    def forget(self, picture: PictureRecord) -> list[str]:
        """Remove a picture, under all of its paths, from the gallery; for a scene, remove the whole video.

        Files on the disk stay.

        Returns:
            The ids of the removed pictures.
        """
        store, turn = self._reader.writer(PATIENCE_S)
        with turn(), store.writing():
            paths = [path for copy in picture.copies for path in stored_paths(store, copy.file)]
            contents = {content for path in paths if (content := store.content_of(path)) is not None}
            removed = [record.id for record in store.records(list(contents)).values()]
            store.remove_files(paths)
        return removed

    def hide(self, contents: list[int], hidden: bool) -> int:
        """Hide pictures, or show them again; return how many have changed. A scene's whole video is hidden or shown."""
        store, turn = self._reader.writer(PATIENCE_S)
        with turn(), store.writing():
            return store.hidden_pictures.set(contents, hidden)

    def close(self) -> None:
        """Close every connection."""
        for reader in (*self._earlier_readers, self._reader):
            reader.close()


def check_writable(gallery: Location, folders: Iterable[Path]) -> None:
    """Check that the server can index and take uploads. A gallery in PostgreSQL is not checked.

    Raises:
        InputError: a folder to index does not exist or is a file, or the gallery's folder exists but is not writable.
    """
    for folder in folders:
        checked_root(folder)
    if isinstance(gallery, Path) and gallery.exists() and not may_write(gallery / FILE_NAME):
        raise InputError(
            f"{gallery} cannot be written, so nothing can be added to it. Leave --index and --uploads off, or check "
            "its permissions."
        )


def example_queries(everyday: NDArray[np.float32], pictures: NDArray[np.float32]) -> tuple[str, ...]:
    """Return the everyday queries, at most EXAMPLES, that fit some picture best and are short enough for a button.

    Return an empty tuple if there are no pictures.

    Args:
        everyday: vectors of the queries in the list EVERYDAY, (queries, D).
        pictures: vectors of the gallery's pictures, or of a sample of them, (n, D).
    """
    if not len(pictures):
        return ()
    scores = everyday @ pictures.T  # (queries, n)
    # each query's best score, after each picture's mean score is subtracted, because some pictures fit every query
    best = (scores - scores.mean(axis=0)).max(axis=1)
    short = [int(row) for row in np.argsort(-best) if len(EVERYDAY[row]) <= SHORT]
    return tuple(EVERYDAY[row] for row in short[:EXAMPLES])


# ------------------------------------------------------------------ refreshing


class Refresher:
    """Refreshes a served gallery's snapshot in a background thread.

    After a refresh the thread pauses nine times as long as the refresh took (at most MAX_PAUSE_SECONDS), so that
    refreshing takes about a tenth of a core while an indexing run commits every few seconds.
    """

    def __init__(
        self, gallery: ServedGallery, *, changed: Callable[[], None], failed: Callable[[Exception], None]
    ) -> None:
        self._gallery = gallery
        self._changed = changed
        self._failed = failed
        self._failure = ""  # the last failure, to report it only once: it may return for hours
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresh", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Check now whether the gallery has changed."""
        self._wake.set()

    def stop(self) -> None:
        """Stop the thread, and wait for it."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(CHECK_SECONDS)
            self._wake.clear()
            began = time.monotonic()
            try:
                if self._gallery.refresh():
                    self._changed()
                self._failure = ""
            except Exception as error:  # the error may be temporary: report it, and go on with the old snapshot
                if self._failure != str(error):
                    self._failed(error)
                self._failure = str(error)
            self._stop.wait(min(9 * (time.monotonic() - began), MAX_PAUSE_SECONDS))
