"""Locations of galleries: folders or addresses on servers, and the default folder."""

import hashlib
import os
import re
from pathlib import Path

from araclip import atomic
from araclip.errors import GalleryNotFound, InputError
from araclip.gallery.addresses import URL, Address
from araclip.gallery.catalog.schema import is_gallery
from araclip.paths import user_path
from araclip.platforms.names import as_stored
from araclip.user_data import data_home, is_there

_LATEST = "latest"


Location = Path | Address


def location_of(named: str | os.PathLike[str] | Address) -> Location:
    """The folder or the address that a text names; the only place that tells the two apart.

    Raises:
        InputError: an invalid address, or neither a text nor a path.
    """
    if isinstance(named, Address):
        return named
    if isinstance(named, str) and URL.match(named):
        return Address.read(named)
    if isinstance(named, str | os.PathLike):
        return user_path(named)
    raise InputError(
        f"a gallery is named by a folder or an address, got {type(named).__name__}. Pass a path, or a text such as "
        "postgresql://USER@HOST/DATABASE."
    )


def reference_home() -> Path:
    """The folder that caches vectors of the reference queries for galleries on servers; created if missing."""
    home = data_home() / "background"
    home.mkdir(parents=True, exist_ok=True)
    return home


def gallery_of(folder: Path) -> Path:
    """The gallery of a picture folder: its name, for people, and a hash of its path, for uniqueness."""
    resolved = as_stored(folder.resolve())
    key = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:10]
    name = re.sub(r"[^\w.-]+", "_", os.fsencode(resolved.name).decode("utf-8", "replace"))[:40]
    return data_home() / "galleries" / f"{name}-{key}"


def remember(gallery: Location) -> None:
    """Make `gallery` the one searched by default, if it lies in the default folder; others must be named each time."""
    home = data_home() / "galleries"
    if isinstance(gallery, Path) and gallery.parent == home:
        atomic.write_text(home / _LATEST, gallery.name)


def gallery_above(folder: Path) -> Path | None:
    """The gallery of a folder, or of its nearest ancestor that has one; None if none was indexed."""
    resolved = folder.resolve()
    galleries = (gallery_of(above) for above in (resolved, *resolved.parents))
    return next((gallery for gallery in galleries if is_gallery(gallery)), None)


def latest_gallery() -> Path | None:
    """The gallery indexed last, if it is still there."""
    home = data_home() / "galleries"
    latest = home / _LATEST
    gallery = home / latest.read_text(encoding="utf-8", errors="replace") if is_there(latest) else None
    return gallery if gallery and is_gallery(gallery) else None


def gallery_here(folder: Path) -> Path:
    """The gallery to search from `folder`: its own, that of its nearest ancestor, or the one indexed last.

    Raises:
        GalleryNotFound: nothing was indexed yet.
    """
    if gallery := gallery_above(folder) or latest_gallery():
        return gallery
    raise GalleryNotFound("no pictures are indexed yet. Index a folder first: `araclip index FOLDER`.")
