"""The rows that pictures become in a catalogue's tables, with the checksums that its triggers would write. Pure."""

import json
import os
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from araclip.gallery.catalog.embedded.pictures import EmbeddedPictures
from araclip.gallery.catalog.full_text.documents import document
from araclip.gallery.catalog.full_text.indexing import forms_of
from araclip.gallery.catalog.integrity.checksums import row_crc, vector_crc
from araclip.photo_metadata.record import NOTHING_KNOWN

COLUMNS: dict[str, tuple[str, ...]] = {
    "contents": (
        "id", "hash", "vector", "format", "width", "height", "taken", "added", "phash", "vector_crc", "facts_crc",
    ),
    "files": ("path", "size", "mtime_ns", "content", "metadata", "crc", "metadata_crc"),
    "texts": ("content", "caption", "caption_crc", "ocr_crc"),
    "photos": (
        "content", "embedded", "camera", "lens", "latitude", "longitude", "place", "photo_crc", "hidden_crc",
    ),
    "words": ("rowid", "names", "metadata", "captions", "ocr"),
    "parts": ("rowid", "folded"),
}  # fmt: skip
Rows = list[tuple[Any, ...]]
_written = json.JSONEncoder(ensure_ascii=False).encode


def rows_of(pictures: EmbeddedPictures, first: int) -> dict[str, Rows]:
    """The rows of every table in COLUMNS for pictures with the ids from `first` on; those of `words` and `parts`, whose
    tables have no column for it, end with their checksum."""
    words, parts = _words(pictures, first)
    return {
        "contents": _contents(pictures, first), "files": _files(pictures, first), "texts": _texts(pictures, first),
        "photos": _photos(pictures, first), "words": words, "parts": parts,
    }  # fmt: skip


# The checksums are those of `checksums.row_crc`, whose text of numbers and lengths is written out here: calling it
# would take a third of the whole time. tests/test_bulk.py compares them with what the triggers and `verify` say.


def _contents(pictures: EmbeddedPictures, first: int) -> Rows:
    added = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    raw_added, width = added.encode(), pictures.vectors.shape[1] * 2
    vectors = pictures.vectors.astype("<f2", copy=False).tobytes()
    columns = (
        pictures.digests, pictures.formats, pictures.widths, pictures.heights, pictures.photos, pictures.phashes,
    )  # fmt: skip
    rows = []
    for row, (digest, kind, wide, high, photo, phash) in enumerate(zip(*columns, strict=True)):
        content, vector = first + row, vectors[row * width : (row + 1) * width]
        taken = photo.captured_at
        signed = phash - (1 << 64) if phash >> 63 else phash  # SQLite's integers have a sign
        raw, raw_taken = kind.encode(), taken.encode() if taken else b""
        when = f"({len(raw_taken)},)" if taken is not None else "None"
        numbers = f"[{content}, ({len(raw)},), {wide}, {high}, {when}, ({len(raw_added)},), {signed}]"
        facts_crc = crc32(numbers.encode(), crc32(raw + raw_taken + raw_added))
        rows.append(
            (
                content,
                digest,
                vector,
                kind,
                wide,
                high,
                taken,
                added,
                signed,
                vector_crc(content, digest, vector),
                facts_crc,
            )
        )
    return rows


def _files(pictures: EmbeddedPictures, first: int) -> Rows:
    columns = pictures.paths, pictures.sizes, pictures.mtimes_ns, pictures.metadata
    rows = []
    for content, (path, size, mtime, about) in enumerate(zip(*columns, strict=True), first):
        raw, metadata = os.fsencode(path), _written(dict(about)) if about else "{}"
        said = metadata.encode()
        crc = crc32(f"[({len(raw)},), {size}, {mtime}, {content}]".encode(), crc32(raw))
        metadata_crc = crc32(f"[({len(raw)},), ({len(said)},)]".encode(), crc32(raw + said))
        rows.append((raw, size, mtime, content, metadata, crc, metadata_crc))
    return rows


def _texts(pictures: EmbeddedPictures, first: int) -> Rows:
    rows = []
    for content, caption in enumerate(pictures.captions, first):
        raw = caption.encode()
        caption_crc = crc32(f"[{content}, ({len(raw)},)]".encode(), crc32(raw))
        rows.append((content, caption, caption_crc, crc32(f"[{content}, None, None]".encode())))
    return rows


def _photos(pictures: EmbeddedPictures, first: int) -> Rows:
    nothing = crc32(b"{}")
    rows: Rows = []
    for content, photo in enumerate(pictures.photos, first):
        hidden_crc = crc32(f"[{content}, 0]".encode())
        if photo is NOTHING_KNOWN:
            photo_crc = crc32(f"[{content}, (2,), None, None, None, None, None]".encode(), nothing)
            rows.append((content, "{}", None, None, None, None, None, photo_crc, hidden_crc))
        else:
            said = photo.to_json()
            names = [None if name is None else name.encode() for name in (photo.camera, photo.lens, photo.place)]
            where = photo.latitude, photo.longitude
            others: tuple[Any, ...] = (*names[:2], *where, names[2])
            photo_crc = row_crc(content, said.encode(), *others)
            rows.append((content, said, photo.camera, photo.lens, *where, photo.place, photo_crc, hidden_crc))
    return rows


def _words(pictures: EmbeddedPictures, first: int) -> tuple[Rows, Rows]:
    columns = pictures.paths, pictures.metadata, pictures.captions
    words: Rows = []
    parts: Rows = []
    for content, (path, about, caption) in enumerate(zip(*columns, strict=True), first):
        stems, folded = forms_of(document([(path, about, "", caption, "")]))
        if any(stems):
            of_fields, raw = [text.encode() for text in stems], folded.encode()
            lengths = ", ".join([f"({len(text)},)" for text in of_fields])
            crc = crc32(f"[{content}, {lengths}]".encode(), crc32(b"".join(of_fields)))
            words.append((content, *stems, crc))
            parts.append((content, folded, crc32(f"[{content}, ({len(raw)},)]".encode(), crc32(raw))))
    return words, parts
