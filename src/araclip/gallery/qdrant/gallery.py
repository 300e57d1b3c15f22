"""A gallery on a Qdrant server: the interface of `Gallery`, shared by any number of machines."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from qdrant_client import QdrantClient

from araclip.encoder import Encoder, ModelLike
from araclip.gallery.addresses import QdrantAddress
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.qdrant.catalog import QdrantCatalog
from araclip.gallery.qdrant.conditions import visible
from araclip.gallery.qdrant.connection import Connection, connection_to
from araclip.gallery.qdrant.lease import SECONDS
from araclip.gallery.qdrant.reader import QdrantReader
from araclip.gallery.qdrant.state import create as create_gallery
from araclip.gallery.qdrant.state import recorded_at
from araclip.gallery.recorded_model import encoder_for
from araclip.gallery.remote.maintenance import RemoteMaintenance


class QdrantGallery(RemoteMaintenance):
    """Pictures indexed with one model in a collection of a Qdrant server.

    Errors of every method: GalleryUnreachable when the server does not answer, GalleryError when it refuses,
    WidthMismatch when the gallery was re-embedded with another model.
    """

    _catalog: QdrantCatalog

    def __init__(self, connection: Connection, model: Encoder, *, exact: bool, lease_seconds: float) -> None:
        self.model = model
        self.folder = connection.name
        self._catalog = QdrantCatalog(connection, model, lease_seconds)
        self._reader = QdrantReader(self._catalog, model, exact=exact)
        self._exact = exact

    @classmethod
    def open(
        cls,
        address: str | QdrantAddress,
        *,
        model: ModelLike | None = None,
        create: bool = False,
        exact: bool = True,
        lease_seconds: float = SECONDS,
        client: QdrantClient | None = None,
    ) -> "QdrantGallery":
        """Open the gallery at `address`, qdrant://HOST:PORT/COLLECTION or https://…; the API key is in
        $ARACLIP_QDRANT_API_KEY.

        Args:
            model: as for `Gallery.open`.
            create: create it if it does not exist.
            exact: False lets the server's graph (HNSW) answer searches without filters, see docs/remote.md.
            lease_seconds: how long a dead writer blocks others.
            client: use this client instead of creating one for the address.

        Raises:
            GalleryNotFound, GalleryCorrupt, NewerGallery: it does not exist, or cannot be used.
            WidthMismatch: it was made by another model than `model`.
            GalleryUnreachable: the server does not answer.
            InputError: an invalid address.
        """
        connection = connection_to(address, client)
        encoder = encoder_for(model, lambda: recorded_at(connection), connection.name)
        if not connection.exists():
            if not create:
                raise connection.not_found()
            create_gallery(connection, encoder)
        opened = cls(connection, encoder, exact=exact, lease_seconds=lease_seconds)
        opened._catalog.state()
        return opened

    def __len__(self) -> int:
        """Number of different pictures."""
        return self._catalog.connection.count(visible(self._catalog.state().number))

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

    def _writing(self) -> AbstractContextManager[None]:
        return self._catalog.session()

    @contextmanager
    def _ingesting(self) -> Iterator[Turn]:
        with self._writing():  # one lease for all commits
            yield nullcontext

    def _finish_writing(self) -> None:
        pass  # the server maintains its own indexes
