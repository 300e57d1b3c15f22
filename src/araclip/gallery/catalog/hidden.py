"""Hidden pictures, and how they stay hidden.

What is hidden is a picture, wherever it moves. When it loses its last path, the table `hidden_removed` keeps its hash,
and it is hidden again whenever it comes back. Another picture that takes its path is shown, unless it seems to be an
edited version: the gallery did not have it, it looks like the hidden one, and the hidden one turns up at no other new
path. It is hidden at once, and noted in `hidden_edits`; if the hidden one turns up elsewhere later, it is shown again.
"""

import os
from collections.abc import Iterable
from datetime import timedelta

from araclip.gallery.catalog.records import timestamp
from araclip.gallery.catalog.sql_store import JOINED, SqlStore
from araclip.pictures.phash import is_edited
from araclip.pictures.video.scenes import MARK, file_of, is_at_or_below, scene_of

_SAME = "hash = (SELECT hash FROM contents WHERE id = ?)"
# An edited version appears at the path of a removed hidden picture within this time after the removal: some programs
# delete a file and write it anew.
EDITED_WITHIN = timedelta(days=7)
_ID_OF = "SELECT id FROM contents WHERE hash = ?"


class HiddenPictures:
    """The hidden pictures of a store, and what the present ingestion run found about them.

    `moved` has the hashes of hidden pictures that came to a new path. `edits` has the files of new pictures that are
    hidden as edited versions of hidden ones, by their hashes.
    """

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.begin_run()

    def begin_run(self) -> None:
        """Forget what earlier ingestion runs found."""
        self.moved: set[bytes] = set()
        self.edits: dict[bytes, str] = {}

    def count(self) -> int:
        """Return how many pictures are hidden."""
        ((count,),) = self._store.rows(
            f"SELECT count(DISTINCT content) FROM files WHERE content IN ({self._store.hidden})"
        )
        return int(count)

    def set(self, contents: Iterable[int], hide: bool) -> int:
        """Hide pictures (`hide`) or show them again; return how many changed. With a scene, its whole video changes."""
        whole = dict.fromkeys(contents)
        for content in list(whole):
            for scene in filter(None, map(scene_of, self._store.known_paths(content))):
                start = os.fsencode(scene.video + MARK)
                sql = "SELECT content, path FROM files WHERE path > ? AND path < ?"
                rows = self._store.rows(sql, (start, start + b":"))
                whole |= {each: None for each, path in rows if is_at_or_below(os.fsdecode(path), scene.video)}
        for content in whole:  # the user decides anew, so forget what was found out about the picture
            for table in ("hidden_removed", "hidden_edits"):
                self._store.rows(f"DELETE FROM {table} WHERE {_SAME}", (content,))
            at = "path IN (SELECT path FROM files WHERE content = ?)"
            self._store.rows(f"UPDATE hidden_removed SET removed_at = '' WHERE {at}", (content,))
        return self._store.mark_hidden(list(whole), hide)

    def record_removal(self, raw: bytes, when: str) -> None:
        """Note in `hidden_removed` that the picture at a path, if it is hidden and has no other path, loses this path.

        `when` is the time of the removal, or "" if another picture takes the path in this transaction.
        """
        self._store.rows(
            "INSERT INTO hidden_removed (hash, path, phash, removed_at) SELECT hash, path, phash, ? FROM files JOIN "
            f"contents ON id = content WHERE path = ? AND {self._store.is_hidden} AND NOT EXISTS "
            "(SELECT 1 FROM files AS other WHERE other.content = files.content AND other.path <> files.path) "
            "ON CONFLICT (hash) DO UPDATE SET path = excluded.path, removed_at = excluded.removed_at",
            (when, raw),
        )

    def keep(self, raw: bytes, content: int, replaced: int | None, new: bool) -> None:
        """Hide the picture `content`, which is about to be recorded at the path `raw`, if it must be hidden.

        It must if it was hidden when it was removed, or is an edited version of a hidden picture. If it is hidden and
        comes to another path, it was moved: pictures that were taken for edited versions of it are shown again.

        Args:
            replaced: the picture that loses the path now, or None.
            new: True if the gallery did not have `content` before this transaction.
        """
        if replaced == content:
            return
        ((digest,),) = self._store.rows("SELECT hash FROM contents WHERE id = ?", (content,))
        if self._store.rows("DELETE FROM hidden_removed WHERE hash = ? RETURNING hash", (digest,)):
            self._store.mark_hidden([content], True)
            self._show_edits_of(digest)
        elif new and (original := self._original(raw, content)):
            self._store.mark_hidden([content], True)
            self._store.rows(
                "INSERT INTO hidden_edits VALUES (?, ?) ON CONFLICT (hash) DO UPDATE SET original = excluded.original",
                (digest, original),
            )
            self.edits[digest] = file_of(os.fsdecode(raw))
        elif self._store.rows(f"SELECT 1 WHERE ? IN ({self._store.hidden})", (content,)):
            self._show_edits_of(digest)
        if replaced is not None:
            self.record_removal(raw, "")

    def _show_edits_of(self, original: bytes) -> None:
        """Show pictures that were taken for edited versions of a hidden picture, which has come to another path now."""
        self.moved.add(original)
        for (digest,) in self._store.rows("DELETE FROM hidden_edits WHERE original = ? RETURNING hash", (original,)):
            self._store.mark_hidden([content for (content,) in self._store.rows(_ID_OF, (digest,))], False)
            self._store.rows("DELETE FROM hidden_removed WHERE hash = ?", (digest,))
            self.edits.pop(digest, None)

    def _original(self, raw: bytes, content: int) -> bytes | None:
        """Return the hash of the hidden picture of which a new picture at the path `raw` is an edited version, if any.

        That is a hidden picture which has this path now or lost it, as its last path, less than EDITED_WITHIN ago, was
        not moved in this run, and looks like the new one. For a scene, every hidden scene of its video counts, however
        it looks.
        """
        scene = scene_of(os.fsdecode(raw))
        first, last = (raw, raw) if scene is None else (os.fsencode(scene.video + end) for end in (MARK, f"{MARK}:"))
        ((bits,),) = self._store.rows("SELECT coalesce(phash, 0) FROM contents WHERE id = ?", (content,))
        for path, digest, before in self._store.rows(
            f"SELECT path, hash, phash FROM {JOINED} "
            f"WHERE path BETWEEN ? AND ? AND content <> ? AND {self._store.is_hidden} "
            "UNION ALL SELECT path, hash, phash FROM hidden_removed WHERE path BETWEEN ? AND ? AND removed_at > ?",
            (first, last, content, first, last, timestamp(before=EDITED_WITHIN)),
        ):
            if digest in self.moved or digest in self.edits:
                continue
            if is_at_or_below(os.fsdecode(path), scene.video) if scene else _may_be_edited(before, bits):
                return bytes(digest)
        return None


def _may_be_edited(before: int | None, after: int) -> bool:
    """True if a picture may be an edited version of another, by their perceptual hashes; None: not known."""
    return before is None or is_edited(before % 2**64, after % 2**64)
