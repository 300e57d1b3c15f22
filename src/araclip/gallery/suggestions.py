"""Suggest completions while a query is typed, from what the gallery holds, and corrected queries if little is found.

Letters are compared folded, so that أ and ا, ة and ه are equal; the article may be missing in the query or in the
gallery's text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.store import Store
from araclip.gallery.catalog.word_index import WordIndex
from araclip.gallery.plan import Interpretation, QueryPlan
from araclip.gallery.query import Query
from araclip.gallery.results import Hit, Suggestion, fits_nothing
from araclip.text.interpretation import Interpreter
from araclip.text.script import is_arabic
from araclip.text.words import FUNCTION_WORDS, Word, words

# the greatest number of suggestions of each kind; without it one kind could fill the whole list
FOLDERS, PLACES, WORDS, QUERIES, FILES = 2, 2, 4, 3, 3
LEAST = 2  # letters to type before names of files are suggested
SHORTER = 3  # A stem may be up to SHORTER - 1 letters shorter than the typed word: «سيارة», "car", has the stem «سيار».
CAMERAS = frozenset(
    ("img", "dsc", "dscf", "dscn", "pxl", "vid", "scan", "screenshot", "whatsapp", "jpg", "jpeg", "png")
)  # words in the names that cameras and programs give; such names say nothing about the picture
ARTICLES = ("وال", "بال", "فال", "كال", "لل", "ال", "و")
# ARTICLES that may be taken off only if at least so many letters remain: before fewer letters, و is rarely "and"
LEFT = {"و": 4}


def letters_before(typed: str, word: Word) -> int | None:
    """Return how many letters of a word precede the typed letters (folded): 0, or the length of the word's article.

    None if the word does not begin with the typed letters.
    """
    if word.folded.startswith(typed):
        return 0
    bare = _without_article(word.folded)
    return len(word.folded) - len(bare) if bare.startswith((typed, _without_article(typed))) else None


def _without_article(folded: str) -> str:
    """Return folded letters without a leading article, conjunction or preposition."""
    for article in ARTICLES:
        if folded.startswith(article) and len(folded) >= len(article) + LEFT.get(article, 1):
            return folded.removeprefix(article)
    return folded


def phrases_beginning_with(typed: str, phrases: Iterable[str], most: int) -> list[str]:
    """Return the first `most` phrases in which each typed word is a word or the beginning of one."""
    typed_words = list(words(typed))
    if not typed_words:
        return []
    found = []
    for phrase in phrases:
        there = _words_of_phrase(phrase)
        if all(any(letters_before(each.folded, word) is not None for word in there) for each in typed_words):
            found.append(phrase)
            if len(found) == most:
                break
    return found


@lru_cache(maxsize=1 << 14)
def _words_of_phrase(phrase: str) -> tuple[Word, ...]:
    return tuple(words(phrase, names=True))


def completions(
    typed: str,
    source: WordIndex | None,
    folders: Mapping[str, int],
    queries: Iterable[str],
    most: int,
    places: Iterable[str] = (),
) -> list[Suggestion]:
    """Return the best completions of the typed text, at most `most`; none if it ends with a sign or a space.

    Args:
        source: the words of the gallery's texts; None if its store cannot list them.
        folders: the number of pictures by name of their folder.
        queries: queries known to find something.
        places: the names of the gallery's places.
    """
    typed_words = list(words(typed))
    if not typed_words or typed_words[-1].end != len(typed):
        return []
    found = [Suggestion(name, "folder") for name in phrases_beginning_with(typed, sort_by_pictures(folders), FOLDERS)]
    found += [Suggestion(name, "place") for name in phrases_beginning_with(typed, places, PLACES)]
    if source:
        found += [Suggestion(text, "word") for text in _complete_last_word(typed, typed_words, source)]
    found += [Suggestion(text, "query") for text in phrases_beginning_with(typed, queries, QUERIES)]
    if source and len(typed_words[-1].folded) >= LEAST:
        last = typed_words[-1]
        names = dict.fromkeys(source.names((_without_article(last.folded), last.stem), _shorter_stems(last), 8 * FILES))
        found += [Suggestion(name, "file") for name in phrases_beginning_with(typed, filter(_is_telling, names), FILES)]
    # a text that was found as a folder and as a word, say, is suggested once, as the first kind
    once = {each.text: each for each in reversed(found) if each.text.casefold() != typed.casefold()}
    return sorted(once.values(), key=found.index)[:most]


def _complete_last_word(typed: str, typed_words: Sequence[Word], source: WordIndex) -> list[str]:
    """Return the typed text with its last word completed in several ways; words that most pictures have come first."""
    last = typed_words[-1]
    if not last.folded[0].isalpha():
        return []
    # the stem of the complete word may begin with the typed letters, with or without their article, or with their stem
    beginnings = dict.fromkeys((_without_article(last.folded), last.folded, last.stem))
    stems = [stem for stem, _ in source.stems(beginnings, 4 * WORDS)]
    stems += [stem for stem in _shorter_stems(last) if stem not in stems]
    stems = [stem for stem in stems if stem not in CAMERAS and len(stem) > 1][: 2 * WORDS]

    def before(word: Word) -> int | None:
        return None if word.folded in FUNCTION_WORDS else letters_before(last.folded, word)

    written = source.spellings(stems, before)
    return [typed[: last.start] + written[stem] for stem in stems if stem in written][:WORDS]


def _shorter_stems(word: Word) -> list[str]:
    """Return stems that the typed word may have if it is complete: its letters without the last 1 to SHORTER - 1."""
    return [word.folded[:-cut] for cut in range(1, SHORTER)] if len(word.folded) > SHORTER else []


def sort_by_pictures(folders: Mapping[str, int]) -> list[str]:
    """Return the names of folders, those with the most pictures first."""
    return sorted(folders, key=lambda name: (-folders[name], name))


def _is_telling(name: str) -> bool:
    """True if a file's name has a meaningful word, unlike cameras' and programs' names (IMG_2041, 1F3CA-200D)."""
    return any(
        word.folded[0].isalpha() and (len(word.folded) > 2 or not word.folded.isascii()) and word.folded not in CAMERAS
        for word in words(name)
    )


class Suggestions:
    """Corrects queries («هل تقصد»: "did you mean").

    Words are corrected to words of the interpreter and, for a gallery in a folder, of the gallery's texts.
    """

    def __init__(self) -> None:
        # a cache: the interpreter, the token of the gallery's commit, and the extended interpreter made from these two
        self._reader: tuple[Interpreter, str, Interpreter] | None = None

    def suggest(self, read: QueryPlan, hits: Sequence[Hit], interpreter: Interpreter, store: Store) -> Interpretation:
        """Return the plan's interpretation; if nothing fits and a word is unknown, add a corrected query to suggest.

        `read` is the plan of the query, and `hits` are its first hits.
        """
        found = read.interpretation
        if found.literal or read.only_filters or (hits and not fits_nothing([hit.relevance for hit in hits])):
            return found
        # Correct what the words most likely mean, not the typed words: users already see how their words were read.
        typed = {
            place: readings[0].text
            for place, (term, readings) in enumerate(zip(read.query.terms, read.readings, strict=True))
            if readings and term.weight > 0 and not term.quoted
        }
        if all(map(interpreter.knows_all, typed.values())):
            return found
        reader = interpreter
        if isinstance(store, Catalog):  # extend the interpreter by the words of the gallery's texts
            made, generation = self._reader, store.generation
            if made is None or made[0] is not interpreter or made[1] != generation:
                made = self._reader = interpreter, generation, interpreter.extended(WordIndex(store).newest_texts())
            reader = made[2]
        corrected = {place: new for place, text in typed.items() if (new := reader.suggestion(text))}
        return replace(found, suggestion=_write_query(read, typed | corrected)) if corrected else found


def _write_query(read: QueryPlan, texts: Mapping[int, str]) -> str:
    """Write the query as one would type it; `texts` has the typed or corrected texts of terms by their positions.

    Words that were taken out are put back: those of filters, and colours, dates … after a "not"
    (`Interpretation.qualities`).
    """
    before, after = list[str](), list[str]()
    for each in read.interpretation.filters:
        # Put words for an order (newest) or a kind (videos) first: at a query's end, not all of them are recognised.
        if each.applied and each.part in ("order", "kind"):
            # «أحدث» ("newest") is recognised only beside a word such as «صور» ("pictures"), so add «صور» again
            before += [each.words, *(["صور"] if each.part == "order" and is_arabic(each.words) else [])]
        elif each.applied:
            after.append(each.words)
    after += [f"{'بدون' if is_arabic(each) else 'without'} {each}" for each in read.interpretation.qualities]
    terms = [replace(term, value=texts.get(place, term.value)) for place, term in enumerate(read.query.terms)]
    first = min(texts)
    terms[first] = replace(terms[first], value=" ".join([*before, terms[first].value, *after]))
    return str(Query(tuple(terms)))
