"""Adding uploaded pictures to a gallery, and removing and hiding pictures."""

from collections.abc import Mapping

from araclip.errors import ImageError
from araclip.gallery.catalog.records import PictureRecord
from araclip.gallery.ingest.intake import Intake
from araclip.gallery.ingest.sources import LoadedPicture
from araclip.gallery.ingest.videos import stored_of
from araclip.server.gallery.served_gallery import ServedGallery

PATIENCE_S = 5.0  # for other writers, whose commits take less than a second; the client waits too


def add(gallery: ServedGallery, loaded: LoadedPicture, metadata: Mapping[str, str]) -> None:
    """Add an uploaded picture. When this returns, it is stored on the disk, or by the server of the gallery.

    Raises:
        GalleryLocked: another process is writing, and not in turns.
        WidthMismatch: the gallery was re-embedded with another model.
        OSError: the disk is full or read-only.
    """

    def refused(_: int, error: OSError | ImageError) -> None:
        raise error

    store, turn = gallery.writer(PATIENCE_S)
    Intake(store, gallery.model, turn).ingest([loaded], refused, metadata=[metadata])


def forget(gallery: ServedGallery, picture: PictureRecord) -> None:
    """Remove a picture by all of its paths; of a scene, the whole video. Files on the disk stay.

    Raises:
        GalleryLocked, WidthMismatch, OSError: as for `add`.
    """
    store, turn = gallery.writer(PATIENCE_S)
    with turn(), store.writing():
        store.remove_files([path for copy in picture.copies for path in stored_of(store, copy.file)])


def hide(gallery: ServedGallery, contents: list[int], hidden: bool) -> int:
    """Hide pictures, or show them again; returns how many have changed.

    Raises:
        GalleryLocked, WidthMismatch, OSError: as for `add`.
    """
    store, turn = gallery.writer(PATIENCE_S)
    with turn(), store.writing():
        return store.set_hidden(contents, hidden)
