"""Galleries on Qdrant servers, for `gallery.open`."""

from araclip.encoder import Encoder, ModelLike
from araclip.gallery.addresses import QdrantAddress
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.qdrant.gallery import QdrantGallery
from araclip.gallery.qdrant.reader import QdrantReader
from araclip.gallery.qdrant.reembed import reembed
from araclip.gallery.qdrant.state import picture_count, recorded_at
from araclip.gallery.recorded_model import RecordedModel
from araclip.gallery.remote.engine import Engine


class QdrantEngine(Engine):
    """A gallery in a collection."""

    def __init__(self, address: QdrantAddress) -> None:
        self._address = address

    def open(self, model: ModelLike | None, create: bool) -> QdrantGallery:
        """Open it."""
        return QdrantGallery.open(self._address, model=model, create=create)

    def reader(self, model: Encoder) -> QdrantReader:
        """Read it."""
        return QdrantReader.open(self._address, model)

    def recorded(self) -> RecordedModel | None:
        """Its model."""
        return recorded_at(self._address)

    def pictures(self) -> int:
        """Their number."""
        return picture_count(self._address)

    def reembed(self, model: Encoder, forget_missing: bool, progress: FilesProgress | None, skip: Skip | None) -> int:
        """Re-embed it."""
        return reembed(self._address, model, forget_missing=forget_missing, progress=progress, skip=skip)
