"""One door to galleries in folders and on servers."""

import os
from pathlib import Path

from araclip.encoder import Encoder, ModelLike
from araclip.errors import InputError
from araclip.gallery.base import BaseGallery
from araclip.gallery.gallery import Gallery
from araclip.gallery.ingest.reembed import reembed
from araclip.gallery.ingest.update import Progress, Skip
from araclip.gallery.remote.address import is_remote
from araclip.model_folder import DEFAULT_MODEL

MISSING_QDRANT = "A gallery on a Qdrant server needs the package qdrant-client. Run: pip install 'araclip[qdrant]'"


def open_gallery(
    place: str | os.PathLike[str], *, model: ModelLike = DEFAULT_MODEL, create: bool = False
) -> BaseGallery:
    """The gallery in a folder, or at an address such as qdrant://HOST:6333/COLLECTION.

    Raises:
        InputError: an address, and the extra `qdrant` is missing.
        GalleryError: as for `Gallery.open` and `RemoteGallery.open`.
    """
    if not is_remote(place):
        return Gallery.open(place, model=model, create=create)
    try:
        from araclip.gallery.remote.gallery import RemoteGallery
    except ImportError as error:
        raise InputError(MISSING_QDRANT) from error
    return RemoteGallery.open(str(place), model=model, create=create)


def reembed_gallery(
    place: str | os.PathLike[str],
    model: Encoder,
    *,
    forget_missing: bool = False,
    progress: Progress | None = None,
    skip: Skip | None = None,
) -> int:
    """Give the gallery at a place the vectors of another model; see `gallery.reembed.reembed`.

    Raises:
        InputError: as for `open_gallery`.
        GalleryError: as for `reembed`.
    """
    if not is_remote(place):
        return reembed(Path(place), model, forget_missing=forget_missing, progress=progress, skip=skip)
    try:
        from araclip.gallery.remote import reembed as remote
    except ImportError as error:
        raise InputError(MISSING_QDRANT) from error
    return remote.reembed(str(place), model, forget_missing=forget_missing, progress=progress, skip=skip)
