"""Records of files and pictures, common to all stores."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from araclip.core.display import shown
from araclip.pictures.video.scenes import AtPath

STORED_PREFIX = "picture:"  # of the path of a picture without a file; a file's path is absolute
_LAST_NS = 2**63 - 1


def identity_of(digest: bytes) -> str:
    """A picture's id for other programs: half of its SHA-256 hash, as 32 hex digits."""
    return digest[:16].hex()


def read_metadata(text: str) -> dict[str, Any]:
    """The metadata of a path from its row; empty where it is no JSON object, as in a gallery of somebody else's."""
    if text == "{}":  # of nearly all
        return {}
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):  # where it was damaged, `verify` reports it
        return {}
    return about if isinstance(about, dict) else {}


@dataclass(frozen=True)
class File:
    """A file's path, size and time of change as indexed."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str, about: os.stat_result) -> "File":
        """From a path and its `stat` result; a time beyond SQLite's 64 bits (a broken clock) is clipped."""
        return cls(path, about.st_size, max(-_LAST_NS, min(about.st_mtime_ns, _LAST_NS)))


@dataclass(frozen=True)
class Copy(AtPath):
    """One path of a picture, the size of its file in bytes and the metadata given to `add`."""

    path: str
    size: int
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stored(self) -> bool:
        """Whether there is no file and the store has the pixels."""
        return self.path.startswith(STORED_PREFIX)

    @property
    def name(self) -> str:
        """The file's name, or the name that the picture was uploaded with; for display."""
        return shown(str((self.stored and self.metadata.get("name")) or Path(self.file).name))

    @property
    def folder(self) -> str:
        """The name of the folder it lies in, for display; empty without a file."""
        return "" if self.stored else shown(Path(self.file).parent.name)


@dataclass(frozen=True)
class PictureRecord:
    """A picture in a store. `content` is the store's own id for it; date, camera, lens and place as in
    `pictures.metadata`; a `hidden` picture is left out of results.

    `captured_by_name`: the date stands in the file's name alone."""

    content: int
    digest: bytes
    format: str | None
    width: int | None
    height: int | None
    captured_at: str | None
    added: str
    copies: tuple[Copy, ...]  # in order of the bytes of their paths
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    place: str | None = None
    hidden: bool = False
    captured_by_name: bool = False

    @property
    def time(self) -> float | None:
        """Of a scene its time in the video, in seconds; None of a picture."""
        return self.copies[0].time if self.copies else None

    @property
    def id(self) -> str:
        """Its id over HTTP."""
        return identity_of(self.digest)

    def described(self) -> dict[str, Any]:
        """All that is known of it, for other programs; of a scene the file is the video, with the time in seconds."""
        about = {name: value for name, value in vars(self).items() if name not in ("content", "digest", "copies")}
        times = [{"time": copy.time} if copy.time is not None else {} for copy in self.copies]
        files = [
            {"path": copy.file, **time, "size": copy.size, "metadata": dict(copy.metadata)}
            for copy, time in zip(self.copies, times, strict=True)
        ]
        return {"sha256": self.digest.hex(), **about, "files": files}


@dataclass(frozen=True)
class Overview:
    """Counts of a generation: files, pictures by format, pictures by name of their folder; first and last EXIF date."""

    files: int
    formats: dict[str, int]
    folders: dict[str, int]
    captured_at: tuple[str, str] | None
