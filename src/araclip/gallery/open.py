"""Galleries by their location: a folder, or an address on a Qdrant server (extra `qdrant`)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from araclip.encoder import Encoder, ModelLike, as_encoder
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


@contextmanager
def _qdrant() -> Iterator[None]:
    """Inside, an import that fails says which extra it needs."""
    try:
        yield
    except ImportError as error:
        raise InputError(MISSING_QDRANT) from error


def open_gallery(location: Named, *, model: ModelLike = DEFAULT_MODEL, create: bool = False) -> BaseGallery:
    """The gallery in a folder, or at an address such as qdrant://HOST:6333/COLLECTION.

    Raises:
        InputError: an address, and the extra `qdrant` is missing.
        GalleryError: as for `Gallery.open` and `RemoteGallery.open`.
    """
    found = location_of(location)
    if not isinstance(found, Address):
        return Gallery.open(found, model=model, create=create)
    with _qdrant():
        from araclip.gallery.remote.gallery import RemoteGallery
    return RemoteGallery.open(found, model=model, create=create)


def open_reader(location: Named, model: Encoder, *, create: bool = False) -> GalleryReader:
    """The read side of a gallery, for any thread.

    Args:
        create: make it if it is not there and lies in a folder.

    Raises:
        InputError, GalleryError: as for `open_gallery`.
    """
    found = location_of(location)
    if not isinstance(found, Address):
        if create:
            Catalog.create(found, model.name, model.fingerprint, model.width).close()
        return FolderReader.open(found, model)
    with _qdrant():
        from araclip.gallery.remote.reader import RemoteReader
    return RemoteReader.open(found, model)


def repair_gallery(
    location: Named, *, model: ModelLike = DEFAULT_MODEL, progress: FilesProgress | None = None
) -> list[str]:
    """Repair a gallery, in a folder also one that cannot be opened; returns one line for each action.

    Raises:
        InputError, GalleryError, OSError: as for `open_gallery` and `Gallery.rescue`.
    """
    found = location_of(location)
    if not isinstance(found, Address):
        return Gallery.rescue(found, model=model, progress=progress)
    with open_gallery(found, model=model) as opened:  # on a server there is no file to save rows from
        return opened.repair()


def reembed_gallery(
    location: Named,
    model: ModelLike,
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
    found, encoder = location_of(location), as_encoder(model)
    if not isinstance(found, Address):
        return reembed(found, encoder, forget_missing=forget_missing, progress=progress, skip=skip)
    with _qdrant():
        from araclip.gallery.remote import reembed as remote
    return remote.reembed(found, encoder, forget_missing=forget_missing, progress=progress, skip=skip)
