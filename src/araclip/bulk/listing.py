"""Listing a source: a folder, a tar, a parquet file, a picture, a pattern with *, or a list of such; here or by URL."""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from araclip.bulk import parquet_pictures
from araclip.bulk.parts import PARQUET, PICTURE, SHARD_NAME, TAR, Part, fingerprint_of
from araclip.bulk.places import filesystem_of, is_url, place_of, read_bytes, source_errors
from araclip.core.display import counted
from araclip.core.paths import text_path
from araclip.errors import EmptyFolder, InputError, SourceError
from araclip.gallery.ingest.scan import Walk
from araclip.pictures.formats import SUFFIXES
from araclip.pictures.video.formats import is_video

ZST = ".tar.zst"
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ZST)
LISTS = (".txt", ".lst")
MAX_LIST = 2_000_000_000  # bytes of a list: some ten million paths
_VERSIONS = ("ETag", "etag", "blob_id", "md5Hash", "xet_hash")  # as s3fs, gcsfs and the Hugging Face hub call it


@dataclass(frozen=True)
class BulkSource:
    """A source as listed: its name, its parts in order, a fingerprint of them, and notes about what is left out."""

    name: str
    parts: tuple[Part, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()


def list_source(source: str | os.PathLike[str]) -> BulkSource:
    """List a source, without reading any picture.

    Args:
        source: a folder (pictures, tars and parquet files, those of its subfolders too; hidden ones are left out), one
            such file, a pattern with `*`, or a list: a .txt file with a path or URL on each line, relative to the list.

    Raises:
        InputError: there is no such place, or nothing in it that is read; a parquet file without pictures.
        SourceError: it cannot be read now.
    """
    name = place_of(text_path(source, "source"))
    notes: list[str] = []
    if name.lower().endswith(LISTS):
        parts, root = list(_listed(name, notes)), ""
    elif is_url(name):
        parts, root = sorted(_remote(name, notes), key=_order), name.partition("*")[0]
    else:
        parts, root = sorted(_local(name, notes), key=_order), name
    if not parts:
        raise EmptyFolder(
            f"{name} holds no picture, no tar and no parquet file. Name the folder that does, one such file, or a .txt "
            "list of them."
        )
    return BulkSource(name, tuple(parts), fingerprint_of(parts, root), tuple(notes))


def _order(part: Part) -> tuple[bytes, int]:
    return os.fsencode(part.place), part.group


def _local(name: str, notes: list[str]) -> Iterator[Part]:
    if "*" in name and not os.path.lexists(name):
        system, pattern = filesystem_of(name)
        with source_errors(name):
            yield from _of_files(((str(path), about["size"], "") for path, about in _found(system, pattern)), notes)
        return
    if not os.path.exists(name):  # noqa: PTH110  (names that are not UTF-8 stay text)
        raise InputError(f"{name}: no such file or folder. Check the path.")
    if not os.path.isdir(name):  # noqa: PTH112
        yield from _of_files([(name, os.stat(name).st_size, "")], notes)  # noqa: PTH116
        return
    walk = Walk()
    for file in walk.pictures(name):
        if is_video(file.path):
            notes.append(f"{file.path}: a video, not read in bulk. `araclip index` reads it.")
        else:
            yield Part(PICTURE, file.path, file.size, mtime_ns=file.mtime_ns)
    if walk.unreadable:  # a shard without these would look finished
        path, why = next(iter(walk.unreadable.items()))
        raise SourceError(f"{path} cannot be read ({why}). Make it readable, or leave it out of the source.")
    notes += walk.special.values()
    notes += [f"{count:,} {kind} files are not read." for kind, count in walk.unread.items()]
    yield from _of_files(_archives(name), notes)


def _archives(root: str) -> Iterator[tuple[str, int, str]]:
    seen = set[tuple[int, int]]()
    for folder, below, names in os.walk(root, followlinks=True):  # links are followed as to pictures, each folder once
        here = os.stat(folder)  # noqa: PTH116  (names that are not UTF-8 stay text)
        below[:] = sorted(name for name in below if not name.startswith("."))
        if (here.st_dev, here.st_ino) in seen:
            below.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        for name in names:
            if not name.startswith(".") and name.lower().endswith((*TARS, ".parquet")):
                path = os.path.join(folder, name)  # noqa: PTH118
                yield path, os.stat(path).st_size, ""  # noqa: PTH116


def _remote(name: str, notes: list[str]) -> list[Part]:
    system, path = filesystem_of(name)
    with source_errors(name):
        found = [
            (system.unstrip_protocol(each), int(about.get("size") or 0), _version(about))
            for each, about in _found(system, path)
            if not any(part.startswith(".") for part in PurePosixPath(each.removeprefix(path)).parts)
        ]
    return list(_of_files(found, notes))


def _found(system: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """Files with what the store says of each: those that match a pattern, those below a folder, or the one file."""
    found = system.glob(path, detail=True) if "*" in path else system.find(path, detail=True)
    return [(each, about) for each, about in found.items() if about.get("type", "file") == "file"]


def _version(about: dict[str, Any]) -> str:
    return str(next((about[key] for key in _VERSIONS if about.get(key)), "")).strip('"')


def _listed(name: str, notes: list[str]) -> Iterator[Part]:
    data = read_bytes(name, MAX_LIST + 1)
    if data is None:
        raise InputError(f"{name}: no such list. Check the path.")
    if len(data) > MAX_LIST:
        raise InputError(f"{name}: a list of more than {MAX_LIST / 1e9:.0f} GB. Cut it, and embed each part by itself.")
    here = name.rpartition("/")[0] if is_url(name) else os.path.dirname(name)  # noqa: PTH120
    files = []
    for number, line in enumerate(os.fsdecode(data.removeprefix(b"\xef\xbb\xbf")).splitlines(), 1):
        if not (text := line.strip()):
            continue
        relative = not is_url(text) and not os.path.isabs(text)  # noqa: PTH117
        try:
            files.append((place_of(f"{here}/{text}" if relative else text), 0, ""))
        except InputError as error:
            raise InputError(f"{name}, line {number}: {error}") from None
    yield from _of_files(files, notes, listed=True)


def _of_files(files: Iterable[tuple[str, int, str]], notes: list[str], *, listed: bool = False) -> Iterator[Part]:
    """The parts that files are, by their suffixes; a listed one is a picture where its suffix says nothing."""
    others = shards = 0
    for place, size, version in files:
        lower = place.lower()
        if lower.endswith(ZST) and sys.version_info < (3, 14):  # its shard would look finished
            raise InputError(
                f"{place}: Python unpacks {ZST} from 3.14 on. Pack it as .tar, or leave it out of the source."
            )
        if lower.endswith(TARS):
            yield Part(TAR, place, size, version)
        elif SHARD_NAME.fullmatch(os.path.basename(place)):  # noqa: PTH119  (a run's output may lie in its source)
            shards += 1
        elif lower.endswith(".parquet"):
            for group, (rows, bytes_, start) in enumerate(parquet_pictures.groups_of(place)):
                yield Part(PARQUET, place, bytes_, version, group, rows, start)
        elif PurePosixPath(lower).suffix in SUFFIXES or (listed and not is_video(place)):
            yield Part(PICTURE, place, size, version)
        else:
            others += 1
    if shards:
        notes.append(f"left out: {counted(shards, 'shard')} of `araclip embed`. `araclip index --from` reads them.")
    if others:
        notes.append(f"left out: {counted(others, 'file')} of other kinds than pictures, tars and parquet files.")
