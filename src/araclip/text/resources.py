"""Load the word lists that the modules of `araclip.text` need.

They are the package's own lexicon, names and word counts, the English words of the package SymSpell, and a user's own
lexicon.
"""

import os
from functools import cache
from importlib.resources import files
from pathlib import Path

from araclip.core.paths import is_there
from araclip.errors import InputError
from araclip.text.calendar_words import FEASTS, GREGORIAN_FEASTS, HIJRI_MONTHS, MONTHS
from araclip.text.interpretation import Interpreter
from araclip.text.lexicon import Lexicon, parse_lexicon
from araclip.text.vocabulary import Vocabulary
from araclip.text.word_lists import read_entries

VARIABLE = "ARACLIP_LEXICON"
MAX_BYTES = 4_000_000  # limit of the size of a user's lexicon, in bytes
ENGLISH = 30_000  # how many of the most common words count as English; rarer words are more often Arabizi or names


def read_lexicon(path: str | os.PathLike[str]) -> Lexicon:
    """Read a user's lexicon file.

    Raises:
        InputError: the file cannot be read, is too large, is not UTF-8, or has a wrong line, which is named.
    """
    place = Path(path)
    try:
        if not place.is_file():
            raise InputError(f"{place}: no lexicon file. Check the path; docs/understanding.md describes the format.")
        if (size := place.stat().st_size) > MAX_BYTES:
            raise InputError(f"{place}: {size:,} bytes, a lexicon has at most {MAX_BYTES:,}. Split it.")
        data = place.read_bytes()
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error.strerror}). Check its permissions.") from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{place}, line {line}: not UTF-8. Save the file as UTF-8.") from error
    return parse_lexicon(text, str(place))


@cache
def default_interpreter() -> Interpreter:
    """Return the interpreter with the package's own words; it is made once, in about 0.1 s."""
    return Interpreter(_lexicon(), _vocabulary(), _english_words, _names())


def interpreter(lexicon: str | os.PathLike[str] | None = None, home: Path | None = None) -> Interpreter:
    """Return an interpreter with the package's words and the user's.

    The user's words come from the file `lexicon`, or else from $ARACLIP_LEXICON, or else from `lexicon.txt` in `home`.

    Raises:
        InputError: as for `read_lexicon`.
    """
    named = lexicon or os.environ.get(VARIABLE)
    if not named and home is not None and is_there(home / "lexicon.txt"):
        named = home / "lexicon.txt"
    return default_interpreter().extended(lexicon=read_lexicon(named)) if named else default_interpreter()


@cache
def _lexicon() -> Lexicon:
    return parse_lexicon(_read_data("lexicon.txt"), "lexicon.txt")


def _vocabulary() -> Vocabulary:
    pairs = (line.split() for line in _read_data("words.txt").splitlines() if not line.startswith("#"))
    return Vocabulary({word: int(count) for word, count in pairs})


def _names() -> frozenset[str]:
    """Return the names and everyday words of names.txt and place_names.txt, and the names of months and feasts.

    Names from the two files are as written; names of months and feasts are folded. In a
    line of a file, commas separate the names, or spaces if there is no comma.
    """
    written = _read_data("names.txt") + _read_data("place_names.txt")
    lines = (line for line in written.splitlines() if not line.startswith("#"))
    named = (name.strip() for line in lines for name in line.split("،" if "،" in line else None))
    calendar = (word for name in (*MONTHS, *HIJRI_MONTHS, *FEASTS, *GREGORIAN_FEASTS) for word in name)
    return frozenset((*named, *calendar))


@cache
def _english_words() -> frozenset[str]:
    """Return the words that count as English, in lower case.

    They are the ENGLISH most common words in SymSpell's list, the words of the lexicon's English translations, and the
    section "arabizi: English words" of grammar.txt.
    """
    listed = files("symspellpy").joinpath("frequency_dictionary_en_82_765.txt").read_text(encoding="utf-8-sig")
    common = (line.split(" ", 1)[0] for line in listed.splitlines()[:ENGLISH])
    glosses = (word for entry in _lexicon().entries for word in entry.english.split())
    return frozenset((*common, *glosses, *read_entries("arabizi: English words")))


def _read_data(name: str) -> str:
    return files("araclip.text").joinpath("data", name).read_text(encoding="utf-8")
