"""The base class of galleries in folders and in PostgreSQL: ingestion, removal, search."""

from __future__ import annotations

import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip.core.paths import data_home, text_path, user_path
from araclip.errors import GalleryCorrupt, ImageError, InputError
from araclip.gallery.browsing import check_values, missing_folder
from araclip.gallery.catalog.filters import Filters, Where
from araclip.gallery.catalog.records import STORED_PREFIX, EmbeddedPicture, File, index_paths
from araclip.gallery.catalog.sql_store import JOINED, Turn
from araclip.gallery.catalog.store import Store
from araclip.gallery.plan import Interpretation, Planner, QueryPart
from araclip.gallery.query import Query, combine, parse
from araclip.gallery.ranking import Page
from araclip.gallery.reader import GalleryReader, Snapshot
from araclip.gallery.results import TEXT_WEIGHT, Addition, Fault, Filled, Group, Hit, Match, Stats, Update
from araclip.gallery.search import Hits, run, search_steps
from araclip.gallery.suggestions import Suggestions
from araclip.models.encoder_base import Encoder, pixel_vectors, text_vectors
from araclip.pictures.video.scenes import scene_of, stored_path
from araclip.text.interpretation import Interpreter
from araclip.text.resources import interpreter

if TYPE_CHECKING:
    from araclip.gallery.explanation import Explanation
    from araclip.gallery.ingest.intake import PictureSource
    from araclip.gallery.ingest.update import FilesProgress, Skip

# in a gallery with more files than this, folders are listed only for a query that says "folder": listing takes long
FEW_FILES = 100_000
StrPath = str | os.PathLike[str]
T = TypeVar("T")


class BaseGallery(ABC):
    """The base class of galleries in folders (`Gallery`) and in PostgreSQL databases.

    Methods that write raise GalleryLocked if another process keeps writing for a minute, and OSError if the disk is
    full or read-only.

    `scenes` is the greatest number of scenes (1 to 500) taken from each video that is ingested from now on; None means
    $ARACLIP_SCENES, or 60 if that is not set.
    """

    scenes: int | None = None
    folder: Path | str  # the gallery's path, or its address in PostgreSQL
    model: Encoder
    _catalog: Store
    _reader: GalleryReader
    _interpreter: Interpreter | None = None

    @abstractmethod
    def _hold_lock(self) -> AbstractContextManager[None]:
        """Hold the single-writer lock for the length of a `with` block."""

    @abstractmethod
    def _ingestion_run(self) -> AbstractContextManager[Turn]:
        """Run several commits in a `with` block, as one ingestion run.

        The block gets a function that returns a context manager, which holds the writer's lock; each commit runs inside
        such a context manager. `_finish_writing` is called when the block ends.
        """

    @abstractmethod
    def _finish_writing(self) -> None:
        """Update the data that searches use, such as the index; called after each write."""

    def __len__(self) -> int:
        """Count the different pictures; copies of the same file count once."""
        return self._catalog.counts()[1]

    @abstractmethod
    def close(self) -> None:
        """Close the connections to the gallery's database."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}, model={self.model.label!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ maintenance

    def stats(self) -> Stats:
        """Return the gallery in numbers, without hidden pictures: files, pictures, sizes, dates, formats, recall."""
        store = self._catalog
        record, numbers = store.recorded, store.overview()
        ((stored,),) = store.rows(f"SELECT {store.stored}")
        return Stats(
            folder=str(store.folder),
            model=record.label,
            width=record.width,
            generation=store.generation,
            files=numbers.files,
            pictures=numbers.pictures,
            stored=stored,
            file_bytes=numbers.file_bytes,
            catalogue_bytes=store.stored_bytes,
            formats=numbers.formats,
            captured_at=numbers.captured_at,
            added=numbers.added,
            recall=self._recall(),
        )

    @abstractmethod
    def _recall(self) -> float | None:
        """Return the index's recall at 10 for text queries; None if it is not known (see `Stats`)."""

    def duplicates(self, kinds: Collection[str] = ("exact", "near")) -> list[Group]:
        """Return groups of duplicate files, one kind after another; in each group the largest picture comes first.

        Hidden pictures are left out; in a gallery in a folder, also files missing on the disk and further names of the
        same file.

        Args:
            kinds: exact (the same bytes), near (scaled, recompressed, in another format), semantic (another picture of
                the same scene; slower, because every picture is compared with every other).

        Raises:
            InputError: an unknown kind.
        """
        from araclip.gallery.maintenance.duplicates import find_duplicates

        files: dict[int, list[tuple[str, int, int]]] = {}  # files of each picture: (path, size in bytes, pixels)
        for content, path, size, pixels in self._catalog.rows(
            f"SELECT content, path, size, coalesce(CAST(width AS bigint) * height, 0) FROM {JOINED} "
            f"WHERE substr(path, 1, {len(STORED_PREFIX)}) <> ? AND content NOT IN ({self._catalog.hidden}) "
            "ORDER BY content, path",
            (STORED_PREFIX.encode(),),
        ):
            files.setdefault(content, []).append((os.fsdecode(path), size, pixels))
        compared = {content: found for content, copies in files.items() if (found := self._files_to_compare(copies))}
        return find_duplicates(compared, self._catalog.phashes, self._catalog.vectors, kinds)

    def _files_to_compare(self, copies: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        """Choose among a picture's files, given as (path, bytes, pixels), the files that `duplicates` compares.

        In a folder's gallery these are the files that exist, without further links to the same file. In PostgreSQL they
        are all files: several machines may share the gallery, so a file that is missing here may exist on another.
        """
        return copies

    def verify(self, *, contents: bool = False, progress: FilesProgress | None = None) -> list[Fault]:
        """Return the faults of the database, the vectors, and the files as this machine sees them. Change nothing.

        If the database itself is damaged, the checks that would read the damaged part are left out.

        Args:
            contents: also read every file and compare its hash; this finds damage that left size and time unchanged.
            progress: called with (files done, files in all).
        """
        from araclip.gallery.maintenance.verify import file_faults

        faults = list(self._store_faults())
        with suppress(GalleryCorrupt):  # damage, which `_store_faults` has reported, ends the check of files
            faults += file_faults(self._catalog, contents, progress or (lambda done, total: None))
        return faults

    @abstractmethod
    def _store_faults(self) -> Iterable[Fault]:
        """Return the faults of the gallery's database, and of the data derived from it, such as the index."""

    @abstractmethod
    def repair(self) -> list[str]:
        """Fix every fault that `verify` calls repairable; return one line for each action.

        A picture with a damaged vector is encoded again; if it cannot be read, it is removed until the next `update`.
        """

    @abstractmethod
    def compact(self) -> int:
        """Free the space of removed pictures; return the number of bytes freed on the disk of the gallery's machine."""

    def export(self, folder: str | os.PathLike[str]) -> int:
        """Export the gallery for other programs into `folder`; return the number of pictures.

        about.json names the model; vectors.npy holds (n, D) float16 of unit length; line i of pictures.jsonl describes
        the picture of row i, with the keys of `details`. An earlier export in `folder` is replaced.

        Raises:
            InputError: the folder holds files that are not an export.
        """
        from araclip.gallery.maintenance.export import write_export

        store = self._catalog
        with store.reading():
            ids, vectors = store.vectors()
            records = store.records(ids.tolist())
            about = {"model": store.meta("model"), "fingerprint": store.meta("fingerprint")}
            about["generation"] = store.generation
        if lost := [content for content in ids.tolist() if content not in records]:
            raise store.damage_error(f"the rows of picture {lost[0]} cannot be found")
        pictures = (records[content].as_dict() for content in ids.tolist())
        return write_export(user_path(folder), about, pictures, vectors.astype("<f2", copy=False))

    # ------------------------------------------------------------------ content

    def update(
        self, folders: Iterable[StrPath], *, progress: FilesProgress | None = None, skip: Skip | None = None
    ) -> Update:
        """Synchronise the gallery with `folders`: encode new and changed files, remove files that are gone.

        Files outside `folders` stay indexed. Work is committed every few seconds; after a stop or a kill, the next run
        resumes there.

        Args:
            progress: called with (files done, files found); for a long video also with fractions of a file, from other
                threads. Without it, a bar is drawn on a terminal and in a notebook.
            skip: called with one line for each file that cannot be used: its name, why, and what to do.

        Raises:
            InputError: a folder does not exist, or holds no picture. What was indexed there stays indexed, because an
                unplugged drive looks like an empty folder.
        """
        from araclip.core.progress import progress_if_watched
        from araclip.gallery.ingest.scan import checked_root
        from araclip.gallery.ingest.update import update

        roots = [checked_root(folder) for folder in _check_is_several(folders, "update", "folder")]
        drawing = nullcontext(progress) if progress else progress_if_watched("Indexing")
        with self._ingestion_run() as turn, drawing as show:
            return update(self._catalog, self.model, roots, show, skip or (lambda line: None), turn, self.scenes)

    def update_at(self, paths: Iterable[str], folders: Iterable[StrPath], *, skip: Skip | None = None) -> Update:
        """Synchronise the gallery with `folders` as `update` does, but read only `paths` (absolute) and all below them.

        All folders are read if the given paths do not suffice (links, drives that are mounted or unmounted).
        """
        from araclip.gallery.ingest.scan import checked_root
        from araclip.gallery.ingest.update import update_at

        roots = [checked_root(folder) for folder in _check_is_several(folders, "update_at", "folder")]
        at = [text_path(path) for path in _check_is_several(paths, "update_at", "path")]
        with self._ingestion_run() as turn:
            report = update_at(self._catalog, self.model, roots, at, skip or (lambda line: None), turn, self.scenes)
        return report or self.update(roots, progress=lambda done, found: None, skip=skip)

    def add(
        self,
        pictures: Iterable[PictureSource],
        *,
        metadata: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None = None,
        skip: Skip | None = None,
    ) -> Addition:
        """Add single pictures: paths (of videos too), encoded bytes, PIL pictures, or (H, W, 3) uint8 arrays.

        A picture without a file is stored as a JPEG of at most 1,024 pixels a side. Its path is `picture:…`, derived
        from its hash, so that the same bytes added twice are one picture.

        Args:
            metadata: one flat mapping for all pictures, or one mapping for each picture. Keys are texts; values are
                texts, numbers, true/false, or lists of these. Filters find pictures by their metadata. The earlier
                metadata of a path is replaced.
            skip: called with one line for each picture that cannot be used.

        Raises:
            InputError: `pictures` is a single picture instead of several, one of them is a folder or a path that does
                not exist, or the metadata cannot be stored as JSON or is not one mapping for each; nothing is added.
        """
        from araclip.gallery.ingest.intake import metadata_for_each, source_of
        from araclip.gallery.ingest.update import unreadable_line
        from araclip.gallery.ingest.videos import ingest_pictures_and_videos

        sources = [source_of(picture) for picture in _check_is_several(pictures, "add", "picture")]
        about = metadata_for_each(metadata, len(sources))
        lines: list[str] = []

        def note_refusal(number: int, error: OSError | ImageError) -> None:
            source, line = sources[number], f"picture {number + 1}: {error}"
            if isinstance(source, File) and isinstance(error, OSError):
                line = unreadable_line(source.path, error)
            lines.append(line)
            if skip:
                skip(line)

        with self._ingestion_run() as turn:
            paths = ingest_pictures_and_videos(
                self._catalog, self.model, turn, sources, note_refusal, about, self.scenes
            )
            self._catalog.remove_loose(turn)
        return Addition(tuple(paths), tuple(lines))

    def add_embedded(
        self, groups: Iterable[Sequence[EmbeddedPicture]], *, progress: Callable[[int], None] | None = None
    ) -> Filled:
        """Add pictures whose vectors, facts (date …) and hashes were computed elsewhere.

        The vectors must be by this gallery's model; the hashes are SHA-256 and perceptual hashes. Each group of
        `groups` is stored in one commit. If the gallery already has a picture, only the picture's new path is added.

        Args:
            progress: called after each commit with the number of pictures read so far.
        """
        from araclip.gallery.ingest.intake import add_embedded

        with self._ingestion_run() as turn:
            report = add_embedded(self._catalog, groups, turn, progress or (lambda done: None))
            begin = time.perf_counter()
        report.index_seconds = time.perf_counter() - begin
        return report

    def remove(self, paths: Iterable[StrPath]) -> int:
        """Remove the pictures at paths, or all pictures below folders; return the number of paths removed.

        A picture without a file has the path `picture:…`. Files on the disk stay, and the next `update` of their folder
        ingests them again.

        Raises:
            InputError: a path is not in the gallery; nothing is removed.
        """
        with self._hold_lock():
            gone: set[str] = set()
            for path in _check_is_several(paths, "remove", "path"):
                gone.update(self._files_at(path, "nothing is removed"))
            with self._catalog.writing():
                self._catalog.remove_files(sorted(gone))
            self._finish_writing()
        return len(gone)

    def hide(self, paths: Iterable[StrPath], *, hidden: bool = True) -> int:
        """Hide pictures from results, or show them again; return how many pictures were hidden or shown again.

        A hidden picture stays indexed, with all its paths, and is found by `where="hidden=yes"`. It stays hidden when
        its file is moved or edited in place.

        Args:
            paths: paths of pictures (also `picture:…`, the path of a picture without a file), or of folders, to hide
                all pictures below them.
            hidden: False to show the pictures again.

        Raises:
            InputError: a path is not in the gallery; nothing changes.
        """
        with self._hold_lock():
            contents = dict[int, None]()
            for path in _check_is_several(paths, "hide", "path"):
                found = self._files_at(path, "nothing changes")
                contents |= dict.fromkeys(c for each in found if (c := self._catalog.content_of(each)) is not None)
            with self._catalog.writing():
                changed = self._catalog.hidden_pictures.set(contents, hidden)
            self._finish_writing()
        return changed

    def _files_at(self, path: StrPath, then: str) -> dict[str, File]:
        """Return the indexed file that a path names, or all indexed files below the folder that it names: path → file.

        Raises:
            InputError: the gallery has no such file or folder. The message ends with `then`, which says what happens
                to the other paths of the call.
        """
        paths = index_paths(path)
        found = next(filter(None, map(self._catalog.files, paths)), None)
        if found is None:
            raise InputError(f"{paths[0]} is not in the gallery {self.folder}. Check the path; {then}.")
        return found

    def hidden(self) -> list[str]:
        """Return the paths of all hidden pictures, sorted; a video with hidden scenes is listed once, by its file."""
        contents, _ = self._catalog.ids_and_dates(Filters(hidden=True, every_scene=True))
        records = self._catalog.records(contents.tolist()).values()
        return sorted({copy.file for record in records for copy in record.copies})

    def picture(self, path: StrPath) -> bytes:
        """Return an encoded picture: the file at `path`, the JPEG stored under `picture:…`, or a video scene as JPEG.

        Raises:
            InputError: the path is not in the gallery, or the picture's file is on another machine (see `bulk.ingest`).
            OSError, ImageError: the file cannot be read, or something else than a file has its path now.
        """
        from araclip.gallery.ingest.intake import scene_jpeg
        from araclip.pictures.images import read_file

        content, path = self._id_at_path(path), stored_path(text_path(path))
        if scene := scene_of(path):
            return scene_jpeg(scene)
        pixels = self._catalog.stored_pixels(content) if path.startswith(STORED_PREFIX) else None
        if pixels is None and path.startswith(STORED_PREFIX):
            about = self._catalog.metadata_of(path)
            named = about.get("source") or about.get("name") or path
            raise InputError(
                f"{named} is found and cannot be shown: its file is elsewhere. Run `araclip index` on a folder that "
                "holds it."
            )
        return pixels if pixels is not None else read_file(path)

    def metadata(self, path: StrPath) -> dict[str, Any]:
        """Return the metadata that `add` was given for a path; empty if there is none. See also `details`."""
        return self._catalog.metadata_of(stored_path(text_path(path)))

    def details(self, path: StrPath) -> dict[str, Any]:
        """Return everything known about the picture at a path.

        The keys are sha256, format, width, height, captured_at, added, camera, lens, latitude, longitude, place,
        hidden, captured_by_name (see `PictureRecord`), and files: each with path, size, metadata, and for a scene in a
        video also its time in seconds.

        Raises:
            InputError: the path is not in the gallery.
        """
        return self._catalog.records([self._id_at_path(path)]).popitem()[1].as_dict()

    def vectors(self, folder: StrPath) -> dict[str, NDArray[np.float32]]:
        """Return the unit vectors (D,) of the file at `folder`, or of all indexed files below it, by their paths.

        Files that cannot be read or have changed since they were indexed are left out. A scene's path is that of a
        hit, such as clip.mp4#t=00083.200.
        """
        from araclip.gallery.maintenance.verify import file_fault

        files = next(filter(None, map(self._catalog.files, index_paths(folder))), dict[str, File]())
        unchanged = [path for path, file in files.items() if not any(file_fault(file, None))]
        contents = {path: self._catalog.content_of(path) for path in unchanged}
        ids, vectors = self._catalog.vectors()
        rows: dict[int | None, int] = {content: row for row, content in enumerate(ids.tolist())}
        return {
            path: vectors[rows[content]].astype(np.float32) for path, content in contents.items() if content in rows
        }

    # ------------------------------------------------------------------ search

    def search(
        self,
        query: str | Query | PictureSource,
        k: int = 10,
        *,
        where: Where = None,
        threshold: float = 0.0,
        offset: int = 0,
        collapse: bool = False,
        files: bool = False,
        text_weight: float = TEXT_WEIGHT,
        sort: str = "relevance",
        literal: bool = False,
        ignore: Collection[QueryPart] = (),
    ) -> Hits:
        """Return the k best pictures for a query such as «قطة + سجادة حمراء - كلب», best first.

        Identical files count as one picture. In a gallery in a folder, files missing on the disk are left out.
        Successive pages (`offset` 0, k, 2 k, …) neither overlap nor skip a picture.

        Args:
            query: a text (docs/queries.md); or a picture as path object, bytes, PIL picture or (H, W, 3) uint8 array;
                or a vector (D,) made by the gallery's model, of any length but 0.
            where: search only pictures that pass these filters: Filters, or texts as `araclip search --where` takes
                them ("format=JPEG"). Recall does not suffer, however few pictures pass.
            threshold: the least relevance of a hit. 0.2 leaves out the weak hits (for a meaningless query, these are
                all hits), 0.5 the fair hits too. It has no effect if relevance is unknown: with a picture or a vector
                in the query, or in a gallery of a few pictures.
            offset: how many of the best hits to skip.
            collapse: True to return only the best picture of each group of near-duplicates.
            files: True to let a term name a file, as in «./sofa.jpg + لون أزرق»; leave it off for untrusted queries.
            text_weight: how much words in names, metadata, captions and OCR text count, 0 (not at all) to 10.
            sort: "date" for the pictures that fit, the newest first, "oldest" for the oldest first. Weak hits are
                left out; but if nothing fits the query, all hits are returned, best first. Where relevance is unknown,
                the 200 best are sorted.
            literal: True to take the words as typed. Otherwise spelling, dialect, Arabizi, exclusions, dates, folders
                and places are interpreted; the hits' `interpretation` says how.
            ignore: which parts are not interpreted: any of words, exclusions, date, folder, place, kind, order.

        Raises:
            InputError: the query is empty, malformed or of a wrong type, or a number or a filter is invalid.
            ImageError, OSError: a picture in the query cannot be read.
        """
        page = Page(k, offset, check_values(self._catalog, Filters.of(where, collapse=collapse)), threshold, sort)
        snapshot = self._reader.latest()
        if isinstance(query, np.ndarray) and query.ndim == 1:
            return self._make_hits(snapshot.search(self._as_unit_vector(query), page, relevance=False))
        if not isinstance(query, str | Query):
            return self._make_hits(snapshot.search(self._picture_vector(query)[0], page, relevance=False))
        parsed = query if isinstance(query, Query) else parse(query, files=files)
        planner = self._planner(parsed, snapshot, page, literal, ignore)
        plan, hits = run(search_steps(planner, snapshot, self._vector_named, text_weight), self._encode)
        interpretation = self._suggestions.suggest(plan, hits, self.interpreter, self._catalog)
        return self._make_hits(hits, interpretation)

    def _make_hits(self, found: list[Hit], interpretation: Interpretation | None = None) -> Hits:
        hits = Hits(found, interpretation, pictures=self.picture)
        hits.away = None if found else missing_folder(self._catalog)
        return hits

    @cached_property
    def _suggestions(self) -> Suggestions:
        return Suggestions()

    def explain(
        self, query: str | Query, picture: StrPath, *, literal: bool = False, files: bool = False
    ) -> Explanation:
        """Explain why a query finds a picture: what each word adds, which texts match, and how the query was read.

        Args:
            picture: the path of a hit (also `picture:…`, of a picture without a file), or any picture file.
            literal: True to take the words of the query as typed.
            files: True to let a term of the query name a picture file; leave it off for untrusted queries.

        Raises:
            InputError: the query is empty or malformed; or `picture` is neither in the gallery nor a file.
            ImageError, OSError: the picture is not in the gallery, and its file cannot be read.
        """
        from araclip.gallery.explanation import Explanation, explanation_steps

        parsed = query if isinstance(query, Query) else parse(query, files=files)
        snapshot = self._reader.latest()
        path = stored_path(text_path(picture))
        content = self._catalog.content_of(path)
        # the path is not indexed, but the picture may be in the gallery under another path
        if content is None:
            vector, content = self._picture_vector(user_path(path))
        else:
            vector = self._catalog.vector(content)
        planner = self._planner(parsed, snapshot, Page(1, 0, Filters()), literal, ())
        plan, vectors, shares = run(explanation_steps(planner, snapshot, vector, self._vector_named), self._encode)
        query_vector = combine(vectors.terms, plan.query, subtract=snapshot.scale is None)
        score = float(query_vector @ vector)
        scale = snapshot.scale if plan.has_relevance else None
        text = plan.words_to_find(TEXT_WEIGHT)
        relevance = scale.relevance(query_vector) if scale else None
        matched: tuple[Match, ...] = ()
        rated = relevance(score) if relevance else None
        if content is not None and text:
            matched, rated = snapshot.match_texts(content, text, query_vector, score, relevance)
        return Explanation(
            path=path,
            score=score,
            relevance=rated,
            words=shares,
            matched=matched,
            interpretation=plan.interpretation,
        )

    @property
    def interpreter(self) -> Interpreter:
        """The interpreter of query words; by default with araclip's and the user's lexicons (docs/understanding.md)."""
        if self._interpreter is None:
            self._interpreter = interpreter(home=data_home())
        return self._interpreter

    @interpreter.setter
    def interpreter(self, value: Interpreter) -> None:
        """Set the interpreter of query words, such as `araclip.text.resources.interpreter("my-words.txt")`."""
        self._interpreter = value

    def _planner(
        self, query: Query, snapshot: Snapshot, page: Page, literal: bool, ignore: Collection[QueryPart]
    ) -> Planner:
        """Return the planner of a query, which knows the gallery's names of folders and places."""
        reader, generation = self._reader, snapshot.generation

        def folder_names(explicit: bool) -> Collection[str]:
            """Return the names of all folders; none in a large gallery, unless the query says "folder" (`explicit`)."""
            if not explicit and reader.cached_value(generation, "files", lambda: self._catalog.counts()[0]) > FEW_FILES:
                return ()
            return reader.cached_value(generation, "folders", lambda: self._catalog.overview().folders)

        places = partial(reader.place_names, generation)
        return Planner(query, self.interpreter, page, folder_names, places, literal, ignore)

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return text_vectors(self.model, texts)

    def _vector_named(self, picture: str) -> NDArray[np.float32]:
        """Return the vector (D,) of a picture that a query names."""
        return self._picture_vector(picture)[0]

    def similar(
        self, picture: PictureSource, k: int = 10, *, where: Where = None, offset: int = 0, collapse: bool = False
    ) -> Hits:
        """Return the k pictures that look most like one picture: a path, bytes, a PIL picture or an array (H, W, 3).

        A path may also be `picture:…`, the path of a picture without a file. If the gallery has the picture itself, it
        is left out. The hits' relevance is None, because relevance is calibrated for texts only. See `search` for other
        arguments and the errors.
        """
        page = Page(k, offset, check_values(self._catalog, Filters.of(where, collapse=collapse)))
        vector, content = self._picture_vector(picture)
        return self._make_hits(self._reader.latest().search(vector, page, relevance=False, exclude=content))

    def _picture_vector(self, picture: PictureSource) -> tuple[NDArray[np.float32], int | None]:
        """Return the vector (D,) of a picture, and the picture's id in the store.

        The vector of a video's scene, or of a picture whose pixels the gallery stores (`picture:…`), is read from the
        store; any other picture is encoded. The id is None if the gallery does not have the picture.
        """
        from araclip.gallery.ingest.intake import read_source, source_of
        from araclip.pictures.image_transform import transform_of

        if isinstance(picture, str) and (picture.startswith(STORED_PREFIX) or scene_of(picture)):
            content = self._id_at_path(picture)
            return self._catalog.vector(content), content
        loaded = read_source(source_of(picture), set(), transform_of(self.model))
        assert loaded.decoded is not None  # no hash is given as known, so `read_source` always decodes the picture
        return pixel_vectors(self.model, loaded.decoded.pixels[None])[0], self._catalog.content(loaded.digest)

    def _as_unit_vector(self, vector: NDArray[Any]) -> NDArray[np.float32]:
        length = float(np.linalg.norm(vector)) if vector.dtype.kind == "f" else math.nan
        if vector.shape != (self.model.width,) or not 0 < length < math.inf:
            raise InputError(
                f"a vector of shape {vector.shape} and type {vector.dtype} cannot be searched in {self.folder}, whose "
                f"vectors have {self.model.width} numbers. Pass one that {self.model.label} has made."
            )
        return (vector / length).astype(np.float32)

    def _id_at_path(self, path: StrPath) -> int:
        content = self._catalog.content_of(stored_path(text_path(path)))
        if content is None:
            raise InputError(f"{path} is not in the gallery {self.folder}. Pass the path of a hit.")
        return content


def _check_is_several(items: Iterable[T], method: str, kind: str) -> Iterable[T]:
    """Return the items unchanged; raise InputError if a single item was passed instead of several."""
    if isinstance(items, str | os.PathLike | bytes | Image.Image | np.ndarray):
        raise InputError(f"{method} takes several {kind}s, got one. Pass [{kind}].")
    if not isinstance(items, Iterable):
        raise InputError(f"{method} takes several {kind}s, got {type(items).__name__}. Pass [{kind}].")
    return items
