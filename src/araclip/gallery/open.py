"""Galleries by their location: a folder, or an address on a Qdrant server (extra `qdrant`)."""

import os

from araclip.encoder import Encoder, ModelLike
from araclip.errors import InputError
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.gallery import Gallery
from araclip.gallery.ingest.reembed import reembed
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.locations import Address, location_of
from araclip.gallery.reader import FolderReader, GalleryReader
from araclip.model_folder import DEFAULT_MODEL

MISSING_QDRANT = "A gallery on a Qdrant server needs the package qdrant-client. Run: pip install 'araclip[qdrant]'"

Named = str | os.PathLike[str] | Address


def open_gallery(location: Named, *, model: ModelLike = DEFAULT_MODEL, create: bool = False) -> BaseGallery:
    """The gallery in a folder, or at an address such as qdrant://HOST:6333/COLLECTION.

    Raises:
        InputError: an address, and the extra `qdrant` is missing.
        GalleryError: as for `Gallery.open` and `RemoteGallery.open`.
    """
    place = location_of(location)
    if not isinstance(place, Address):
        return Gallery.open(place, model=model, create=create)
    try:
        from araclip.gallery.remote.gallery import RemoteGallery
    except ImportError as error:
        raise InputError(MISSING_QDRANT) from error
    return RemoteGallery.open(place, model=model, create=create)


def open_reader(location: Named, model: Encoder, *, create: bool = False) -> GalleryReader:
    """The read side of a gallery, for any thread.

    Args:
        create: make it if it is not there and lies in a folder.

    Raises:
        InputError, GalleryError: as for `open_gallery`.
    """
    place = location_of(location)
    if not isinstance(place, Address):
        if create:
            Catalog.create(place, model.name, model.fingerprint, model.width).close()
        return FolderReader.open(place, model)
    try:
        from araclip.gallery.remote.reader import RemoteReader
    except ImportError as error:
        raise InputError(MISSING_QDRANT) from error
    return RemoteReader.open(place, model)


def repair_gallery(
    location: Named, *, model: ModelLike = DEFAULT_MODEL, progress: FilesProgress | None = None
) -> list[str]:
    """Repair a gallery, in a folder also one that cannot be opened; returns one line for each action.

    Raises:
        InputError, GalleryError, OSError: as for `open_gallery` and `Gallery.rescue`.
    """
    place = location_of(location)
    if not isinstance(place, Address):
        return Gallery.rescue(place, model=model, progress=progress)
    with open_gallery(place, model=model) as opened:  # on a server there is no file to save rows from
        return opened.repair()


def reembed_gallery(
    location: Named,
    model: Encoder,
    *,
    forget_missing: bool = False,
    progress: FilesProgress | None = None,
    skip: Skip | None = None,
) -> int:
    """Give a gallery the vectors of another model; see `gallery.ingest.reembed.reembed`.

    Raises:
        InputError: as for `open_gallery`.
        GalleryError: as for `reembed`.
    """
    place = location_of(location)
    if not isinstance(place, Address):
        return reembed(place, model, forget_missing=forget_missing, progress=progress, skip=skip)
    try:
        from araclip.gallery.remote import reembed as remote
    except ImportError as error:
        raise InputError(MISSING_QDRANT) from error
    return remote.reembed(place, model, forget_missing=forget_missing, progress=progress, skip=skip)
