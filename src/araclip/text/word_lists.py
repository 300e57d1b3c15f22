"""Loads text/data/grammar.txt, the lists of words by which queries are understood (negations, months, numbers).

A section begins with its name in brackets. Commas separate its entries, whose order may matter. Bars separate the forms
of one entry (يناير|كانون الثاني|january); an entry of a mapping is KEY=VALUE. docs/understanding.md describes the
format for contributors.
"""

import re
from functools import cache
from importlib.resources import files

from araclip.text.folding import fold

Phrase = tuple[str, ...]  # the words of a phrase, folded


@cache
def _sections() -> dict[str, tuple[str, ...]]:
    text = files("araclip.text").joinpath("data", "grammar.txt").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if named := re.fullmatch(r"\[(.+)\]", line.strip()):
            entries = found.setdefault(named[1], [])
        elif line.strip() and not line.startswith("#"):
            entries += [entry.strip() for entry in re.split("[,،]", line) if entry.strip()]
    return {name: tuple(entries) for name, entries in found.items()}


def read_entries(name: str) -> tuple[str, ...]:
    """Return the entries of a section of grammar.txt as written, in order."""
    return _sections()[name]


def read_folded(name: str) -> frozenset[str]:
    """Return the entries of a section of grammar.txt, folded."""
    return frozenset(map(fold, read_entries(name)))


def read_mapping(name: str) -> dict[str, str]:
    """Return the entries KEY=VALUE of a section of grammar.txt as a mapping."""
    return {key: value for key, _, value in (entry.partition("=") for entry in read_entries(name))}


def split_forms(entry: str) -> tuple[Phrase, ...]:
    """Return the forms of an entry, each as a tuple of words, folded."""
    return tuple(tuple(fold(form).split()) for form in entry.split("|"))


def read_phrases(name: str) -> frozenset[Phrase]:
    """Return all forms of all entries of a section, each as a tuple of folded words."""
    return frozenset(form for entry in read_entries(name) for form in split_forms(entry))


def read_numbered_forms(name: str) -> list[tuple[int, Phrase]]:
    """Read the section `name` of the word lists; return all forms of its entries with the entries' numbers, from 0."""
    return [(place, form) for place, entry in enumerate(read_entries(name)) for form in split_forms(entry)]
