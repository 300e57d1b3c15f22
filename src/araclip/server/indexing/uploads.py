"""Changing a gallery from a server: pictures that were sent come in, pictures are forgotten."""

from collections.abc import Mapping

from araclip.errors import ImageError
from araclip.gallery.ingest.intake import Intake
from araclip.gallery.ingest.sources import LoadedPicture
from araclip.server.served_gallery import ServedGallery


def add(gallery: ServedGallery, loaded: LoadedPicture, metadata: Mapping[str, str]) -> None:
    """Add a picture that was sent. When this returns, it is on the disk.

    Raises:
        GalleryLocked: another process is writing.
        WidthMismatch: the gallery belongs to another model by now.
        OSError: the disk is full or read-only.
    """

    def refused(_: int, error: OSError | ImageError) -> None:
        raise error

    catalog, writer_lock = gallery.writable()
    with writer_lock.held():
        catalog.check_model(gallery.model.name, gallery.model.fingerprint)
        Intake(catalog, gallery.model).ingest([loaded], refused, metadata=[metadata])


def forget(gallery: ServedGallery, paths: list[str]) -> None:
    """Forget a picture by all of its paths. No file on the disk is touched.

    Raises:
        GalleryLocked: another process is writing, or this server's own indexes.
        OSError: as for `add`.
    """
    catalog, writer_lock = gallery.writable()
    with writer_lock.alone(), catalog.writing():
        catalog.remove_files(paths)
