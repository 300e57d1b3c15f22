"""Locations of galleries: folders or addresses on Qdrant servers, and the default folder."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from araclip import atomic
from araclip.errors import GalleryNotFound, InputError
from araclip.gallery.catalog.schema import is_gallery
from araclip.paths import user_path
from araclip.platforms.names import as_stored
from araclip.user_data import data_home, is_there

KEY = "ARACLIP_QDRANT_API_KEY"  # environment variable, not an argument: other users of the machine can read arguments
PORT = 6333
_SCHEMES = {"qdrant": "http", "http": "http", "https": "https"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LATEST = "latest"


@dataclass(frozen=True)
class Address:
    """A collection on a Qdrant server: qdrant://host:6333/collection, or https://… for an encrypted connection.

    `str` gives it as it was typed; it never holds a secret.
    """

    server: str  # http(s)://host:port/prefix
    collection: str
    text: str

    @classmethod
    def read(cls, text: str) -> "Address":
        """Parse an address.

        Raises:
            InputError: no host, no collection, or a password in it.
        """
        example = f"Write qdrant://HOST:{PORT}/COLLECTION, or https://HOST:{PORT}/COLLECTION."
        try:
            parts = urlsplit(text)
        except ValueError:  # brackets around what is no IPv6 address
            raise InputError(f"'{text}' is not the address of a gallery. {example}") from None
        if parts.username or parts.password or parts.query:
            raise InputError(f"an address must not hold a password. Put the API key into ${KEY}. {example}")
        try:
            host, port = parts.hostname, parts.port or PORT
        except ValueError:
            raise InputError(f"'{text}' has an invalid port. {example}") from None
        *prefix, collection = parts.path.strip("/").split("/")
        if parts.scheme not in _SCHEMES or not host:
            raise InputError(f"'{text}' is not the address of a gallery. {example}")
        if not _NAME.fullmatch(collection):
            raise InputError(
                f"'{text}' names no collection, or one whose name has other characters than letters, digits, _, - and "
                f"dots. {example}"
            )
        shown_host = f"[{host}]" if ":" in host else host
        return cls("/".join([f"{_SCHEMES[parts.scheme]}://{shown_host}:{port}", *prefix]), collection, text.rstrip("/"))

    def __str__(self) -> str:
        return self.text


Location = Path | Address


def location_of(named: str | os.PathLike[str] | Address) -> Location:
    """The folder or the address that a text names; the only place that tells the two apart.

    Raises:
        InputError: an invalid address, or neither a text nor a path.
    """
    if isinstance(named, Address):
        return named
    if isinstance(named, str) and re.match(r"[a-z]+://", named):
        return Address.read(named)
    if isinstance(named, str | os.PathLike):
        return user_path(named)
    raise InputError(
        f"a gallery is named by a folder or an address, got {type(named).__name__}. Pass a path, or a text such as "
        f"qdrant://HOST:{PORT}/COLLECTION."
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
