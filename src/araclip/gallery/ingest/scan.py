"""Walk folders to find pictures; follow links without loops, and skip hidden files."""

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from araclip.core.files import as_stored, lexists, openable
from araclip.core.paths import user_path
from araclip.errors import InputError
from araclip.gallery.catalog.records import File
from araclip.pictures.captions import group_sidecars, sidecars_of
from araclip.pictures.formats import EXTRAS, NOT_READ, SUFFIXES
from araclip.pictures.images import not_a_file
from araclip.pictures.video.formats import REMEDY as VIDEO_REMEDY
from araclip.pictures.video.formats import SUFFIXES as VIDEO_SUFFIXES
from araclip.pictures.video.formats import can_read, is_video, suffix_of

VIDEO = "video"
_KIND_NOT_READ = {suffix: kind for kind, suffixes in NOT_READ.items() for suffix in suffixes}
_EXTRA_OF_SUFFIX = {suffix: extra for extra in EXTRAS.values() for suffix in extra.suffixes}
_REMEDIES = {extra.shown: extra.remedy for extra in EXTRAS.values()} | {VIDEO: VIDEO_REMEDY}


def unread_kind(name: str) -> str | None:
    """Return the kind of a picture or video that cannot be read here, such as "SVG"; None for other files."""
    if is_video(name):
        return None if can_read() else VIDEO
    suffix = suffix_of(name)
    extra = _EXTRA_OF_SUFFIX.get(suffix)
    return _KIND_NOT_READ.get(suffix) if extra is None else None if extra.installed else extra.shown


def may_come_back(path: str) -> bool:
    """True if a file exists but cannot be read, because an extra package is missing.

    Such a file stays indexed, since it can be read again when the package is installed.
    """
    return unread_kind(path) in _REMEDIES and lexists(path)


def unread_line(counts: Mapping[str, int]) -> str:
    """Write a line such as "3 files in formats that are not read: 2 HEIC (pip install …), 1 SVG."."""
    total = sum(counts.values())
    parts = []
    for kind, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        remedy = f" ({_REMEDIES[kind]})" if kind in _REMEDIES else ""
        parts.append(f"{count:,} {kind}{remedy}")
    return f"{total:,} {'file' if total == 1 else 'files'} in formats that are not read: {', '.join(parts)}."


@dataclass
class Walk:
    """Walks folders, and records what it finds besides pictures.

    `unreadable`: paths that could not be read, and why. `special`: named pipes, sockets and devices with the name of a
    picture, and a line about each. `drives`: mount points below a root; if one is missing or empty later, it is taken
    to be unplugged, and its pictures stay indexed. `links`: true if there was a link to a folder. `sidecars`: the
    side-cars of each picture, by the picture's path. `unread`: for each kind that cannot be
    read here, how many pictures or videos there are. `also`: endings of other files that count as pictures, such as
    .tar. `_sidecars_in`: the side-cars in each folder that `at` has listed.
    """

    unreadable: dict[str, str] = field(default_factory=dict)
    special: dict[str, str] = field(default_factory=dict)
    drives: set[str] = field(default_factory=set)
    links: bool = False
    sidecars: dict[str, tuple[File, ...]] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)
    also: tuple[str, ...] = ()
    _sidecars_in: dict[str, Mapping[str, list[str]]] = field(default_factory=dict, repr=False)

    def pictures(self, root: Path | str) -> Iterator[File]:
        """Yield the pictures, and the videos if these can be read, below `root`: by their suffix, in a stable order.

        Hidden files and folders are skipped. Symbolic links are followed after all other folders. Each folder is
        entered only once: under its own path if that is below `root`, else under the path of a link.
        """
        seen: set[tuple[int, int]] = set()
        waiting: list[tuple[str, int | None]] = [(str(root), None)]
        linked: list[tuple[str, int | None]] = []
        while waiting or linked:
            folder, device = waiting.pop() if waiting else linked.pop(0)
            try:
                opened = openable(folder)
                here = os.stat(opened)  # noqa: PTH116  (names that are not UTF-8 stay text)
                if (here.st_dev, here.st_ino) in seen:
                    continue
                seen.add((here.st_dev, here.st_ino))
                with os.scandir(opened) as entries:
                    listing = sorted(entries, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                self.unreadable[folder] = why_unreadable(error)
                continue
            if device not in (None, here.st_dev):
                self.drives.add(folder)
            below: list[tuple[str, int | None]] = []
            beside = group_sidecars(entry.name for entry in listing)
            for entry in listing:
                if entry.name.startswith("."):
                    continue
                path = entry.path if opened == folder else os.path.join(folder, entry.name)  # noqa: PTH118  (as above)
                try:
                    if entry.is_dir():
                        (linked if entry.is_symlink() else below).append((path, here.st_dev))
                    elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110
                        self.unreadable[path] = "the link leads nowhere; is a drive unplugged?"
                    elif self._is_read(entry.name):
                        self._note_sidecars(path, beside)
                        yield from self._yield_if_regular(path, entry.stat())
                    elif kind := unread_kind(entry.name):
                        self.unread[kind] += 1
                except OSError as error:  # a file that vanished meanwhile is no error
                    if not isinstance(error, FileNotFoundError):
                        self.unreadable[path] = why_unreadable(error)
            waiting += reversed(below)
            self.links = self.links or bool(linked)

    def at(self, path: str) -> Iterator[File]:
        """Yield the picture or video at `path`, or all below the folder `path`; nothing if the path does not exist."""
        try:
            about = os.stat(openable(path))  # noqa: PTH116  (as above)
            folder = os.path.dirname(path)  # noqa: PTH120
            if self._is_read(path) and folder not in self._sidecars_in:
                self._sidecars_in[folder] = group_sidecars(os.listdir(openable(folder)))  # noqa: PTH208
        except FileNotFoundError:
            if os.path.islink(path):  # noqa: PTH114
                self.unreadable[path] = "the link leads nowhere; is a drive unplugged?"
        except OSError as error:
            self.unreadable[path] = why_unreadable(error)
        else:
            if stat.S_ISDIR(about.st_mode):
                yield from self.pictures(path)
            elif self._is_read(path):
                self._note_sidecars(path, self._sidecars_in[folder])
                yield from self._yield_if_regular(path, about)
            elif kind := unread_kind(path):
                self.unread[kind] += 1

    def _is_read(self, name: str) -> bool:
        suffix = suffix_of(name)
        is_picture = suffix in SUFFIXES or (suffix in VIDEO_SUFFIXES and can_read())
        return is_picture or name.lower().endswith(self.also)

    def _note_sidecars(self, path: str, grouped: Mapping[str, list[str]]) -> None:
        folder, name = os.path.split(path)
        files = []
        for each in sidecars_of(name, grouped):
            beside = os.path.join(folder, each)  # noqa: PTH118  (as above)
            with contextlib.suppress(OSError):
                about = os.stat(openable(beside))  # noqa: PTH116  (as above)
                if stat.S_ISREG(about.st_mode):
                    files.append(File.of(beside, about))
        if files:
            self.sidecars[path] = tuple(files)

    def _yield_if_regular(self, path: str, about: os.stat_result) -> Iterator[File]:
        if stat.S_ISREG(about.st_mode):
            yield File.of(path, about)
        else:
            self.special[path] = str(not_a_file(path, about.st_mode))

    def faults(self) -> list[str]:
        """Return a line about each path that could not be read, or that is no regular file."""
        return [*(f"{path}: cannot be read ({why})." for path, why in self.unreadable.items()), *self.special.values()]

    def note_unmounted(self, drives: Iterable[str]) -> None:
        """Add the given drives that are not mounted now to `unreadable`."""
        for drive in drives:
            if drive not in self.drives and not _has_entries(drive):
                self.unreadable[drive] = "nothing is mounted there now; is a drive unplugged?"


def why_unreadable(error: OSError) -> str:
    """Return why a file or folder could not be read, and what to do if a permission is missing."""
    why = error.strerror or type(error).__name__
    return f"{why}; give this user permission, or move it elsewhere" if isinstance(error, PermissionError) else why


def _has_entries(drive: str) -> bool:
    try:
        with os.scandir(drive) as entries:
            return any(True for _ in entries)
    except OSError:
        return False


def checked_root(folder: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a folder to index; raise InputError if it is no existing folder."""
    path = as_stored(user_path(folder, "folder").absolute())
    if not path.exists():
        raise InputError(f"no such folder: {path}. Check the spelling, or reconnect the drive.")
    if not path.is_dir():
        raise InputError(f"{path} is a file, not a folder. Pass the folder that holds the pictures.")
    return as_stored(path.resolve())
