"""Galleries in PostgreSQL databases, for `gallery.open`."""

from contextlib import closing

from araclip.encoder import Encoder, ModelLike
from araclip.gallery.addresses import PostgresAddress
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.postgres.catalog import PostgresCatalog
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.gallery import PostgresGallery, recorded_at
from araclip.gallery.postgres.reader import PostgresReader
from araclip.gallery.postgres.reembed import reembed
from araclip.gallery.recorded_model import RecordedModel
from araclip.gallery.remote.engine import Engine


class PostgresEngine(Engine):
    """A gallery in a schema."""

    def __init__(self, address: PostgresAddress) -> None:
        self._address = address

    def open(self, model: ModelLike | None, create: bool) -> PostgresGallery:
        """Open it."""
        return PostgresGallery.open(self._address, model=model, create=create)

    def reader(self, model: Encoder) -> PostgresReader:
        """Read it."""
        return PostgresReader.open(self._address, model)

    def recorded(self) -> RecordedModel | None:
        """Its model."""
        with closing(Database(self._address)) as database:
            return recorded_at(database)

    def pictures(self) -> int:
        """Their number."""
        with closing(Database(self._address)) as database:
            catalog = PostgresCatalog(database, None)
            catalog.state()
            return catalog.counts()[1]

    def reembed(self, model: Encoder, forget_missing: bool, progress: FilesProgress | None, skip: Skip | None) -> int:
        """Re-embed it."""
        return reembed(self._address, model, forget_missing=forget_missing, progress=progress, skip=skip)
