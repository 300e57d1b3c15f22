"""What each kind of server offers to `gallery.open`."""

from abc import ABC, abstractmethod

from araclip.encoder import Encoder, ModelLike
from araclip.gallery.base import BaseGallery
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.reader import GalleryReader
from araclip.gallery.recorded_model import RecordedModel


class Engine(ABC):
    """A gallery at one address. Errors: as for the engine's class of galleries."""

    @abstractmethod
    def open(self, model: ModelLike | None, create: bool) -> BaseGallery:
        """Open it."""

    @abstractmethod
    def reader(self, model: Encoder) -> GalleryReader:
        """Read it, from any thread."""

    @abstractmethod
    def recorded(self) -> RecordedModel | None:
        """What it records of its model; None where there is none."""

    @abstractmethod
    def pictures(self) -> int:
        """The number of its pictures, of whatever model."""

    @abstractmethod
    def reembed(self, model: Encoder, forget_missing: bool, progress: FilesProgress | None, skip: Skip | None) -> int:
        """Re-embed it; see `gallery.ingest.reembed.reembed`."""
