"""Plan a query: how its words are read, what it excludes, its dates and folders, which texts to encode. Pure.

`plan` turns a parsed query into a `QueryPlan` and records what it understood, so that users can see and undo each part.
Python, the command line, the server and explanations follow the same plan (`gallery.search`). Terms in quotation
marks are taken literally. docs/queries.md is the guide.

If the words of a query do nothing but exclude, a general word in it ("without people") also stands for particular
things (man, woman, child …), which are called kinds.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any, Literal, get_args

import numpy as np

from araclip.errors import InputError
from araclip.gallery.catalog.filters import Filters, fields_of
from araclip.gallery.query import MAX_TERMS, Query, Term, excluding_terms, unit_sum
from araclip.gallery.ranking import SORTS, Page
from araclip.gallery.results import FilterPart, QueryInterpretation, ReadFilter, ReadText
from araclip.gallery.text_matches import TextQuery
from araclip.models.vectors import Vectors
from araclip.text.dates import Dated, split_date
from araclip.text.folders import Placed, split_folder
from araclip.text.folding import STOPS, cut_out, folded_words
from araclip.text.interpretation import MAX_READINGS, Interpreter, Reading
from araclip.text.negation import begin_of_denial, split_exclusions
from araclip.text.normalization import normalize
from araclip.text.picture_words import is_quality, kinds_of_thing, shows_nothing, split_order, split_videos
from araclip.text.places import split_place
from araclip.text.script import is_arabic, words
from araclip.text.words import Word, asked_words

QueryPart = Literal["words", "exclusions", "date", "folder", "place", "kind", "order"]
PARTS: tuple[QueryPart, ...] = get_args(QueryPart)
ALL: frozenset[QueryPart] = frozenset(PARTS)
# the parts of a query that become filters → the fields of `Filters`
FIELDS: dict[QueryPart, tuple[str, ...]] = {part: fields for part in PARTS if (fields := fields_of(part))}
FILTERS: frozenset[QueryPart] = frozenset(FIELDS)
MAX_TEXTS = 12  # limit: readings (texts that a term may stand for) encoded for one query; at least one for each term
# a reading (text that a term may mean) is mentioned to the user if it has this share of the likeliest's weight
SHOWN = 0.6
# The text ("picture") that stands for a query which is only a date or only excludes: it fits all pictures equally.
NEUTRAL = "صورة"
# Digits after "no" are no year: in "bus no 2015" they are the number of a bus.
_NUMBERED = re.compile(r"\w no[.:]?$", re.IGNORECASE)


@dataclass(frozen=True)
class DerivedFilter:
    """A filter read from words of the query («صيف 2019»), or the order that they ask for («أحدث الصور»).

    `where` holds the filter as texts for `Filters.read`; several folder names mean "in any of them" (outside of all of
    them, if written folder!=NAME). An order is written as sort=date or sort=oldest, and its `filters` are empty.
    `applied` is False if no picture matched, so that the words were searched as ordinary words instead.
    """

    part: FilterPart
    words: str
    where: tuple[str, ...]
    filters: Filters
    applied: bool = True


@dataclass(frozen=True)
class Interpretation:
    """How a query was understood. If its words were taken as typed, `literal` is true and other fields are empty."""

    language: str = "other"
    # the texts searched for the terms after a plus, if they differ from the typed text
    readings: tuple[Reading, ...] = ()
    excluded: tuple[str, ...] = ()
    # colours, materials, sizes, dates, folders and places after "not": no picture is left out because of these, for
    # models see them badly or not at all
    qualities: tuple[str, ...] = ()
    filters: tuple[DerivedFilter, ...] = ()
    suggestion: str | None = None  # if little was found: the query with corrected spelling
    literal: bool = False

    @property
    def sort(self) -> str | None:
        """The order that the query's words ask for, "date" or "oldest" (see `Page`); None if they ask for none."""
        orders = (derived.where[0] for derived in self.filters if derived.part == "order")
        return next((order.removeprefix("sort=") for order in orders), None)

    @property
    def also(self) -> tuple[str, ...]:
        """Return the words searched in addition to the typed words, or instead of them, the likeliest first."""
        likely = SHOWN * max((reading.weight for reading in self.readings), default=0.0)
        shown = (reading for reading in self.readings if reading.weight >= likely)
        found = (change.target for reading in shown for change in reading.changes)
        # leave out prefixes such as «bel» ("with the"), which end with NUL
        whole = (target for target in found if target and "\0" not in target)
        return tuple(dict.fromkeys(whole))[:MAX_READINGS]

    @property
    def is_plain(self) -> bool:
        """True if the query was understood exactly as it was typed."""
        return not (self.readings or self.excluded or self.qualities or self.filters or self.suggestion)

    def answer(self) -> QueryInterpretation:
        """Return what a server answers."""
        return QueryInterpretation(
            language=self.language,
            literal=self.literal,
            also=list(self.also),
            readings=[ReadText(reading.text, round(reading.weight, 3)) for reading in self.readings],
            excluded=list(self.excluded),
            qualities=list(self.qualities),
            filters=[ReadFilter(each.part, each.words, list(each.where), each.applied) for each in self.filters],
            suggestion=self.suggestion,
        )

    def json(self) -> dict[str, Any]:
        """Return plain data (dicts, lists, texts), as `araclip search --json` prints them."""
        return asdict(self.answer())


@dataclass(frozen=True)
class QueryPlan:
    """An interpreted query, ready to be encoded and searched.

    `query` has the terms: texts and pictures, joined by + and -. `readings` holds the texts that each term may stand
    for, such as the Arabic words for a word in Latin letters; a picture has none. `kinds` are the particular things
    (man, woman) that an excluded general word ("people") stands for. `interpretation` tells users what was understood.
    """

    query: Query
    readings: tuple[tuple[Reading, ...], ...]
    interpretation: Interpretation
    only_filters: bool = False  # the query gives a date, a folder or exclusions, but says nothing that pictures show
    # if the words only exclude: the things (man, woman) that a general word ("people") stands for
    kinds: tuple[str, ...] = ()

    @property
    def texts(self) -> list[str]:
        """List the texts to encode, in the order that `vectors` needs: all readings of each term, then `kinds`."""
        return [reading.text for readings in self.readings for reading in readings] + [*self.kinds]

    def vectors(self, texts: Iterable[Vectors], picture: Callable[[str], Vectors]) -> "QueryVectors":
        """Return the vectors of the terms and of the kinds.

        If a term may mean several texts (its readings), its vector is the average of theirs, by their weights.

        Args:
            texts: the vectors of `self.texts`, in the same order.
            picture: returns the vector of a picture, given the name that the query uses.
        """
        rest, rows = iter(texts), list[Vectors]()
        for term, readings in zip(self.query.terms, self.readings, strict=True):
            if term.kind != "text":
                rows.append(picture(term.value))
            elif len(readings) == 1:
                rows.append(next(rest))
            else:
                read = np.stack([next(rest) for _ in readings])
                rows.append(unit_sum(read, [reading.weight for reading in readings]))
        terms = np.stack(rows)
        return QueryVectors(terms, np.stack(kinds) if (kinds := list(rest)) else terms[:0])

    def excluded(self, vectors: "QueryVectors") -> Vectors | None:
        """Select the vectors (m, D) of things that no hit may show; None if the query excludes nothing."""
        rows = vectors.terms[excluding_terms(self.query)]
        return np.concatenate([rows, vectors.kinds]) if len(rows) or len(vectors.kinds) else None

    @property
    def words_only_exclude(self) -> bool:
        """True if no word says what a picture shows: there are only filters, exclusions and example pictures."""
        return self.only_filters or _asks_by_pictures_alone(self.query)

    @property
    def pushes_away(self) -> bool:
        """True if a minus term does not exclude pictures, but only pushes the query's vector away from its own vector.

        Such a term is a picture, or a text with a weight below 1 (see `excluding_terms`).
        """
        return sum(term.weight < 0 for term in self.query.terms) > len(excluding_terms(self.query))

    @property
    def has_relevance(self) -> bool:
        """True if hits get a relevance: all terms are words that say what pictures show."""
        return self.query.of_texts and not self.only_filters

    def words_to_find(self, weight: float) -> TextQuery | None:
        """Return the words to look for in pictures' texts; None if there are none, or if their `weight` is 0.

        They are the words as typed, without those that only ask for pictures («صور»), and for Arabizi (Arabic in Latin
        letters) also the likeliest Arabic words.

        Raises:
            InputError: the weight of texts is out of range.
        """
        if self.only_filters:
            return None
        terms = [
            replace(term, value=_text_to_find(term.value, readings[0])) if readings else term
            for term, readings in zip(self.query.terms, self.readings, strict=True)
        ]
        texts = [term for term in terms if term.kind == "text"]
        wanted = [term.value for term in texts if term.weight > 0]
        found = TextQuery.of(wanted, [term.value for term in texts if term.weight < 0], weight)
        if found is None:
            return None
        latin: list[tuple[str, Word]] = []  # Latin words, each after the stem of the one Arabic word that it stands for
        for change in (change for readings in self.readings for reading in readings[:1] for change in reading.changes):
            typed, meant = asked_words(change.source), asked_words(change.target)
            if change.kind == "arabizi" and len(typed) == len(meant) == 1:
                latin.append((meant[0].stem, typed[0]))
        return replace(found, typed=tuple(latin))

    def add_filters(self, filters: Filters) -> Filters:
        """Add to `filters` the date, folder, place and kind that the query asks for, except those already set there."""
        for derived in self.interpretation.filters:
            if derived.applied and derived.part in FILTERS - _set_parts(filters):
                filters = replace(filters, **{name: getattr(derived.filters, name) for name in FIELDS[derived.part]})
        return filters

    @property
    def has_filters(self) -> bool:
        """True if words of the query became filters."""
        return any(derived.applied and derived.part in FILTERS for derived in self.interpretation.filters)


@dataclass(frozen=True)
class QueryVectors:
    """The unit vectors of a query: of its n terms, (n, D), and of the m `kinds` of its plan, (m, D)."""

    terms: Vectors
    kinds: Vectors


def _with_neutral_text(query: Query) -> tuple[Query, bool]:
    """Add the term NEUTRAL («صورة», picture) to a query without a positive term.

    Return the query, and whether the term was added.
    """
    if any(term.weight > 0 for term in query.terms):
        return query, False
    return Query((Term("text", NEUTRAL), *query.terms)), True


def plan(
    query: Query,
    interpreter: Interpreter,
    *,
    today: date,
    folders: Callable[[bool], Collection[str]] = lambda explicit: (),
    places: Callable[[], Mapping[str, str]] = dict,
    ignore: Collection[QueryPart] = (),
    unapplied: Sequence[DerivedFilter] = (),
) -> QueryPlan:
    """Plan a query: find what its text terms may mean, and note how they were understood.

    Args:
        today: the date to which words such as «أمس» ("yesterday") refer.
        folders: returns the names of the gallery's folders when needed; called with True if the text says "folder".
        places: returns the names of the gallery's places when needed, by their keys (`text.places.names_by_key`).
        ignore: parts of the query that are taken literally.
        unapplied: filters of an earlier attempt that no picture matched; recorded in the plan as not applied.

    Raises:
        InputError: `ignore` is not a list of parts.
    """
    is_list = isinstance(ignore, Collection) and not isinstance(ignore, str | bytes)
    if not is_list or not all(part in PARTS for part in ignore):
        raise InputError(f'ignore is {ignore!r:.80}; pass a list of {", ".join(PARTS)}, such as ["date"].')
    if "date" not in ignore:
        query = _join_dates_at_dashes(query, today)
    terms: list[Term] = []
    excluded: list[Term] = []
    qualities: list[str] = []
    filters: list[DerivedFilter] = []
    excludes = bool(excluding_terms(query))
    for term in query.terms:
        if term.kind != "text" or term.weight < 0 or term.quoted:
            terms.append(term)
            continue
        taken = {*ignore, *(each.part for each in filters)}
        found = _TermSplitter(term.value, interpreter, today, folders, places, taken)
        found.split()
        beside = excludes or found.excluded or found.denied or found.filters
        text = "" if beside and _only_asks_for_pictures(found.text, interpreter, ignore) else found.text
        filters += found.filters
        qualities += found.denied
        excluded += [Term("text", thing, -1.0) for thing in found.excluded]
        terms.append(replace(term, value=text))
    shown, only_filters = _with_neutral_text(Query(tuple(each for each in terms if each.kind != "text" or each.value)))

    def is_unseen(thing: str) -> bool:
        place = split_place(thing, places(), interpreter)
        if split_date(thing, today).only_date or (place.folders and shows_nothing(place.text)):
            return True
        return is_quality(thing) and not only_filters

    qualities += [term.value for term in excluded if is_unseen(term.value)]
    excluded = [term for term in excluded if term.value not in qualities][: max(MAX_TERMS - len(shown.terms), 0)]
    new = Query((*shown.terms, *excluded))
    planned = _interpret_terms(new, interpreter, filters, unapplied, excluded, ignore, only_filters)
    return replace(planned, interpretation=replace(planned.interpretation, qualities=tuple(dict.fromkeys(qualities))))


def _join_dates_at_dashes(query: Query, today: date) -> Query:
    """Read a dash with spaces between two dates as "to", not as a minus: «2015 - 2018» is one term, a span."""
    terms = list(query.terms[:1])
    for term in query.terms[1:]:
        first, to_last = terms[-1], normalize(f"إلى {term.value}")
        both = replace(first, value=f"{first.value} {to_last}")
        plain = all(each.kind == "text" and not each.quoted for each in (first, term))
        if plain and term.weight == -1 < first.weight and split_date(both.value, today).words.endswith(f" {to_last}"):
            terms[-1] = both
        else:
            terms.append(term)
    return Query(tuple(terms))


@dataclass(frozen=True)
class Planner:
    """Interprets one query as a `QueryPlan`, in the same way for Python and HTTP. The caller encodes the texts of the
    plan, alone or in a batch with the texts of other queries.

    `folders` and `places` return the gallery's names of folders and places (see `plan`). `literal`: True to take all
    words as typed. `ignore`: parts of the query that are taken as typed. The caller's `page` says which hits to return.
    If it sets a filter or an order, words of the query that ask for a filter or an order of the same kind have no
    effect, and the plan does not name them.
    """

    query: Query
    interpreter: Interpreter
    page: Page
    folders: Callable[[bool], Collection[str]]
    places: Callable[[], Mapping[str, str]]
    literal: bool
    ignore: Collection[QueryPart] = ()

    def plan(self) -> QueryPlan:
        """Interpret the query; this takes a millisecond, and the first time 0.1 s to load the tables of words."""
        if not self.literal:
            return self._plan(self.ignore)
        query, only_filters = _with_neutral_text(self.query)
        readings = tuple((Reading(term.value, 1.0),) if term.kind == "text" else () for term in query.terms)
        return QueryPlan(query, readings, Interpretation(literal=True), only_filters)

    def without_filters(self, plan: QueryPlan) -> QueryPlan:
        """Interpret the query again, with the words that became filters in `plan` as ordinary words."""
        unapplied = [each for each in plan.interpretation.filters if each.part in FILTERS]
        return self._plan({*self.ignore, *(FILTERS - _set_parts(self.page.filters))}, unapplied)

    def _plan(self, ignore: Collection[QueryPart], unapplied: Sequence[DerivedFilter] = ()) -> QueryPlan:
        found = plan(
            self.query, self.interpreter, today=date.today(), folders=self.folders, places=self.places, ignore=ignore,
            unapplied=unapplied,
        )  # fmt: skip
        replaced = _set_parts(self.page.filters) | ({"order"} if self.page.sort != SORTS[0] else set())
        named = tuple(each for each in found.interpretation.filters if each.part not in replaced)
        return replace(found, interpretation=replace(found.interpretation, filters=named))


@dataclass
class _TermSplitter:
    """Takes filters, exclusions and denials out of the text of one term, step by step; `text` is the rest of the text.

    A filter is a date, folder, place, order or kind of file that the text asks for. An exclusion is a thing that no hit
    may show. A denial is a date or place after a negation («ليست من 2019»): it is only removed, and leaves out no
    picture. A folder after a negation becomes a filter: pictures outside of this folder.

    `taken` lists the parts of a query (date, folder …) that are not looked for in this text: a filter of this part was
    found in an earlier term, or words for this part are to be taken literally.
    """

    text: str
    interpreter: Interpreter
    today: date
    folders: Callable[[bool], Collection[str]]
    places: Callable[[], Mapping[str, str]]
    taken: set[QueryPart]
    excluded: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)  # dates and places that the text denies: «ليست من 2019»
    filters: list[DerivedFilter] = field(default_factory=list)
    excluded_folder: str = ""  # words that name a folder, but are part of an excluded thing or are only a date

    @property
    def negates(self) -> bool:
        """True if exclusions («بدون كلاب») and denials («ليست من 2019») are looked for."""
        return "exclusions" not in self.taken

    def split(self) -> None:
        """Take the order, filters, exclusions and denials (dates and places after a "not") out of the text."""
        self._take_order()
        self._take_videos()
        # folders before dates: in «مجلد دهب 2019» (folder Dahab 2019), the year is part of the folder's name
        folder = self._take_folder()
        outside = any(each.part == "folder" for each in self.filters)  # a folder was negated, and is a filter by now
        # dates before exclusions: «بدون كلاب صيف 2019» (without dogs, summer 2019) excludes dogs, not a summer
        dated = self._take_date()
        with_exclusions, beside = self.text, bool(folder.folders or outside or self.denied or dated.filter)
        negations = self._take_exclusions(beside)
        if "folder" not in self.taken and not (folder.folders or outside):
            folder = split_folder(self.text, self.folders)
            self.text = folder.text
        if dated.filter is not None:
            where = dated.filter.texts()
            self.filters.append(DerivedFilter("date", dated.words, where, Filters.read(where)))
        if folder.folders:
            where = tuple(f"folder={name}" for name in folder.folders)
            self.filters.append(DerivedFilter("folder", folder.words, where, Filters(folder_name=folder.folders)))
        self._take_excluded_videos(negations)
        self._take_place(with_exclusions)

    def _take_order(self) -> None:
        left, removed, order = split_order(self.text)
        # "not the latest photos" asks for no order
        if "order" not in self.taken and order and not self._excludes(removed):
            self.text = left
            self.filters.append(DerivedFilter("order", removed, (f"sort={order}",), Filters()))

    def _take_videos(self) -> None:
        left, removed = split_videos(self.text)
        if "kind" not in self.taken and removed and not self._excludes(removed):
            self.text = left
            self.filters.append(DerivedFilter("kind", removed, ("kind=video",), Filters(kind="video")))

    def _take_folder(self) -> Placed:
        """Take the name of a folder out of the text; return the folders with this name, or none if the text names none.

        After a negation, name and negation are taken out and become a filter for pictures outside of the folder; no
        folder is returned. A name that is excluded beside other things («بدون ناس ورحلة دهب») stays in the text.
        """
        placed = Placed(self.text) if "folder" in self.taken else split_folder(self.text, self.folders)
        # a date alone, «صيف 2019» (summer 2019), is a date even if a folder has this name
        only_date = "date" not in self.taken and split_date(placed.words, self.today).only_date
        left = _without_denied(self.text, placed.words, outside=True) if self.negates and not only_date else None
        if left is not None:
            where = tuple(f"folder!={name}" for name in placed.folders)
            self.filters.append(DerivedFilter("folder", placed.words, where, Filters(outside=placed.folders)))
            placed = Placed(left)
        elif only_date or self._excludes(placed.words):
            self.excluded_folder = placed.words
            return Placed(self.text)
        self.text = placed.text
        return placed

    def _take_date(self) -> Dated:
        """Take a date out of the text, and return it with its filter; without a date, there is no filter.

        An excluded date stays in the text. A date after a "not" is taken out of the text, but gets no filter.
        """
        dated = Dated(self.text) if "date" in self.taken else split_date(self.text, self.today)
        leading = _text_before(dated.words, self.text)
        if dated.words[:1].isdigit() and _NUMBERED.search(leading):
            return Dated(self.text)
        # after a comma a date is not excluded: «بدون ناس، 2020»
        may_be_excluded = dated.filter and self.negates and leading[-1:] not in STOPS
        if may_be_excluded and dated.words in split_exclusions(self.text, self.interpreter).excluded:
            return Dated(self.text)  # an excluded date, as in «بدون يونيو» (without June), is no filter
        if self.negates and (left := _without_denied(self.text, dated.words, outside=False)) is not None:
            self.denied.append(dated.words)
            dated = Dated(left)
        self.text = dated.text
        return dated

    def _take_exclusions(self, beside: bool) -> tuple[str, ...]:
        """Move the excluded things from the text to `excluded`; return the negations that stood before them.

        `beside`: True if the query has something else besides this text, such as a date (see `split_exclusions`).
        """
        if not self.negates:
            return ()
        found = split_exclusions(self.text, self.interpreter, beside=beside)
        self.text = found.text
        self.excluded += found.excluded
        return found.negations

    def _take_excluded_videos(self, negations: Sequence[str]) -> None:
        """If the text excludes videos («بدون فيديو», without videos), replace that by a filter for pictures."""
        videos = next((thing for thing in self.excluded if split_videos(thing) == ("", thing)), None)
        if videos and "kind" not in {*self.taken, *(each.part for each in self.filters)}:
            self.excluded.remove(videos)
            without = f"{negations[0]} {videos}"
            self.filters.append(DerivedFilter("kind", without, ("kind=picture",), Filters(kind="picture")))

    def _take_place(self, with_exclusions: str) -> None:
        """Remove the place (town, country …) that the text names, and make it a filter for pictures taken there.

        If the text names no place, look for a place that was taken for an excluded thing by mistake, such as Cairo in
        «بدون سيارات القاهرة» (without cars, Cairo). `with_exclusions` is the text with the excluded things still in it.
        """
        if "place" in self.taken or not (self.text.strip() or self.excluded):
            return
        place = split_place(self.text, self.places(), self.interpreter)
        self.text = place.text
        if not place.folders:
            place = self._place_of_excluded(with_exclusions) or place
        self.denied += [place.words] if place.words and not place.folders else []
        for name in place.folders:
            self.filters.append(DerivedFilter("place", place.words, (f"place={name}",), Filters(place=name)))

    def _place_of_excluded(self, with_exclusions: str) -> Placed | None:
        """Take a place out of the excluded things, and return it; None if there is none.

        In «شارع بدون سيارات القاهرة» (street without cars, Cairo), Cairo is not excluded, but is the place. An excluded
        thing that is the name of a folder keeps all its words. A thing that is only a place is taken out if it follows
        another thing and a comma: «بدون ناس، القاهرة» (without people, Cairo); else it stays among the excluded things.
        """
        for at, thing in enumerate(self.excluded):
            place = split_place(thing, self.places(), self.interpreter)
            if place.folders and thing != self.excluded_folder:
                only_place = shows_nothing(place.text)
                if only_place and not (at and _text_before(thing, with_exclusions)[-1:] in STOPS):
                    # this place and the later ones stay excluded: «ما عدا القاهرة، دبي» (except Cairo, Dubai)
                    return None
                self.excluded[at : at + 1] = [] if only_place else [place.text]
                return place
        return None

    def _excludes(self, words: str) -> bool:
        """True if the phrase `words` is, or is part of, something that the text excludes.

        An example is «رحلة دهب» (trip to Dahab) in «صور بدون رحلة دهب» (pictures without the trip to Dahab).
        """
        excluded = split_exclusions(self.text, self.interpreter).excluded if self.negates and words else ()
        return any(words in thing for thing in excluded)


def _text_before(words: str, text: str) -> str:
    """Return what stands in `text` before the consecutive `words`, without white space at its end; "" for no words."""
    return normalize(text).partition(words)[0].rstrip() if words else ""


def _without_denied(text: str, words: str, *, outside: bool) -> str | None:
    """Remove `words`, which name a date or a folder, and the negation before them from a text; return the rest.

    None if no negation stands before the words. `outside`: True if «خارج», outside, negates, too.
    """
    before, _, after = normalize(text).partition(words) if words else ("", "", "")
    leading = folded_words(before)
    begin = begin_of_denial(leading.folded, outside=outside)
    return None if begin is None else cut_out(before + after, leading.spans[begin][0], len(before))


def _only_asks_for_pictures(text: str, interpreter: Interpreter, ignore: Collection[QueryPart]) -> bool:
    """True if a text asks for pictures without saying what they show: «صور», «عايز صور» (pictures, I want pictures)."""
    return shows_nothing(text) or (
        "words" not in ignore and shows_nothing(interpreter.interpret(text).readings[0].text)
    )


def _interpret_terms(
    query: Query,
    interpreter: Interpreter,
    filters: Sequence[DerivedFilter],
    unapplied: Sequence[DerivedFilter],
    excluded: Sequence[Term],
    ignore: Collection[QueryPart],
    only_filters: bool,
) -> QueryPlan:
    """Find what each term may mean (its readings), and for excluded general words the kinds of thing that they name.

    Return the plan; `filters`, `unapplied` and `excluded` are only recorded in it. A term in quotation marks has only
    one reading, the text as typed. If "words" is in `ignore`, this holds for every text term. `only_filters`: True if
    no word says what pictures show.
    """
    texts = sum(term.kind == "text" for term in query.terms)
    most = max(1, min(MAX_READINGS, MAX_TEXTS // max(texts, 1)))
    all_readings: list[tuple[Reading, ...]] = []
    shown: list[Reading] = []
    language = "other"
    for term in query.terms:
        if term.kind != "text":
            all_readings.append(())
        elif term.quoted or "words" in ignore:
            all_readings.append((Reading(term.value, 1.0),))
        else:
            read = interpreter.interpret(term.value)
            total = sum(reading.weight for reading in read.readings[:most])
            readings = tuple(replace(reading, weight=reading.weight / total) for reading in read.readings[:most])
            all_readings.append(readings)
            language = read.language if language == "other" else language
            if read.changes and term.weight > 0:
                shown += [reading for reading in readings if reading.changes]
    interpretation = Interpretation(
        language=language,
        readings=tuple(shown),
        excluded=tuple(dict.fromkeys(term.value for term in excluded)),
        filters=(*filters, *(replace(each, applied=False) for each in unapplied)),
        literal=set(ignore) >= ALL,
    )
    kinds: list[str] = []
    if only_filters or _asks_by_pictures_alone(query):
        minus = (query.terms[row] for row in excluding_terms(query))
        kinds = [kind for term in minus if not term.quoted for kind in kinds_of_thing(term.value)]
    return QueryPlan(query, tuple(all_readings), interpretation, only_filters, tuple(dict.fromkeys(kinds)))


def _asks_by_pictures_alone(query: Query) -> bool:
    """True if no text says what the query looks for, only example pictures do; texts may still be excluded."""
    return all(term.kind != "text" for term in query.terms if term.weight > 0)


def _set_parts(filters: Filters) -> set[QueryPart]:
    """Return which parts of a query (date, folder, place, kind) are set in `filters`."""
    return {part for part, names in FIELDS.items() if any(getattr(filters, name) for name in names)}


def _text_to_find(typed: str, reading: Reading) -> str:
    """Return the words of a term to look for in pictures' texts: as typed, or for Latin letters what they may mean."""
    if reading.changes and not any(is_arabic(match.group()) for match in words(normalize(typed))):
        return reading.text
    # leave out the words that the likeliest reading drops because they only ask for pictures: «صور» ("pictures of")
    left_out = {change.source for change in reading.changes if not change.target}
    kept = [word for word in typed.split() if normalize(word) not in left_out]
    return " ".join(kept) if left_out and kept else typed
