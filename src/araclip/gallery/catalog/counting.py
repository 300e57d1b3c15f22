"""Count files so that a video counts once, however many scenes it has. In the table `files`, each scene has a row.

The SQL works in SQLite and in PostgreSQL.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.pictures.video.formats import FORMATS
from araclip.pictures.video.scenes import MARK, SUFFIX_BYTES, belongs, file_of, scene_of

_SCENES = f"FROM files JOIN contents ON id = content WHERE format IN ({', '.join(map(repr, FORMATS))})"
_VIDEO = f"substr(path, 1, length(path) - {SUFFIX_BYTES})"
_VIDEOS = f"(SELECT max(size) AS size {_SCENES} GROUP BY {_VIDEO}) AS videos"
LATER_SCENES = (  # selects the ids of all scenes but the first of each video
    f"SELECT content FROM (SELECT content, row_number() OVER (PARTITION BY {_VIDEO} ORDER BY path) AS place {_SCENES}) "
    "AS placed WHERE place > 1"
)


class Rows(Protocol):
    """Something that runs SQL queries: a `Catalog`, or PostgreSQL's `Database`."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """Run an SQL query and return its rows."""


def counts(catalog: Rows) -> tuple[int, int]:
    """Return the number of files, and of different pictures and scenes among them."""
    ((files, pictures),) = catalog.rows(
        f"SELECT count(*) - (SELECT count(*) {_SCENES}) + (SELECT count(*) FROM {_VIDEOS}), count(DISTINCT content) "
        "FROM files"
    )
    return files, pictures


def file_bytes(catalog: Rows) -> int:
    """Return the total size of all files in bytes."""
    ((total,),) = catalog.rows(
        f"SELECT coalesce(sum(size), 0) - (SELECT coalesce(sum(size), 0) {_SCENES}) "
        f"+ (SELECT coalesce(sum(size), 0) FROM {_VIDEOS}) FROM files"
    )
    return int(total)


def with_their_videos(catalog: Rows, contents: Iterable[int]) -> list[int]:
    """Return the given pictures; for each scene among them, add all scenes of the same video."""
    found = dict.fromkeys(contents)
    for content in list(found):
        for (raw,) in catalog.rows("SELECT path FROM files WHERE content = ?", (content,)):
            if scene := scene_of(os.fsdecode(raw)):
                start = os.fsencode(scene.video + MARK)
                rows = catalog.rows(
                    "SELECT content, path FROM files WHERE path > ? AND path < ?", (start, start + b":")
                )
                found |= {each: None for each, path in rows if belongs(os.fsdecode(path), scene.video)}
    return list(found)


def folders(catalog: Rows, hidden: str) -> dict[str, int]:
    """Count the files that lie in folders of each name; files of hidden pictures are not counted. Reads every path.

    Args:
        hidden: SQL that selects the ids of all hidden pictures.
    """
    prefix, mark, before = STORED_PREFIX.encode(), MARK.encode(), b""
    found: Counter[str] = Counter()
    for (raw,) in catalog.rows(f"SELECT path FROM files WHERE content NOT IN ({hidden}) ORDER BY path"):
        path = os.fsencode(file_of(os.fsdecode(raw))) if mark in raw else raw
        if path != before and not raw.startswith(prefix):
            found[os.fsdecode(os.path.basename(os.path.dirname(path)))] += 1  # noqa: PTH119, PTH120  (may not be UTF-8)
        before = path
    return dict(found)
