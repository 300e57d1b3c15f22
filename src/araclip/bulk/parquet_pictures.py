"""Pictures in the rows of parquet files, as data sets of the Hugging Face hub have them; sizes are checked first.

A picture is a column of bytes, or of structs {bytes, path}. The footer is bounded before it is parsed, a row group by
what it unpacks to before it is opened, and rows are read one by one.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from araclip.bulk.places import MISSING, is_url, opened
from araclip.errors import AraCLIPError, InputError, SourceError, first_line
from araclip.pictures.captions import joined

MAX_FOOTER = 64_000_000  # bytes; one of 10,000 row groups has about 20 MB
MAX_GROUP = 4_000_000_000  # bytes that a row group unpacks to; data sets of pictures have some hundred MB
MAX_PICTURE = 200_000_000  # bytes
ROWS = 1  # read at once: in a dictionary, which unpacks once, many rows may name the same hundreds of megabytes
PICTURES = ("image", "picture", "img", "photo", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes", "content")
CAPTIONS = ("caption", "text", "title", "description", "alt_text", "caption_ar", "txt")
Row = tuple[str, bytes | None, str, str]  # name, bytes, caption, and why there are no bytes


def groups_of(place: str) -> list[tuple[int, int, int]]:
    """Rows, bytes and first row of each row group of a file.

    Raises:
        InputError: it is no parquet file with a column of pictures.
        SourceError: it cannot be read now.
    """
    with parquet_file(place) as file:
        picture_column(file.schema_arrow, place)
        groups, start = [], 0
        for number in range(file.num_row_groups):
            about = file.metadata.row_group(number)
            groups.append((about.num_rows, about.total_byte_size, start))
            start += about.num_rows
        return groups


def rows_of(place: str, group: int) -> Iterator[Row]:
    """The rows of one row group.

    Raises:
        InputError: it is damaged, or unpacks to more than MAX_GROUP.
        SourceError: it cannot be read now.
    """
    with parquet_file(place) as file:
        size = file.metadata.row_group(group).total_byte_size
        if not 0 <= size <= MAX_GROUP:
            raise InputError(
                f"{place}: row group {group} unpacks to {size:,} bytes, at most {MAX_GROUP:,} are read. Write it with "
                "smaller row groups."
            )
        column, captions = picture_column(file.schema_arrow, place), _captions(file.schema_arrow)
        with _damage(place):
            for batch in file.iter_batches(ROWS, row_groups=[group], columns=[column, *captions], use_threads=False):
                for row in batch.to_pylist():
                    yield _row(row, column, captions)


def _row(row: dict[str, Any], column: str, captions: list[str]) -> Row:
    cell = row[column]
    about: dict[str, Any] = cell if isinstance(cell, dict) else {"bytes": cell}
    found, name = about.get("bytes"), str(about.get("path") or "")
    data: bytes | None = found if isinstance(found, bytes) and found else None
    caption = joined(str(row[each]) for each in captions if row[each])
    if data is None:
        return name, None, caption, "the row has no bytes of a picture"
    if len(data) > MAX_PICTURE:
        return name, None, caption, f"{len(data):,} bytes, the limit is {MAX_PICTURE:,}"
    return name, data, caption, ""


def picture_column(schema: Any, place: str) -> str:
    """The name of the column with pictures.

    Raises:
        InputError: there is none, or it cannot be told which of several.
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


def _captions(schema: Any) -> list[str]:
    import pyarrow

    return [each.name for each in schema if each.name.lower() in CAPTIONS and pyarrow.types.is_string(each.type)]


@contextmanager
def parquet_file(place: str, *, checksums: bool = False, texts: Sequence[str] = ()) -> Iterator[Any]:
    """A parquet file, open, whose footer was bounded before it was parsed.

    Args:
        checksums: compare those of its pages, which not every writer writes rightly.
        texts: columns to read as dictionaries, each text once, however many rows have it.

    Raises:
        InputError: pyarrow is missing, or it is no whole parquet file.
        SourceError: it cannot be read now.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise InputError(MISSING) from None
    with opened(place) as stream:
        _check_footer(stream, place)
        with _damage(place):
            source = pyarrow.PythonFile(stream, mode="r") if is_url(place) else pyarrow.OSFile(os.fsencode(place))
            file = pyarrow.parquet.ParquetFile(
                source, buffer_size=1 << 20, pre_buffer=False,
                page_checksum_verification=checksums, read_dictionary=list(texts),
                thrift_string_size_limit=MAX_FOOTER, thrift_container_size_limit=1_000_000,
            )  # fmt: skip
        yield file


def _check_footer(stream: IO[bytes], place: str) -> None:
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 8))
    tail = stream.read(8)
    stream.seek(0)
    if len(tail) < 8 or tail[4:] != b"PAR1":
        raise InputError(f"{place} is no whole parquet file. Fetch it again.")
    (footer,) = struct.unpack("<I", tail[:4])
    if footer > min(MAX_FOOTER, size):
        raise InputError(f"{place}: a footer of {footer:,} bytes, at most {MAX_FOOTER:,} are read. Fetch it again.")


@contextmanager
def _damage(place: str) -> Iterator[None]:
    try:
        yield
    except (AraCLIPError, GeneratorExit):
        raise
    except Exception as error:  # a damaged file makes pyarrow raise nearly anything
        if isinstance(error.__context__, SourceError):
            raise error.__context__ from None
        raise InputError(f"{place} cannot be read ({first_line(error):.200}). Fetch it again.") from None
