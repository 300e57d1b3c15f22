"""Which pictures' texts hold a word, by the FTS5 tables; and the texts themselves, for display."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.full_text.documents import Document
from araclip.gallery.catalog.full_text.indexing import AT_ONCE, documents_of
from araclip.gallery.catalog.photo.tables import HIDDEN
from araclip.text.description import describes

Ids = NDArray[np.int64]
PART = 3  # letters of a trigram: shorter parts of words are not looked for


class WordIndex:
    """The words of a gallery's texts, through one connection."""

    def __init__(self, catalog: Catalog) -> None:
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
        marks = ", ".join("?" * len(ids))
        rows = self._catalog.rows(f"SELECT rowid, metadata || ' ' || captions FROM words WHERE rowid IN ({marks})", ids)
        return {content for content, texts in rows if texts and describes(texts, in_arabic=in_arabic)}

    def first_with_stem(self, stem: str, most: int) -> list[int]:
        """Ids of some pictures, none of them hidden, with a word of this stem in any text."""
        return self._first(_quoted(stem), most)

    def first_with_name(self, beginning: str, most: int) -> list[int]:
        """Ids of some pictures, none hidden, of which a stem in the name of the file or of a folder begins so."""
        return self._first(f"names : {_quoted(beginning)} *", most)

    def documents(self, ids: Sequence[int]) -> dict[int, Document]:
        """The texts of pictures by field; of those without a path, none."""
        found: dict[int, Document] = {}
        for start in range(0, len(ids), AT_ONCE):
            with self._catalog.own_errors():
                found |= dict(documents_of(self._catalog.connection, list(ids[start : start + AT_ONCE])))
        return found

    def _first(self, asked: str, most: int) -> list[int]:
        rows = self._catalog.rows(
            f"SELECT rowid FROM words WHERE words MATCH ? AND rowid NOT IN ({HIDDEN}) LIMIT ?", (asked, most)
        )
        return [content for (content,) in rows]

    def _ids(self, sql: str, values: tuple[str | int, ...]) -> Ids:
        ((text,),) = self._catalog.rows(f"SELECT group_concat(rowid) FROM ({sql})", values)  # quicker than rows
        return np.sort(np.fromstring(text or "", np.int64, sep=","))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
