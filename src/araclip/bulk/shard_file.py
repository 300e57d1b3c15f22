"""Shards: parquet files with a row for each picture, as docs/bulk.md describes them. Their metadata name source and
model; the vectors are float16, of unit length.
"""

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from araclip.core import atomic
from araclip.core.bounded_parquet import MISSING, bounded_batches, open_place, parquet_file
from araclip.core.paths import user_path
from araclip.errors import InputError, ShardMismatch, SourceError, first_line
from araclip.gallery.catalog.records import STORED_PREFIX, File, RecordedModel, identity_of
from araclip.gallery.locations import URL, without_secret
from araclip.models.encoder_base import Encoder
from araclip.pictures.facts import Facts
from araclip.pictures.video.scenes import file_of

_BYTES_PREFIX = "bytes:"
FORMAT = 2  # version of the file format; the headers of format 1 also number the shards, its columns are the same
KEY = b"araclip"
KEY_BYTES = 16  # a billion files have a chance of 10⁻²¹ that two have the same key
MAX_HEADER = 100_000  # limit: bytes of the header
FACTS = ("captured_at", "camera", "lens", "latitude", "longitude", "place")
TEXTS = ("path", "format", "captured_at", "camera", "lens", "place", "caption")
MAX_PATH = 4096  # limit: characters of a picture's path
MAX_TEXT = 16_384  # limit: bytes of one text: captions have at most 4,000 letters, paths 4,096
MAX_TEXTS = 600_000_000  # limit: bytes of all texts in a row group; 16,384 longest captions take 270 MB, paths 70 MB
OTHER_BYTES = 300  # most bytes in a row besides texts and vector
REMEDY = "Delete it and embed again."


def absolute_place(named: str | os.PathLike[str]) -> str:
    """Return a path made absolute, or a URL without a final slash; refuse a URL that may hold a password."""
    if not isinstance(named, str) or not URL.match(named):
        return str(user_path(named, "source").absolute())
    if "@" in named:
        raise InputError(f"{without_secret(named)!r:.200}: a URL with an @ could hold a password; it is not read.")
    return named.rstrip("/")


def store_of(place: str) -> tuple[Any, str]:
    """Return the pyarrow file system of an absolute path or a URL, and the path in it."""
    try:
        from pyarrow.fs import FileSystem
    except ImportError:
        raise InputError(MISSING) from None
    try:
        system, path = FileSystem.from_uri(place)
    except (ValueError, OSError, ImportError) as error:
        raise InputError(
            f"{place}: pyarrow cannot open it ({first_line(error):.100}). Name a folder, or a URL of s3:// or gs://."
        ) from None
    return system, path


class ShardFolder:
    """A folder for shards, on this machine (`is_local`) or in an object store."""

    def __init__(self, named: str | os.PathLike[str]) -> None:
        self.place = absolute_place(named)
        self.is_local = not URL.match(self.place)

    def path_of(self, name: str) -> str:
        """Return the path or URL of a file in the folder."""
        return f"{self.place}/{name}"

    def names(self, suffix: str) -> list[str]:
        """Return the names of the folder's files with this ending, sorted; empty if the folder does not exist."""
        if self.is_local:
            names = [each.name for each in Path(self.place).glob(f"*{suffix}")]
        else:
            from pyarrow.fs import FileSelector

            system, path = store_of(self.place)
            try:
                names = [each.base_name for each in system.get_file_info(FileSelector(path, allow_not_found=True))]
            except OSError as error:
                raise SourceError(f"{self.place} cannot be read ({first_line(error):.200}). Check the name.") from None
        return sorted(name for name in names if name.endswith(suffix) and not name.startswith("."))

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        with open_place(self.path_of(name)) as file:
            return bytes(file.read())

    def write(self, name: str, content: bytes) -> None:
        """Write a file completely or not at all."""
        if self.is_local:
            Path(self.place).mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(Path(self.place) / name, content)
            return
        system, path = store_of(self.path_of(name))
        with system.open_output_stream(path) as file:
            file.write(content)


@dataclass(frozen=True)
class ShardHeader:
    """The header of a shard: its source (of `stored_path`) and model, and how many rows the file has."""

    source: str
    model: RecordedModel
    rows: int = 0
    format: int = FORMAT

    def refuse_another(self, model: Encoder | RecordedModel, source: str, where: str) -> None:
        """Raise ShardMismatch if `source` or `model` are not those of the shard; `where` names the shard."""
        if (self.source, self.model.fingerprint) != (source, model.fingerprint):
            raise ShardMismatch(
                f"{where} holds vectors of {self.source} by {self.model.label}, and not of {source} by {model.label}. "
                "Name another folder or that model, or embed the source again."
            )


def schema_of(width: int) -> Any:
    """Return the pyarrow schema for vectors of this width; raise InputError if pyarrow is missing."""
    try:
        import pyarrow as pa
    except ImportError:
        raise InputError(MISSING) from None
    # Reading takes half the time if the numbers of a vector are not nullable.
    vector = pa.list_(pa.field("element", pa.float16(), nullable=False), width)
    texts = {name: pa.string() for name in ("captured_at", "camera", "lens", "place")}
    return pa.schema({
        "id": pa.string(), "path": pa.string(), "vector": vector, "sha256": pa.binary(32),
        "phash": pa.uint64(), "size": pa.int64(), "mtime_ns": pa.int64(), "has_file": pa.bool_(),
        "format": pa.string(), "width": pa.int32(), "height": pa.int32(), **texts, "latitude": pa.float64(),
        "longitude": pa.float64(), "caption": pa.string(),
    })  # fmt: skip


def row_of(file: File, digest: bytes, facts: Facts, phash: int, *, has_file: bool) -> dict[str, Any]:
    """Return the row of a picture, without its vector."""
    row = {"id": identity_of(digest), "path": stored_path(file.path), "sha256": digest, "phash": phash}
    row |= {"size": file.size, "mtime_ns": file.mtime_ns, "has_file": has_file}
    return row | {name: getattr(facts, name) for name in ("format", "width", "height", "caption", *FACTS)}


def write_shard(folder: ShardFolder, name: str, rows: Any, header: ShardHeader) -> None:
    """Write rows as a shard: completely or not at all.

    Args:
        rows: a pyarrow table with the columns of `schema_of`, but `data`, the bytes of float16, in place of `vector`.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema, numbers = schema_of(header.model.width), pa.py_buffer(b"".join(rows["data"].to_pylist()))
    flat = pa.Array.from_buffers(pa.float16(), len(rows) * header.model.width, [None, numbers])
    vectors = pa.FixedSizeListArray.from_arrays(flat, type=schema.field("vector").type)
    columns = [vectors if name == "vector" else rows[name] for name in schema.names]
    table = pa.table(columns, schema=schema.with_metadata({KEY: json.dumps(asdict(replace(header, rows=len(rows))))}))
    # vectors cannot be compressed; parquet lists their column as `vector.list.element`
    compression = {name: "zstd" for name in schema.names if name != "vector"} | {"vector.list.element": "none"}
    parquet.write_table(
        table, sink := pa.BufferOutputStream(), write_page_checksum=True,
        compression=compression, use_dictionary=[name for name in TEXTS if name != "path"],
    )  # fmt: skip
    folder.write(name, sink.getvalue().to_pybytes())


def read_header(place: str) -> ShardHeader:
    """Read the header of a shard; raise InputError if the file is damaged or no shard."""
    with parquet_file(place, checksums=True, remedy=REMEDY) as file:
        return _parse_header(file, place)


def read_rows(place: str, columns: Sequence[str], most: int) -> Iterator[tuple[ShardHeader, Any]]:
    """Yield the header of a shard with some of its rows, at most `most` at a time, as a pyarrow RecordBatch.

    Raises:
        InputError: the file is damaged, or is not a shard of this release.
    """
    import pyarrow as pa

    with parquet_file(place, checksums=True, texts=TEXTS, remedy=REMEDY) as file:
        header = _parse_header(file, place)
        # texts are dictionary-encoded: pyarrow then reads each different text only once
        each_once, fields = pa.dictionary(pa.int32(), pa.string()), schema_of(header.model.width)
        wanted = pa.schema([field.with_type(each_once) if field.name in TEXTS else field for field in fields])
        if not file.schema_arrow.remove_metadata().equals(wanted):
            raise InputError(f"{place} has other columns than a shard of this release. Embed the source again.")
        most_bytes = MAX_TEXTS, 2 * header.model.width + OTHER_BYTES
        for batch in bounded_batches(file, place, most, columns, most_bytes, texts=TEXTS, max_text=MAX_TEXT):
            yield header, batch


def _parse_header(file: Any, place: str) -> ShardHeader:
    groups = [file.metadata.row_group(each).num_rows for each in range(file.num_row_groups)]
    try:
        raw = (file.metadata.metadata or {}).get(KEY, b"{}")[:MAX_HEADER]
        found = TypeAdapter(ShardHeader).validate_json(raw, strict=True)  # strict: True is no number
        counted = min(groups, default=0) >= 0 and found.rows == file.metadata.num_rows == sum(groups)
        if not (counted and 0 < found.model.width <= 65_536):
            raise ValueError("its numbers contradict each other")
    except ValueError as error:  # pydantic's ValidationError is one
        why = " ".join(str(error).split())
        raise InputError(
            f"{place} is no shard of `araclip embed` ({why:.200}). Name the folder that it wrote."
        ) from None
    if found.format > FORMAT:
        raise InputError(f"{place} has the form {found.format}, this release reads {FORMAT}. Upgrade araclip.")
    return found


def can_be_stored(path: str) -> bool:
    """True if a gallery takes this path: not too long, and none of a video's scene or of a picture without a file."""
    other_kind = file_of(path) != path or path.startswith(STORED_PREFIX)
    return bool(path) and len(path) <= MAX_PATH and "\0" not in path and not other_kind


def stored_path(path: str) -> str:
    """Write a path, absolute or a URL, as valid Unicode: one that is not UTF-8 becomes `bytes:` and base64."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _BYTES_PREFIX + base64.b64encode(os.fsencode(path)).decode()
    return path


def read_path(text: str) -> str:
    """Return the original path, given the text that `stored_path` made of it."""
    return os.fsdecode(base64.b64decode(text[len(_BYTES_PREFIX) :])) if text.startswith(_BYTES_PREFIX) else text


def key_of(file: File) -> bytes:
    """Return the key by which a run knows a file again, from its path, its size and its time."""
    return hashlib.sha256(f"{stored_path(file.path)}\0{file.size}\0{file.mtime_ns}".encode()).digest()[:KEY_BYTES]
