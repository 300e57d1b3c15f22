"""The folders of a gallery as nested albums. Pure.

An album's key is a hash of its path: addresses and answers reveal no folder above those that hold pictures. A chain of
folders that hold nothing but each other is one album, named after the last.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

from araclip.display import shown
from araclip.gallery.catalog.records import STORED_PREFIX

KEY_DIGITS = 16
MAX_DEPTH = 64  # levels of folders; a deeper one counts as its ancestor at that depth


@dataclass
class Album:
    """A folder with pictures in it or below it: how many `pictures`, copies once, and the newest of them as `cover`."""

    path: str
    key: str
    parent: "Album | None" = field(default=None, repr=False)
    albums: list["Album"] = field(default_factory=list)
    pictures: int = 0
    own: int = 0  # directly in it
    cover: int = 0  # the store's number of a picture
    newest: str = ""  # its date
    held: set[int] = field(default_factory=set, repr=False)  # numbers of its pictures, while they are counted

    @property
    def name(self) -> str:
        """The folder's name, for display."""
        return shown(PurePath(self.path).name)

    @property
    def trail(self) -> list["Album"]:
        """The albums above it and itself, from the top."""
        above = self.parent.trail if self.parent else []
        return [*above, self]


def key_of(path: str) -> str:
    """The key of the album of a folder."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:KEY_DIGITS]


class Albums:
    """All albums of a gallery: `top` without a parent, and each by its key."""

    def __init__(self, files: Iterable[tuple[str, int, str | None]]) -> None:
        """From the path of each file, the store's number of its picture, and its date."""
        folders: dict[str, Album] = {}
        for path, content, date in files:
            folder = os.path.dirname(path)  # noqa: PTH120  (100,000 of them, and not every path is UTF-8)
            if path.startswith(STORED_PREFIX) or not folder:
                continue
            if folder.count(os.sep) > MAX_DEPTH:
                folder = str(PurePath(*PurePath(folder).parts[: MAX_DEPTH + 1]))
            album = folders.get(folder) or _with_parents(folders, folder)
            album.held.add(content)
            album.own = len(album.held)
            if not album.cover or (date or "") > album.newest:
                album.cover, album.newest = content, date or ""
        self.top = _summed([album for album in folders.values() if album.parent is None])
        self.by_key = {album.key: album for album in _all(self.top)}


def _with_parents(folders: dict[str, Album], path: str) -> Album:
    """The album of a path, made with all above it where they are missing."""
    album = folders[path] = Album(path, key_of(path))
    above = os.path.dirname(path)  # noqa: PTH120
    if above != path:
        album.parent = folders.get(above) or _with_parents(folders, above)
        album.parent.albums.append(album)
    return album


def _summed(top: list[Album]) -> list[Album]:
    """The albums with their sums, each chain of empty ones joined, and those at the top named from what they share."""
    joined = sorted((_joined(album) for album in top), key=lambda album: album.path)
    while len(joined) == 1 and not joined[0].own and joined[0].albums:  # what all share is no album
        joined = joined[0].albums
    for album in joined:
        album.parent, album.held = None, set()
    return joined


def _joined(album: Album) -> Album:
    while not album.own and len(album.albums) == 1:
        parent = album.parent
        album = album.albums[0]
        album.parent = parent
    album.albums = sorted((_joined(each) for each in album.albums), key=lambda each: each.path)
    for each in album.albums:
        each.parent = album
        album.held |= each.held
        each.held = set()
        if not album.cover or each.newest > album.newest:
            album.cover, album.newest = each.cover, each.newest
    album.pictures = len(album.held)
    return album


def _all(albums: Iterable[Album]) -> Iterable[Album]:
    for album in albums:
        yield album
        yield from _all(album.albums)
