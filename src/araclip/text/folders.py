"""Finds the folder that a query names: «في مجلد الإجازة» (in folder Holiday), "beach in folder Dahab 2019". Pure."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache

from araclip.text.folding import folded_words
from araclip.text.word_lists import read_folded

_FOLDER = read_folded("folders: words")
_LEADING = read_folded("folders: before")
# Without a word for "folder" before it, a folder's name counts only if it has at least MIN_NAME letters, and MIN_WORDS
# words or a digit: so «قطط», cats, shows cats even if a folder has this name.
MIN_NAME = 4
MIN_WORDS = 2
MAX_WORDS = 6  # a folder's name is looked for in at most so many words of a query; longer names are never found


@dataclass(frozen=True)
class Placed:
    """A text without the folder (or the place) that it names.

    `words` are the removed words. `folders` are the folder's names in the gallery, several if they are spelled nearly
    alike (الإجازة, الاجازة), or the one text that names the place; empty if the text names none. If the text excludes
    a place («ليست في القاهرة», not in Cairo), `folders` is empty, and `words` is the place's name, which stays in the
    text.
    """

    text: str
    words: str = ""
    folders: tuple[str, ...] = ()


def split_folder(text: str, folders: Callable[[bool], Collection[str]]) -> Placed:
    """Separate the folder that a text names from the rest.

    After a word for "folder" any folder's name is found, elsewhere only a name of several words or with a digit.

    Args:
        folders: returns the names of the gallery's folders; its argument is true if the text has a word for "folder".
    """
    found = folded_words(text)
    folded, count = found.folded, len(found.folded)
    explicit = [at for at, word in enumerate(folded) if word in _FOLDER]
    if not explicit and count < MIN_WORDS and not any(letter.isdigit() for letter in found.normal):
        return Placed(text)
    names: dict[str, list[str]] = {}
    for name in folders(bool(explicit)):
        if key := _folded_name(name):
            names.setdefault(key, []).append(name)
    if not names:
        return Placed(text)
    for at in range(count):
        after_folder_word = at > 0 and at - 1 in explicit
        for width in range(min(MAX_WORDS, count - at), 0, -1):
            key = " ".join(folded[at : at + width])
            same = names.get(key)
            if same is None or not (after_folder_word or _is_distinctive(key, width)):
                continue
            first = at - 1 if after_folder_word else at
            while first > 0 and folded[first - 1] in _LEADING:
                first -= 1
            end = at + width
            return Placed(found.without(first, end), found.part(first, end), tuple(same))
    return Placed(text)


def _is_distinctive(key: str, width: int) -> bool:
    return (width >= MIN_WORDS and len(key) >= MIN_NAME) or (
        len(key) >= MIN_NAME and any(c.isdigit() for c in key) and not key.isdigit()
    )


@lru_cache(maxsize=1 << 14)  # cached: each query is compared with the names of all folders
def _folded_name(name: str) -> str:
    return " ".join(folded_words(name[:200]).folded)
