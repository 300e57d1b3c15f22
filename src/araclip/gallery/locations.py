"""Where galleries live when nobody says: in the user's data directory, one for each indexed folder."""

import hashlib
import os
import re
from pathlib import Path

import platformdirs

from araclip import atomic
from araclip.errors import GalleryNotFound
from araclip.gallery.catalog.schema import is_gallery

_LATEST = "latest"


def data_home() -> Path:
    """The folder for everything AraCLIP keeps: $ARACLIP_DATA, or the platform's user data directory."""
    named = os.environ.get("ARACLIP_DATA")
    return Path(named).expanduser().absolute() if named else platformdirs.user_data_path("araclip")


def background_home() -> Path:
    """The folder for what galleries on servers are judged against; made if it is not there."""
    home = data_home() / "background"
    home.mkdir(parents=True, exist_ok=True)
    return home


def gallery_of(folder: Path) -> Path:
    """The gallery of a picture folder: its name, for people, and a hash of its path, for uniqueness."""
    resolved = folder.resolve()
    key = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:10]
    name = re.sub(r"[^\w.-]+", "_", os.fsencode(resolved.name).decode("utf-8", "replace"))[:40]
    return data_home() / "galleries" / f"{name}-{key}"


def remember(gallery: Path | str) -> None:
    """Make `gallery` the one that `latest` finds, unless somebody chose its place: that is to be named again."""
    home = data_home() / "galleries"
    if isinstance(gallery, Path) and gallery.parent == home:
        atomic.write_text(home / _LATEST, gallery.name)


def gallery_here(folder: Path) -> Path:
    """The gallery to search from `folder`: its own, that of the nearest folder above it, or the one indexed last.

    Raises:
        GalleryNotFound: nothing was indexed yet.
    """
    for above in (folder.resolve(), *folder.resolve().parents):
        if is_gallery(gallery_of(above)):
            return gallery_of(above)
    home = data_home() / "galleries"
    latest = home / _LATEST
    if latest.is_file():
        gallery = home / latest.read_text(encoding="utf-8", errors="replace")
        if is_gallery(gallery):
            return gallery
    raise GalleryNotFound("no pictures are indexed yet. Index a folder first: `araclip index FOLDER`.")
