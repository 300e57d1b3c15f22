"""Shards: parquet files with a row for each picture, as docs/bulk.md describes them. Their metadata name the model; the
vectors are float16, of unit length.
"""

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from araclip.core.bounded_parquet import MISSING, bounded_batches, parquet_file, store_of
from araclip.core.paths import user_path
from araclip.errors import InputError, ShardMismatch, SourceError, first_line
from araclip.gallery.catalog.records import STORED_PREFIX, File, RecordedModel
from araclip.gallery.locations import URL, without_secret
from araclip.models.encoder_base import Encoder
from araclip.pictures.video.scenes import file_of

try:
    import pyarrow as pa
    from pyarrow.fs import FileSelector
except ImportError:
    raise InputError(MISSING) from None

FORMAT = "1"  # version of the file format, under the key `araclip` of the file's metadata
TEXTS = ("path", "format", "captured_at", "camera", "lens", "place", "caption", "reason")
MAX_PATH = 4096  # limit: characters of a picture's path
MAX_TEXT = 16_384  # limit: bytes of one text: captions have at most 4,000 letters, paths 4,096
MAX_TEXTS = 600_000_000  # limit: bytes of all texts in a row group; 16,384 longest captions take 270 MB, paths 70 MB
OTHER_BYTES = 300  # most bytes in a row besides texts and vector
REMEDY = "Delete it and embed again."
_BYTES_PREFIX = "bytes:"


def absolute_place(named: str | os.PathLike[str]) -> str:
    """Return a path made absolute, without links, or a URL without a final slash; refuse a URL with a password."""
    if not isinstance(named, str) or not URL.match(named):
        return str(user_path(named).resolve())
    user_path(named.partition("://")[2])  # refuses an empty one
    if "@" in named:
        raise InputError(f"{without_secret(named)!r:.200}: a URL with an @ could hold a password; it is not read.")
    return named.rstrip("/")


def list_files(place: str, *, recursive: bool = False) -> Iterator[File]:
    """Yield the files in a folder, or the file itself, a path or a URL; nothing if it does not exist."""
    system, path = store_of(place)
    try:
        (named,) = system.get_file_info([path])
        below = FileSelector(path, recursive=recursive, allow_not_found=True)
        for found in [named] if named.is_file else system.get_file_info(below):
            if found.is_file:
                yield File(place + found.path.removeprefix(path), found.size, found.mtime_ns or 0)
    except OSError as error:
        raise SourceError(f"{place} cannot be read ({first_line(error):.200}). Run it again later.") from None


def list_shards(place: str) -> list[str]:
    """Return the paths or URLs of the shards in a folder, the earliest run's first."""
    return sorted(file.path for file in list_files(place) if file.path.endswith(".parquet"))


def what_made(out: str | os.PathLike[str]) -> tuple[RecordedModel, int]:
    """Return the model of the shards in a folder, and how many rows they have; raise ShardMismatch for two models."""
    first, rows = None, 0
    for shard in list_shards(place := absolute_place(out)):
        with parquet_file(shard, checksums=True, remedy=REMEDY) as file:
            model, rows = _model_of(file, shard), rows + file.metadata.num_rows
        refuse_another(first := first or model, model, shard)
    if not first:
        raise InputError(f"no shards in {place}. Make them with `araclip embed SOURCE {place}`.")
    return first, rows


def schema_of(width: int | None) -> Any:
    """Return the pyarrow schema of shards with vectors of this width; None: with `pixels` in place of `vector`."""
    # Reading takes half the time if the numbers of a vector are not nullable.
    vector = pa.list_(pa.field("element", pa.float16(), nullable=False), width or 1)
    return pa.schema({
        "path": "string", **({"vector": vector} if width else {"pixels": "binary"}), "sha256": pa.binary(32),
        "phash": "uint64", "size": "int64", "mtime_ns": "int64", "has_file": "bool", "format": "string",
        "width": "int32", "height": "int32", "captured_at": "string", "camera": "string", "lens": "string",
        "place": "string", "latitude": "double", "longitude": "double", "caption": "string", "reason": "string",
        "retry": "bool",
    })  # fmt: skip


def write_options(model: RecordedModel) -> dict[str, Any]:
    """Return the arguments with which pyarrow writes rows as a shard."""
    schema = schema_of(model.width).with_metadata({"araclip": FORMAT, **model.settings()})
    # vectors cannot be compressed; parquet lists their column as `vector.list.element`
    compression = {name: "zstd" for name in schema.names if name != "vector"} | {"vector.list.element": "none"}
    once = [name for name in TEXTS if name != "path"]
    return {"schema": schema, "compression": compression, "use_dictionary": once, "write_page_checksum": True}


def read_shard(place: str, model: Encoder | RecordedModel, columns: Sequence[str], most: int) -> Iterator[Any]:
    """Yield the rows of a shard, at most `most` at a time, as pyarrow RecordBatches of some columns.

    Raises:
        InputError: the file is damaged, or is no shard of this release. ShardMismatch: it is not of this model.
    """
    with parquet_file(place, checksums=True, texts=TEXTS, remedy=REMEDY) as file:
        refuse_another(_model_of(file, place), model, place)
        # texts are dictionary-encoded: pyarrow then reads each different text only once
        each_once, fields = pa.dictionary(pa.int32(), pa.string()), schema_of(model.width)
        wanted = pa.schema([field.with_type(each_once) if field.name in TEXTS else field for field in fields])
        if not file.schema_arrow.remove_metadata().equals(wanted):
            raise InputError(f"{place} has other columns than a shard of this release. Embed the source again.")
        most_bytes = MAX_TEXTS, 2 * model.width + OTHER_BYTES
        yield from bounded_batches(file, place, most, columns, most_bytes, texts=TEXTS, max_text=MAX_TEXT)


def _model_of(file: Any, place: str) -> RecordedModel:
    found = {key.decode(): value[:1000].decode() for key, value in (file.metadata.metadata or {}).items()}
    model = RecordedModel.read(lambda key: found.get(key, ""))
    if found.get("araclip") != FORMAT or not model.fingerprint or not 0 < model.width <= 65_536:
        raise InputError(f"{place} is no shard of this release's `araclip embed`. Name the folder that it wrote.")
    return model


def refuse_another(recorded: RecordedModel, model: Encoder | RecordedModel, where: str) -> None:
    """Raise ShardMismatch if the vectors of a shard, or of all in a folder, were not made by `model`."""
    if (recorded.fingerprint, recorded.width) != (model.fingerprint, model.width):
        raise ShardMismatch(
            f"{where} holds vectors of {recorded.label}, not of {model.label}. Name that model or another folder."
        )


def can_be_stored(path: str) -> bool:
    """True if a gallery takes this path: not too long, and none of a video's scene or of a picture without a file."""
    other_kind = file_of(path) != path or path.startswith(STORED_PREFIX)
    return bool(path) and len(path) <= MAX_PATH and "\0" not in path and not other_kind


def columns_of(file: File) -> dict[str, Any]:
    """Return the columns that tell which file a row is about; a path that is not UTF-8 becomes `bytes:` and base64."""
    try:
        path = file.path.encode().decode()
    except UnicodeEncodeError:
        path = _BYTES_PREFIX + base64.b64encode(os.fsencode(file.path)).decode()
    return {"path": path, "size": file.size, "mtime_ns": file.mtime_ns}


def read_file(row: Mapping[str, Any]) -> File:
    """Return the file that a row is about."""
    path = row["path"]
    if path.startswith(_BYTES_PREFIX):
        path = os.fsdecode(base64.b64decode(path.removeprefix(_BYTES_PREFIX)))
    return File(path, row["size"], row["mtime_ns"])


def key_of(file: File) -> str:
    """Return the key by which a run knows a file again, 80 bits of a hash of its path, its size and its time."""
    return hashlib.sha256(repr(file).encode()).hexdigest()[:20]
