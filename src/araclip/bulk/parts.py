"""What a source consists of: pictures, tars, row groups of parquet files, in a fixed order, cut into shards. Pure."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

PICTURE, TAR, PARQUET = "picture", "tar", "parquet"
PER_PICTURE = 50_000  # bytes that opening a picture is worth: decoding and encoding cost more than reading
SHARD_NAME = re.compile(r"([0-9a-f]{12})-([0-9a-f]{4,64})-(\d{5})-of-(\d{5})\.parquet")  # of a shard's file
SHARD_WEIGHT = 1_000_000_000  # of a shard where no number is asked for: about 7,000 pictures of 100 kB, minutes of work


@dataclass(frozen=True)
class Part:
    """A piece of a source that one shard reads whole.

    Attributes:
        kind: PICTURE, TAR or PARQUET. place: path or URL of its file. size: bytes; 0 where it is not known.
        version: what an object store says of the content (ETag, hash); empty on a disk.
        group: of a parquet file, the number of the row group. rows: how many rows it has. start: rows before it.
        mtime_ns: of a picture on this machine.
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
        """About the work that it makes, in bytes."""
        return self.size + PER_PICTURE * max(1, self.rows)


def fingerprint_of(parts: Sequence[Part], root: str) -> str:
    """Twelve hex digits that change with the names below `root`, the sizes and the versions of what a source holds."""
    digest = hashlib.sha256(b"araclip source 1\n")
    for part in parts:
        name = part.place.removeprefix(root)
        line = (part.kind, name, str(part.size), part.version, str(part.group), str(part.rows))
        digest.update("\0".join(line).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()[:12]


def default_shards(parts: Sequence[Part]) -> int:
    """How many shards a source is cut into; it depends on nothing but the source."""
    wanted = math.ceil(sum(part.weight for part in parts) / SHARD_WEIGHT)
    return max(1, min(wanted, len(parts)))


def of_shard(parts: Sequence[Part], shard: int, shards: int) -> list[Part]:
    """The parts of one shard of `shards`: neighbours, about the same weight in each; each part is in exactly one."""
    total, before, chosen = sum(part.weight for part in parts), 0, []
    for part in parts:
        middle = 2 * before + part.weight  # twice the middle: whole numbers, the same on every machine
        if min(shards - 1, middle * shards // (2 * total)) == shard:
            chosen.append(part)
        before += part.weight
    return chosen
