"""Suggestions while a query is typed, from what the gallery holds; and corrected queries where little is found.

Letters are compared folded: a hamza, a final ة and the article may be there or not, on either side."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.store import Store
from araclip.gallery.catalog.word_index import WordIndex
from araclip.gallery.plan import Interpretation, QueryPlan
from araclip.gallery.query import Query
from araclip.gallery.results import Hit, Suggestion, fits_nothing
from araclip.text.interpretation import Interpreter
from araclip.text.words import FUNCTION_WORDS, Word, words

FOLDERS, WORDS, QUERIES, FILES = 2, 4, 3, 3  # at most of each kind, so that none fills the list
LEAST = 2  # letters typed before names of files are looked for
SHORTER = 3  # letters that a stem may have less than what is typed: «سيارة» has the stem «سيار»
CAMERAS = frozenset(
    ("img", "dsc", "dscf", "dscn", "pxl", "vid", "scan", "screenshot", "whatsapp", "jpg", "jpeg", "png")
)  # in names that say nothing
ARTICLES = ("وال", "بال", "فال", "كال", "لل", "ال", "و")
LEFT = {"و": 4}  # letters that stay after it, for it is rarely the conjunction in a shorter word; 1 after the others


class WordSource(Protocol):
    """The words of a gallery's texts; documented in `gallery.catalog.word_index.WordIndex`."""

    def stems(self, beginnings: Iterable[str], most: int) -> list[tuple[str, int]]:
        """Stems that begin so, with their number of pictures."""

    def spellings(self, stems: Sequence[str], before: Callable[[Word], int | None]) -> dict[str, str]:
        """How words are written."""

    def names(self, beginning: str, most: int) -> list[str]:
        """Names of files."""


@dataclass(frozen=True)
class Beginning:
    """The folded letters of a word that is being typed."""

    letters: str

    def fits(self, word: Word) -> int | None:
        """How many letters of a word stand before what is typed: 0, or those of the article; None: another word."""
        if word.folded.startswith(self.letters):
            return 0
        bare = _bare(word.folded)
        if bare.startswith(self.letters) or bare.startswith(_bare(self.letters)):
            return len(word.folded) - len(bare)
        return None


def beginnings(last: Word) -> list[str]:
    """Beginnings of the stems that a word may have of which these letters are typed."""
    return list(dict.fromkeys((_bare(last.folded), last.folded, last.stem)))


def _bare(folded: str) -> str:
    """Folded letters without the article."""
    for article in ARTICLES:
        if folded.startswith(article) and len(folded) >= len(article) + LEFT.get(article, 1):
            return folded.removeprefix(article)
    return folded


def matching(typed: str, phrases: Iterable[str], most: int) -> list[str]:
    """The phrases that have every word typed, the last one as the beginning of a word."""
    asked = list(words(typed))
    if not asked:
        return []
    typed_words = [Beginning(word.folded) for word in asked]
    found = []
    for phrase in phrases:
        there = _split(phrase)
        if all(any(each.fits(word) is not None for word in there) for each in typed_words):
            found.append(phrase)
            if len(found) == most:
                break
    return found


@lru_cache(maxsize=1 << 14)
def _split(phrase: str) -> tuple[Word, ...]:
    return tuple(words(phrase, names=True))


def completions(
    typed: str, source: WordSource | None, folders: Mapping[str, int], queries: Iterable[str], most: int
) -> list[Suggestion]:
    """The best completions of what is typed, at most `most`; none where it ends in a sign or a space.

    Args:
        source: the words of the gallery's texts, if its store can list them.
        folders: number of pictures of each folder's name.
        queries: queries known to find something.
    """
    asked = list(words(typed))
    if not asked or asked[-1].end != len(typed):
        return []
    found = [Suggestion(name, "folder") for name in matching(typed, _busiest(folders), FOLDERS)]
    if source:
        found += [Suggestion(text, "word") for text in _words(typed, asked, source)]
    found += [Suggestion(text, "query") for text in matching(typed, queries, QUERIES)]
    if source and len(asked[-1].folded) >= LEAST:
        names = dict.fromkeys(source.names(_bare(asked[-1].folded), 8 * FILES))
        found += [Suggestion(name, "file") for name in matching(typed, filter(_is_telling, names), FILES)]
    once = {
        each.text: each for each in reversed(found) if each.text.casefold() != typed.casefold()
    }  # of a text the first kind
    return sorted(once.values(), key=found.index)[:most]


def _words(typed: str, asked: Sequence[Word], source: WordSource) -> list[str]:
    """What is typed with its last word completed, by the words of most pictures."""
    last = asked[-1]
    if not last.folded[0].isalpha():
        return []
    beginning = Beginning(last.folded)
    stems = [stem for stem, _ in source.stems(beginnings(last), 4 * WORDS)]
    if len(last.folded) > SHORTER:  # the stem of a word that is typed to its end may be shorter
        stems += [last.folded[:-cut] for cut in range(1, SHORTER) if last.folded[:-cut] not in stems]
    stems = [stem for stem in stems if stem not in CAMERAS and len(stem) > 1][: 2 * WORDS]
    written = source.spellings(stems, lambda word: None if word.folded in FUNCTION_WORDS else beginning.fits(word))
    return [typed[: last.start] + written[stem] for stem in stems if stem in written][:WORDS]


def _busiest(folders: Mapping[str, int]) -> list[str]:
    return sorted(folders, key=lambda name: (-folders[name], name))


def _is_telling(name: str) -> bool:
    """Whether a file's name says more than a camera's or a program's does: IMG_2041, 20230517_183000, 1F3CA-200D."""
    return any(
        word.folded[0].isalpha() and (len(word.folded) > 2 or not word.folded.isascii()) and word.folded not in CAMERAS
        for word in words(name)
    )


class Suggestions:
    """«هل تقصد»: corrected queries, from the words of captions and those of one gallery's texts."""

    def __init__(self) -> None:
        self._reader: tuple[Interpreter, str, Interpreter] | None = None  # of an interpreter and a generation

    def added(self, read: QueryPlan, hits: Sequence[Hit], interpreter: Interpreter, store: Store) -> Interpretation:
        """The interpretation, with a corrected query where little was found and a word is unknown."""
        found = read.interpretation
        if found.literal or read.only_filters or (hits and not fits_nothing([hit.relevance for hit in hits])):
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


def _with_words(read: QueryPlan, texts: Mapping[int, str]) -> str:
    """The query with other texts for some of its terms, and with the words that became filters, as one types it."""
    filters = [each.words for each in read.interpretation.filters if each.applied]
    terms = [replace(term, value=texts.get(place, term.value)) for place, term in enumerate(read.query.terms)]
    first = min(texts)
    terms[first] = replace(terms[first], value=" ".join([terms[first].value, *filters]))
    return str(Query(tuple(terms)))
