"""What shards hold, shards that say other things, and tars."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

import pictures


def rewrite(path: Path, table: pa.Table, **about: str | bytes) -> None:
    """Write a table as a shard, with these changes of what the file says about itself."""
    parquet.write_table(
        table.replace_schema_metadata(table.schema.metadata | {key.encode(): value for key, value in about.items()}),
        path,
    )


def rows(out: Path) -> list[dict[str, Any]]:
    """The rows of all pictures, by path."""
    return sorted((row for row in every_row(out) if not row["reason"]), key=lambda row: str(row["path"]))


def every_row(out: Path) -> list[dict[str, Any]]:
    """The rows of all shards."""
    return [row for path in sorted(out.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]


def refused(out: Path) -> dict[str, str]:
    """The reasons for which pictures were refused, by the name of the picture."""
    return {Path(row["path"]).name: row["reason"] for row in every_row(out) if row["reason"]}


def png(colour: tuple[int, int, int], tmp_path: Path) -> bytes:
    return pictures.solid(tmp_path / "one.png", colour).read_bytes()


def tar_of(path: Path, members: dict[str, bytes], *more: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in (*members.items(), *more):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path
