"""The mark on hidden pictures, which follows an edited file and waits for a file that is away. SQL of both stores.

An editor may take a file away and write it anew some seconds later, and a folder that is indexed before the one that a
picture was moved to finds it gone. `hidden_gone` therefore keeps path and hash of each hidden picture that was removed:
the same picture is hidden again whenever it comes back, and another one at the same path for some days.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from araclip.gallery.catalog.counting import Rows
from araclip.pictures.video.scenes import MARK, belongs, scene_of

TABLE = (
    "CREATE TABLE IF NOT EXISTS hidden_gone (path {bytes} PRIMARY KEY, hash {bytes} NOT NULL, gone_at text NOT NULL)"
)
# For so long a new picture at the path of a hidden one is hidden too. Later, a camera may have used the name again.
SUCCESSOR_WITHIN = timedelta(days=7)


def note_gone(database: Rows, hidden: str, raw: bytes) -> None:
    """Before a path is removed: if its picture is hidden, remember the path and the picture.

    Args:
        hidden: SQL that selects the ids of all hidden pictures.
    """
    database.rows(
        "INSERT INTO hidden_gone (path, hash, gone_at) SELECT path, hash, ? FROM files JOIN contents ON id = content "
        f"WHERE path = ? AND content IN ({hidden}) "
        "ON CONFLICT (path) DO UPDATE SET hash = excluded.hash, gone_at = excluded.gone_at",
        (_text(datetime.now(UTC)), raw),
    )


def inherits(database: Rows, hidden: str, raw: bytes, content: int) -> bool:
    """Whether a picture must be hidden that a path is about to get: if the path held another hidden picture, now or
    shortly before, or if the same picture was hidden when it was removed. For a scene, all scenes of its video count.
    """
    scene = scene_of(os.fsdecode(raw))
    first, last = (raw, raw) if scene is None else (os.fsencode(scene.video + end) for end in (MARK, f"{MARK}:"))
    before = database.rows(
        f"SELECT path FROM files WHERE path BETWEEN ? AND ? AND content <> ? AND content IN ({hidden}) "
        "UNION ALL SELECT path FROM hidden_gone WHERE path BETWEEN ? AND ? AND gone_at > ?",
        (first, last, content, first, last, _text(datetime.now(UTC) - SUCCESSOR_WITHIN)),
    )
    if any(scene is None or belongs(os.fsdecode(path), scene.video) for (path,) in before):
        return True
    same = "SELECT 1 FROM hidden_gone WHERE hash = (SELECT hash FROM contents WHERE id = ?)"
    return bool(database.rows(same, (content,)))


def came_back(database: Rows, raw: bytes, content: int) -> None:
    """A path holds a picture again: forget the mark that waited for this path, and those for the same picture."""
    same = "hash = (SELECT hash FROM contents WHERE id = ?)"
    database.rows(f"DELETE FROM hidden_gone WHERE path = ? OR {same}", (raw, content))


def shown(database: Rows, contents: Sequence[int]) -> None:
    """Forget the marks of removed pictures that are the same as these."""
    for content in contents:
        database.rows("DELETE FROM hidden_gone WHERE hash = (SELECT hash FROM contents WHERE id = ?)", (content,))


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")
