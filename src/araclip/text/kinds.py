"""What a general word stands for in pictures: «ناس» (people) are men, women, children, athletes. Pure.

A text tower places a general word near pictures of crowds, not near one of a man. Where a query excludes such a word,
what it stands for is looked at as well. Measured by benchmarks/exclusion.py: for people it helps much. Animals were
tried and left out: «حيوانات» already finds them, and their kinds exclude too much.
"""

from araclip.text.folding import fold

_PEOPLE = (
    "رجل", "امرأة", "ولد", "بنت", "طفل", "أشخاص", "شاب", "فتاة", "رجال", "نساء", "أطفال", "رياضي", "لاعب",
)  # fmt: skip
_NAMES_OF_PEOPLE = (
    "ناس", "أناس", "أشخاص", "شخص", "أي شخص", "أي أحد", "أي حد", "أي حدا", "حتى واحد", "بشر", "أحد", "حد", "حدا", "نفر",
    "أوادم", "بنادم", "بني آدم", "people",
    "persons", "person", "humans", "anyone", "anybody", "one", "nas",
)  # fmt: skip
_KINDS = {fold(name): _PEOPLE for name in _NAMES_OF_PEOPLE}
_ARTICLE = fold("ال")


def kinds_of(word: str) -> tuple[str, ...]:
    """The things that a general word stands for, as texts to encode; empty for any other word."""
    folded = fold(word).strip()
    return _KINDS.get(folded, ()) or _KINDS.get(folded.removeprefix(_ARTICLE), ())
