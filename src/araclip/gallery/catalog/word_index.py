"""Searching the words of a gallery's texts, and completing them while they are typed."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.full_text import Document, documents_of
from araclip.gallery.catalog.photos import HIDDEN
from araclip.models.vectors import Ids
from araclip.text.normalization import normalize
from araclip.text.script import describes
from araclip.text.words import Word, words

PART = 3  # letters of a trigram: shorter parts of words are not looked for
SCANNED = 20_000  # stems of one beginning; a gallery of 100,000 captioned pictures has fewer in all
EXAMPLES = 6  # pictures in which a word's spelling is looked up
LETTERS = 2_000  # of each text that is read for that
MAX_NEWEST = 5_000  # pictures whose texts a gallery's own words come from
_LAST = "\U0010ffff"


class WordIndex:
    """The words of a gallery's texts, through one connection."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def with_stems(self, stems: Sequence[str], most: int) -> list[Ids]:
        """For each stem, the ids of pictures with a word of it in any text, ascending; `most` plus one where more."""
        sql = "SELECT rowid FROM words WHERE words MATCH ? LIMIT ?"
        return self._ids(sql, [(_quoted(stem), most + 1) for stem in stems])

    def with_parts(self, folded: Sequence[str], most: int) -> list[Ids]:
        """For each folded text, the ids of pictures with a word that contains it, as `with_stems`; none below PART
        letters."""
        long = [text for text in folded if len(text) >= PART and " " not in text]
        sql = "SELECT rowid FROM parts WHERE parts MATCH ? AND instr(folded, ?) > 0 LIMIT ?"
        found = dict(zip(long, self._ids(sql, [(_trigrams(text), text, most + 1) for text in long]), strict=True))
        return [found.get(text, np.empty(0, np.int64)) for text in folded]

    def described(self, ids: Sequence[int], *, in_arabic: bool) -> set[int]:
        """Those of some pictures whose captions and metadata describe them in that script."""
        sql = "SELECT rowid, metadata || ' ' || captions FROM words WHERE rowid IN ({marks})"
        rows = self._catalog.rows_in(sql, ids)
        return {content for content, texts in rows if texts and describes(texts, in_arabic=in_arabic)}

    def documents(self, ids: Sequence[int]) -> dict[int, Document]:
        """The texts of pictures by field; of those without a path, none."""
        with self._catalog.own_errors():
            return dict(documents_of(self._catalog.connection, ids))

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

    def _ids(self, sql: str, values: Sequence[tuple[str | int, ...]]) -> list[Ids]:
        """What a query of ids finds for each of some values, in one statement; texts are quicker than rows."""
        if not values:
            return []
        each = " UNION ALL ".join([f"SELECT group_concat(rowid) FROM ({sql})"] * len(values))
        rows = self._catalog.rows(each, [value for some in values for value in some])
        return [np.sort(np.fromstring(text or "", np.int64, sep=",")) for (text,) in rows]


def _best(spelled: Counter[str]) -> str:
    """The most frequent spelling; of equals the one with more hamzas and dots, which are left out more than added."""
    return max(spelled, key=lambda form: (spelled[form], sum(letter in "أإآؤئةى" for letter in form)))


def _trigrams(text: str) -> str:
    return " ".join(dict.fromkeys(_quoted(text[i : i + PART]) for i in range(len(text) - PART + 1)))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
