"""Reads the lexicon: everyday words in standard Arabic, with their forms in the dialects. Pure.

    سيارة; car; eg: عربية?; lv: سيارة; gf: موتر; ma: طوموبيل, كرهبة; sy: مركبة; pl: سيارات

A line has one word: the standard word, an English gloss (may be left out), and forms by label, with commas between
them. A form with a question mark has another common meaning (عربية is also "Arabic"). If the word is the whole query,
the form after `as:` is read in its place: تفاحة; apple; as: تفاح. docs/understanding.md describes the format.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from araclip.errors import InputError
from araclip.text.folding import fold
from araclip.text.normalization import normalize

ALONE = "as"
LABELS = {  # label of a form in the lexicon → what the label means
    "eg": "Egyptian",
    "lv": "Levantine",
    "gf": "Gulf",
    "iq": "Iraqi",
    "ma": "Maghrebi",
    "sy": "synonym",
    "pl": "plural",
    ALONE: "the word as a query of its own",
}
DIALECTS = ("eg", "lv", "gf", "iq", "ma")
MAX_LINES = 50_000
MAX_LETTERS = 2_000  # limit: characters in a line
MAX_WORDS = 4  # limit: words in a form
_COMMA = re.compile("[,،]")
_SEMICOLON = re.compile("[;؛]")


@dataclass(frozen=True)
class Form:
    """What a form means: its standard word, the labels of the dialects that use it, and whether it is ambiguous.

    An ambiguous form has another common meaning.
    """

    standard: str
    labels: tuple[str, ...]
    ambiguous: bool


@dataclass(frozen=True)
class Entry:
    """One line of a lexicon: a standard Arabic word, its English gloss ("" if none), and its forms in dialects.

    Each form is a triple: the dialect's label, the form, and whether the form is ambiguous.
    """

    standard: str
    english: str
    forms: tuple[tuple[str, str, bool], ...]


class Lexicon:
    """Entries, found by any of their forms. If several entries have the same form, `forms` says which comes first."""

    def __init__(self, entries: Iterable[Entry], first: int = 0) -> None:
        """Make a lexicon of entries; the meanings in the first `first` entries take precedence over the others."""
        self.entries, self._first = tuple(entries), first

    def __len__(self) -> int:
        return len(self.entries)

    def join(self, other: "Lexicon") -> "Lexicon":
        """Return a lexicon with the entries of both, in which those of `other` take precedence."""
        return Lexicon((*other.entries, *self.entries), len(other))

    @cached_property
    def forms(self) -> Mapping[str, tuple[Form, ...]]:
        """Form → the standard words that it may stand for, likeliest first.

        Meanings that take precedence (see `join`) come first, then meanings for which the form is not ambiguous. Of the
        rest, a meaning comes earlier if more dialects have it, or else if its entry stands earlier in the lexicon.
        """
        found: dict[str, dict[str, Form]] = {}
        first = {(fold(text), entry.standard) for entry in self.entries[: self._first] for _, text, _ in entry.forms}
        for entry in self.entries:
            for label, text, ambiguous in entry.forms:
                if label in ("pl", ALONE) or (fold(text) in self.headwords and not ambiguous):
                    continue  # left out: forms in `plurals` and `alone`, and standard words, which mean themselves
                known = found.setdefault(fold(text), {})
                before = known.get(entry.standard)
                labels = (*before.labels, label) if before else (label,)
                known[entry.standard] = Form(entry.standard, labels, ambiguous or bool(before and before.ambiguous))

        def order(key: str, form: Form) -> tuple[bool, bool, int]:
            return (key, form.standard) not in first, form.ambiguous, -len({*DIALECTS} & {*form.labels})

        return {key: tuple(sorted(forms.values(), key=partial(order, key))) for key, forms in found.items()}

    @cached_property
    def headwords(self) -> frozenset[str]:
        """The lexicon's standard words, folded."""
        return frozenset(fold(entry.standard) for entry in self.entries)

    @cached_property
    def standard(self) -> frozenset[str]:
        """The lexicon's standard words and their plurals, folded."""
        plurals = (text for entry in self.entries for label, text, _ in entry.forms if label == "pl")
        return self.headwords | frozenset(map(fold, plurals))

    @cached_property
    def plurals(self) -> Mapping[str, str]:
        """Standard word → its first plural."""
        return {
            entry.standard: text
            for entry in reversed(self.entries)
            for label, text, _ in reversed(entry.forms)
            if label == "pl"
        }

    @cached_property
    def alone(self) -> Mapping[str, str]:
        """Word (folded) → what to search in its place if it is the whole query, because alone it says too little."""
        return {
            fold(entry.standard): text
            for entry in reversed(self.entries)
            for label, text, _ in entry.forms
            if label == ALONE
        }

    @cached_property
    def longest(self) -> int:
        """The number of words in the longest form."""
        return max((key.count(" ") + 1 for key in self.forms), default=1)

    def find(self, text: str) -> tuple[Form, ...]:
        """Return the standard words that a form may stand for; empty if the form is unknown."""
        return self.forms.get(fold(text), ())


def parse_lexicon(text: str, name: str = "lexicon") -> Lexicon:
    """Parse the text of a lexicon.

    Args:
        name: the file's name, for messages.

    Raises:
        InputError: a line is no entry or too long, or there are too many; the message says where and what is wrong.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    if len(lines) > MAX_LINES:
        raise InputError(f"{name} has {len(lines):,} lines, the most is {MAX_LINES:,}. Split it, or leave words out.")
    entries = []
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LETTERS:
            raise InputError(f"{name}, line {number}: {len(line):,} letters, the most is {MAX_LETTERS:,}.")
        if line.strip() and not line.lstrip().startswith("#"):
            entries.append(_parse_entry(line, f"{name}, line {number}"))
    return Lexicon(entries)


def _parse_entry(line: str, where: str) -> Entry:
    """Parse a line of a lexicon; raise InputError, with the place `where`, if the line is no entry."""
    fields = [field.strip() for field in _SEMICOLON.split(line)]
    standard = _check_word(fields[0], where)
    english, forms = "", []
    for place, field in enumerate(fields[1:]):
        label, colon, listed = (part.strip() for part in field.partition(":"))
        if not colon:
            if place:
                raise InputError(
                    f"{where}: «{field:.60}» has no label. Write forms as LABEL: form, form ({_list_labels()})."
                )
            english = normalize(field)
        elif label not in LABELS:
            raise InputError(f"{where}: no label «{label:.60}». Choose among {_list_labels()}.")
        else:
            for form in _COMMA.split(listed):
                ambiguous = form.strip().endswith(("?", "؟"))
                forms.append((label, _check_word(form.strip().rstrip("?؟"), where), ambiguous))
    if not forms and not english:
        raise InputError(f"{where}: «{standard}» stands alone. Add forms: {standard}; eg: …; sy: …")
    return Entry(standard, english, tuple(forms))


def _check_word(text: str, where: str) -> str:
    """Normalise a word of a lexicon; raise InputError if it is empty or has more than MAX_WORDS words."""
    word = normalize(text)
    if not word:
        raise InputError(f"{where}: an empty word. Write the standard word first, and a word between two commas.")
    if word.count(" ") >= MAX_WORDS:
        raise InputError(f"{where}: «{word:.60}» has more than {MAX_WORDS} words.")
    return word


def _list_labels() -> str:
    return ", ".join(f"{label} {meaning}" for label, meaning in LABELS.items())
