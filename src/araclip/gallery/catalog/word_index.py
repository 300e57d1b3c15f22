"""Search the words of a gallery's texts, and complete words while they are typed."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.photos import HIDDEN
from araclip.models.vectors import Ids
from araclip.text.normalization import normalize
from araclip.text.script import describes
from araclip.text.words import Word, words

PART = 3  # letters in a trigram; parts of words with fewer letters are not found
SCANNED = 20_000  # limit: stems that are read to complete one word; 100,000 captioned pictures have fewer stems in all
EXAMPLES = 6  # limit: pictures in whose texts the usual spelling of a word is looked up
LETTERS = 2_000  # a word's usual spelling is looked for in only the first LETTERS letters of each text
MAX_NEWEST = 5_000  # the gallery's own words are collected from the texts of this many newest pictures
_LAST = "\U0010ffff"


class WordIndex:
    """Looks up the words of a gallery's texts, through one catalogue connection."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def with_stems(self, stems: Sequence[str], most: int) -> list[Ids]:
        """For each stem, return the ids of pictures with a word of this stem in any text, ascending.

        At most `most` + 1 ids are returned for a stem: `most` + 1 ids tell the caller that there are more than `most`.
        """
        sql = "SELECT rowid FROM words WHERE words MATCH ? LIMIT ?"
        return self._fetch_ids(sql, [(_quote(stem), most + 1) for stem in stems])

    def with_parts(self, folded: Sequence[str], most: int) -> list[Ids]:
        """For each text, return the ids of pictures with a word that contains the text: at most `most` + 1 ids.

        The texts are folded: letters that people often confuse are written alike. For a text of fewer than PART
        letters, or with a space, no id is returned.
        """
        long = [text for text in folded if len(text) >= PART and " " not in text]
        sql = "SELECT rowid FROM parts WHERE parts MATCH ? AND instr(folded, ?) > 0 LIMIT ?"
        found = dict(
            zip(long, self._fetch_ids(sql, [(_trigram_query(text), text, most + 1) for text in long]), strict=True)
        )
        return [found.get(text, np.empty(0, np.int64)) for text in folded]

    def with_description(self, ids: Sequence[int], *, in_arabic: bool) -> set[int]:
        """Return which of the given pictures are described by captions or metadata, see `describes`.

        Only words in Arabic letters count or, if `in_arabic` is False, only words in other letters.
        """
        sql = "SELECT rowid, metadata || ' ' || captions FROM words WHERE rowid IN ({marks})"
        rows = self._catalog.rows_in(sql, ids)
        return {content for content, texts in rows if texts and describes(texts, in_arabic=in_arabic)}

    def newest_texts(self) -> list[str]:
        """Return the names, metadata, captions and OCR texts of the MAX_NEWEST shown pictures that were added last."""
        sql = f"SELECT id FROM contents WHERE id NOT IN ({HIDDEN}) ORDER BY id DESC LIMIT ?"
        rows = self._catalog.rows(sql, (MAX_NEWEST,))
        documents = self._catalog.documents([content for (content,) in rows])
        return [text for document in documents.values() for texts in document.values() for text in texts]

    # To complete a word that is being typed, its beginning is looked up among the stems in FTS5's own table of terms,
    # so nothing is stored beside the index. Since that table holds only stems, the usual spelling of a word is looked
    # up in the texts of a few pictures that have it.

    def stems(self, beginnings: Iterable[str], most: int) -> list[tuple[str, int]]:
        """Return (stem, its number of pictures) for the `most` commonest stems that have one of these beginnings."""
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
        """Return for each stem the most frequent spelling of its words, counted in a few pictures that have the stem.

        Args:
            before: returns how many letters to cut off the beginning of a word; None to leave out the word.
        """
        examples = {stem: self._visible_matches(_quote(stem), EXAMPLES) for stem in stems}
        documents = self._catalog.documents(sorted(set(chain(*examples.values()))))
        written: dict[str, Counter[str]] = {stem: Counter() for stem in stems}
        for document in documents.values():
            for field, texts in document.items():
                for text in (text[:LETTERS] for text in texts):
                    for word in words(text, names=field == "names"):
                        if word.stem in written and (left_out := before(word)) is not None:
                            written[word.stem][normalize(text[word.start : word.end])[left_out:]] += 1
        # of equally frequent spellings, return the one with the most hamzas and dots, which people often omit
        return {
            stem: max(spelled, key=lambda form: (spelled[form], sum(letter in "أإآؤئةى" for letter in form)))
            for stem, spelled in written.items()
            if spelled
        }

    def names(self, beginnings: Iterable[str], stems: Iterable[str], most: int) -> list[str]:
        """Find at most `most` visible pictures by their names; return the names of their first files, without suffix.

        A picture is found if a file's name, or the names of the folders just above the file, have a word whose stem is
        one of `stems` or begins with one of `beginnings`.
        """
        expressions = [*(f"{_quote(each)} *" for each in dict.fromkeys(beginnings)), *map(_quote, stems)]
        ids = self._visible_matches(f"names : ({' OR '.join(expressions)})", most)
        return [names[0] for each in self._catalog.documents(ids).values() if (names := each.get("names"))]

    def _visible_matches(self, expression: str, most: int) -> list[int]:
        """Return the ids of at most `most` pictures that match an FTS5 query and are not hidden."""
        rows = self._catalog.rows(
            f"SELECT rowid FROM words WHERE words MATCH ? AND rowid NOT IN ({HIDDEN}) LIMIT ?", (expression, most)
        )
        return [content for (content,) in rows]

    def _fetch_ids(self, sql: str, values: Sequence[tuple[str | int, ...]]) -> list[Ids]:
        """Run a query for ids with each row of values, all in one SQL statement; return the sorted ids for each row.

        SQL joins the ids to one text, because fetching a text is faster than fetching rows.
        """
        if not values:
            return []
        each = " UNION ALL ".join([f"SELECT group_concat(rowid) FROM ({sql})"] * len(values))
        rows = self._catalog.rows(each, [value for some in values for value in some])
        return [np.sort(np.fromstring(text or "", np.int64, sep=",")) for (text,) in rows]


def _trigram_query(text: str) -> str:
    return " ".join(dict.fromkeys(_quote(text[i : i + PART]) for i in range(len(text) - PART + 1)))


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
