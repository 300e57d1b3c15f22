"""The folder of a bulk run's shards, on a disk or in an object store. A file is whole there, or it is not there."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from araclip.bulk.places import filesystem_of, is_url, place_of, source_errors
from araclip.core import atomic
from araclip.errors import InputError


class ShardFolder:
    """A folder by path or URL."""

    def __init__(self, named: str | os.PathLike[str]) -> None:
        self.place = place_of(named)
        if "*" in self.place:
            raise InputError(f"{self.place}: shards are written to one folder. Name it without *.")

    @property
    def is_local(self) -> bool:
        """Whether it is on a disk."""
        return not is_url(self.place)

    def path_of(self, name: str) -> str:
        """The place of a file in it."""
        return f"{self.place}/{name}"

    def make(self) -> None:
        """Create it, and remove what killed runs have left."""
        if self.is_local:
            folder = Path(self.place)
            folder.mkdir(parents=True, exist_ok=True)
            atomic.sweep(folder)

    def names(self) -> list[str]:
        """The names of its files, sorted; none where it does not exist."""
        if self.is_local:
            folder = Path(self.place)
            return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
        system, path = filesystem_of(self.place)
        with source_errors(self.place):
            system.invalidate_cache()
            if not system.exists(path):
                return []
            return sorted(str(each).rpartition("/")[2] for each in system.ls(path, detail=False))

    def write(self, name: str, fill: Callable[[Path], None]) -> None:
        """Write a file whole: `fill(temporary_path)`, flushed and renamed; or, into an object store, sent in one piece.

        Raises:
            OSError, SourceError: it cannot be written.
        """
        if self.is_local:
            atomic.write(Path(self.place) / name, fill)
            return
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / name
            fill(temporary)
            system, path = filesystem_of(self.path_of(name))
            with source_errors(self.path_of(name)):
                system.put_file(str(temporary), path)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if self.is_local:
            atomic.unlink(Path(self.place) / name)
            return
        system, path = filesystem_of(self.path_of(name))
        with source_errors(self.path_of(name)):
            if system.exists(path):
                system.rm_file(path)
