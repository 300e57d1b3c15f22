"""A gallery in a PostgreSQL database, with the methods of `Gallery`; any number of machines can share it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager

from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.records import RecordedModel
from araclip.gallery.catalog.sql_store import Turn
from araclip.gallery.locations import Address
from araclip.gallery.maintenance.repair import encode_again
from araclip.gallery.maintenance.verify import bad_vectors
from araclip.gallery.postgres import schema
from araclip.gallery.postgres.catalog import PostgresCatalog
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.reader import PostgresReader
from araclip.gallery.recorded_model import encoder_for
from araclip.gallery.results import Fault, Stats
from araclip.models.encoder import Encoder, ModelLike


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
        cls, address: str | Address, *, model: ModelLike | None = None, create: bool = False, exact: bool = False
    ) -> "PostgresGallery":
        """Open the gallery at `address`, postgresql://USER@HOST/DATABASE?schema=NAME (password: see `Address`).

        Args:
            model: a name, a path or an encoder; by default the gallery's own model, and araclip-mini for a new gallery.
            create: create the gallery if it does not exist.
            exact: True to compare all pictures that pass the filters, however many there are.

        Raises:
            GalleryNotFound, GalleryCorrupt, NewerGallery: the gallery does not exist, or cannot be used.
            WidthMismatch: the gallery was made with another model than `model`.
            GalleryUnreachable: the server does not answer.
            InputError: the address is invalid.
        """
        database = Database(Address.read(address) if isinstance(address, str) else address)
        with database.close_on_error():
            encoder = encoder_for(model, lambda: cls._recorded_model(database), database.name)
            if create and not schema.exists(database):
                schema.create(database, encoder)
            opened = cls(database, encoder, exact=exact)
            opened._catalog.state()
        return opened

    @staticmethod
    def recorded(address: Address) -> RecordedModel | None:
        """Return what the gallery at an address records about its model; None if there is no gallery."""
        with closing(Database(address)) as database:
            return PostgresGallery._recorded_model(database)

    @staticmethod
    def _recorded_model(database: Database) -> RecordedModel | None:
        return schema.read_state(database).model if schema.exists(database) else None

    @staticmethod
    @contextmanager
    def open_store(address: Address) -> Iterator[PostgresCatalog]:
        """Open the database of the gallery at an address, whatever its model, for the length of a `with` block."""
        with closing(Database(address)) as database:
            catalog = PostgresCatalog(database, None)
            catalog.state()
            yield catalog

    @staticmethod
    def reader(address: Address, model: Encoder) -> PostgresReader:
        """Return a reader of the gallery at an address, which any thread can use."""
        return PostgresReader.open(address, model)

    def __len__(self) -> int:
        self._catalog.state()
        return self._catalog.counts()[1]

    def close(self) -> None:
        self._reader.close()

    def _hold_lock(self) -> AbstractContextManager[None]:
        return self._catalog.turn()

    @contextmanager
    def _ingestion_run(self) -> Iterator[Turn]:
        with self._hold_lock():  # raises now, not after the work, if the gallery cannot be written
            pass
        yield self._hold_lock
        with self._hold_lock():
            self._finish_writing()

    def _finish_writing(self) -> None:
        schema.build_graph(self._catalog.database, self._catalog.table)

    # ------------------------------------------------------------------ maintenance

    def stats(self) -> Stats:
        with self._catalog.reading():
            return super().stats()

    def _recall(self) -> float | None:
        return 1.0 if self._exact else None

    def _store_faults(self) -> Iterator[Fault]:
        for content in bad_vectors(self._catalog):
            path = self._catalog.known_paths(content)[0]
            yield Fault(path, "its vector is damaged", "Run `araclip repair`, which encodes it again.", True)

    def repair(self) -> list[str]:
        """Encode pictures with damaged vectors again, or remove those that cannot be read; return a line for each."""
        with self._hold_lock():
            bad = bad_vectors(self._catalog)
            return [line for content in bad for line in encode_again(self._catalog, self.model, content)]

    def compact(self) -> int:
        """Free the space of removed pictures; return the bytes freed, 0 if the server frees them later."""
        with self._hold_lock():
            return self._catalog.compact()
