"""The tables of full-text search: the texts of pictures, and two FTS5 indexes of their words.

`texts` holds what was read inside a picture, by its content: the caption embedded in its file and the letters seen in
its pixels (OCR); `sidecars` the caption in a file beside it, by path. `words` and `parts` are derived from these, from
paths and from metadata: stems, and folded words by their trigrams. Triggers note in `unworded` which pictures' texts
have changed; the transaction that changed them indexes them before its commit (`indexing`). SQL of a released step
stays.
"""

STEP = """
    CREATE TABLE texts    (content INTEGER PRIMARY KEY REFERENCES contents (id) ON DELETE CASCADE,
                           caption TEXT NOT NULL DEFAULT '', ocr TEXT, ocr_by TEXT,
                           caption_crc INTEGER, ocr_crc INTEGER) STRICT;
    CREATE TABLE sidecars (path BLOB PRIMARY KEY REFERENCES files (path) ON DELETE CASCADE,
                           size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, text TEXT NOT NULL,
                           crc INTEGER) STRICT, WITHOUT ROWID;
    CREATE TABLE unworded (content INTEGER PRIMARY KEY) STRICT;
    INSERT INTO unworded SELECT DISTINCT content FROM files;
    CREATE VIRTUAL TABLE words USING fts5(names, metadata, captions, ocr, tokenize = "unicode61 remove_diacritics 0");
    CREATE VIRTUAL TABLE parts USING fts5(folded, tokenize = 'trigram', detail = none);
"""

CRC_COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "texts": {"caption_crc": ("content", "caption"), "ocr_crc": ("content", "ocr", "ocr_by")},
    "sidecars": {"crc": ("path", "size", "mtime_ns", "text")},
}
INDEXED: dict[str, tuple[str, ...]] = {  # no trigger can follow an FTS5 table: `indexing` keeps their totals
    "words": ("rowid", "names", "metadata", "captions", "ocr"),
    "parts": ("rowid", "folded"),
}


def _noted(name: str, event: str, content: str, when: str = "TRUE") -> str:
    """A trigger that notes a picture; it asks first, for an upsert that fires it would overrule an OR IGNORE."""
    return (
        f"CREATE TRIGGER {name} AFTER {event} WHEN {when} AND {content} IS NOT NULL "
        f"AND NOT EXISTS (SELECT 1 FROM unworded WHERE content = {content}) "
        f"BEGIN INSERT INTO unworded VALUES ({content}); END;"
    )


def triggers() -> str:
    """The triggers that fill `unworded`."""
    beside = "(SELECT content FROM files WHERE path = {}.path)"
    return "\n".join((
        _noted("words_of_new_path", "INSERT ON files", "new.content"),
        _noted("words_of_gone_path", "DELETE ON files", "old.content"),
        _noted("words_of_changed_path", "UPDATE OF path, content, metadata ON files", "new.content"),
        _noted("words_of_left_path", "UPDATE OF content ON files", "old.content", "new.content <> old.content"),
        _noted("words_of_gone_content", "DELETE ON contents", "old.id"),
        _noted("words_of_new_texts", "INSERT ON texts", "new.content"),
        _noted("words_of_changed_texts", "UPDATE OF caption, ocr ON texts", "new.content"),
        _noted("words_of_new_sidecar", "INSERT ON sidecars", beside.format("new")),
        _noted("words_of_changed_sidecar", "UPDATE OF text ON sidecars", beside.format("new")),
        _noted("words_of_gone_sidecar", "DELETE ON sidecars", beside.format("old")),
    ))  # fmt: skip
