"""Walking folders for pictures: every file once, links followed without loops, nothing hidden."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from araclip.errors import InputError
from araclip.gallery.catalog import File
from araclip.images import SUFFIXES


@dataclass
class Walk:
    """What a walk met besides pictures: folders it could not read, and so knows nothing about."""

    unreadable: dict[str, str] = field(default_factory=dict)

    def pictures(self, root: Path) -> Iterator[File]:
        """Picture files below `root` by their suffix, in a stable order.

        Hidden files and folders are left out. A symbolic link is followed; a folder met a second time is not entered.
        """
        seen: set[tuple[int, int]] = set()
        waiting = [str(root)]
        while waiting:
            folder = waiting.pop()
            try:
                here = os.stat(folder)  # noqa: PTH116  (names that are not UTF-8 stay text)
                if (here.st_dev, here.st_ino) in seen:
                    continue
                seen.add((here.st_dev, here.st_ino))
                with os.scandir(folder) as entries:
                    listing = sorted(entries, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                self.unreadable[folder] = error.strerror or type(error).__name__
                continue
            below = []
            for entry in listing:
                if entry.name.startswith("."):
                    continue
                try:
                    if entry.is_dir():
                        below.append(entry.path)
                    elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110
                        self.unreadable[entry.path] = "the link leads nowhere; is a drive unplugged?"
                    elif Path(entry.name).suffix.lower() in SUFFIXES:
                        about = entry.stat()
                        if stat.S_ISREG(about.st_mode):
                            yield File.of(entry.path, about)
                except OSError as error:  # a file that vanished meanwhile is as if it had not been met
                    if not isinstance(error, FileNotFoundError):
                        self.unreadable[entry.path] = error.strerror or type(error).__name__
            waiting += reversed(below)


def checked_root(folder: str | os.PathLike[str]) -> Path:
    """The absolute path of a folder to index.

    Raises:
        InputError: no such folder, or a file.
    """
    path = Path(folder).expanduser()
    if not path.exists():
        raise InputError(f"no such folder: {path}. Check the spelling, or plug the drive in.")
    if not path.is_dir():
        raise InputError(f"{path} is a file, not a folder. Pass the folder that holds the pictures.")
    return path.resolve()
