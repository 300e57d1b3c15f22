"""List the pictures, tars and parquet files of a source, and read their pictures one by one.

The path of a picture inside a tar or parquet file is the path of that file, a slash, and the picture's name in it;
nothing is extracted to a disk. Parquet files have pictures in their rows, like data sets on the Hugging Face hub: in a
column of bytes, or of structs {bytes, path}.
"""

import os
import stat
import sys
from collections.abc import Iterator, Set
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from araclip.bulk.shard_file import can_be_stored, key_of, row_of, store_of, stored_path
from araclip.core.bounded_parquet import TEXT_TYPES, bounded_batches, open_place, parquet_file
from araclip.core.bounded_tar import MAX_MEMBER, member_files, split_sample_name
from araclip.core.display import counted
from araclip.errors import AraCLIPError, EmptyFolder, ImageError, ImageTooLarge, InputError, UnreadableImage, first_line
from araclip.gallery.catalog.records import File
from araclip.gallery.ingest.intake import PictureBytes, read_source
from araclip.gallery.ingest.scan import unread_kind
from araclip.gallery.locations import URL
from araclip.pictures.captions import SIDECAR_BYTES, join_captions, sidecar_caption
from araclip.pictures.formats import SUFFIXES
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.images import open_file
from araclip.pictures.video.formats import is_video

TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", *([".tar.zst"] if sys.version_info >= (3, 14) else []))
MAX_GROUP = 4_000_000_000  # limit: bytes of an unpacked row group; those of data sets have some hundred MB
MAX_NAME = 1000  # limit: characters that are kept of a name inside a file
MAX_CAPTIONS = 16  # limit: captions of a picture in a tar; usually one or two, but names may be repeated without end
PICTURES = ("image", "picture", "img", "photo", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes", "content")
CAPTIONS = ("caption", "text", "title", "description", "alt_text", "caption_ar", "txt")
Found = tuple[File, bytes | Exception, str]  # a picture in a tar or parquet file, its bytes or its fault, its caption


def list_source(name: str, out: str) -> tuple[list[File], list[str]]:
    """List the pictures, tars and parquet files of a source, sorted; and notes on files that are left out.

    Args:
        name: a folder, also with subfolders, without hidden files; or a single file. Absolute, or a URL.
        out: the folder of the shards, which may lie in the source and is left out.

    Raises:
        InputError: the source does not exist, or holds nothing that is read. OSError: it cannot be read now.
    """
    try:
        listed = _list_store(name) if URL.match(name) else _list_local(name)
        found = [file for file in listed if not file.path.startswith(f"{out}/")]
    except FileNotFoundError:
        raise InputError(f"{name}: no such file or folder. Check the path.") from None
    files = [file for file in found if _is_read(file.path)]
    others = len(found) - len(files)
    if not files:
        raise EmptyFolder(f"{name} holds no picture, no tar and no parquet file. Name the folder that does.")
    left_out = f"left out: {counted(others, 'file')} of other kinds than pictures, tars and parquet files."
    return sorted(files, key=lambda file: os.fsencode(file.path)), [left_out] if others else []


def is_container(path: str) -> bool:
    """True for the path of a tar or parquet file."""
    return path.lower().endswith((*TARS, ".parquet"))


def _is_read(path: str) -> bool:
    kind = PurePosixPath(path.lower()).suffix in SUFFIXES or unread_kind(path)  # the latter are refused with a remedy
    return is_container(path) or bool(kind and not is_video(path))


def _list_local(name: str) -> Iterator[File]:
    def fail(error: OSError) -> None:
        raise error

    if not stat.S_ISDIR((about := os.stat(name)).st_mode):  # noqa: PTH116  (names that are not UTF-8 stay text)
        yield File.of(name, about)
        return
    seen = set[tuple[int, int]]()
    for folder, below, names in os.walk(name, followlinks=True, onerror=fail):  # follow links, enter each folder once
        here = os.stat(folder)  # noqa: PTH116
        below[:] = sorted(each for each in below if not each.startswith("."))
        if (here.st_dev, here.st_ino) in seen:
            below.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        for path in (os.path.join(folder, each) for each in names if not each.startswith(".")):  # noqa: PTH118
            yield File.of(path, os.stat(path) if os.path.exists(path) else os.lstat(path))  # noqa: PTH110, PTH116


def _list_store(url: str) -> Iterator[File]:
    from pyarrow.fs import FileSelector, FileType

    system, path = store_of(url)
    (named,) = system.get_file_info([path])
    below = [named] if named.type == FileType.File else system.get_file_info(FileSelector(path, recursive=True))
    for file in below:
        inside = file.path.removeprefix(path)
        if file.type == FileType.File and not any(each.startswith(".") for each in inside.split("/")):
            yield File(url + inside, file.size, file.mtime_ns or 0)


def read_pictures(file: File, done: Set[bytes], transform: ImageTransform) -> Iterator[dict[str, Any]]:
    """Read and decode the pictures of a file within the limits of `pictures`; yield a row for each but those `done`.

    The row of a picture has the columns of a shard, with its pixels as `data` in place of the vector; that of a picture that cannot
    be used has `reason`, and `retry`: True if it may be readable another time, as after a fault of the network.
    """
    try:
        if not URL.match(file.path) and not stat.S_ISREG(os.stat(file.path).st_mode):  # noqa: PTH116
            raise UnreadableImage("it is not a file")
        if not is_container(file.path):
            yield _decode(file, _fetch(file) if URL.match(file.path) else file, "", transform)
            return
        read = _read_parquet if file.path.lower().endswith(".parquet") else _read_tar
        for inside, data, caption in read(file):
            if key_of(inside) not in done:
                yield _decode(inside, data, caption, transform)
    except (AraCLIPError, OSError) as error:  # damaged: the pictures before the damage are kept, the rest is lost
        if key_of(file) not in done:
            yield _refuse(file, error, retry=bool(URL.match(file.path)))


def _fetch(file: File) -> bytes | Exception:
    with open_place(file.path) as stream:
        return bytes(stream.read()) if stream.size() <= MAX_MEMBER else _too_large(stream.size())


def _too_large(size: int) -> ImageError:
    return ImageTooLarge(f"{size:,} bytes, the limit is {MAX_MEMBER:,}. Save a smaller copy.")


def _decode(file: File, data: File | bytes | Exception, caption: str, transform: ImageTransform) -> dict[str, Any]:
    try:
        if isinstance(data, Exception):
            raise data
        if not can_be_stored(file.path):
            raise UnreadableImage("its path is too long, or that of a scene in a video: a gallery cannot hold it")
        own = isinstance(data, File)
        loaded = read_source(PictureBytes(file, data) if isinstance(data, bytes) else data, set(), transform)
    except (OSError, AraCLIPError) as error:
        return _refuse(file, error)
    assert loaded.decoded is not None  # because no hash was given as known
    facts = loaded.decoded.facts
    facts = replace(facts, caption=join_captions([*facts.caption.splitlines(), *caption.splitlines()]))
    row = row_of(loaded.file, loaded.digest, facts, loaded.decoded.phash, has_file=own)
    return row | {"data": loaded.decoded.pixels.tobytes()}


def _refuse(file: File, error: Exception, *, retry: bool = False) -> dict[str, Any]:
    retry |= isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
    row = {"path": stored_path(file.path), "size": file.size, "mtime_ns": file.mtime_ns, "retry": retry}
    return row | {"reason": getattr(error, "strerror", None) or first_line(error)}


def _read_tar(tar: File) -> Iterator[Found]:
    """Yield the pictures of a tar. Texts with a picture's name and another suffix are its captions (WebDataset)."""
    sample: list[tuple[File, bytes]] = []
    captions: list[str] = []
    key = ""

    def take_sample() -> Iterator[Found]:
        while sample:
            yield *sample.pop(), join_captions(captions)

    try:
        with open_place(tar.path) if URL.match(tar.path) else open_file(tar.path) as stream:
            for member in member_files(stream, tar.path, tar.size):
                mine, suffix = split_sample_name(member.name)
                if mine != key:
                    yield from take_sample()
                    captions.clear()
                    key = mine
                file = _file_inside(tar, member.name, member.size)
                if mine and f".{suffix.lower().rpartition('.')[2]}" in SUFFIXES:
                    yield from take_sample()  # first, so that its memory is free before this picture is read
                    sample.append((file, member.read()))
                elif mine and suffix.lower() in ("txt", "json", "caption") and len(captions) < MAX_CAPTIONS:
                    try:
                        captions.append(sidecar_caption(member.read(SIDECAR_BYTES + 1), file.path))
                    except AraCLIPError as error:
                        yield file, error, ""
    except InputError:
        yield from take_sample()
        raise
    yield from take_sample()


def _read_parquet(table: File) -> Iterator[Found]:
    with parquet_file(table.path) as file:
        import pyarrow

        column, is_category = _picture_column(file.schema_arrow, table.path), pyarrow.types.is_dictionary
        kinds = {each.name: each.type.value_type if is_category(each.type) else each.type for each in file.schema_arrow}
        texts = [name for name, kind in kinds.items() if name.lower() in CAPTIONS and str(kind) in TEXT_TYPES]
        # Rows are read one at a time: in a dictionary-encoded column, many rows may share one picture of hundreds of
        # MB, and each row that is read gets a copy of it.
        for number, batch in enumerate(bounded_batches(file, table.path, 1, [column, *texts], (MAX_GROUP, 0))):
            (row,) = batch.to_pylist()
            cell = row[column] if isinstance(row[column], dict) else {"bytes": row[column]}
            data, name = cell.get("bytes") or b"", PurePosixPath(str(cell.get("path") or "")).name
            inside = _file_inside(table, f"{number:08}{'-' if name else ''}{name}", len(data))
            fault: ImageError | None = None if data else UnreadableImage("the row has no bytes of a picture")
            fault = _too_large(len(data)) if len(data) > MAX_MEMBER else fault
            yield inside, fault or data, join_captions(str(row[each]) for each in texts if row[each])


def _picture_column(schema: Any, place: str) -> str:
    """Return the first column of bytes that PICTURES names, or else the only column of bytes; or raise InputError."""
    import pyarrow

    def is_bytes(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):
            return any(each.name == "bytes" and is_bytes(each.type) for each in kind)
        return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))

    found = [each.name for each in schema if is_bytes(each.type)]
    named = [name for name in PICTURES if name in found]
    if not named and len(found) != 1:
        which = f"the columns of bytes {', '.join(found)}" if found else "no column of bytes"
        raise InputError(f"{place} has {which}; expected one of pictures, such as `image`. Rename it.")
    return (named or found)[0]


def _file_inside(outer: File, name: str, size: int) -> File:
    """Return the file of a picture inside another file; ".", ".." and empty pieces of its name are dropped."""
    safe = [piece for piece in name.replace("\0", "").replace("\\", "/").split("/") if piece not in ("", ".", "..")]
    return File(f"{outer.path}/{'/'.join(safe)[:MAX_NAME] or 'unnamed'}", size, outer.mtime_ns)
