"""Open untrusted parquet files: the size of the footer is checked before pyarrow parses it, in C++."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from araclip.errors import AraCLIPError, InputError, first_line

MISSING = "Parquet files need the package pyarrow, embedding in bulk Ray Data. Run: pip install 'araclip[ray]'"
MAX_FOOTER = 64_000_000  # limit: bytes of a parquet file's footer; a footer of 10,000 row groups has about 20 MB
TEXT_TYPES = ("string", "large_string", "string_view")  # types of text columns; programs write different ones


def store_of(place: str) -> tuple[Any, str]:
    """Return the pyarrow file system of an absolute path or a URL (s3://, gs:// …), and the path in it.

    Raises:
        InputError: pyarrow is missing, or knows no such store.
    """
    try:
        from pyarrow.fs import FileSystem, LocalFileSystem
    except ImportError:
        raise InputError(MISSING) from None
    try:
        place.encode()
        return FileSystem.from_uri(place) if "://" in place else (LocalFileSystem(), place)
    except (ValueError, OSError) as error:
        why = first_line(error)
        raise InputError(
            f"{place!r:.200} cannot be opened ({why:.100}). Name a folder, or a URL of s3:// or gs://."
        ) from None


def open_place(place: str) -> Any:
    """Open a file, a path or a URL, for reading by pyarrow; raise OSError if it cannot be opened."""
    system, path = store_of(place)
    return system.open_input_file(path)


@contextmanager
def parquet_file(
    place: str, *, checksums: bool = False, texts: Sequence[str] = (), remedy: str = "Fetch it again."
) -> Iterator[Any]:
    """Open a parquet file, a path or a URL, for the length of a `with` block.

    Whatever pyarrow raises inside the block for a damaged file becomes an InputError. Callers must not ask for the
    metadata of single columns: pyarrow 26 ends the process if these contradict the schema.

    Args:
        checksums: True to compare the pages' checksums, which some other programs write wrongly.
        texts: columns to read as dictionaries, which hold each different text once.
        remedy: what to do about a damaged file; it ends the message.
    """
    try:
        with open_place(place) as file:
            import pyarrow.parquet

            size = file.size()
            file.seek(max(0, size - 8))
            tail = file.read(8) if size > 8 else b""  # what has no size may block, such as /proc/kmsg
            if tail[4:] != b"PAR1":
                raise InputError(f"{place} is no whole parquet file. {remedy}")
            (footer,) = struct.unpack("<I", tail[:4])
            if footer > min(MAX_FOOTER, size):
                raise InputError(f"{place}: a footer of {footer:,} bytes, at most {MAX_FOOTER:,} are read. {remedy}")
            yield pyarrow.parquet.ParquetFile(
                file, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=checksums,
                read_dictionary=list(texts), thrift_string_size_limit=MAX_FOOTER,
                thrift_container_size_limit=1_000_000,
            )  # fmt: skip
    except AraCLIPError:
        raise
    except Exception as error:  # any exception, because pyarrow raises nearly anything for a damaged file
        raise InputError(f"{place} is damaged ({first_line(error):.200}). {remedy}") from None


def bounded_batches(
    file: Any, place: str, rows: int, columns: Sequence[str], most_bytes: tuple[int, int], *, texts: Sequence[str] = (),
    max_text: int = 0,
) -> Iterator[Any]:  # fmt: skip
    """Yield the rows of a parquet file as RecordBatches of at most `rows` rows; refuse what unpacks to too much.

    Args:
        most_bytes: limit: bytes of an unpacked row group, and how many more each of its rows may have.
        texts: the columns that `parquet_file` was told to read as dictionaries; they are unpacked here. The lengths
            are checked first, because a few texts, each used in many rows, can unpack to gigabytes.
        max_text: limit: bytes of one text in these columns.
    """
    import pyarrow as pa
    from pyarrow import compute

    for group in map(file.metadata.row_group, range(file.num_row_groups)):
        if not 0 <= group.total_byte_size <= (most := most_bytes[0] + most_bytes[1] * group.num_rows):
            raise InputError(
                f"{place}: a row group unpacks to {group.total_byte_size:,} bytes, at most {most:,} are read. Write "
                "the file with smaller row groups."
            )
    for batch in file.iter_batches(rows, columns=list(columns), use_threads=False):
        unpacked = list(batch.columns)
        for number, name in enumerate(batch.schema.names):
            if name in texts:
                longest = compute.max(compute.binary_length(unpacked[number].dictionary)).as_py() or 0
                if longest > max_text:
                    raise InputError(
                        f"{place}: a text of {longest:,} bytes in the column {name}, at most {max_text:,} are read. "
                        "Write the file without it."
                    )
                unpacked[number] = unpacked[number].dictionary_decode()
        yield pa.RecordBatch.from_arrays(unpacked, batch.schema.names)
