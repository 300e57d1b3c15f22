"""Adding uploaded pictures to a gallery, and removing pictures."""

from collections.abc import Mapping

from araclip.errors import ImageError
from araclip.gallery.ingest.intake import Intake
from araclip.gallery.ingest.sources import LoadedPicture
from araclip.server.served_gallery import ServedGallery


def add(gallery: ServedGallery, loaded: LoadedPicture, metadata: Mapping[str, str]) -> None:
    """Add an uploaded picture. When this returns, it is stored on the disk.

    Raises:
        GalleryLocked: another process is writing.
        WidthMismatch: the gallery was re-embedded with another model.
        OSError: the disk is full or read-only.
    """

    def refused(_: int, error: OSError | ImageError) -> None:
        raise error

    catalog, writer_lock = gallery.writable()
    with writer_lock.held():
        catalog.check_model(gallery.model.name, gallery.model.fingerprint)
        Intake(catalog, gallery.model).ingest([loaded], refused, metadata=[metadata])


def forget(gallery: ServedGallery, paths: list[str]) -> None:
    """Remove a picture by all of its paths. Files on the disk stay.

    Raises:
        GalleryLocked: another process is writing, or this server is indexing.
        OSError: as for `add`.
    """
    catalog, writer_lock = gallery.writable()
    with writer_lock.alone(), catalog.writing():
        catalog.remove_files(paths)
