"""Read files on this machine and in object stores, named by path or URL, through fsspec; write files of shards.

Only URLs with the protocols in PROTOCOLS are opened, and no chained URLs, so that a list of paths cannot make this
process open anything else.
"""

import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from araclip.core import atomic
from araclip.core.paths import user_path
from araclip.errors import AraCLIPError, InputError, SourceError, first_line
from araclip.gallery.locations import URL, without_secret
from araclip.pictures.images import open_file

PROTOCOLS = {  # protocol of a URL → the extra that must be installed to read it
    "file": "bulk", "memory": "bulk", "s3": "s3", "gs": "gs", "hf": "bulk", "https": "https",
}  # fmt: skip
MISSING = "Bulk embedding needs the packages pyarrow and fsspec. Run: pip install 'araclip[bulk]'"
BLOCK = 8_000_000  # bytes fetched at once when a file is read as a stream
_GONE = (410, 451)  # HTTP statuses that mean, like 404, that the file is not to be had: do not ask again
# A valid host of a URL: an S3 access point, or a host or bucket with or without port.
_HOST = re.compile(r"arn:.*|(\[[^]]*\]|[^:]*)(:\d*)?")


def is_url(text: str) -> bool:
    """True if a text is a URL, and not a path on this machine."""
    return URL.match(text) is not None


def absolute_place(named: str | os.PathLike[str]) -> str:
    """Return a path made absolute, or a URL without a final slash; everything in this package uses this form.

    Raises:
        InputError: a URL with a password, another protocol than those in PROTOCOLS, or a chained URL.
    """
    if not isinstance(named, str) or not (match := URL.match(named)):
        return str(user_path(named, "source").absolute())
    protocol = match[1].lower()
    # Refuse an address with a password. If the password contains a slash, the text before the first slash ends inside
    # the password: it has no @, and is no valid host.
    host = named[match.end() :].partition("/")[0]
    user, at, _ = host.partition("@")
    if "::" not in named and (":" in user if at else not _HOST.fullmatch(host)):
        raise InputError(f"{protocol}://…: a URL must not hold a password. Give it as the library's documents say.")
    if protocol not in PROTOCOLS or "::" in named:
        raise InputError(
            f"{without_secret(named)!r:.200}: pictures are read from folders and from "
            f"{', '.join(f'{each}://' for each in PROTOCOLS)}. Copy them there, or mount the place as a folder."
        )
    return str(user_path(named[match.end() :]).absolute()) if protocol == "file" else named.rstrip("/")


def filesystem_of(place: str) -> tuple[Any, str]:
    """Return the fsspec file system of a place, and the place's path in it.

    Raises:
        InputError: a package is missing.
    """
    try:
        import fsspec
    except ImportError:
        raise InputError(MISSING) from None
    protocol = place.partition("://")[0] if is_url(place) else "file"
    try:
        with source_errors(place):
            if not is_url(place):  # `url_to_fs` would take "::" in a path for a chained URL
                return fsspec.filesystem(protocol), place
            system, path = fsspec.core.url_to_fs(place)
    except ImportError as error:
        extra = PROTOCOLS[protocol]
        raise InputError(f"{place}: {first_line(error):.100}. Run: pip install 'araclip[{extra}]'") from None
    return system, str(path)


@contextmanager
def source_errors(place: str) -> Iterator[None]:
    """Turn every exception in a `with` block but AraCLIPError and ImportError into a SourceError that names `place`."""
    try:
        yield
    except (AraCLIPError, ImportError):
        raise
    except Exception as error:  # any exception, because those of fsspec's libraries have no common base class
        why = "there is no such file" if isinstance(error, FileNotFoundError) else f"{first_line(error):.200}"
        raise SourceError(
            f"{place} cannot be read ({why}). Check the name, the rights and the network, then run the same command "
            "again: finished shards are kept."
        ) from None


@contextmanager
def open_stream(place: str) -> Iterator[IO[bytes]]:
    """Open a file as a stream for a `with` block; raise SourceError if opening it, or reading it later, fails."""
    with source_errors(place):
        if is_url(place):
            system, path = filesystem_of(place)
            stream = cast(IO[bytes], system.open(path, "rb", block_size=BLOCK, cache_type="readahead"))
        else:
            stream = open_file(place)
    with stream:
        yield cast(IO[bytes], _ReportingStream(stream, place))


def read_bytes(place: str, most: int) -> bytes | None:
    """Read a file, but at most its first `most` bytes, in one request; return None if there is no such file."""
    with source_errors(place):
        try:
            if not is_url(place):
                with open_file(place) as file:
                    return file.read(most)
            system, path = filesystem_of(place)
            # A web server may send no size, ignore a range, or never stop sending: read a stream (block_size=0), and do
            # not ask for its size (size=1).
            if "https" in system.protocol:
                found = io.BytesIO()
                with system.open(path, "rb", block_size=0, size=1) as stream:
                    while found.tell() < most and (piece := stream.read(most - found.tell())):
                        found.write(piece)
                return found.getvalue()
            try:
                return bytes(system.cat_file(path, start=0, end=most))
            except FileNotFoundError:
                raise
            except Exception:  # an object store refuses any range of an empty file (416): return b"" then
                if system.size(path) == 0:
                    return b""
                raise
        except FileNotFoundError:
            return None
        except Exception as error:
            if getattr(error, "status", None) in _GONE:
                return None
            raise


class _ReportingStream:
    """A stream that raises SourceError if reading fails; callers take other errors for a damaged file."""

    def __init__(self, stream: IO[bytes], place: str) -> None:
        self._stream, self._place = stream, place
        self.tell, self.close = stream.tell, stream.close
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        with source_errors(self._place):
            return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        with source_errors(self._place):
            return self._stream.seek(offset, whence)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        """Do nothing, because the stream can only be read."""


class ShardFolder:
    """A folder for shards, on this machine (`is_local`) or in an object store."""

    def __init__(self, named: str | os.PathLike[str]) -> None:
        self.place = absolute_place(named)
        if "*" in self.place:
            raise InputError(f"{self.place}: shards are written to one folder. Name it without *.")
        self.is_local = not is_url(self.place)

    def path_of(self, name: str) -> str:
        """Return the path or URL of a file in the folder."""
        return f"{self.place}/{name}"

    def make(self) -> None:
        """Create a local folder, and delete files that killed runs have left there; do nothing in an object store."""
        if self.is_local:
            folder = Path(self.place)
            folder.mkdir(parents=True, exist_ok=True)
            atomic.remove_abandoned(folder)

    def names(self) -> list[str]:
        """Return the names of the folder's entries, sorted; empty if the folder does not exist."""
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
        """Write a file completely or not at all: call `fill(temporary_path)`, then rename or upload the file."""
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
        """Delete a file, if it exists."""
        if self.is_local:
            atomic.unlink(Path(self.place) / name)
            return
        system, path = filesystem_of(self.path_of(name))
        with source_errors(self.path_of(name)):
            if system.exists(path):
                system.rm_file(path)
