"""Knows words that only ask for pictures («كل الصور», all pictures), words for qualities, and general words.

A general word (people) stands for its kinds (man, woman). This module also finds words that ask for videos, or
for the newest or oldest pictures («أحدث الصور», the newest pictures). Pure.

A text tower places a general word («ناس», people) near pictures of crowds, not near a picture of one man. So if a query
excludes such a word and says nothing of what to show, the word's kinds (man, woman, child …) are excluded as well.
Animals were tried and left out: «حيوانات» already finds them, and their kinds exclude too much.
"""

import unicodedata
from collections.abc import Collection, Sequence

from araclip.text.folding import fold, folded_words
from araclip.text.word_lists import Phrase, read_entries, read_folded, read_phrases

PICTURE_WORDS = read_folded("pictures: asking")


def shows_nothing(text: str) -> bool:
    """True if a text says nothing that a picture could show: «كل الصور» (all pictures), or no word and no emoji."""
    if any(unicodedata.category(letter) == "So" for letter in text):
        return False
    return all(word in PICTURE_WORDS for word in folded_words(text).folded)


_ASKING = PICTURE_WORDS | read_folded("dialects: asking")
_VIDEOS = read_phrases("pictures: videos")
_ABOUT, _NOUNS = read_folded("pictures: about"), read_folded("pictures: nouns")
_ORDERS = {"date": read_phrases("pictures: newest"), "oldest": read_phrases("pictures: oldest")}
_NO_VIDEOS_BEFORE = read_folded("pictures: no videos before")
_NO_VIDEOS_AFTER = read_folded("pictures: no videos after")
# Words that may follow "pictures" if a query asks for pictures; another English word makes a noun, as "picture frame".
_AFTER_A_NOUN = _ABOUT | {"in", "from", "at", "on", "i", "we"}
_AND = "و"


def split_videos(text: str) -> tuple[str, str]:
    """Take the word for videos out of a text that asks for videos: return (rest, removed words), or (text, "").

    The word stands before what the videos show («فيديوهات البحر», videos of the sea); in English it may also be the
    last ("cat videos").
    """
    found = folded_words(text)
    folds = found.folded
    at = next((at for at, word in enumerate(folds) if word not in _ASKING), len(folds))
    width = _width_of_phrase(folds, at, _VIDEOS)
    if not width and len(folds) > 1 and folds[-1] == "videos" and folds[-2] not in {"and", *_NO_VIDEOS_AFTER}:
        at, width = len(folds) - 1, 1
    after = folds[at + width] if at + width < len(folds) else ""
    other = after.removeprefix(_AND) in _NOUNS or after == "and"  # «فيديوهات وصور», videos and photos, asks for both
    if not width or other or after in _NO_VIDEOS_BEFORE:
        return text, ""
    end = at + width + (after in _ABOUT)
    return found.without(at, end), found.part(at, at + width)


def split_order(text: str) -> tuple[str, str, str]:
    """Take a word for "newest" or "oldest" («أحدث», «أقدم») out of a text, if it stands beside a word for pictures.

    Return (rest, removed words, order), where the order is "date" (newest first) or "oldest". Without such a word,
    return (text, "", "").
    """
    found = folded_words(text)
    folds = found.folded
    for at in range(len(folds)):
        for order, known in _ORDERS.items():
            width = _width_of_phrase(folds, at, known)
            end = at + width
            if width and end + 1 < len(folds) and folds[end].isdigit() and len(folds[end]) < len("2019"):
                end += 1  # «آخر 10 صور», the last 10 photos
            # «الصور الأحدث», the newest pictures; but «صور أحدث سيارة» is "pictures of the newest car"
            after = at > 0 and folds[at - 1] in _NOUNS and folds[at].startswith("ال")
            following = folds[end + 1] if end + 1 < len(folds) else ""
            whole = not following.isascii() or not following or following in _AFTER_A_NOUN
            if width and (after or (end < len(folds) and folds[end] in _NOUNS and whole)):
                return found.without(at, end), found.part(at, end), order
    return text, "", ""


def _width_of_phrase(folds: Sequence[str], at: int, known: Collection[Phrase]) -> int:
    """Return the number of words, at most two, in the longest known phrase at index `at`; 0 if there is none."""
    return next((len(name) for width in (2, 1) if (name := tuple(folds[at : at + width])) in known), 0)


_QUALITIES = read_folded("qualities")


def is_quality(text: str) -> bool:
    """True if a text has only qualities (colour, material, size) and names no thing."""
    folds = folded_words(text).folded
    return bool(folds) and all(word.removeprefix(_ARTICLE) in _QUALITIES for word in folds)


_PEOPLE = read_entries("kinds: people")
_NAMES_OF_PEOPLE = read_entries("kinds: words for people")
_KINDS = {fold(name): _PEOPLE for name in _NAMES_OF_PEOPLE}
_ARTICLE = fold("ال")


def kinds_of_thing(word: str) -> tuple[str, ...]:
    """Return the things that a general word stands for, as man and woman for people; empty for any other word.

    Each thing is a text that can be encoded.
    """
    folded_word = fold(word).strip()
    return _KINDS.get(folded_word, ()) or _KINDS.get(folded_word.removeprefix(_ARTICLE), ())
