"""A gallery on a Qdrant server: the contract of `Gallery`, from any number of machines."""

import os
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path

from qdrant_client import QdrantClient

from araclip.encoder import Encoder, ModelLike, as_encoder
from araclip.gallery.base import BaseGallery
from araclip.gallery.ingest.update import FilesProgress
from araclip.gallery.locations import Address
from araclip.gallery.remote import upkeep
from araclip.gallery.remote.catalog import RemoteCatalog
from araclip.gallery.remote.conditions import visible
from araclip.gallery.remote.connection import Connection, connected
from araclip.gallery.remote.lease import SECONDS
from araclip.gallery.remote.reader import RemoteReader
from araclip.gallery.remote.state import create as create_gallery
from araclip.gallery.results import Fault, Group, Stats
from araclip.model_folder import DEFAULT_MODEL


class RemoteGallery(BaseGallery):
    """Pictures indexed with one model in a collection of a Qdrant server.

    Errors of every method: GalleryUnreachable when the server does not answer, GalleryError when it refuses,
    WidthMismatch when the gallery was given another model meanwhile.
    """

    _catalog: RemoteCatalog

    def __init__(self, connection: Connection, model: Encoder, *, exact: bool, lease_seconds: float) -> None:
        self.model = model
        self.folder = connection.name
        self._catalog = RemoteCatalog(connection, model, lease_seconds)
        self._reader = RemoteReader(self._catalog, model, exact=exact)
        self._exact = exact

    @classmethod
    def open(
        cls,
        address: str | Address,
        *,
        model: ModelLike = DEFAULT_MODEL,
        create: bool = False,
        exact: bool = True,
        lease_seconds: float = SECONDS,
        client: QdrantClient | None = None,
    ) -> "RemoteGallery":
        """Open the gallery at `address`, qdrant://HOST:PORT/COLLECTION or https://…; the API key is in
        $ARACLIP_QDRANT_API_KEY.

        Args:
            create: make it if it is not there.
            exact: False lets the server's graph answer searches without filters, see docs/remote.md.
            lease_seconds: how long a writer that died keeps others from writing.
            client: a client of your own instead of one made for the address.

        Raises:
            GalleryNotFound, GalleryCorrupt, NewerGallery: there is none, or it cannot be used.
            WidthMismatch: it was made by another model than `model`.
            GalleryUnreachable, InputError: no answer; no address.
        """
        encoder = as_encoder(model)
        connection = connected(address, client)
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

    def _settle(self) -> None:
        pass  # the server keeps its indexes itself

    # ------------------------------------------------------------------ upkeep: the docstrings of `BaseGallery` hold

    def stats(self) -> Stats:
        """The gallery in numbers; `catalogue_bytes` is 0, since the server does not tell."""
        return upkeep.stats(self._catalog, self._exact)

    def duplicates(self, kinds: Collection[str] = ("exact", "near")) -> list[Group]:
        """Groups of files that belong together, whether they are there or not; near and semantic fetch all vectors."""
        return upkeep.duplicates(self._catalog, kinds)

    def verify(self, *, contents: bool = False, progress: FilesProgress | None = None) -> list[Fault]:
        """Everything that is wrong with vectors and files, seen from this machine."""
        return upkeep.verify(self._catalog, contents, progress or (lambda done, total: None))

    def repair(self) -> list[str]:
        """Encode pictures with damaged vectors again, and remove what a writer that died left."""
        with self._writing():
            return upkeep.repair(self._catalog, self.model)

    def compact(self) -> int:
        """Delete orphaned pixels; the server frees the space at a time of its own, so the answer is 0."""
        with self._writing():
            self._catalog.drop_orphans()
        return 0

    def export(self, folder: str | os.PathLike[str]) -> int:
        """Write the gallery for other programs."""
        return upkeep.export(self._catalog, Path(folder).expanduser())
