"""Numbers and years in words: «ألفين وعشرين», «ألفين وتسعتاشر», «عشرين عشرين», «ألف وتسعمية وتسعين». Pure."""

from collections.abc import Sequence

from araclip.text.folding import fold

Found = tuple[int, int]  # number of words, number


def _numbered(first: int, step: int, *words: str) -> dict[str, int]:
    return {fold(word): first + step * place for place, several in enumerate(words) for word in several.split("|")}


UNITS = _numbered(
    1, 1, "واحد|واحدة", "اثنين|اثنان|اتنين|إثنين", "ثلاثة|ثلاث|تلاتة|تلات|تلت", "أربعة|أربع|اربعة", "خمسة|خمس",
    "ستة|ست", "سبعة|سبع", "ثمانية|ثماني|ثمان|تمانية|تمنية|تمن", "تسعة|تسع", "عشرة|عشر",
)  # fmt: skip
_TEENS = _numbered(
    11, 1, "حداشر|حدعش|احدعش|أحد عشر|إحدى عشرة|إحداش", "اتناشر|اطناشر|اثنعش|طناش|اثني عشر|اثنا عشر",
    "تلتاشر|تلتعش|ثلطعش|ثلاثة عشر|تلطاش", "أربعتاشر|أربعتعش|أربعطعش|أربعة عشر|ربعطاش",
    "خمستاشر|خمستعش|خمسطعش|خمسة عشر|خمسطاش", "ستاشر|ستعش|سطعش|ستة عشر|سطاش", "سبعتاشر|سبعتعش|سبعطعش|سبعة عشر|سبعطاش",
    "تمنتاشر|تمنتعش|ثمنطعش|ثمانية عشر|تمنطاش", "تسعتاشر|تسعتعش|تسعطعش|تسعة عشر|تسعطاش",
)  # fmt: skip
_TENS = _numbered(20, 10, "عشرين|عشرون", "ثلاثين|تلاتين", "أربعين", "خمسين", "ستين", "سبعين", "ثمانين|تمانين", "تسعين")
_TWO_THOUSAND, _TWENTY = fold("ألفين"), fold("عشرين")
_THOUSAND, _NINE_HUNDRED = fold("ألف"), frozenset(map(fold, ("تسعمائة", "تسعمئة", "تسعمية", "تسعميه")))


def number(folded: Sequence[str], at: int) -> Found | None:
    """The number from 1 to 99 that folded words name at a place; None where they name none."""
    if at >= len(folded):
        return None
    word, following = folded[at], folded[at + 1] if at + 1 < len(folded) else ""
    if (pair := f"{word} {following}") in _TEENS:
        return 2, _TEENS[pair]
    tens = _TENS.get(_after_and(following) or "", 0)
    if word in UNITS and UNITS[word] < 10 and tens:  # خمسة وعشرين
        return 2, UNITS[word] + tens
    value = _TEENS.get(word) or _TENS.get(word) or UNITS.get(word)
    return (1, value) if value else None


def year(folded: Sequence[str], at: int, told: bool) -> Found | None:
    """The year that folded words name at a place, 1900 to 2099; None where they name none.

    Args:
        told: a word for "year" stands before it, so that «ألفين» alone is one.
    """
    word = folded[at] if at < len(folded) else ""
    if word == _TWO_THOUSAND:
        if rest := _and_number(folded, at + 1):
            return 1 + rest[0], 2000 + rest[1]
        return (1, 2000) if told else None
    if word == _TWENTY and (rest := number(folded, at + 1)) and rest[1] > 9:  # twenty twenty
        return 1 + rest[0], 2000 + rest[1]
    if word == _THOUSAND and at + 1 < len(folded) and _after_and(folded[at + 1]) in _NINE_HUNDRED:
        rest = _and_number(folded, at + 2) or (0, 0)
        return 2 + rest[0], 1900 + rest[1]
    return None


def _and_number(folded: Sequence[str], at: int) -> Found | None:
    """The number after an "and" that is written together with it (وعشرين) or apart."""
    if at < len(folded) and folded[at] == "و":
        found = number(folded, at + 1)
        return (found[0] + 1, found[1]) if found else None
    bare = _after_and(folded[at]) if at < len(folded) else None
    return number([*folded[:at], bare, *folded[at + 1 :]], at) if bare else None


def _after_and(word: str) -> str | None:
    return word[1:] if word.startswith("و") and len(word) > 2 else None
