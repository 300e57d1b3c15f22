"""Searching a snapshot for an interpreted query: the same for galleries in Python and for the server."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import PictureRecord
from araclip.gallery.catalog.store import Store
from araclip.gallery.catalog.word_index import WordIndex
from araclip.gallery.queries.exclusion import excluded_terms
from araclip.gallery.queries.interpretation import (
    FILTERS,
    DerivedFilter,
    Interpretation,
    InterpretedQuery,
    Part,
    interpret,
    literally,
)  # fmt: skip
from araclip.gallery.queries.query import Query, combine, text_query
from araclip.gallery.queries.text_matches import TextQuery
from araclip.gallery.ranking import Page
from araclip.gallery.reader import Snapshot
from araclip.gallery.results import Hit
from araclip.text.interpretation import Interpreter, Reading
from araclip.text.latin import Change
from araclip.text.normalization import normalize
from araclip.text.script import is_arabic, words
from araclip.text.words import Word, asked_words


class Hits(list[Hit]):
    """The hits of a search, best first, and how its query was understood; None for a picture."""

    def __init__(self, hits: Iterable[Hit], interpretation: Interpretation | None = None) -> None:
        super().__init__(hits)
        self.interpretation = interpretation


@dataclass(frozen=True)
class Asked:
    """A query that is to be read, the same in Python and over HTTP. Whoever asks encodes what is read: at once, or in
    batches with the texts of others.

    `folders` gives the names of the gallery's folders, with True where the query says "folder". `literal`: all words
    are taken as they are typed; `ignore`: some parts of them.
    """

    query: Query
    interpreter: Interpreter
    folders: Callable[[bool], Collection[str]]
    literal: bool
    ignore: Collection[Part] = ()

    def read(self) -> InterpretedQuery:
        """How the query is understood: a millisecond, the first time a tenth of a second for the tables of words."""
        return literally(self.query) if self.literal else self._interpreted(self.ignore)

    def read_again(
        self, snapshot: Snapshot, read: InterpretedQuery, terms: NDArray[np.float32], filters: Filters
    ) -> InterpretedQuery | None:
        """The query with its dates and folders as words, where no picture passes these beside the caller's filters;
        else None. `terms`: the vectors of what was read first (n + m, D).
        """
        if not read.has_filters:
            return None
        if snapshot.search(terms[0], Page(1, 0, read.filtered(filters)), relevance=False):
            return None
        return self._interpreted({*self.ignore, *FILTERS}, read.interpretation.filters)

    def _interpreted(self, ignore: Collection[Part], unapplied: Sequence[DerivedFilter] = ()) -> InterpretedQuery:
        return interpret(
            self.query, self.interpreter, today=date.today(), folders=self.folders, ignore=ignore, unapplied=unapplied
        )


def term_vectors(
    read: InterpretedQuery, texts: Iterable[NDArray[np.float32]], picture: Callable[[str], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The vectors of the query's terms and kinds, (n + m, D), from those of its texts; `picture` finds one by name."""
    rest = iter(texts)
    rows = [
        read.term_vector(number, rest) if term.kind == "text" else picture(term.value)
        for number, term in enumerate(read.query.terms)
    ]
    return np.stack([*rows, *rest])


def understood_page(snapshot: Snapshot, read: InterpretedQuery, terms: NDArray[np.float32], page: Page) -> Page:
    """The page with the filters of the query's words, their number, and what they exclude, by the terms'
    vectors (n + m, D).

    A query that is only a date or only excludes is ordered by date; in a gallery of too few pictures to say which are
    left out, by how far they are from what it excludes.
    """
    excluded = excluded_terms(read.query, terms)
    dated = read.has_filters if excluded is None else snapshot.scale is not None
    return replace(
        page,
        filters=read.filtered(page.filters),
        by_date=read.only_filters and dated,
        words=read.query.words,
        excluded=excluded,
    )


def search_understood(
    snapshot: Snapshot, read: InterpretedQuery, terms: NDArray[np.float32], page: Page, text_weight: float
) -> list[Hit]:
    """One page of hits for an interpreted query and the vectors of its terms and kinds (n + m, D)."""
    vector, words = combine(read.own(terms), read.query), words_to_find(read, text_weight)
    asked = understood_page(snapshot, read, terms, page)
    return snapshot.search(vector, asked, relevance=has_relevance(read), text=words)


def records_understood(
    snapshot: Snapshot,
    read: InterpretedQuery,
    terms: NDArray[np.float32],
    page: Page,
    text_weight: float,
    *,
    exclude: int | None,
) -> list[tuple[PictureRecord, Hit]]:
    """As `search_understood`, each hit with its picture."""
    vector, words = combine(read.own(terms), read.query), words_to_find(read, text_weight)
    asked = understood_page(snapshot, read, terms, page)
    return snapshot.search_records(vector, asked, relevance=has_relevance(read), exclude=exclude, text=words)


def has_relevance(read: InterpretedQuery) -> bool:
    """Whether hits get a relevance: the query shows something, in words alone."""
    return read.query.of_texts and not read.only_filters


def words_to_find(read: InterpretedQuery, weight: float) -> TextQuery | None:
    """What to look for in texts: the words as typed, without what only asks for pictures; Arabizi as most likely meant,
    too."""
    if read.only_filters:
        return None
    terms = [
        replace(term, value=_to_find(term.value, readings[0])) if readings else term
        for term, readings in zip(read.query.terms, read.readings, strict=True)
    ]
    found = text_query(Query(tuple(terms)), weight)
    changes = [change for readings in read.readings for reading in readings[:1] for change in reading.changes]
    return found and replace(found, typed=tuple(filter(None, map(_as_typed, changes))))


def _as_typed(change: Change) -> tuple[str, Word] | None:
    """The stem of a word that one Latin word was read as, and that word; None of other changes."""
    typed, meant = asked_words(change.source), asked_words(change.target)
    latin = change.kind == "arabizi" and len(typed) == len(meant) == 1
    return (meant[0].stem, typed[0]) if latin else None


def _to_find(typed: str, reading: Reading) -> str:
    if reading.changes and _is_latin(typed):
        return reading.text
    left_out = {change.source for change in reading.changes if not change.target}  # «صور» of «عايز صور قطط»
    kept = [word for word in typed.split() if normalize(word) not in left_out]
    return " ".join(kept) if left_out and kept else typed


class Suggestions:
    """«هل تقصد»: corrected queries, from the words of captions and those of one gallery's texts."""

    def __init__(self) -> None:
        self._reader: tuple[Interpreter, str, Interpreter] | None = None  # of an interpreter and a generation

    def added(
        self, read: InterpretedQuery, hits: Sequence[Hit], interpreter: Interpreter, store: Store
    ) -> Interpretation:
        """The interpretation, with a corrected query where little was found and a word is unknown."""
        found = read.interpretation
        if found.literal or read.only_filters or (hits and not hits[0].weak):
            return found
        # What was read otherwise than typed is shown already, so the likeliest readings are corrected.
        typed = {
            place: readings[0].text
            for place, (term, readings) in enumerate(zip(read.query.terms, read.readings, strict=True))
            if readings and term.weight > 0 and not term.quoted
        }
        if all(map(interpreter.knows_all, typed.values())):
            return found
        reader = self._of(interpreter, store)
        corrected = {place: new for place, text in typed.items() if (new := reader.suggestion(text))}
        return replace(found, suggestion=_with_words(read, typed | corrected)) if corrected else found

    def _of(self, interpreter: Interpreter, store: Store) -> Interpreter:
        """The interpreter with the gallery's own words; made again when either has changed."""
        if not isinstance(store, Catalog):
            return interpreter
        made, generation = self._reader, store.generation
        if made is None or made[0] is not interpreter or made[1] != generation:
            made = self._reader = interpreter, generation, interpreter.extended(WordIndex(store).newest_texts())
        return made[2]


def _with_words(read: InterpretedQuery, texts: Mapping[int, str]) -> str:
    """The query with other texts for some of its terms, and with the words that became filters, as one types it."""
    filters = [each.words for each in read.interpretation.filters if each.applied]
    terms = [replace(term, value=texts.get(place, term.value)) for place, term in enumerate(read.query.terms)]
    first = min(texts)
    terms[first] = replace(terms[first], value=" ".join([terms[first].value, *filters]))
    return str(Query(tuple(terms)))


def _is_latin(text: str) -> bool:
    return not any(is_arabic(match.group()) for match in words(normalize(text)))
