"""Adding uploaded pictures to a gallery, and removing pictures."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from araclip.errors import ImageError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import PictureRecord
from araclip.gallery.catalog.writer_lock import writer_lock
from araclip.gallery.ingest.intake import Intake
from araclip.gallery.ingest.sources import LoadedPicture
from araclip.gallery.ingest.videos import stored_of
from araclip.server.served_gallery import ServedGallery

PATIENCE_S = 5.0  # for other writers, whose commits take less than a second; the client waits too


def add(gallery: ServedGallery, loaded: LoadedPicture, metadata: Mapping[str, str]) -> None:
    """Add an uploaded picture. When this returns, it is stored on the disk.

    Raises:
        GalleryLocked: another process is writing, and not in turns.
        WidthMismatch: the gallery was re-embedded with another model.
        OSError: the disk is full or read-only.
    """

    def refused(_: int, error: OSError | ImageError) -> None:
        raise error

    catalog = gallery.catalog()
    Intake(catalog, gallery.model, lambda: _turn(catalog, gallery)).ingest([loaded], refused, metadata=[metadata])


def forget(gallery: ServedGallery, picture: PictureRecord) -> None:
    """Remove a picture by all of its paths; of a scene, the whole video. Files on the disk stay.

    Raises:
        GalleryLocked, OSError: as for `add`.
    """
    catalog = gallery.catalog()
    with writer_lock(catalog.folder, patience=PATIENCE_S), catalog.writing():
        catalog.remove_files([path for copy in picture.copies for path in stored_of(catalog, copy.file)])


def hide(gallery: ServedGallery, contents: list[int], hidden: bool) -> int:
    """Hide pictures, or show them again; returns how many have changed.

    Raises:
        GalleryLocked, OSError: as for `add`.
    """
    catalog = gallery.catalog()
    with writer_lock(catalog.folder, patience=PATIENCE_S), catalog.writing():
        return catalog.set_hidden(contents, hidden)


@contextmanager
def _turn(catalog: Catalog, gallery: ServedGallery) -> Iterator[None]:
    with writer_lock(catalog.folder, patience=PATIENCE_S):
        catalog.check_model(gallery.model.name, gallery.model.fingerprint)
        yield
