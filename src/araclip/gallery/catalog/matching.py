"""Compare a picture's camera, lens, place, file name and position with the values that filters ask for."""

import fnmatch
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from araclip.gallery.catalog.records import STORED_PREFIX, read_metadata
from araclip.pictures.metadata import date_in_name
from araclip.pictures.video.scenes import file_of
from araclip.text.folding import fold
from araclip.text.places import distance, place_tokens, wanted_tokens
from araclip.text.words import words

MAX_ENTRY = 2600  # limit: bytes of a text in a GIN index, which takes no entry of more than 2,712 bytes
_GLOB = re.compile(r"[*?\[]")


@lru_cache(1 << 12)
def tokens(text: str) -> frozenset[str]:
    """Return a text's words, folded, with letters split from digits: EF50mm f/1.8 → ef 50 mm f 1 8."""
    return frozenset(word.folded for word in words(text))


def name_tokens(name: str) -> frozenset[str]:
    """Return the words of a file's name, and also the parts of words in CamelCase."""
    return tokens(name) | {word.folded for word in words(name, names=True)}


def has_words(text: str | None, wanted: str) -> bool:
    """True if a text has every word of `wanted`, in any order, case and spelling; False if the text is None."""
    return text is not None and tokens(wanted) <= tokens(text)


def at_place(text: str | None, named: str) -> bool:
    """True if a place has the name `named`, in any language and spelling; False if the place is None."""
    return text is not None and any(each <= place_tokens(text) for each in wanted_tokens(named))


def is_glob(pattern: str) -> bool:
    """True if a pattern for file names is a glob (with *, ? or […]) and not a list of words."""
    return _GLOB.search(pattern) is not None


def name_matches(name: str, pattern: str) -> bool:
    """True if a file's name has all words of a pattern, or matches a glob (with or without its suffix)."""
    if not is_glob(pattern):
        return tokens(pattern) <= name_tokens(name)
    expression = _glob_expression(pattern)
    return any(expression.match(fold(each)) for each in (name, PurePath(name).stem))


@lru_cache(64)
def _glob_expression(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(fold(pattern)))


def name_at(path: str, metadata: Any) -> str:
    """Return the name of the file at a path; for a picture without a file, the name with which it was uploaded."""
    if not path.startswith(STORED_PREFIX):
        return PurePath(file_of(path)).name
    return str((metadata.get("name") if isinstance(metadata, dict) else None) or "")


def date_in_names(files: Iterable[tuple[str, Mapping[str, Any]]]) -> str | None:
    """Return the first date in the names of a picture's files; None if no name has a date.

    `files` has the path and the metadata of each file; metadata may hold another name.
    """
    return next(filter(None, (date_in_name(name_at(path, about)) for path, about in files)), None)


def metadata_text(value: object) -> str:
    """Write a value of metadata as a text to compare, in SQLite's way: 1.0, 1.0e+20, true."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, float):
        return str(value)
    mantissa, exponent, power = f"{value + 0.0:.15g}".partition("e")  # + 0.0 turns -0.0 into 0.0
    return (mantissa if "." in mantissa else f"{mantissa}.0") + exponent + power


def metadata_texts(value: Any) -> list[str]:
    """Return the texts in a value of metadata, of which a filter need match only one.

    A list gives one text for each member; any other value gives one text.
    """
    return [metadata_text(member) for member in (value if isinstance(value, list | tuple) else [value])]


def marks_of(metadata: Mapping[str, Any]) -> list[str]:
    """Convert metadata to texts that filters match: each key with its value, or with each member of its list."""
    return [mark(key, text) for key, value in metadata.items() for text in metadata_texts(value)]


def mark(key: str, text: str) -> str:
    """Join a key and a value of metadata into one text, in which filters look for both together."""
    return json.dumps([key, text], ensure_ascii=False)


def pg_text(text: str) -> str:
    """Return a text that PostgreSQL can store: without NUL, and with "?" for bytes that are no valid text."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def pg_entry(text: str) -> str:
    """Return the form in which a GIN index holds a word or an entry of metadata.

    The form is the text as PostgreSQL can store it (see `pg_text`) or, if that is too long for the index, its SHA-256.
    """
    entry = pg_text(text)
    raw = entry.encode()
    return entry if len(raw) <= MAX_ENTRY else hashlib.sha256(raw).hexdigest()


def _has_metadata(metadata: str, key: str, wanted: str) -> bool:
    about = read_metadata(metadata)
    return key in about and wanted in metadata_texts(about[key])


def _name_matches(raw: bytes, metadata: str, pattern: str) -> bool:
    path = os.fsdecode(raw)
    about = read_metadata(metadata) if path.startswith(STORED_PREFIX) else {}
    return name_matches(name_at(path, about), pattern)


# Python functions that SQL conditions call: name in SQL, function, number of arguments.
SQL_FUNCTIONS: tuple[tuple[str, Callable[..., Any], int], ...] = (
    ("has_words", has_words, 2),
    ("at_place", at_place, 2),
    ("name_matches", _name_matches, 3),
    ("has_metadata", _has_metadata, 3),
    ("metres_between", distance, 4),
)
