"""Browse a gallery without a query: its timeline, its albums (one for each folder), its places on a map."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from araclip.core.display import shown
from araclip.core.files import exists
from araclip.core.messages import message
from araclip.errors import InputError
from araclip.gallery.catalog.filters import FILTERS, Filters, folder_names
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.gallery.catalog.store import Store
from araclip.models.vectors import Floats, Ids
from araclip.text.folding import fold
from araclip.text.places import place_at

DATE_LETTERS = 19  # length of a whole date, YYYY-MM-DDTHH:MM:SS
MONTH_LETTERS = 7  # length of the beginning of a date that says year and month, YYYY-MM


@dataclass(frozen=True)
class Month:
    """A month of a timeline (YYYY-MM, or "" for pictures without a date), and how many pictures it has."""

    month: str
    pictures: int


class Timeline:
    """Pictures, the newest first: `ids` (n,) are the gallery's ids, `dates` (n,) the dates as bytes, b"" if unknown."""

    def __init__(self, ids: NDArray[np.int64], dates: Sequence[str]) -> None:
        """Sort the ids (n,) by dates (n,): texts such as 2023-05-01T12:00:00, "" if unknown."""
        known = np.array(dates, f"S{DATE_LETTERS}") if len(dates) else np.empty(0, f"S{DATE_LETTERS}")
        order = np.lexsort((ids, known))[::-1]  # newest first; pictures without a date come last
        self.ids: NDArray[np.int64] = ids[order]
        self.dates: NDArray[np.bytes_] = known[order]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def months(self) -> tuple[Month, ...]:
        """The months that have pictures, the newest first; "" comes last."""
        if not len(self):
            return ()
        months = self.dates.astype(f"S{MONTH_LETTERS}")
        starts = np.flatnonzero(np.r_[True, months[1:] != months[:-1]])  # where each month begins
        counts = np.diff(np.r_[starts, len(months)])
        return tuple(
            Month(months[start].decode("ascii", "replace"), int(count))
            for start, count in zip(starts, counts, strict=True)
        )

    def cursor_at(self, position: int) -> str | None:
        """Return the cursor, a text with which a client asks for the page from a position on; None at the end."""
        if position >= len(self):
            return None
        return f"{self.dates[position].decode('ascii', 'replace')}~{self.ids[position]}"

    def position(self, cursor: str) -> int:
        """Return the position of the picture that a cursor names; if that picture is gone, of the picture after it.

        Raises:
            InputError: the cursor is invalid.
        """
        date, tilde, number = cursor.partition("~")
        if not (tilde and date.isascii() and number.isascii() and number.isdigit() and len(number) < DATE_LETTERS):
            raise InputError("the cursor is not one of this server's answers. Pass `next` of the page before.")
        key, content, size = date.encode(), int(number), len(self)
        rising = self.dates[::-1]
        first = size - int(np.searchsorted(rising, key, "right"))
        last = size - int(np.searchsorted(rising, key, "left"))
        same = self.ids[first:last][::-1]  # ids of the pictures with this date, ascending
        return first + len(same) - int(np.searchsorted(same, content, "right"))


KEY_DIGITS = 16
MAX_DEPTH = 64  # levels of folders that are albums; deeper pictures count for the folder at this level


@dataclass
class Album:
    """A folder with pictures in or below it. `pictures` counts identical files once; `cover` is the newest picture."""

    path: str
    key: str
    parent: "Album | None" = field(default=None, repr=False)
    albums: list["Album"] = field(default_factory=list)
    pictures: int = 0
    own: int = 0  # number of pictures in the folder itself
    cover: int = 0  # the store's id of the newest picture
    newest: str = ""  # the date of the newest picture
    ids_inside: set[int] = field(default_factory=set, repr=False)  # ids of the pictures; emptied after counting

    @property
    def name(self) -> str:
        """The folder's name, for display."""
        return shown(PurePath(self.path).name)

    @property
    def trail(self) -> list["Album"]:
        """The albums above this album, from the top down, then this album."""
        above = self.parent.trail if self.parent else []
        return [*above, self]


class Albums:
    """All albums of a gallery: `top` lists the albums without a parent, `by_key` finds every album by its key."""

    def __init__(self, files: Iterable[tuple[str, int, str | None]]) -> None:
        """Build the albums from all files: the path of each, its picture's id in the store, and its date."""
        folders: dict[str, Album] = {}
        for path, content, date in files:
            folder = os.path.dirname(path)  # noqa: PTH120  (100,000 of them, and not every path is UTF-8)
            if path.startswith(STORED_PREFIX) or not folder:
                continue
            if folder.count(os.sep) > MAX_DEPTH:
                folder = str(PurePath(*PurePath(folder).parts[: MAX_DEPTH + 1]))
            album = folders.get(folder) or _add_album(folders, folder)
            album.ids_inside.add(content)
            album.own = len(album.ids_inside)
            if not album.cover or (date or "") > album.newest:
                album.cover, album.newest = content, date or ""
        # a complete list, because `_simplify_album` changes the parents of albums
        above = [album for album in folders.values() if album.parent is None]
        self.top = sorted(map(_simplify_album, above), key=lambda album: album.path)
        # A folder that contains all other albums, and no pictures itself, is not shown as an album.
        while len(self.top) == 1 and not self.top[0].own and self.top[0].albums:
            self.top = self.top[0].albums
        for album in self.top:
            album.parent, album.ids_inside = None, set()
        self.by_key = {album.key: album for album in _walk_albums(self.top)}


def _add_album(folders: dict[str, Album], path: str) -> Album:
    """Add the album of a path, and the missing albums of the folders above it, to `folders`; return the album."""
    key = hashlib.sha256(os.fsencode(path)).hexdigest()[:KEY_DIGITS]
    album = folders[path] = Album(path, key)
    above = os.path.dirname(path)  # noqa: PTH120
    if above != path:
        album.parent = folders.get(above) or _add_album(folders, above)
        album.parent.albums.append(album)
    return album


def _simplify_album(album: Album) -> Album:
    """Count the pictures of an album and of all albums in it; return the album, or the child that replaces it.

    An album without own pictures and with a single child album is replaced by that child.
    """
    while not album.own and len(album.albums) == 1:
        parent = album.parent
        album = album.albums[0]
        album.parent = parent
    album.albums = sorted((_simplify_album(each) for each in album.albums), key=lambda each: each.path)
    for each in album.albums:
        each.parent = album
        album.ids_inside |= each.ids_inside
        each.ids_inside = set()
        if not album.cover or each.newest > album.newest:
            album.cover, album.newest = each.cover, each.newest
    album.pictures = len(album.ids_inside)
    return album


def _walk_albums(albums: Iterable[Album]) -> Iterable[Album]:
    for album in albums:
        yield album
        yield from _walk_albums(album.albums)


LOOKED_FOR = 50  # to detect an unplugged drive, the files of about this many pictures are looked for
MOST_LISTED = 20  # an error message lists at most this many valid values
MAX_CLUSTERS = 2_000
CELLS = (16.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01)  # the sizes of map cells, in degrees


@dataclass(frozen=True)
class Cluster:
    """The pictures in a map cell, or in a town: mean position, number of pictures, newest picture (`cover`), bounds."""

    latitude: float
    longitude: float
    pictures: int
    cover: int
    # south, west, north, east of the pictures (not the cell's borders); west > east across the date line
    box: tuple[float, float, float, float]
    name: str | None = None  # name of the place where most of the pictures were taken


def clusters(
    ids: NDArray[np.int64], latitudes: NDArray[np.float64], longitudes: NDArray[np.float64], cell: float | None
) -> list[Cluster]:
    """Gather pictures in a grid with cells of `cell` degrees; return the fullest cells first, at most MAX_CLUSTERS.

    Args:
        ids: (n,), the newest first; the first picture in a cell is the cell's cover.
        latitudes, longitudes: (n,), degrees.
        cell: None to gather the pictures of each town instead; pictures far from any town are left out.

    Raises:
        InputError: `cell` is not in CELLS.
    """
    if cell is not None and cell not in CELLS:
        raise InputError(
            f"cells of {cell:g} degrees are not offered. Choose one of {', '.join(f'{c:g}' for c in CELLS)}."
        )
    if not len(ids):
        return []
    groups = named = np.array(
        [place_at(*each) or "" for each in zip(latitudes.tolist(), longitudes.tolist(), strict=True)]
    )
    if cell is None:
        known = named != ""
        ids, latitudes, longitudes, groups = ids[known], latitudes[known], longitudes[known], named[known]
        named = groups
    else:
        rows = np.floor((latitudes + 90) / cell).astype(np.int64)
        groups = rows * 1_000_000 + np.floor((longitudes + 180) % 360 / cell).astype(np.int64)  # 180° is -180°
    _, first, inverse, counts = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    size = len(first)
    names: dict[int, str] = {}  # group number → name of the place where most of its pictures were taken
    for (group, name), _ in Counter(zip(inverse.tolist(), named.tolist(), strict=True)).most_common():
        if name:
            names.setdefault(group, name)
    least, greatest = _ends(longitudes, inverse, size)
    # a group more than half the world wide lies on both sides of the date line: count on to the east from 180°
    longitudes = np.where(((greatest - least) > 180)[inverse] & (longitudes < 0), longitudes + 360, longitudes)
    (south, north), (west, east) = (_ends(values, inverse, size) for values in (latitudes, longitudes))
    means = [np.bincount(inverse, values, size) / counts for values in (latitudes, longitudes)]
    west, east, means[1] = (np.where(values > 180, values - 360, values) for values in (west, east, means[1]))
    fullest = np.argsort(-counts, kind="stable")[:MAX_CLUSTERS]
    return [
        Cluster(
            float(means[0][at]), float(means[1][at]), int(counts[at]), int(ids[first[at]]),
            (float(south[at]), float(west[at]), float(north[at]), float(east[at])),
            names.get(at),
        )
        for at in map(int, fullest)
    ]  # fmt: skip


def _ends(values: Floats, groups: Ids, size: int) -> tuple[Floats, Floats]:
    """Return the least and the greatest of the values (n,) in each of `size` groups; `groups` (n,) numbers them."""
    least, greatest = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(least, groups, values)
    np.maximum.at(greatest, groups, values)
    return least, greatest


def timeline(store: Store, filters: Filters) -> Timeline:
    """Return the ids and dates of the pictures that pass the filters, the newest first.

    Of a video only the first scene is returned, unless the filters ask for every scene.
    """
    return Timeline(*store.ids_and_dates(filters))


def check_values(store: Store, filters: Filters) -> Filters:
    """Check that the folder, camera, lens and place in the filters exist in the gallery; return the filters.

    If `folder` is not the path of a folder with pictures, it is taken as a folder's name, at any depth and with small
    differences of spelling. The returned filters then have a `folder_name` instead of the `folder`.

    Raises:
        InputError: no picture has the given value, but pictures have other values; the message lists these.
    """
    outside: list[str | os.PathLike[str]] = []
    for folder in filters.outside:  # an excluded folder, too, is given by its path or its name
        found = check_values(store, Filters.inside(folder))
        outside += [found.folder] if found.folder is not None else folder_names(found.folder_name)
    filters = replace(filters, outside=tuple(outside))
    for name in (name for filter in FILTERS if filter.exists for name in filter.fields):
        given = getattr(filters, name)
        if given is None or isinstance(given, tuple):
            continue
        if store.any_passes(Filters(**{name: given, "hidden": filters.hidden})):
            continue
        kind = "folder" if name == "folder_name" else name
        there = sorted(store.overview().folders) if kind == "folder" else store.values(kind)
        wanted = fold(os.fspath(given)) if isinstance(given, str | os.PathLike) else ""
        if (
            name == "folder"
            and isinstance(given, str)
            and store.any_passes(Filters(folder_name=given, hidden=filters.hidden))
        ):
            filters = replace(filters, folder=None, folder_name=given)
        elif named := tuple(each for each in there if kind == "folder" and fold(each) == wanted):
            filters = replace(filters, folder=None, folder_name=named)
        elif there:
            listed = ", ".join(there[:MOST_LISTED]) + (" …" if len(there) > MOST_LISTED else "")
            raise InputError(message(f"value {kind}", given=shown(str(given)), known=shown(listed)))
    return filters


def missing_folder(store: Store) -> str | None:
    """Return the pictures' common folder if none of their files exists now (a drive may be unplugged); else None.

    Only the files of about LOOKED_FOR pictures are looked for. None, too, if there are no files. If the files lie on
    several drives, the folder of one file is returned.
    """
    ids = timeline(store, Filters()).ids
    sample = ids[:: max(1, len(ids) // LOOKED_FOR)].tolist()
    files = [copy.file for each in store.records(sample).values() for copy in each.copies if not copy.stored]
    if not files or any(map(exists, files)):
        return None
    folders = list(map(os.path.dirname, files))
    try:
        return os.path.commonpath(folders)
    except ValueError:  # on Windows, paths on different drives have no common folder
        return folders[0]


def picture_positions(store: Store) -> tuple[Ids, Floats, Floats]:
    """Return the ids, latitudes and longitudes (n,) of a store's pictures with a position."""
    rows = store.positions()
    ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    latitudes, longitudes = (np.fromiter((row[at] for row in rows), np.float64, len(rows)) for at in (1, 2))
    return ids, latitudes, longitudes
