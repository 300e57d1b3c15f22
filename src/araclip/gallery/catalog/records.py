"""Records of files, of pictures and of the model, which all stores return."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from araclip.core.display import shown
from araclip.core.files import as_stored
from araclip.core.paths import text_path, user_path
from araclip.errors import WidthMismatch
from araclip.pictures.video.scenes import AtPath, stored_path

if TYPE_CHECKING:  # NumPy is imported for type checks only, because `araclip.client` imports this module without NumPy
    import numpy as np
    from numpy.typing import NDArray

    from araclip.models.encoder_base import Encoder
    from araclip.pictures.facts import Facts

STORED_PREFIX = "picture:"  # prefix of the path of a picture without a file; paths of files are absolute
_LAST_NS = 2**63 - 1


def identity_of(digest: bytes) -> str:
    """Return a picture's id for other programs: the first half of its SHA-256 hash, as 32 hex digits."""
    return digest[:16].hex()


def read_metadata(text: str) -> dict[str, Any]:
    """Parse the metadata stored with a path; empty if it is no JSON object, as in an untrusted gallery."""
    if text == "{}":  # "{}" is not parsed, to be faster: nearly all paths have no metadata
        return {}
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):  # damaged metadata counts as none here; `verify` reports it
        return {}
    return about if isinstance(about, dict) else {}


@dataclass(frozen=True)
class File:
    """A file's path, size in bytes and time of change, as they were when it was indexed."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str, about: os.stat_result) -> "File":
        """Make a record from a path and its `stat` result; clip times that SQLite's 64 bits cannot hold."""
        return cls(path, about.st_size, max(-_LAST_NS, min(about.st_mtime_ns, _LAST_NS)))


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture whose vector, facts (size, date …) and hashes were computed elsewhere; it is not decoded again.

    Attributes:
        digest: the SHA-256 hash of the file's bytes.
        vector: (D,) of unit length.
        phash: the perceptual hash, 64 bits.
        metadata: the metadata of the path, as `BaseGallery.add` takes it.
    """

    file: File
    digest: bytes
    vector: "NDArray[np.floating[Any]]"
    facts: "Facts"
    phash: int
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Copy(AtPath):
    """One path of a picture, the size of its file in bytes, and the metadata that was given to `add`."""

    path: str
    size: int
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stored(self) -> bool:
        """True if the picture has no file, and the gallery itself keeps its pixels."""
        return self.path.startswith(STORED_PREFIX)

    @property
    def name(self) -> str:
        """The file's name, or the name with which the picture was uploaded; for display."""
        return shown(str((self.stored and self.metadata.get("name")) or Path(self.file).name))

    @property
    def folder(self) -> str:
        """The name of the file's folder, for display; empty if there is no file."""
        return "" if self.stored else shown(Path(self.file).parent.name)


@dataclass(frozen=True)
class PictureRecord:
    """What a store knows about a picture.

    `content` is the store's own id for the picture. Date, camera, lens and place are written as in `pictures.metadata`.
    A `hidden` picture is left out of results. `captured_by_name`: True if only the file's name tells the date."""

    content: int
    digest: bytes
    format: str | None
    width: int | None
    height: int | None
    captured_at: str | None
    added: str
    copies: tuple[Copy, ...]  # the picture's paths, sorted as bytes
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    place: str | None = None
    hidden: bool = False
    captured_by_name: bool = False

    @property
    def time(self) -> float | None:
        """For a scene in a video, its time in seconds; None for a picture."""
        return self.copies[0].time if self.copies else None

    @property
    def id(self) -> str:
        """The picture's id over HTTP."""
        return identity_of(self.digest)

    def as_dict(self) -> dict[str, Any]:
        """Return everything known about the picture as plain data; for a scene, the video's path and the time in it."""
        about = {name: value for name, value in vars(self).items() if name not in ("content", "digest", "copies")}
        files = [
            {"path": copy.file}
            | ({} if copy.time is None else {"time": copy.time})
            | {"size": copy.size, "metadata": dict(copy.metadata)}
            for copy in self.copies
        ]
        return {"sha256": self.digest.hex(), **about, "files": files}


@dataclass(frozen=True)
class Overview:
    """What a gallery shows, in numbers, as of one of its commits; hidden pictures do not count.

    `formats` counts pictures by format, `folders` files by the name of their folder. `captured_at` and `added` are the
    first and the last date; None if no picture has a date. `file_bytes` is the size of all files.
    """

    files: int
    pictures: int
    file_bytes: int
    formats: dict[str, int]
    folders: dict[str, int]
    captured_at: tuple[str, str] | None
    added: tuple[str, str] | None


# ------------------------------------------------------------------ the model

ORIGIN, SOURCE = "model_origin", "model_source"  # keys of the model's record, besides "model", "fingerprint", "width"


@dataclass(frozen=True)
class RecordedModel:
    """What a gallery records about its model.

    `name`, `fingerprint` and `width` are the encoder's. `origin` is the argument with which `AraCLIP.load` found the
    model on the machine that wrote the gallery: a name, an absolute path, or a peer (a published model that araclip
    knows). `source` is the argument with which `araclip pull` makes the model. Both are empty if unknown.
    """

    name: str
    fingerprint: str
    width: int
    origin: str = ""
    source: str = ""

    @classmethod
    def of(cls, model: "Encoder | RecordedModel") -> "RecordedModel":
        """Return what a gallery records about an encoder."""
        origin, source = (_printable_or_empty(getattr(model, name, "")) for name in ("origin", "source"))
        return cls(model.name, model.fingerprint, model.width, origin, source)

    @classmethod
    def read(cls, value: Callable[[str], str]) -> "RecordedModel":
        """Read what a gallery records about its model; `value` returns the gallery's value for a key, or else ""."""
        width = value("width")
        return cls(
            value("model"), value("fingerprint"), int(width) if width.isdecimal() else 0, value(ORIGIN), value(SOURCE)
        )

    @property
    def label(self) -> str:
        """The name and the fingerprint, as messages show the model."""
        return f"{self.name}@{self.fingerprint}"

    def check(self, model: "Encoder | RecordedModel", gallery: object) -> None:
        """Raise WidthMismatch if `model` is not the model of this record; `gallery` is its location, for messages."""
        if (self.fingerprint, self.width) != (model.fingerprint, model.width):
            raise WidthMismatch(
                f"gallery {gallery} holds {self.width}-wide vectors of {self.label}, but {model.label} makes "
                f"{model.width}-wide ones. Use that model (without --model it is found by itself), index into another "
                "gallery with --gallery, or run `araclip index --reembed` to encode this one again."
            )

    def settings(self) -> dict[str, str]:
        """Return the record as a mapping from the keys under which a gallery stores it."""
        identity = {"model": self.name, "fingerprint": self.fingerprint, "width": str(self.width)}
        return identity | self.whereabouts()

    def whereabouts(self) -> dict[str, str]:
        """Return where the model was found and how to get it again, by the keys under which a gallery stores this.

        These are the arguments of `AraCLIP.load` (`origin`) and of `araclip pull` (`source`); "" if not known.
        """
        return {ORIGIN: self.origin, SOURCE: self.source}


def _printable_or_empty(value: object) -> str:
    """Return a text if it is valid Unicode and all its characters can be printed, else ""."""
    text = value if isinstance(value, str) else ""
    return text if text.isprintable() and text.encode("utf-8", "ignore").decode() == text else ""


# ------------------------------------------------------------------ values as both stores write them


def timestamp(*, before: timedelta = timedelta(0)) -> str:
    """Return the current time (UTC), less the duration `before`, written as in the column `contents.added`."""
    return (datetime.now(UTC) - before).strftime("%Y-%m-%dT%H:%M:%S")


def to_signed(phash: int) -> int:
    """Convert an unsigned 64-bit hash to a signed integer, as SQLite and PostgreSQL store it."""
    return phash - (1 << 64) if phash >> 63 else phash


def prefix_range(start: bytes) -> tuple[bytes, bytes]:
    """Return two bounds for a range query: all byte strings strictly between them begin with `start`."""
    return start, start[:-1] + bytes([start[-1] + 1])


def index_path(path: str | os.PathLike[str]) -> str:
    """Return the path under which `update` indexes a file.

    Links among the file's folders are resolved, but if the file itself is a link, its own path is kept. Names are
    spelled as their folders list them (`as_stored`).
    """
    text = text_path(path)
    if text.startswith(STORED_PREFIX):
        return text
    named = as_stored(user_path(text).absolute())
    return stored_path(str(named.parent.resolve() / named.name))


def index_paths(path: str | os.PathLike[str]) -> list[str]:
    """Return the paths under which a gallery may have a file or folder that a user named, the likeliest first.

    They are: the path as given, made absolute (files below a linked folder are indexed under the link's path); the path
    that `index_path` returns; and if the path leads to a folder, that folder's real path.
    """
    text = text_path(path)
    if text.startswith(STORED_PREFIX):
        return [text]
    named = user_path(path)
    folder = [str(named.resolve())] if os.path.isdir(named) else []  # noqa: PTH112  (False where it may not be seen)
    return list(dict.fromkeys([stored_path(str(named.absolute())), index_path(path), *folder]))
