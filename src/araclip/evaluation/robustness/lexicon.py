"""The evaluation's own words: everyday captions in five dialects and in Latin letters.

`lexicon.tsv` is read by nothing that understands queries and by nothing that trains, so that neither marks its own
homework. A third of the words is held out: numbers on them are reported alone, and whoever tunes a query side or a
text tower leaves them alone (`held_out`).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from araclip.errors import InputError

DIALECTS = ("Egyptian", "Levantine", "Gulf", "Iraqi", "Moroccan")
ARABIZI = "arabizi"
COLUMNS = ("kind", "standard", ARABIZI, *DIALECTS)
UNCHANGED = "-"
HELD_OUT = 3  # one family of words in three

# Words of one letter, and the article, that are written together with the next word; no prefix first.
PREFIXES = ("", "و", "ف", "ب", "ل", "ك", "ال", "وال", "بال", "فال", "كال", "لل", "ولل", "وب", "ول")
_PRESENT = {  # what a dialect puts before a verb in the present, for "he" and "they", and for "she"
    "Egyptian": ("ب", "بت"),
    "Levantine": ("عم ", "عم ت"),
    "Gulf": ("قاعد ", "قاعدة ت"),
    "Iraqi": ("د", "دت"),
    "Moroccan": ("ك", "كت"),
}
_WEAK = re.compile("[اأإآىيوةءئؤ]")


@dataclass(frozen=True)
class Entry:
    """One form of a word of the standard language: what it is in each dialect that differs, and in Latin letters."""

    forms: Mapping[str, str]
    held_out: bool


def held_out(word: str) -> bool:
    """Whether a word (without article and prefixes) is of the third that is reported alone.

    Forms of a root go together as far as their first three consonants tell, so that طفل and أطفال are not parted.
    """
    family = _WEAK.sub("", word.split(maxsplit=1)[0])[:3]
    return hashlib.sha256(family.encode()).digest()[0] % HELD_OUT == 0


@cache
def lexicon() -> dict[str, Entry]:
    """Standard form → entry, of every word and of every inflection of a verb. The evaluation's own file."""
    return read_lexicon(Path(__file__).with_name("lexicon.tsv"))


def read_lexicon(path: Path) -> dict[str, Entry]:
    """Read a table as `lexicon.tsv` is one.

    Raises:
        InputError: a line has another number of columns, or an unknown kind; the line is named.
    """
    entries: dict[str, Entry] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#") or not line.strip() or line.split("\t") == list(COLUMNS):
            continue
        cells = line.split("\t")
        if len(cells) != len(COLUMNS) or cells[0] not in _INFLECTED:
            raise InputError(
                f"{path} line {number}: {len(cells)} columns of kind '{cells[0]}', expected {len(COLUMNS)} of kind "
                f"{', '.join(_INFLECTED)}. Columns, between tabs: {', '.join(COLUMNS)}."
            )
        standard, words = cells[1], dict(zip(COLUMNS[2:], cells[2:], strict=True))
        for form, written in _INFLECTED[cells[0]](standard, words).items():
            entries.setdefault(form, Entry(written, held_out(standard)))
    return entries


def _word(standard: str, words: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {standard: {name: word for name, word in words.items() if word != UNCHANGED}}


def _verb(standard: str, words: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """A present with its dialect's prefix: بيلعب, عم يلعب, قاعد يلعب, ديلعب, كيلعب."""
    forms: dict[str, dict[str, str]] = {form: _latin(words[ARABIZI], form, standard) for form in _present(standard)}
    for dialect in DIALECTS:
        he, *rest = words[dialect].split(" ")
        they, she = _PRESENT[dialect]
        after = "".join(f" {word}" for word in rest)
        plural = he.removesuffix("ى").removesuffix("ي").removesuffix("ا") + "وا"
        for form, written in forms.items():
            verb = they + plural if _is_plural(form, standard) else they + he if form.startswith("ي") else she + he[1:]
            written[dialect] = verb + after
    return forms


def _participle(standard: str, words: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """A verb that the dialects say as an active participle: لابس, لابسة, لابسين."""
    forms: dict[str, dict[str, str]] = {form: _latin(words[ARABIZI], form, standard) for form in _present(standard)}
    for dialect in DIALECTS:
        for form, written in forms.items():
            ending = "ين" if _is_plural(form, standard) else "" if form.startswith("ي") else "ة"
            written[dialect] = words[dialect] + ending
    return forms


_INFLECTED = {"n": _word, "v": _verb, "p": _participle}


def _present(standard: str) -> list[str]:
    """يلعب → تلعب, يلعبون, يلعبان, تلعبان, يلعبن, تلعبن; يرتدي → يرتدون, يرتديان …"""
    he, she = standard, f"ت{standard[1:]}"
    short = standard[1:].removesuffix("ي").removesuffix("ى")
    dual = standard[1:].removesuffix("ى") + ("يان" if standard.endswith("ى") else "ان")
    return [he, she, f"ي{short}ون", f"ت{short}ون", f"ي{dual}", f"ت{dual}", f"ي{standard[1:]}ن", f"ت{standard[1:]}ن"]


def _is_plural(form: str, standard: str) -> bool:
    return len(form) > len(standard)


def _latin(he: str, form: str, standard: str) -> dict[str, str]:
    """yel3ab → tel3ab, yel3abo."""
    if he == UNCHANGED:
        return {}
    verb = he if form.startswith("ي") else f"t{he[1:]}"
    return {ARABIZI: verb.rstrip("i") + "o" if _is_plural(form, standard) else verb}
