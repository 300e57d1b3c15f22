"""A gallery in a PostgreSQL database: the interface of `Gallery`, shared by any number of machines."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from araclip.encoder import Encoder, ModelLike
from araclip.gallery.addresses import Address, PostgresAddress
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.postgres.catalog import PostgresCatalog
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.reader import PostgresReader
from araclip.gallery.postgres.schema import create as create_gallery
from araclip.gallery.postgres.schema import exists, read_state
from araclip.gallery.postgres.search import build_graph
from araclip.gallery.recorded_model import RecordedModel, encoder_for
from araclip.gallery.remote.maintenance import RemoteMaintenance


class PostgresGallery(RemoteMaintenance):
    """Pictures indexed with one model in a schema of a PostgreSQL database. Writers take turns, as in a folder.

    Errors of every method: GalleryUnreachable when the server does not answer, GalleryError when it refuses,
    WidthMismatch when the gallery was re-embedded with another model.
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
        address: str | PostgresAddress,
        *,
        model: ModelLike | None = None,
        create: bool = False,
        exact: bool = False,
    ) -> "PostgresGallery":
        """Open the gallery at `address`, postgresql://USER@HOST/DATABASE?schema=NAME; the password is in $PGPASSWORD.

        Args:
            model: as for `Gallery.open`.
            create: create it if it does not exist.
            exact: True scans all pictures that pass the filters, however many there are.

        Raises:
            GalleryNotFound, GalleryCorrupt, NewerGallery: it does not exist, or cannot be used.
            WidthMismatch: it was made by another model than `model`.
            GalleryUnreachable: the server does not answer.
            InputError: an invalid address.
        """
        target = Address.read(address) if isinstance(address, str) else address
        assert isinstance(target, PostgresAddress)
        database = Database(target)
        with database.closed_on_error():
            encoder = encoder_for(model, lambda: recorded_at(database), database.name)
            if create and not exists(database):
                create_gallery(database, encoder)
            opened = cls(database, encoder, exact=exact)
            opened._catalog.state()
        return opened

    def __len__(self) -> int:
        """Number of different pictures."""
        self._catalog.state()
        return self._catalog.counts()[1]

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()

    def _writing(self) -> AbstractContextManager[None]:
        return self._catalog.turn()

    @contextmanager
    def _ingesting(self) -> Iterator[Turn]:
        with self._writing():  # a gallery that cannot be written is refused before the work, not after it
            pass
        yield self._writing
        with self._writing():
            self._finish_writing()

    def _finish_writing(self) -> None:
        build_graph(self._catalog.database, self._catalog.vectors)


def recorded_at(database: Database) -> RecordedModel | None:
    """What a gallery records of its model; None where there is none."""
    return read_state(database).model if exists(database) else None
