"""List the pictures, tars and parquet files of a source, and read their pictures one by one, within our limits.

Ray's own readers decode without limits, and end the run at the first damaged file. The path of a picture inside a tar
or parquet file is the path of that file, a slash, and the picture's name in it; nothing is extracted to a disk. Parquet
files have pictures in their rows, like data sets on the Hugging Face hub: in a column of bytes, or of structs
{bytes, path}.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from araclip.bulk.shard_file import can_be_stored, columns_of, list_files
from araclip.core.bounded_parquet import bounded_batches, open_place, parquet_file
from araclip.core.bounded_tar import MAX_MEMBER, member_files, split_sample_name
from araclip.errors import AraCLIPError, EmptyFolder, InputError, UnreadableImage, first_line
from araclip.gallery.catalog.records import File
from araclip.gallery.ingest.intake import PictureBytes, read_source
from araclip.gallery.ingest.scan import Walk, unread_line
from araclip.gallery.locations import URL
from araclip.pictures.captions import SIDECAR_BYTES, join_captions, sidecar_caption
from araclip.pictures.formats import SUFFIXES
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.images import open_file

CONTAINERS = (".parquet", ".tar", ".tar.gz", ".tgz", ".tar.xz", *([".tar.zst"] if sys.version_info >= (3, 14) else []))
MAX_GROUP = 4_000_000_000  # limit: bytes of an unpacked row group; those of data sets have some hundred MB
PICTURES = ("image", "picture", "img", "photo", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes", "content")
CAPTIONS = ("caption", "text", "title", "description", "alt_text", "caption_ar", "txt")
TEXT_TYPE = re.compile(r"(dictionary<values=)?(large_)?string")
# such as binary, large_binary, struct<bytes: binary, path: string>, but not fixed_size_binary, as of hashes
PICTURE_TYPE = re.compile("(?<!fixed_size_)binary")
Found = tuple[File, bytes | None, str]  # a picture, its bytes if it is no file of this machine, and its caption


def list_source(place: str, out: str) -> tuple[list[File], list[str]]:
    """List the pictures, tars and parquet files of a folder with its subfolders, or of a single file; a path or a URL.

    Hidden files, and those below `out`, are left out. Also return notes on what cannot be read.
    """
    walk, is_url = Walk(also=CONTAINERS), URL.match(place)
    found = list_files(place, recursive=True) if is_url else walk.at(place)
    found = (file for file in found if not file.path.startswith(f"{out}/") and "/." not in file.path[len(place) :])
    files = [file for file in found if file.path.lower().endswith((*CONTAINERS, *SUFFIXES))]
    notes = [*walk.faults(), *([unread_line(walk.unread)] if walk.unread else [])]
    if not files:
        raise EmptyFolder(" ".join([f"{place} holds no picture, tar or parquet file. Check the name.", *notes[:3]]))
    return files, notes


def is_container(path: str) -> bool:
    """True for the path of a tar or parquet file."""
    return path.lower().endswith(CONTAINERS)


def read_pictures(file: File, is_done: Callable[[File], bool], transform: ImageTransform) -> Iterator[dict[str, Any]]:
    """Read and decode the pictures of a file within the limits of `pictures`; yield a row for each that is not done.

    A row has the columns of a shard, with `pixels` in place of the vector. For what cannot be used it has `reason`, and
    `retry`: True if it may be readable another time, as after a fault of the network.
    """
    read = _read_parquet if file.path.lower().endswith(".parquet") else _read_tar
    try:
        for inside, data, caption in read(file) if is_container(file.path) else _read_file(file):
            if not is_done(inside):
                yield _row_of(inside, data, caption, transform)
    except (AraCLIPError, OSError) as error:  # damaged: the pictures before the damage are kept, the rest is lost
        if not is_done(file):
            yield _refused(file, error, retry=bool(URL.match(file.path)))


def _row_of(file: File, data: bytes | None, caption: str, transform: ImageTransform) -> dict[str, Any]:
    try:
        if not can_be_stored(file.path):
            raise UnreadableImage("its path is too long, or that of a scene in a video: a gallery cannot hold it")
        loaded = read_source(file if data is None else PictureBytes(file, data), set(), transform)
    except (OSError, AraCLIPError) as error:
        return _refused(file, error)
    assert loaded.decoded is not None  # because no hash was given as known
    captions = f"{loaded.decoded.facts.caption}\n{caption}".splitlines()
    facts = replace(loaded.decoded.facts, caption=join_captions(captions))
    row = {"sha256": loaded.digest, "phash": loaded.decoded.phash, "has_file": data is None, **vars(facts)}
    return row | columns_of(loaded.file) | {"pixels": loaded.decoded.pixels.tobytes()}


def _refused(file: File, error: Exception, *, retry: bool = False) -> dict[str, Any]:
    retry |= isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
    reason = str(getattr(error, "strerror", None) or first_line(error)).encode(errors="replace").decode()
    return columns_of(file) | {"reason": reason[:1000], "retry": retry}


def _read_file(file: File) -> Iterator[Found]:
    if not URL.match(file.path):
        yield file, None, ""
    elif file.size > MAX_MEMBER:
        raise UnreadableImage(f"{file.size:,} bytes, the limit is {MAX_MEMBER:,}. Save a smaller copy.")
    else:
        with open_place(file.path) as stream:
            yield file, stream.read(MAX_MEMBER), ""


def _read_tar(tar: File) -> Iterator[Found]:
    """Yield the pictures of a tar. Texts with a picture's name and another suffix are its captions (WebDataset)."""
    waiting, caption, sample = list[tuple[File, bytes]](), "", ""
    try:
        with open_place(tar.path) if URL.match(tar.path) else open_file(tar.path) as stream:
            for member in member_files(stream, tar.path, tar.size):
                name, suffix = split_sample_name(member.name)
                is_picture = bool(name) and f".{suffix.lower().rpartition('.')[2]}" in SUFFIXES
                if waiting and (is_picture or name != sample):  # now, so that its memory is free for the next picture
                    yield *waiting.pop(), caption
                if name != sample:
                    caption, sample = "", name
                if is_picture:
                    waiting.append((File(f"{tar.path}/{member.name}", member.size, tar.mtime_ns), member.read()))
                elif name and suffix.lower() in ("txt", "json", "caption"):
                    with suppress(AraCLIPError):  # a malformed text is no caption
                        text = sidecar_caption(member.read(SIDECAR_BYTES + 1), member.name)
                        caption = join_captions(f"{caption}\n{text}".splitlines())
    except InputError:
        yield from ((*each, caption) for each in waiting)
        raise
    yield from ((*each, caption) for each in waiting)


def _read_parquet(table: File) -> Iterator[Found]:
    with parquet_file(table.path) as file:
        kinds = {each.name: str(each.type) for each in file.schema_arrow}
        texts = [name for name, kind in kinds.items() if name.lower() in CAPTIONS and TEXT_TYPE.match(kind)]
        found = [name for name, kind in kinds.items() if PICTURE_TYPE.search(kind)]
        named = [name for name in PICTURES if name in found] or found[: len(found) == 1]
        if not named:
            raise InputError(f"{table.path} has no column of pictures, which are bytes. Name one of bytes `image`.")
        # Rows are read one at a time: in a dictionary-encoded column, many rows may share one picture of hundreds of
        # MB, and each row that is read gets a copy of it.
        for number, batch in enumerate(bounded_batches(file, table.path, 1, [named[0], *texts], (MAX_GROUP, 0))):
            (row,) = batch.to_pylist()
            cell = row[named[0]] if isinstance(row[named[0]], dict) else {"bytes": row[named[0]]}
            data, name = cell.get("bytes") or b"", PurePosixPath(str(cell.get("path") or "")).name
            inside = File(f"{table.path}/{number:08}{'-' if name else ''}{name}", len(data), table.mtime_ns)
            yield inside, data, join_captions(str(row[each]) for each in texts if row[each])
