"""Pictures that were embedded elsewhere → tables, a thousand a statement."""

import json
import os
from typing import Any

from araclip.gallery.catalog.embedded_pictures import EmbeddedPictures
from araclip.gallery.catalog.matching import name_at, name_tokens
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.values import now, sent, signed, storable
from araclip.gallery.remote.rows import marks_of

AT_ONCE = 1000  # pictures; a statement of about 4 MB at 384 numbers each
_CONTENTS = """INSERT INTO contents (hash, added, format, width, height, phash, caption, photo)
    SELECT decode(hash, 'hex'), ?, format, width, height, phash, caption, photo FROM json_to_recordset(?)
    AS new (hash text, format text, width int, height int, phash bigint, caption text, photo text)
    ON CONFLICT (hash) DO NOTHING RETURNING id"""
_VECTORS = """INSERT INTO {table} SELECT id, vector::halfvec FROM json_to_recordset(?) AS new (hash text, vector text)
    JOIN contents ON contents.hash = decode(new.hash, 'hex') ON CONFLICT (content) DO NOTHING"""
_FILES = """INSERT INTO files (path, content, size, mtime_ns, metadata, marks, name_words)
    SELECT decode(path, 'hex'), id, size, mtime_ns, metadata, marks, name_words FROM json_to_recordset(?)
    AS new (path text, hash text, size bigint, mtime_ns bigint, metadata text, marks text[], name_words text[])
    JOIN contents ON contents.hash = decode(new.hash, 'hex') RETURNING content"""
_TAKEN = (
    """SELECT (value->>1)::int FROM json_array_elements(?) AS value JOIN files ON path = decode(value->>0, 'hex')"""
)


def put(database: Database, vectors: str, group: EmbeddedPictures, rows: range) -> tuple[int, list[int]]:
    """Store some rows of a group inside a transaction, and their vectors in a table; a known path stays as it is.

    Returns:
        How many pictures were new, and the pictures that have a new path.
    """
    paths = {group.paths[row]: row for row in reversed(rows)}  # of a path that comes twice, the first row
    asked = json.dumps([[os.fsencode(path).hex(), row] for path, row in paths.items()])
    taken = {int(row) for (row,) in database.rows(_TAKEN, (asked,))}
    new = [row for row in sorted(paths.values()) if row not in taken]
    pictures = json.dumps(list({group.digests[row]: _picture(group, row) for row in reversed(new)}.values()))
    added = database.rows(_CONTENTS, (now(), pictures))
    database.rows(_VECTORS.format(table=vectors), (pictures,))
    files = database.rows(_FILES, (json.dumps([_file(group, row) for row in new]),))
    return len(added), [content for (content,) in files]


def _picture(group: EmbeddedPictures, row: int) -> dict[str, Any]:
    facts = group.facts(row)
    return {
        "hash": group.digests[row].hex(),
        "format": facts.format,
        "width": facts.width,
        "height": facts.height,
        "phash": signed(group.phashes[row]),
        "caption": storable(facts.caption),
        "photo": facts.photo.to_json(),
        "vector": sent(group.vectors[row]),
    }


def _file(group: EmbeddedPictures, row: int) -> dict[str, Any]:
    file, about = group.file(row), dict(group.metadata[row])
    return {
        "path": os.fsencode(file.path).hex(),
        "hash": group.digests[row].hex(),
        "size": file.size,
        "mtime_ns": file.mtime_ns,
        "metadata": json.dumps(about),
        "marks": [storable(mark) for mark in marks_of(about)],
        "name_words": [storable(word) for word in name_tokens(name_at(file.path, about))],
    }
