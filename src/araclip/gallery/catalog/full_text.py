"""Full-text search: the texts of pictures, and two FTS5 tables of their words.

Texts are the names of a picture's files and folders, its metadata, the captions in and beside its file, and the letters
that OCR has read. `words` has their stems, `parts` their folded words by trigrams. Both are derived: triggers note in
`unworded` whose texts have changed, and the transaction that changed them indexes these pictures before its commit.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from araclip.display import shown
from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.photos import HIDDEN
from araclip.gallery.catalog.records import STORED_PREFIX, read_metadata
from araclip.text.description import describes
from araclip.text.normalization import normalize
from araclip.text.words import WORDS_VERSION, Forms, Word, forms, has_humps, words
from araclip.video.scene_paths import file_of

if TYPE_CHECKING:
    from araclip.gallery.catalog.catalog import Catalog

FIELDS = ("names", "metadata", "captions", "ocr")
FOLDERS = 3  # the nearest above a file: those above hold everything, and tell nothing
BACKLOG = 4096  # pictures that a commit indexes beyond its own: those of a gallery that was migrated or salvaged
PART = 3  # letters of a trigram: shorter parts of words are not looked for
SCANNED = 20_000  # stems of one beginning; a gallery of 100,000 captioned pictures has fewer in all
EXAMPLES = 6  # pictures in which a word's spelling is looked up
LETTERS = 2_000  # of each text that is read for that
MAX_NEWEST = 5_000  # pictures whose texts a gallery's own words come from
_AT_ONCE = 500  # pictures in a statement
_VERSION = "words_version"  # in `meta`
_LAST = "\U0010ffff"

Ids = NDArray[np.int64]
Document = dict[str, list[str]]  # texts by field, each once


# ------------------------------------------------------------------ the texts of a picture


def document(paths: Sequence[tuple[str, Mapping[str, object], str, str, str]]) -> Document:
    """The texts of one picture, from its paths: (path, metadata, side-car caption, embedded caption, OCR text)."""
    found: Document = {field: [] for field in FIELDS}
    for path, about, sidecar, embedded, seen in paths:
        if not path.startswith(STORED_PREFIX):
            found["names"] += names_of(path)
        found["metadata"] += metadata_texts(about)
        found["captions"] += filter(None, (embedded, sidecar))
        found["ocr"] += filter(None, (seen,))
    return {field: list(dict.fromkeys(filter(None, texts))) if texts else [] for field, texts in found.items()}


def names_of(path: str) -> list[str]:
    """The name of a file without its suffix, and the names of the folders just above it."""
    folder, name = os.path.split(file_of(path))
    dot = name.rfind(".")
    return [shown(name[:dot] if 0 < dot < len(name) - 1 else name), *_folder_names(folder)]


@lru_cache(maxsize=1024)
def _folder_names(folder: str) -> tuple[str, ...]:
    path = PurePath(folder)
    return tuple(shown(each.name) for each in (path, *path.parents) if each.name)[:FOLDERS]


def metadata_texts(about: Mapping[str, object]) -> list[str]:
    """The texts among the values of metadata, numbers included."""
    found: list[str] = []
    for value in about.values():
        members: Iterable[object] = value if isinstance(value, list | tuple) else (value,)
        found += [str(each) for each in members if isinstance(each, str | int | float) and not isinstance(each, bool)]
    return found


def _documents(database: Connection, ids: Sequence[int]) -> Iterator[tuple[int, Document]]:
    """The texts of at most _AT_ONCE pictures, of those that have a path."""
    rows = database.execute(
        "SELECT files.content, files.path, metadata, ifnull(sidecars.text, ''), ifnull(caption, ''), ifnull(ocr, '') "
        "FROM files LEFT JOIN sidecars ON sidecars.path = files.path LEFT JOIN texts ON texts.content = files.content "
        f"WHERE files.content IN ({_marks(ids)}) ORDER BY files.content, files.path",
        ids,
    )
    by_content: dict[int, list[tuple[str, dict[str, object], str, str, str]]] = {}
    for content, path, metadata, sidecar, caption, ocr in rows:
        by_content.setdefault(content, []).append((os.fsdecode(path), read_metadata(metadata), sidecar, caption, ocr))
    for content, parts in by_content.items():
        yield content, document(parts)


# ------------------------------------------------------------------ indexing


def index_changed(database: Connection, most: int = BACKLOG) -> int:
    """Index the pictures in `unworded`, `most` of them, inside a transaction; returns how many there were."""
    _check_version(database)
    done = 0
    while done < most:
        ids = [row[0] for row in database.execute(f"SELECT content FROM unworded ORDER BY content LIMIT {_AT_ONCE}")]
        if not ids:
            break
        _index(database, ids)
        done += len(ids)
    return done


def is_behind(database: Connection) -> bool:
    """Whether pictures wait for their words to be indexed, or were indexed by an earlier release."""
    waiting = database.execute("SELECT 1 FROM unworded LIMIT 1")
    return bool(waiting) or _version(database) not in ("", WORDS_VERSION)


def _check_version(database: Connection) -> None:
    """Note all pictures if their words were made by an earlier release."""
    stored = _version(database)
    if stored == WORDS_VERSION:
        return
    if stored:
        database.execute("INSERT OR IGNORE INTO unworded SELECT DISTINCT content FROM files")
    database.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_VERSION, WORDS_VERSION))


def _version(database: Connection) -> str:
    rows = database.execute("SELECT value FROM meta WHERE key = ?", (_VERSION,))
    return rows[0][0] if rows else ""


def _index(database: Connection, ids: Sequence[int]) -> None:
    marks = _marks(ids)
    for table in ("words", "parts"):
        database.execute(f"DELETE FROM {table} WHERE rowid IN ({marks})", ids)
    database.execute(f"DELETE FROM unworded WHERE content IN ({marks})", ids)
    rows = [(content, *forms_of(about)) for content, about in _documents(database, ids)]
    rows = [row for row in rows if any(row[1])]
    put = "INSERT INTO words (rowid, names, metadata, captions, ocr) VALUES (?, ?, ?, ?, ?)"
    database.change_each(put, [(content, *stems) for content, stems, _ in rows])
    database.change_each("INSERT INTO parts (rowid, folded) VALUES (?, ?)", [(row[0], row[2]) for row in rows])


def forms_of(about: Document) -> tuple[list[str], str]:
    """The stems of a picture's texts, field by field, and the folded words of all, each once."""
    stems, folded = [], dict[str, None]()
    for field in FIELDS:
        of_field = []
        for text in about.get(field, ()):
            stem, words = _name_forms(text) if field == "names" else _text_forms(text)
            if stem:
                of_field.append(stem)
                folded |= words
        stems.append(" ".join(of_field))
    return stems, " ".join(folded)


def _text_forms(text: str) -> tuple[str, dict[str, None]]:
    """The stems of a text, and its folded words, each once."""
    return _joined(read := forms(text), read)


@lru_cache(maxsize=4096)
def _name_forms(name: str) -> tuple[str, dict[str, None]]:
    """As `_text_forms`, with CamelCase as two words among the stems; pictures share the names of their folders."""
    read = forms(name)
    return _joined(forms(name, names=True) if has_humps(name) else read, read)


def _joined(stems: Forms, folded: Forms) -> tuple[str, dict[str, None]]:
    return " ".join([stem for _, stem in stems]), dict.fromkeys([word for word, _ in folded])


# ------------------------------------------------------------------ searching


class WordIndex:
    """The words of a gallery's texts, through one connection."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog

    def with_stem(self, stem: str, most: int) -> Ids:
        """Ids of pictures with a word of this stem in any text, ascending; `most` of them plus one where more."""
        return self._ids("SELECT rowid FROM words WHERE words MATCH ? LIMIT ?", (_quoted(stem), most + 1))

    def with_part(self, folded: str, most: int) -> Ids:
        """Ids of pictures with a word that contains these folded letters, as `with_stem`; none below PART letters."""
        if len(folded) < PART or " " in folded:
            return np.empty(0, np.int64)
        trigrams = " ".join(dict.fromkeys(_quoted(folded[i : i + PART]) for i in range(len(folded) - PART + 1)))
        return self._ids(
            "SELECT rowid FROM parts WHERE parts MATCH ? AND instr(folded, ?) > 0 LIMIT ?", (trigrams, folded, most + 1)
        )

    def described(self, ids: Sequence[int], *, in_arabic: bool) -> set[int]:
        """Those of some pictures whose captions and metadata describe them in that script."""
        sql = f"SELECT rowid, metadata || ' ' || captions FROM words WHERE rowid IN ({_marks(ids)})"
        rows = self._catalog.rows(sql, ids)
        return {content for content, texts in rows if texts and describes(texts, in_arabic=in_arabic)}

    def documents(self, ids: Sequence[int]) -> dict[int, Document]:
        """The texts of pictures by field; of those without a path, none."""
        found: dict[int, Document] = {}
        for start in range(0, len(ids), _AT_ONCE):
            with self._catalog.own_errors():
                found |= dict(_documents(self._catalog.connection, ids[start : start + _AT_ONCE]))
        return found

    def newest_texts(self) -> list[str]:
        """Names, metadata, captions and OCR texts of the MAX_NEWEST pictures that were added last."""
        rows = self._catalog.rows("SELECT id FROM contents ORDER BY id DESC LIMIT ?", (MAX_NEWEST,))
        documents = self.documents([content for (content,) in rows])
        return [text for document in documents.values() for texts in document.values() for text in texts]

    # The words that stand in a gallery's texts by their beginning: what a person who types may mean. FTS5's own table
    # of terms is read, so nothing is stored beside the index. It holds stems; how a word is written is looked up in the
    # texts of a few pictures that have it.

    def stems(self, beginnings: Iterable[str], most: int) -> list[tuple[str, int]]:
        """Stems that begin with one of these letters, and in how many pictures each stands: the most frequent."""
        self._catalog.rows("CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary USING fts5vocab(main, words, row)")
        found: dict[str, int] = {}
        for beginning in dict.fromkeys(beginnings):
            rows = self._catalog.rows(
                "SELECT term, doc FROM temp.vocabulary WHERE term >= ? AND term < ? LIMIT ?",
                (beginning, beginning + _LAST, SCANNED),
            )
            found.update(rows)
        return sorted(found.items(), key=lambda each: (-each[1], each[0]))[:most]

    def spellings(self, stems: Sequence[str], before: Callable[[Word], int | None]) -> dict[str, str]:
        """How the words of these stems are most often written, in a few of the pictures that have them.

        Args:
            before: how many of a word's letters to leave out at its beginning; None: this word does not count.
        """
        examples = {stem: self._first(_quoted(stem), EXAMPLES) for stem in stems}
        documents = self.documents(sorted(set(chain(*examples.values()))))
        written: dict[str, Counter[str]] = {stem: Counter() for stem in stems}
        for document in documents.values():
            for field, texts in document.items():
                for text in (text[:LETTERS] for text in texts):
                    for word in words(text, names=field == "names"):
                        if word.stem in written and (left_out := before(word)) is not None:
                            written[word.stem][normalize(text[word.start : word.end])[left_out:]] += 1
        return {stem: _best(spelled) for stem, spelled in written.items() if spelled}

    def names(self, beginning: str, most: int) -> list[str]:
        """Names of files, without their suffix, in which or in whose folders a word's stem begins so."""
        ids = self._first(f"names : {_quoted(beginning)} *", most)
        return [names[0] for each in self.documents(ids).values() if (names := each.get("names"))]

    def _first(self, asked: str, most: int) -> list[int]:
        """Ids of some pictures, none of them hidden, whose words match."""
        rows = self._catalog.rows(
            f"SELECT rowid FROM words WHERE words MATCH ? AND rowid NOT IN ({HIDDEN}) LIMIT ?", (asked, most)
        )
        return [content for (content,) in rows]

    def _ids(self, sql: str, values: tuple[str | int, ...]) -> Ids:
        ((text,),) = self._catalog.rows(f"SELECT group_concat(rowid) FROM ({sql})", values)  # quicker than rows
        return np.sort(np.fromstring(text or "", np.int64, sep=","))


def _best(spelled: Counter[str]) -> str:
    """The most frequent spelling; of equals the one with more hamzas and dots, which are left out more than added."""
    return max(spelled, key=lambda form: (spelled[form], sum(letter in "أإآؤئةى" for letter in form)))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
