"""Keep pictures hidden when their file is edited, moved, or away for a while. The SQL works in both stores.

An editor may delete a file and write it anew some seconds later. A picture may be moved to a folder that is indexed
later than the old one, where it is then missing. So the table `hidden_gone` keeps path and hash of each hidden picture
that was removed: the same picture is hidden again whenever it comes back, and for some days also another picture that
appears at the same path.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from araclip.gallery.catalog.counting import Rows
from araclip.pictures.video.scenes import MARK, belongs, scene_of

TABLE = "CREATE TABLE hidden_gone (path {bytes} PRIMARY KEY, hash {bytes} NOT NULL, gone_at text NOT NULL)"
# For so long, a new picture at the path of a hidden picture is hidden, too. Later, it may be another photograph, to
# which the camera gave the same name.
SUCCESSOR_WITHIN = timedelta(days=7)


def note_gone(database: Rows, hidden: str, raw: bytes) -> None:
    """If the picture at a path is hidden, remember path and picture; called before the path is removed.

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
    """True if a picture that is about to be recorded at a path must be hidden.

    That is so if the path holds another hidden picture, or held it shortly before; or if the same picture was hidden
    when it was removed. For a scene, all scenes of its video count.
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
    """Forget the marks kept for a path and for a picture, because the path holds this picture again."""
    same = "hash = (SELECT hash FROM contents WHERE id = ?)"
    database.rows(f"DELETE FROM hidden_gone WHERE path = ? OR {same}", (raw, content))


def shown(database: Rows, contents: Sequence[int]) -> None:
    """Forget the marks kept for these pictures, because the user hides or shows them now."""
    for content in contents:
        database.rows("DELETE FROM hidden_gone WHERE hash = (SELECT hash FROM contents WHERE id = ?)", (content,))


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")
