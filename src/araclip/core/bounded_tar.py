"""Read untrusted tar archives as a stream: the size of each member is checked before the member is read, and nothing is
extracted to the disk.
"""

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from araclip.errors import InputError, first_line

MAX_MEMBER = 200_000_000  # limit: bytes of a member; the largest photographs of cameras have half of that
MAX_HEADER = 1_000_000  # limit: bytes of a long name or extended header, which tarfile reads into memory
MAX_MEMBERS = 10_000_000
MAX_EXPANSION = 100  # limit: unpacked bytes for each packed byte; pictures have about 1, captions about 10
MAX_WINDOW = 100_000_000  # limit: bytes of xz's dictionary: `xz -9` needs 64 MB, but a file may ask for 4 GB
_XZ = b"\xfd7zXZ\0"
_PIECE = 1 << 16
_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE)  # fmt: skip
_DAMAGED = (OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError, ValueError, OverflowError, RecursionError)


class _DamagedHeader(tarfile.ReadError):
    """The header of a tar member is damaged, and the member is not the first of its archive."""


class _CheckedMember(tarfile.TarInfo):
    """A tar member whose size is checked before it is read; long names and extended headers are members, too.

    A damaged header after the first member raises an error; tarfile would take it for the end of the archive.
    """

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_CheckedMember":
        try:
            return super().fromtarfile(tar)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            if not tar.offset:
                raise  # the first header is invalid: the file is no tar
            raise _DamagedHeader(f"{error} at byte {tar.offset:,}") from error

    def _proc_member(self, tar: tarfile.TarFile) -> Any:  # tarfile's documented hook for subclasses
        header = self.type in (*_HEADERS, tarfile.GNUTYPE_SPARSE)
        _check_size(self, MAX_HEADER if self.type in _HEADERS else MAX_MEMBER)
        found = super()._proc_member(tar)  # type: ignore[misc]
        if header and found is not None:
            _check_size(found, MAX_MEMBER)  # check again: the size of a sparse file now includes its holes
        return found


def is_tar(path: Path) -> bool:
    """True if a file begins as a tar archive does, compressed or not."""
    try:
        with tarfile.open(path, "r|*", tarinfo=_CheckedMember):
            return True
    except (InputError, _DamagedHeader):
        return True  # a tar, but too large or damaged: reading its members raises the error
    except _DAMAGED:
        return False


def read_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each regular file in a tar, compressed or not; links and other members are left out."""
    with path.open("rb") as stream:
        for member in member_files(stream, str(path), path.stat().st_size):
            yield member.name, member.read()


class _UnpackedStream:
    """A stream that unpacks xz itself, since tarfile does not bound the memory of xz; other data pass unchanged."""

    def __init__(self, stream: IO[bytes], where: str) -> None:
        self._stream, self._where = stream, where
        self._head = stream.read(len(_XZ))
        self._xz = _new_unpacker() if self._head == _XZ else None
        self._between = False

    def read(self, size: int) -> bytes:
        """Return `size` unpacked bytes; fewer only at the end."""
        if self._xz is None:
            return self._read_packed(size)
        found = b""
        while len(found) < size:
            if self._xz.eof:  # another xz stream may follow this one, after padding of zeros
                self._head, self._xz, self._between = self._xz.unused_data, _new_unpacker(), True
            packed = self._read_packed(_PIECE) if self._xz.needs_input else b""
            if not packed and self._xz.needs_input:
                break
            if self._between and not (packed := packed.lstrip(b"\0")):
                continue
            self._between = False
            try:
                found += self._xz.decompress(packed, size - len(found))
            except lzma.LZMAError as error:
                if "limit" not in str(error):
                    raise
                raise InputError(
                    f"{self._where}: unpacking it takes more than {MAX_WINDOW // 1_000_000} MB of memory. Compress it "
                    "again with `xz -9` or gzip."
                ) from None
        return found

    def _read_packed(self, size: int) -> bytes:
        """Read at most `size` bytes as they are in the archive; bytes that were read to recognise xz come first."""
        head, self._head = self._head[:size], self._head[size:]
        return head + self._stream.read(size - len(head))


def _new_unpacker() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_WINDOW)


class Member:
    """A regular file in a tar that is read as a stream. Read it before the next member is asked for, or not at all."""

    def __init__(self, name: str, size: int, file: IO[bytes], where: str) -> None:
        self.name, self.size = name, size
        self._file, self._where = file, where

    def read(self, most: int = -1) -> bytes:
        """Return the member's bytes, or the first `most` of them."""
        with _damage_as_input_error(self._where):
            return self._file.read(most)


def member_files(stream: IO[bytes], where: str, size: int) -> Iterator[Member]:
    """Yield the regular files in a tar, read from a stream of `size` bytes; `where` names the tar in error messages."""
    allowed = MAX_EXPANSION * size + MAX_MEMBER
    with (
        _damage_as_input_error(where),
        tarfile.open(fileobj=cast(Any, _UnpackedStream(stream, where)), mode="r|*", tarinfo=_CheckedMember) as tar,
    ):
        for number, member in enumerate(tar):
            tar.members = []  # type: ignore[attr-defined]  # tarfile remembers all, some kB each
            allowed -= member.size
            if allowed < 0 or number >= MAX_MEMBERS:
                raise InputError(
                    f"{where}: {member.name!r:.80} is beyond {MAX_MEMBERS:,} members, or expands the archive to "
                    f"more than {MAX_EXPANSION} times its size. It is no archive of pictures; nothing was kept."
                )
            # only regular files: a link could lead elsewhere
            file = tar.extractfile(member) if member.isreg() else None
            if file is not None:
                yield Member(member.name, member.size, file, where)


def split_sample_name(name: str) -> tuple[str, str]:
    """Split a member's name as WebDataset does: into the part before the file name's first dot, and the part after it.

    Members with the same first part are one sample. The first part is empty if the file name begins with a dot, as
    ._00001.jpg does, which macOS puts beside 00001.jpg.
    """
    path = PurePosixPath(name)
    stem, _, suffix = path.name.partition(".")
    return str(path.with_name(stem)) if stem else "", suffix


@contextmanager
def _damage_as_input_error(where: str) -> Iterator[None]:
    """Turn the errors of a damaged archive, raised in a `with` block, into InputError; `where` names the archive."""
    try:
        yield
    except _DAMAGED as error:
        raise InputError(f"{where} is no whole tar ({first_line(error):.200}). Fetch it again.") from None


def _check_size(member: tarfile.TarInfo, limit: int) -> None:
    """Raise InputError if a member has more than `limit` bytes, or a negative size."""
    if not 0 <= member.size <= limit:
        raise InputError(
            f"tar member {member.name!r:.80} has {member.size:,} bytes, at most {limit:,} are read. Take it out of the "
            "archive, or unpack the archive yourself."
        )
