"""The words that stand in a gallery's texts, by their beginning: what a person who types may mean.

FTS5's own table of terms (`fts5vocab`) is read, so nothing is stored beside the index. It holds stems; how a word is
written is looked up in the texts of a few pictures that have it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.full_text.matching import WordIndex
from araclip.text.normalization import normalize
from araclip.text.words import Word, words

SCANNED = 20_000  # stems of one beginning; a gallery of 100,000 captioned pictures has fewer in all
EXAMPLES = 6  # pictures in which a word's spelling is looked up
LETTERS = 2_000  # of each text that is read for that
_LAST = "\U0010ffff"


class Vocabulary:
    """The stems of a gallery's texts, through one connection."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._index = WordIndex(catalog)

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
        examples = {stem: self._index.first_with_stem(stem, EXAMPLES) for stem in stems}
        documents = self._index.documents(sorted(set(chain(*examples.values()))))
        written: dict[str, Counter[str]] = {stem: Counter() for stem in stems}
        for document in documents.values():
            for field, texts in document.items():
                for text in (text[:LETTERS] for text in texts):
                    for word in words(text, names=field == "names"):
                        if word.stem in written and (left_out := before(word)) is not None:
                            written[word.stem][normalize(text[word.start : word.end])[left_out:]] += 1
        return {stem: _best(forms) for stem, forms in written.items() if forms}

    def names(self, beginning: str, most: int) -> list[str]:
        """Names of files, without their suffix, in which or in whose folders a word's stem begins so."""
        ids = self._index.first_with_name(beginning, most)
        return [names[0] for each in self._index.documents(ids).values() if (names := each.get("names"))]


def _best(forms: Counter[str]) -> str:
    """The most frequent spelling; of equals the one with more hamzas and dots, which are left out more than added."""
    return max(forms, key=lambda form: (forms[form], sum(letter in "أإآؤئةى" for letter in form)))
