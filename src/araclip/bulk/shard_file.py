"""Read and write a shard as a parquet file: a row for each picture; the file's metadata says what it was made from.

| column | type | meaning |
|---|---|---|
| id | string | the picture's id, as in the HTTP interface: half of its SHA-256 in hex |
| path | string | path or URL; for a picture inside a tar or parquet file, that file's path and the name inside |
| vector | fixed-size list of float16 | the vector, of unit length |
| sha256, phash | 32 bytes, uint64 | hash of the file's bytes; perceptual hash |
| size, mtime_ns | int64 | the file's size in bytes and time of change |
| has_file | bool | true if the picture is a file by itself, false if it is inside a tar or parquet file |
| format, width, height | string, int32, int32 | format, and size of the upright picture |
| captured_at, camera, lens, latitude, longitude, place | | as in the catalogue; null if not known |
| caption | string | captions in the picture and beside it |
"""

import base64
import bisect
import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from araclip.bulk.places import MISSING
from araclip.bulk.plan import Plan
from araclip.bulk.sources import parquet_file
from araclip.core import bounded_json
from araclip.errors import InputError
from araclip.gallery.catalog.records import STORED_PREFIX, EmbeddedPicture, RecordedModel, identity_of
from araclip.pictures.video.scenes import file_of
from araclip.text.normalization import SURROGATES

_BYTES_PREFIX = "bytes:"
FORMAT = 1  # version of the file format; raise it when columns change their meaning
KEY = b"araclip"
ROW_GROUP = 16_384  # pictures in a row group
MAX_HEADER = 100_000  # limit: bytes of the header
FACTS = ("captured_at", "camera", "lens", "latitude", "longitude", "place")
TEXTS = ("path", "format", "captured_at", "camera", "lens", "place", "caption")
MAX_PATH = 4096  # limit: characters of a picture's path
MAX_TEXT = 16_384  # limit: bytes of one text: captions have at most 4,000 letters, paths 4,096
MAX_TEXTS = 600_000_000  # limit: bytes of all texts in a row group; 16,384 longest captions take 270 MB, paths 70 MB
OTHER_BYTES = 300  # most bytes in a row besides texts and vector
REMEDY = "Delete it and embed again."


@dataclass(frozen=True, kw_only=True)
class ShardRow(EmbeddedPicture):
    """A row of a shard: one picture. `has_file`: False if the picture lies inside a tar or parquet file."""

    has_file: bool


@dataclass(frozen=True)
class ShardHeader:
    """The header of a shard: which source, model and number of shards it was made for, and how many rows it has."""

    source: str
    fingerprint: str
    model: RecordedModel
    shard: int
    shards: int
    refused: int
    rows: int
    row_groups: tuple[int, ...]  # the number of rows of each row group


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


class _NotAShard(InputError):
    """The header of a file does not describe a shard."""


class ShardWriter:
    """Writes a shard to a new file, a row group at a time; `close` completes it."""

    def __init__(self, path: Path, plan: Plan, shard: int) -> None:
        from pyarrow import OSFile, parquet

        self._path, self._schema = path, schema_of(plan.model.width)
        self._file = OSFile(os.fsencode(path), mode="w")  # bytes, because pyarrow refuses a path that is not UTF-8
        self._writer = parquet.ParquetWriter(
            self._file, self._schema, write_page_checksum=True, store_schema=True,
            compression={  # column → its compression; parquet lists the column `vector` as `vector.list.element`
                "vector.list.element" if name == "vector" else name: "none" if name == "vector" else "zstd"
                for name in self._schema.names
            },
            use_dictionary=["format", "captured_at", "camera", "lens", "place", "caption"],
        )  # fmt: skip
        self._plan, self._shard, self._waiting, self.rows = plan, shard, list[ShardRow](), 0

    def write(self, rows: Sequence[ShardRow]) -> None:
        """Add rows; they are written when a row group is full."""
        # update the file's time, because another run's `atomic.remove_abandoned` deletes old temporary files
        os.utime(self._path)
        self._waiting += rows
        self.rows += len(rows)
        if len(self._waiting) >= ROW_GROUP:
            self._flush()

    def close(self, refused: int) -> None:
        """Write the remaining rows and the header, and close the file; `refused` counts the refused pictures."""
        if self._waiting:
            self._flush()
        about = {"format": FORMAT, **asdict(self._plan), "shard": self._shard, "refused": refused, "rows": self.rows}
        self._writer.add_key_value_metadata({KEY.decode(): json.dumps(about)})
        self.abandon()

    def abandon(self) -> None:
        """Close the file without adding the header; a file without header is no valid shard."""
        self._writer.close()
        self._file.close()

    def _flush(self) -> None:
        import pyarrow as pa

        rows, schema = self._waiting, self._schema
        flat = pa.array(np.stack([row.vector for row in rows]).astype(np.float16).reshape(-1), pa.float16())
        columns: dict[str, Any] = {
            "id": [identity_of(row.digest) for row in rows],
            "path": [stored_path(row.file.path) for row in rows],
            "vector": pa.FixedSizeListArray.from_arrays(flat, type=schema.field("vector").type),
            "sha256": [row.digest for row in rows],
            "phash": [row.phash for row in rows],
            "size": [row.file.size for row in rows],
            "mtime_ns": [row.file.mtime_ns for row in rows],
            "has_file": [row.has_file for row in rows],
        }
        for name in ("format", "width", "height", "caption", *FACTS):
            columns[name] = [getattr(row.facts, name) for row in rows]
        arrays = [
            columns[each.name] if each.name == "vector" else pa.array(columns[each.name], each.type) for each in schema
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        self._waiting = []


def read_header(place: str) -> ShardHeader:
    """Read the header of a shard; raise InputError if the file is damaged or no shard."""
    with parquet_file(place, checksums=True, remedy=REMEDY) as file:
        return _parse_header(file, place)


def read_rows(place: str, start: int, rows: int, columns: Sequence[str]) -> tuple[ShardHeader, Any]:
    """Return the header of a shard, and some of its rows as a pyarrow RecordBatch with these columns.

    Row groups that hold none of the rows are not read.

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
        # `touched`: the row groups with wanted rows; `before`: how many rows of the first such group precede the wanted
        # rows
        ends = list(itertools.accumulate(header.row_groups))
        first, last = bisect.bisect_right(ends, start), bisect.bisect_left(ends, start + rows)
        touched, before = list(range(first, last + 1)), start - (ends[first] - header.row_groups[first])
        for group in map(file.metadata.row_group, touched):
            most = MAX_TEXTS + group.num_rows * (2 * header.model.width + OTHER_BYTES)
            if not 0 <= group.total_byte_size <= most:
                raise InputError(
                    f"{place}: a row group unpacks to {group.total_byte_size:,} bytes, at most {most:,} are read. "
                    "Embed the source again."
                )
        found, left = list[Any](), rows
        for batch in file.iter_batches(rows, row_groups=touched, columns=list(columns), use_threads=False):
            skipped, before = min(before, len(batch)), max(0, before - len(batch))
            found.append(_unpack_texts(batch.slice(skipped, left), place))
            left -= len(found[-1])
            if not left:
                break
        if left:
            raise InputError(f"{place} has fewer rows than it says. {REMEDY}")
        return header, pa.concat_batches(found) if len(found) > 1 else found[0]


def _unpack_texts(batch: Any, place: str) -> Any:
    """Return the batch with each text written out in its row; raise InputError if a text is too long.

    The texts are dictionary-encoded. Their lengths are checked first, because a few texts, each used in many rows, can
    unpack to gigabytes.
    """
    import pyarrow as pa
    from pyarrow import compute

    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name not in TEXTS:
            columns.append(column)
            continue
        longest = compute.max(compute.binary_length(column.dictionary)).as_py() or 0
        if longest > MAX_TEXT:
            raise InputError(
                f"{place}: a text of {longest:,} bytes in the column {name}, at most {MAX_TEXT:,} are read. Embed the "
                "source again."
            )
        columns.append(column.dictionary_decode())
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _parse_header(file: Any, place: str) -> ShardHeader:
    raw = (file.metadata.metadata or {}).get(KEY, b"")
    try:
        about = bounded_json.parse(
            raw, "what it says about itself", max_bytes=MAX_HEADER, kind=dict, error=_NotAShard, lone_surrogates=True
        )  # allows lone surrogates, because the header names the source, whose path need not be UTF-8
        if (form := _read_field(about, "format", int)) != FORMAT:
            raise InputError(f"{place} has the form {form}, this release reads {FORMAT}. Upgrade araclip.")
        made_by = _read_field(about, "model", dict)
        name, fingerprint, origin, source = (
            _read_field(made_by, name, str) for name in ("name", "fingerprint", "origin", "source")
        )
        model = RecordedModel(name, fingerprint, _read_field(made_by, "width", int), origin, source)
        shard, shards, refused, rows = (
            _read_field(about, name, int) for name in ("shard", "shards", "refused", "rows")
        )
        row_groups = tuple(file.metadata.row_group(each).num_rows for each in range(file.num_row_groups))
        found = ShardHeader(
            _read_field(about, "source", str), _read_field(about, "fingerprint", str), model, shard, shards, refused,
            rows, row_groups,
        )  # fmt: skip
        counted = min(row_groups, default=0) >= 0 and found.rows == file.metadata.num_rows == sum(row_groups)
        if not 0 < model.width <= 65_536 or not counted:
            raise _NotAShard("its numbers contradict each other")
        return found
    except _NotAShard as error:
        raise InputError(f"{place} is no shard of `araclip embed` ({error}). Name the folder that it wrote.") from None


def _read_field(about: dict[str, Any], name: str, kind: type) -> Any:
    """Return a field of a header; raise _NotAShard if it is missing, of another type, or not valid Unicode."""
    value = about.get(name)
    # The exact type is compared, because isinstance would accept True as a number.
    if type(value) is not kind or (name != "source" and SURROGATES.search(str(value))):
        raise _NotAShard(f"its {name} is {value!r:.40}")
    return value


def can_be_stored(path: str) -> bool:
    """True if a gallery can hold a picture under this path.

    The path must not be too long. It must not look like the path of a video's scene, nor begin with `picture:`, as the
    paths of pictures without a file do.
    """
    return (
        bool(path)
        and len(path) <= MAX_PATH
        and "\0" not in path
        and file_of(path) == path
        and not path.startswith(STORED_PREFIX)
    )


def stored_path(path: str) -> str:
    """Write a path as valid Unicode: a path that is not UTF-8 becomes `bytes:` and base64.

    There is no ambiguity, because other paths are absolute, URLs, or begin with `picture:`.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return _BYTES_PREFIX + base64.b64encode(os.fsencode(path)).decode()
    return path


def read_path(text: str) -> str:
    """Return the original path, given the text that `stored_path` made of it."""
    return os.fsdecode(base64.b64decode(text[len(_BYTES_PREFIX) :])) if text.startswith(_BYTES_PREFIX) else text
