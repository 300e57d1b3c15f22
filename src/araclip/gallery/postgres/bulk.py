"""Pictures that were embedded elsewhere → tables, a thousand a statement."""

import json
import os
from dataclasses import dataclass
from typing import Any

from araclip.gallery.catalog.embedded.pictures import EmbeddedPictures
from araclip.gallery.catalog.photo.matching import name_at, name_tokens
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
_KNOWN = """SELECT (value->>2)::int, contents.id FROM json_array_elements(?) AS value
    JOIN files ON path = decode(value->>0, 'hex') JOIN contents ON contents.hash = decode(value->>1, 'hex')"""


@dataclass(frozen=True)
class Put:
    """What `put` did: pictures that were new, those with a new path, and rows whose path holds a picture already, with
    the picture that it is to hold."""

    added: int
    contents: list[int]
    known: list[tuple[int, int]]


def put(database: Database, vectors: str, group: EmbeddedPictures, rows: range) -> Put:
    """Store some rows of a group inside a transaction, and their vectors in a table."""
    paths = {group.paths[row]: row for row in rows}
    pictures = json.dumps(list({group.digests[row]: _picture(group, row) for row in rows}.values()))
    added = database.rows(_CONTENTS, (now(), pictures))
    database.rows(_VECTORS.format(table=vectors), (pictures,))
    asked = json.dumps([[os.fsencode(path).hex(), group.digests[row].hex(), row] for path, row in paths.items()])
    known = {int(row): int(content) for row, content in database.rows(_KNOWN, (asked,))}
    new = json.dumps([_file(group, row) for row in paths.values() if row not in known])
    return Put(len(added), [content for (content,) in database.rows(_FILES, (new,))], list(known.items()))


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
