"""A gallery in a PostgreSQL database, with the methods of `Gallery`; any number of machines can share it."""

import os
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import numpy as np

from araclip.core.display import counted
from araclip.core.paths import user_path
from araclip.errors import GalleryError
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog import counting
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.gallery.ingest.intake import ENCODE_BATCH, DecodedPicture, Turn, decode_again
from araclip.gallery.ingest.reembed import Reencoder
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.locations import Address
from araclip.gallery.maintenance.duplicates import grouped
from araclip.gallery.maintenance.export import write_export
from araclip.gallery.maintenance.verify import file_fault, is_unit, stored_fault
from araclip.gallery.postgres import schema
from araclip.gallery.postgres.catalog import PostgresCatalog
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.reader import PostgresReader
from araclip.gallery.postgres.schema import Row, record_of
from araclip.gallery.postgres.search import build_graph
from araclip.gallery.recorded_model import RecordedModel, encoder_for
from araclip.gallery.results import Fault, Group, Stats
from araclip.models.encoder import Encoder, ModelLike
from araclip.models.encoder_base import pixel_vectors
from araclip.models.vectors import Ids, Vectors
from araclip.pictures.image_transform import ImageTransform, transform_of
from araclip.pictures.video import scenes


class PostgresGallery(BaseGallery):
    """A gallery in a schema of a PostgreSQL database: pictures indexed with one model. Writers take turns.

    Every method raises GalleryUnreachable if the server does not answer, GalleryError if it refuses a statement, and
    WidthMismatch if the gallery was re-embedded with another model.
    """

    _catalog: PostgresCatalog

    def __init__(self, database: Database, model: Encoder, *, exact: bool) -> None:
        self.model = model
        self.folder = database.name
        self._catalog = PostgresCatalog(database, model)
        self._reader = PostgresReader(self._catalog, model, exact=exact)
        self._exact = exact

    @classmethod
    def open(
        cls,
        address: str | Address,
        *,
        model: ModelLike | None = None,
        create: bool = False,
        exact: bool = False,
    ) -> "PostgresGallery":
        """Open the gallery at `address`, postgresql://USER@HOST/DATABASE?schema=NAME; the password is in $PGPASSWORD.

        Args:
            model: as for `Gallery.open`.
            create: create the gallery if it does not exist.
            exact: True to compare all pictures that pass the filters, however many there are.

        Raises:
            GalleryNotFound, GalleryCorrupt, NewerGallery: the gallery does not exist, or cannot be used.
            WidthMismatch: the gallery was made with another model than `model`.
            GalleryUnreachable: the server does not answer.
            InputError: the address is invalid.
        """
        database = Database(Address.read(address) if isinstance(address, str) else address)
        with database.closed_on_error():
            encoder = encoder_for(model, lambda: cls._recorded_in(database), database.name)
            if create and not schema.exists(database):
                schema.create(database, encoder)
            opened = cls(database, encoder, exact=exact)
            opened._catalog.state()
        return opened

    @staticmethod
    def recorded(address: Address) -> RecordedModel | None:
        """Return what the gallery at an address records about its model; None if there is no gallery."""
        with closing(Database(address)) as database:
            return PostgresGallery._recorded_in(database)

    @staticmethod
    def _recorded_in(database: Database) -> RecordedModel | None:
        return schema.read_state(database).model if schema.exists(database) else None

    @staticmethod
    def pictures(address: Address) -> int:
        """Return the number of pictures in the gallery at an address, whatever its model."""
        with closing(Database(address)) as database:
            catalog = PostgresCatalog(database, None)
            catalog.state()
            return catalog.counts()[1]

    @staticmethod
    def reader(address: Address, model: Encoder) -> PostgresReader:
        """Return a reader of the gallery at an address, which any thread can use."""
        return PostgresReader.open(address, model)

    @staticmethod
    def reembed(
        address: Address,
        model: Encoder,
        *,
        forget_missing: bool = False,
        progress: FilesProgress | None = None,
        skip: Skip | None = None,
    ) -> int:
        """Re-embed the gallery at `address` with `model`; return the number of pictures encoded in this run.

        A second table of vectors is filled, and then replaces the first table. Until then, searches with the old model
        continue. A run that was stopped or killed resumes, unless a run with another model was started in between.

        Args, errors: as for `gallery.ingest.reembed.reembed`, and GalleryUnreachable.
        """
        with closing(Database(address)) as database, database.locked():
            catalog = PostgresCatalog(database, None)
            before, old = catalog.recorded, catalog.vectors
            schema.drop_vectors_but(database, old, schema.vectors_of(model.fingerprint))
            if before.fingerprint == model.fingerprint:
                return 0
            new = schema.create_vectors(database, model)
            done = {content for (content,) in database.rows(f"SELECT content FROM {new}")}
            rows = list(catalog.rows())
            waiting = [row for row in rows if row.id not in done]
            reencoder = Reencoder(model, len(rows), progress or (lambda *_: None), skip or (lambda _: None))
            transform = transform_of(model)
            with closing(
                reencoder.groups(waiting, lambda row: _decode_row(catalog, row, transform), ENCODE_BATCH)
            ) as groups:
                for group in groups:
                    with database.transaction():
                        for row, vector in group:
                            catalog.put_vector(new, row.id, vector.astype(np.float32))
            if reencoder.missing and not forget_missing:
                raise GalleryError(
                    f"{counted(reencoder.missing, 'picture')} of {database.name} cannot be encoded now, so it keeps "
                    f"the vectors of {before.label}. Make their files reachable or run `araclip index` with that model "
                    "first, then try again (the new vectors are kept), or forget them with --forget-missing."
                )
            build_graph(database, new)
            record = RecordedModel.of(model)
            with database.transaction():
                database.rows(f"DELETE FROM contents WHERE id NOT IN (SELECT content FROM {new})")
                database.rows(
                    "UPDATE gallery SET model = ?, fingerprint = ?, width = ?, model_origin = ?, model_source = ?, "
                    + schema.NEXT_GENERATION,
                    (record.name, record.fingerprint, record.width, record.origin, record.source),
                )
                database.rows(f"DROP TABLE {old}")
        return reencoder.encoded

    def __len__(self) -> int:
        self._catalog.state()
        return self._catalog.counts()[1]

    def close(self) -> None:
        self._reader.close()

    def _writing(self) -> AbstractContextManager[None]:
        return self._catalog.turn()

    @contextmanager
    def _ingesting(self) -> Iterator[Turn]:
        with self._writing():  # raises now, not after the work, if the gallery cannot be written
            pass
        yield self._writing
        with self._writing():
            self._finish_writing()

    def _finish_writing(self) -> None:
        build_graph(self._catalog.database, self._catalog.vectors)

    # ------------------------------------------------------------------ maintenance

    def stats(self) -> Stats:
        catalog, database = self._catalog, self._catalog.database
        with database.reading():
            model, overview = catalog.recorded, catalog.overview()
            ((stored, first, last),) = database.rows(
                f"SELECT (SELECT count(DISTINCT content) FROM files WHERE substr(path, 1, {len(STORED_PREFIX)}) = ?), "
                "min(added), max(added) FROM contents WHERE shown",
                (STORED_PREFIX.encode(),),
            )
            return Stats(
                folder=catalog.folder,
                model=model.label,
                width=model.width,
                generation=catalog.generation,
                files=overview.files,
                pictures=catalog.counts()[1],
                stored=stored,
                file_bytes=counting.file_bytes(database),
                catalogue_bytes=catalog.stored_bytes,
                formats=overview.formats,
                captured_at=overview.captured_at,
                added=(first, last) if first else None,
                recall=1.0 if self._exact else None,
            )

    def duplicates(self, kinds: Collection[str] = ("exact", "near")) -> list[Group]:
        """Return groups of duplicate files, whether or not they exist on this machine; "semantic" fetches all
        vectors."""
        catalog = self._catalog
        rows = sorted(catalog.rows(), key=lambda row: row.id)
        files: dict[int, list[tuple[str, int, int]]] = {}
        for row in rows:
            pixels = row.facts.width * row.facts.height if row.facts else 0
            named = sorted(row.files, key=lambda entry: os.fsencode(entry.file.path))
            several = [(h.file.path, h.file.size, pixels) for h in named if not h.file.path.startswith(STORED_PREFIX)]
            if several:
                files[row.id] = several

        def vectors() -> tuple[Ids, Vectors]:
            known, stored = catalog.rows_with_vectors()
            return np.array([row.id for row in known], np.int64), stored

        ids = np.array([row.id for row in rows], np.int64)
        hashes = np.array([row.phash for row in rows], np.uint64)
        return grouped(files, lambda: (ids, hashes), vectors, kinds)

    def verify(self, *, contents: bool = False, progress: FilesProgress | None = None) -> list[Fault]:
        """Return all faults of the vectors, and of the files as this machine sees them."""
        catalog = self._catalog
        faults: list[Fault] = []
        if contents:
            scenes.forget_hashes()
        rows, vectors = catalog.rows_with_vectors()
        total, done = sum(len(row.files) for row in rows), 0
        for row, vector in zip(rows, vectors, strict=True):
            if not is_unit(vector):
                remedy = "Run `araclip repair`, which encodes it again."
                faults.append(Fault(row.files[0].file.path, "its vector is damaged", remedy, True))
            for entry in row.files:
                path = entry.file.path
                if path.startswith(STORED_PREFIX):
                    faults += stored_fault(path, catalog.stored_pixels(row.id))
                else:
                    # all scenes of a video give the same fault
                    faults += file_fault(entry.file, row.digest if contents else None)
                done += 1
                if progress:
                    progress(done, total)
        return list(dict.fromkeys(faults))

    def repair(self) -> list[str]:
        """Encode pictures with damaged vectors again, or remove them; also remove what a dead writer has left."""
        catalog, actions = self._catalog, []
        with self._writing():
            rows, vectors = catalog.rows_with_vectors()
            for row, vector in zip(rows, vectors, strict=True):
                if is_unit(vector):
                    continue
                decoded = _decode_row(catalog, row, transform_of(self.model))
                names = ", ".join(entry.file.path for entry in row.files)
                with catalog.writing():
                    if isinstance(decoded, str):
                        catalog.remove_files([entry.file.path for entry in row.files])
                        actions.append(f"{names}: forgotten, since it cannot be encoded again now.")
                    else:
                        catalog.add_content(row.digest, pixel_vectors(self.model, decoded.pixels[None])[0])
                        actions.append(f"{names}: encoded again.")
        return actions

    def compact(self) -> int:
        """Free the space of removed pictures; return the bytes freed, 0 if the server frees them later."""
        with self._writing():
            return self._catalog.compact()

    def export(self, folder: str | os.PathLike[str]) -> int:
        catalog = self._catalog
        model, generation = catalog.recorded, catalog.generation
        rows, vectors = catalog.rows_with_vectors()
        about = {"model": model.name, "fingerprint": model.fingerprint, "generation": generation}
        return write_export(
            user_path(folder), about, (record_of(row).described() for row in rows), vectors.astype("<f2")
        )


def _decode_row(catalog: PostgresCatalog, row: Row, transform: ImageTransform) -> DecodedPicture | str:
    """Decode a picture again, from a file that still holds it or from its stored pixels; or return why that fails."""
    paths = [entry.file.path for entry in row.files]
    decoded = decode_again(paths, row.digest, lambda: catalog.stored_pixels(row.id), transform)
    return f"{paths[0]}: cannot be encoded again ({decoded})." if isinstance(decoded, str) else decoded
