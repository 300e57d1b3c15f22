"""List a source of pictures in a fixed order, cut it into shards, and read its pictures one by one.

A source is a folder, a tar, a parquet file, a picture, a pattern with *, or a list of these; on this machine or by URL.
The path of a picture inside a tar or parquet file is the path of that file, a slash, and the picture's name in it;
nothing is extracted to a disk.

Parquet files have pictures in their rows, like data sets on the Hugging Face hub: in a column of bytes, or of structs
{bytes, path}. The size of the footer is checked before it is parsed, and the unpacked size of a row group before it is
opened; rows are read one by one.
"""

import hashlib
import math
import os
import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from araclip.bulk.places import MISSING, absolute_place, filesystem_of, is_url, open_stream, read_bytes, source_errors
from araclip.core.bounded_tar import MAX_MEMBER, member_files, split_sample_name
from araclip.core.display import counted
from araclip.core.paths import text_path
from araclip.errors import (
    AraCLIPError,
    EmptyFolder,
    ImageTooLarge,
    InputError,
    SourceError,
    UnreadableImage,
    first_line,
)
from araclip.gallery.catalog.records import File
from araclip.gallery.ingest.intake import PictureBytes, Source
from araclip.gallery.ingest.scan import Walk, unread_kind, unread_line
from araclip.pictures.captions import SIDECAR_BYTES, join_captions, sidecar_caption
from araclip.pictures.formats import SUFFIXES
from araclip.pictures.limits import ByteBudget
from araclip.pictures.video.formats import is_video

PICTURE, TAR, PARQUET = "picture", "tar", "parquet"
# Decoding and encoding a picture takes as long as reading this many bytes; `Part.weight` adds them for each picture.
PER_PICTURE = 50_000
SHARD_NAME = re.compile(r"([0-9a-f]{12})-([0-9a-f]{4,64})-(\d{5})-of-(\d{5})\.parquet")  # file name of a shard
# The weight of a shard by default: each picture weighs its bytes plus PER_PICTURE, so this is about 7,000
# pictures of 100 kB, minutes of work.
SHARD_WEIGHT = 1_000_000_000


@dataclass(frozen=True)
class Part:
    """The smallest piece of a source that goes into one shard: a picture, a tar, or a row group of a parquet file.

    Attributes:
        kind: PICTURE, TAR or PARQUET.
        place: path or URL of the file.
        size: bytes of the file, or unpacked bytes of the row group; 0 if not known.
        version: what an object store says about the content (ETag, hash); empty on a disk.
        group: for a parquet file, the number of the row group.
        rows: the number of rows in the row group.
        start: the number of rows before the row group in the file.
        mtime_ns: for a picture on this machine, the time of change.
    """

    kind: str
    place: str
    size: int
    version: str = ""
    group: int = 0
    rows: int = 0
    start: int = 0
    mtime_ns: int = 0

    @property
    def weight(self) -> int:
        """An estimate, in bytes, of the work to embed this part: its size, and PER_PICTURE for each of its pictures."""
        return self.size + PER_PICTURE * max(1, self.rows)


def fingerprint_of(parts: Sequence[Part], root: str) -> str:
    """Return twelve hex digits that change if a part is added, removed or renamed, or gets another size or version.

    Moving the whole source changes nothing: only the parts' paths below `root` count.
    """
    digest = hashlib.sha256(b"araclip source 1\n")
    for part in parts:
        name = part.place.removeprefix(root)
        line = (part.kind, name, str(part.size), part.version, str(part.group), str(part.rows))
        digest.update("\0".join(line).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()[:12]


def default_shards(parts: Sequence[Part]) -> int:
    """Return the number of shards to cut a source into; it depends on nothing but the source."""
    wanted = math.ceil(sum(part.weight for part in parts) / SHARD_WEIGHT)
    return max(1, min(wanted, len(parts)))


def cut_into_shards(parts: Sequence[Part], shards: int) -> list[list[Part]]:
    """Divide the parts of a source among `shards` shards of about the same work (`Part.weight`).

    Return the parts of each shard.

    The parts of a shard are neighbours; each part is in exactly one shard.
    """
    total, before = sum(part.weight for part in parts), 0
    found: list[list[Part]] = [[] for _ in range(shards)]
    for part in parts:
        # Lay the weights of all parts end to end: a part goes into the shard in which the middle of its weight lies.
        # The middle is doubled to be a whole number, since fractions could give other shards on another machine.
        middle = 2 * before + part.weight
        found[min(shards - 1, middle * shards // (2 * total))].append(part)
        before += part.weight
    return found


MAX_FOOTER = 64_000_000  # limit: bytes of a parquet file's footer; a footer of 10,000 row groups has about 20 MB
MAX_GROUP = 4_000_000_000  # limit: bytes of an unpacked row group; those of data sets have some hundred MB
MAX_PICTURE = 200_000_000  # limit: bytes of a picture in a row
# Rows are read one at a time: in a dictionary-encoded column, many rows may share one picture of hundreds of MB, and
# each row that is read gets a copy of it.
ROWS = 1
PICTURES = ("image", "picture", "img", "photo", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes", "content")
CAPTIONS = ("caption", "text", "title", "description", "alt_text", "caption_ar", "txt")
TEXT_TYPES = ("string", "large_string", "string_view")  # types of text columns; programs write different ones
# a picture in a parquet file: (name, bytes or None if unusable, caption, the reason if there are no bytes)
Row = tuple[str, bytes | None, str, str]


def read_row_group(place: str, group: int) -> Iterator[Row]:
    """Yield each row of a row group as (name, bytes, caption, fault); raise InputError if the row group is too large.

    If a row holds no usable picture, its bytes are None, and `fault` says why.
    """
    with parquet_file(place) as file:
        import pyarrow

        size = file.metadata.row_group(group).total_byte_size
        if not 0 <= size <= MAX_GROUP:
            raise InputError(
                f"{place}: row group {group} unpacks to {size:,} bytes, at most {MAX_GROUP:,} are read. Write it with "
                "smaller row groups."
            )
        column, is_category = picture_column(file.schema_arrow, place), pyarrow.types.is_dictionary
        kinds = {each.name: each.type.value_type if is_category(each.type) else each.type for each in file.schema_arrow}
        captions = [name for name, kind in kinds.items() if name.lower() in CAPTIONS and str(kind) in TEXT_TYPES]
        for batch in file.iter_batches(ROWS, row_groups=[group], columns=[column, *captions], use_threads=False):
            for row in batch.to_pylist():
                yield _parse_row(row, column, captions)


def _parse_row(row: dict[str, Any], column: str, captions: list[str]) -> Row:
    cell = row[column]
    about: dict[str, Any] = cell if isinstance(cell, dict) else {"bytes": cell}
    data, name = about.get("bytes"), str(about.get("path") or "")
    caption = join_captions(str(row[each]) for each in captions if row[each])
    if not isinstance(data, bytes) or not data:
        return name, None, caption, "the row has no bytes of a picture"
    if len(data) > MAX_PICTURE:
        return name, None, caption, f"{len(data):,} bytes, the limit is {MAX_PICTURE:,}"
    return name, data, caption, ""


def picture_column(schema: Any, place: str) -> str:
    """Return the name of the column with pictures.

    The column is the first of those in PICTURES that holds bytes, or else the only column that holds bytes.

    Raises:
        InputError: no column holds bytes, or several columns do and PICTURES lists none of their names.
    """
    import pyarrow

    def is_bytes(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):
            return any(each.name == "bytes" and is_bytes(each.type) for each in kind)
        return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))

    found = [each.name for each in schema if is_bytes(each.type)]
    named = [name for name in PICTURES if name in found]
    if not named and len(found) != 1:
        which = f"the columns of bytes {', '.join(found)}" if found else "no column of bytes"
        raise InputError(
            f"{place} has {which}; expected one of pictures, such as `image`. Rename it, or write the file with that "
            "column alone."
        )
    return (named or found)[0]


@contextmanager
def parquet_file(
    place: str, *, checksums: bool = False, texts: Sequence[str] = (), remedy: str = "Fetch it again."
) -> Iterator[Any]:
    """Open a parquet file for the length of a `with` block; the footer's size is checked before it is parsed.

    Whatever pyarrow raises inside the block for a damaged file becomes an InputError. Callers must not ask for the
    metadata of single columns: pyarrow 26 ends the process if these contradict the schema.

    Args:
        checksums: True to compare the pages' checksums, which some other programs write wrongly.
        texts: columns to read as dictionaries, which hold each different text once.
        remedy: what to do about a damaged file; it ends the message.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise InputError(MISSING) from None
    with open_stream(place) as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 8))
        tail = stream.read(8)
        stream.seek(0)
        if len(tail) < 8 or tail[4:] != b"PAR1":
            raise InputError(f"{place} is no whole parquet file. Fetch it again.")
        (footer,) = struct.unpack("<I", tail[:4])
        if footer > min(MAX_FOOTER, size):
            raise InputError(f"{place}: a footer of {footer:,} bytes, at most {MAX_FOOTER:,} are read. Fetch it again.")
        try:
            source = pyarrow.PythonFile(stream, mode="r") if is_url(place) else pyarrow.OSFile(os.fsencode(place))
            yield pyarrow.parquet.ParquetFile(
                source, buffer_size=1 << 20, pre_buffer=False,
                page_checksum_verification=checksums, read_dictionary=list(texts),
                thrift_string_size_limit=MAX_FOOTER, thrift_container_size_limit=1_000_000,
            )  # fmt: skip
        except AraCLIPError:
            raise
        except Exception as error:  # any exception, because pyarrow raises nearly anything for a damaged file
            if isinstance(error.__context__, SourceError):
                raise error.__context__ from None
            raise InputError(f"{place} is damaged ({first_line(error):.200}). {remedy}") from None


AHEAD_BYTES = 150_000_000  # limit: bytes of pictures from tars and parquet files that wait in memory to be decoded
MAX_NAME = 1000  # limit: characters that are kept of a name inside a file
MAX_CAPTIONS = 16  # limit: captions of a picture in a tar; usually one or two, but names may be repeated without end

OnRefused = Callable[[str, str], None]  # called with the path of what is left out, and the reason


@dataclass
class WaitingPicture:
    """A picture that waits to be decoded.

    Attributes:
        source: the file on this machine, or the bytes (`PictureBytes`); None if the file must be fetched by its URL.
        caption: the caption beside the picture.
        has_file: True if `file.path` is a picture file that a gallery on the same machine can open.
        reservation: the memory that is reserved for the picture's bytes, if any; `release` gives it back.
    """

    file: File
    source: Source | None
    caption: str = ""
    has_file: bool = False
    reservation: ExitStack = field(default_factory=ExitStack)

    def fetch(self) -> Source:
        """Return the picture's source (`File` or `PictureBytes`); read the bytes now if the file is on another machine.

        Raises:
            SourceError: the picture cannot be read now.
            UnreadableImage: the file is gone.
            ImageTooLarge: the file is too large.
        """
        if self.source is not None:
            return self.source
        data = read_bytes(self.file.path, MAX_MEMBER + 1)
        if data is None:
            raise UnreadableImage(f"{self.file.path}: no such file. It may have been moved; check the path.")
        if len(data) > MAX_MEMBER:
            limit = f"the limit is {MAX_MEMBER / 1e6:.0f} MB"
            raise ImageTooLarge(f"{self.file.path}: more than that; {limit}. Save a smaller copy.")
        return PictureBytes(File(self.file.path, len(data), 0), data)

    def release(self) -> None:
        """Drop the picture's bytes, and give back the memory that was reserved for them."""
        self.source = None
        self.reservation.close()


def pictures_of(parts: Sequence[Part], on_refused: OnRefused) -> Iterator[WaitingPicture]:
    """Yield the pictures in these parts (pictures, tars, row groups) of a source, in order and not decoded yet.

    `on_refused` is called if a picture in a tar or parquet file, or the rest of such a file, cannot be read. It is also
    called if only the caption of a picture cannot be read; then the picture is still yielded.
    """
    budget = ByteBudget(AHEAD_BYTES)
    for part in parts:
        if part.kind == TAR:
            yield from _read_tar(part, on_refused, budget)
        elif part.kind == PARQUET:
            yield from _read_group(part, on_refused, budget)
        elif is_url(part.place):
            yield WaitingPicture(File(part.place, part.size, 0), None)
        else:
            file = File(part.place, part.size, part.mtime_ns)
            yield WaitingPicture(file, file, has_file=True)


def _read_tar(part: Part, on_refused: OnRefused, budget: ByteBudget) -> Iterator[WaitingPicture]:
    """Yield the pictures of a tar. Texts with a picture's name and another suffix are its captions (WebDataset)."""
    sample: list[WaitingPicture] = []
    captions: list[str] = []
    key = ""

    def take_sample() -> Iterator[WaitingPicture]:
        for each in sample:
            each.caption = join_captions(captions)
            yield each
        sample.clear()

    try:
        with open_stream(part.place) as stream:
            for member in member_files(stream, part.place, part.size or 1 << 62):
                mine, suffix = split_sample_name(member.name)
                if not mine:
                    continue
                if mine != key:
                    yield from take_sample()
                    captions.clear()
                    key = mine
                path = path_inside(part.place, member.name)
                if f".{suffix.lower().rpartition('.')[2]}" in SUFFIXES:
                    # Yield the previous picture first, so that the caller frees its memory before this picture is read.
                    yield from take_sample()
                    reservation = _reserve(budget, member.size)
                    data = member.read()
                    source = PictureBytes(File(path, len(data), 0), data)
                    sample.append(WaitingPicture(source.file, source, reservation=reservation))
                elif suffix.lower() in ("txt", "json", "caption") and len(captions) < MAX_CAPTIONS:
                    captions.append(_read_caption(member.read(SIDECAR_BYTES + 1), path, on_refused))
                elif not is_video(member.name) and (kind := unread_kind(member.name)):  # an unread format, such as SVG
                    on_refused(path, unread_line({kind: 1}))
            yield from take_sample()
    except InputError as error:  # the tar is damaged: keep the pictures before the damage, the rest is lost
        yield from take_sample()
        on_refused(part.place, str(error))


def _read_caption(data: bytes, path: str, on_refused: OnRefused) -> str:
    try:
        return sidecar_caption(data, path)
    except AraCLIPError as error:
        on_refused(path, f"no caption was read ({str(error).removeprefix(f'{path}: ')})")
        return ""


def _read_group(part: Part, on_refused: OnRefused, budget: ByteBudget) -> Iterator[WaitingPicture]:
    try:
        for number, (name, data, caption, why) in enumerate(read_row_group(part.place, part.group), part.start):
            suffix = PurePosixPath(name).name
            path = path_inside(part.place, f"{number:08}{'-' if suffix else ''}{suffix}")
            if data is None:
                on_refused(path, why)
                continue
            reservation = _reserve(budget, len(data))
            source = PictureBytes(File(path, len(data), 0), data)
            yield WaitingPicture(source.file, source, caption, reservation=reservation)
    except InputError as error:
        on_refused(part.place, str(error))


def _reserve(budget: ByteBudget, size: int) -> ExitStack:
    """Wait until `size` bytes of the budget are free, and take them; closing the returned stack gives them back."""
    stack = ExitStack()
    stack.enter_context(budget.hold(size))
    return stack


def path_inside(place: str, name: str) -> str:
    """Return the path of a picture inside a tar or parquet file; ".", ".." and empty parts of its name are dropped."""
    safe = [piece for piece in name.replace("\0", "").replace("\\", "/").split("/") if piece not in ("", ".", "..")]
    return f"{place}/{'/'.join(safe)[:MAX_NAME] or 'unnamed'}"


ZST = ".tar.zst"
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ZST)
LISTS = (".txt", ".lst")
MAX_LIST = 2_000_000_000  # limit: bytes of a list: some ten million paths
# the keys under which fsspec's libraries tell the version of a file in an object store
_VERSIONS = ("ETag", "etag", "blob_id", "md5Hash", "xet_hash")


@dataclass(frozen=True)
class BulkSource:
    """A source of pictures: its name, its parts in order, a fingerprint of the parts, and notes on files left out."""

    name: str
    parts: tuple[Part, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()


def list_source(source: str | os.PathLike[str]) -> BulkSource:
    """List the parts of a source (pictures, tars, row groups), without reading any picture.

    Args:
        source: a folder, whose pictures, tars and parquet files are listed, also in subfolders, without hidden files; a
            single such file; a pattern with `*`; or a .txt or .lst file with a path or URL on each line, where paths
            are relative to the folder of that file.

    Raises:
        InputError: the source does not exist, or holds nothing that is read, or a parquet file has no pictures.
        SourceError: the source cannot be read now.
    """
    name = absolute_place(text_path(source, "source"))
    notes: list[str] = []
    if name.lower().endswith(LISTS):
        parts, root = list(_read_list(name, notes)), ""
    else:
        parts = _list_remote(name, notes) if is_url(name) else list(_list_local(name, notes))
        root = name.partition("*")[0] if is_url(name) else name
        parts.sort(key=lambda part: (os.fsencode(part.place), part.group))
    if not parts:
        raise EmptyFolder(
            f"{name} holds no picture, no tar and no parquet file. Name the folder that does, one such file, or a .txt "
            "list of them."
        )
    return BulkSource(name, tuple(parts), fingerprint_of(parts, root), tuple(notes))


def _list_local(name: str, notes: list[str]) -> Iterator[Part]:
    if "*" in name and not os.path.lexists(name):
        system, pattern = filesystem_of(name)
        with source_errors(name):
            yield from _make_parts(((str(path), 0, "") for path, _ in _find_remote_files(system, pattern)), notes)
        return
    if not os.path.exists(name):  # noqa: PTH110  (names that are not UTF-8 stay text)
        raise InputError(f"{name}: no such file or folder. Check the path.")
    if not os.path.isdir(name):  # noqa: PTH112
        yield from _make_parts([(name, 0, "")], notes)
        return
    walk = Walk()
    for file in walk.pictures(name):
        if is_video(file.path):
            notes.append(f"{file.path}: a video, not read in bulk. `araclip index` reads it.")
        else:
            yield Part(PICTURE, file.path, file.size, mtime_ns=file.mtime_ns)
    if walk.unreadable:  # raise an error: a shard made without these files would look finished
        path, why = next(iter(walk.unreadable.items()))
        raise SourceError(f"{path} cannot be read ({why}). Make it readable, or leave it out of the source.")
    notes += walk.special.values()
    notes += [f"{count:,} {kind} files are not read." for kind, count in walk.unread.items()]
    yield from _make_parts(_find_archives(name), notes)


def _find_archives(root: str) -> Iterator[tuple[str, int, str]]:
    seen = set[tuple[int, int]]()
    for folder, below, names in os.walk(root, followlinks=True):  # follow links, but enter each folder once
        status = os.stat(folder)  # noqa: PTH116  (names that are not UTF-8 stay text)
        below[:] = sorted(name for name in below if not name.startswith("."))
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in names:
            if not name.startswith(".") and name.lower().endswith((*TARS, ".parquet")):
                path = os.path.join(folder, name)  # noqa: PTH118
                yield path, os.stat(path).st_size, ""  # noqa: PTH116


def _list_remote(name: str, notes: list[str]) -> list[Part]:
    system, path = filesystem_of(name)
    with source_errors(name):
        found = [
            (
                system.unstrip_protocol(each),
                int(about.get("size") or 0),
                str(next((about[key] for key in _VERSIONS if about.get(key)), "")).strip('"'),
            )
            for each, about in _find_remote_files(system, path)
            if not any(part.startswith(".") for part in PurePosixPath(each.removeprefix(path)).parts)
        ]
    return list(_make_parts(found, notes))


def _find_remote_files(system: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """List the files that match a pattern or are below a folder, or the file itself, each with its store's metadata."""
    found = system.glob(path, detail=True) if "*" in path else system.find(path, detail=True)
    return [(each, about) for each, about in found.items() if about.get("type", "file") == "file"]


def _read_list(name: str, notes: list[str]) -> Iterator[Part]:
    data = read_bytes(name, MAX_LIST + 1)
    if data is None:
        raise InputError(f"{name}: no such list. Check the path.")
    if len(data) > MAX_LIST:
        raise InputError(f"{name}: a list of more than {MAX_LIST / 1e9:.0f} GB. Cut it, and embed each part by itself.")
    folder_of_list = name.rpartition("/")[0] if is_url(name) else os.path.dirname(name)  # noqa: PTH120
    files = []
    for number, line in enumerate(os.fsdecode(data.removeprefix(b"\xef\xbb\xbf")).splitlines(), 1):
        if not (text := line.strip()):
            continue
        relative = not is_url(text) and not os.path.isabs(text)  # noqa: PTH117
        try:
            files.append((absolute_place(f"{folder_of_list}/{text}" if relative else text), 0, ""))
        except InputError as error:
            raise InputError(f"{name}, line {number}: {error}") from None
    yield from _make_parts(files, notes, listed=True)


def _make_parts(files: Iterable[tuple[str, int, str]], notes: list[str], *, listed: bool = False) -> Iterator[Part]:
    """Yield the parts of files: pictures, tars and row groups of parquet files. The suffix tells what a file is.

    Args:
        files: path or URL, size in bytes and version (see `Part`) of each file.
        notes: gets a line about the files that were left out because they are of no such kind.
        listed: True for files from a list; then files with an unknown suffix count as pictures.
    """
    others = shards = 0
    for place, listed_size, version in files:
        lower, size, changed = place.lower(), listed_size, 0
        if not is_url(place):
            with suppress(OSError):  # no error if the file is missing: reading its picture later reports it
                about = os.stat(place)  # noqa: PTH116  (names that are not UTF-8 stay text)
                size, changed = about.st_size, about.st_mtime_ns
        # Raise an error instead of leaving this file out: a shard made without it would look finished.
        if lower.endswith(ZST) and sys.version_info < (3, 14):
            raise InputError(
                f"{place}: Python unpacks {ZST} from 3.14 on. Pack it as .tar, or leave it out of the source."
            )
        if lower.endswith(TARS):
            yield Part(TAR, place, size, version)
        elif SHARD_NAME.fullmatch(os.path.basename(place)):  # noqa: PTH119  (a run's output may lie in its source)
            shards += 1
        elif lower.endswith(".parquet"):
            with parquet_file(place) as file:
                picture_column(file.schema_arrow, place)  # raises InputError if no column holds pictures
                groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
                sizes = [(group.num_rows, group.total_byte_size) for group in groups]
            start = 0
            for group, (rows, bytes_) in enumerate(sizes):
                yield Part(PARQUET, place, bytes_, version, group, rows, start)
                start += rows
        elif PurePosixPath(lower).suffix in SUFFIXES or (listed and not is_video(place)):
            yield Part(PICTURE, place, size, version, mtime_ns=changed)
        else:
            others += 1
    if shards:
        notes.append(f"left out: {counted(shards, 'shard')} of `araclip embed`. `araclip index --from` reads them.")
    if others:
        notes.append(f"left out: {counted(others, 'file')} of other kinds than pictures, tars and parquet files.")
