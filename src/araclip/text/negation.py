"""What a query excludes in words: «ثلج بدون كلاب», «شاطئ من غير ناس», "street without cars". Pure."""

import re
from dataclasses import dataclass

from araclip.text.folding import fold
from araclip.text.normalization import normalize
from araclip.text.script import words

# «ليس معه كلب», «ما بها ناس», «لا يوجد عليها أحد»: what is said not to be there, and where.
_NOT_THERE = ("ليس", "ليست", "ليس هناك", "ما", "مش", "مو", "لا يوجد", "لا توجد", "مفيش", "مافيش", "ماكو", "ماكاينش")
_THERE = ("في", "فيه", "فيها", "فيهم", "فيو", "فيا", "به", "بها", "بيه", "بيها", "معه", "معها", "معهم", "معاه", "معاها",
          "عليه", "عليها", "لديه", "لديها", "عنده", "عندها")  # fmt: skip
_WITHOUT = tuple(
    sorted(
        {
            tuple(fold(phrase).split())
            for phrase in (
                "بدون", "من دون", "دون", "بلا", "من غير", "بغير", "ما عدا", "ماعدا", "باستثناء", "بلاش",
                "خالي من", "خالية من", "خال من", "فاضي من", "فاضية من",
                "مفيهاش", "مفيهوش", "ما فيهاش", "ما فيهوش", "مافيه", "مافيها", "مافيو", "مافي", "مفيش",
                "مافيش", "ما فيش", "ما فيش فيه", "ما فيش فيها", "مافيهوش", "مافيهاش", "مافيهش", "ما فيهش",
                "ماكو", "بدن", "ماكاينش", "ما كاينش", "ماكاين", "ما كاين", "مابيه", "مابيها", "وليس", "وليست", "ومش",
                "ومو", "ليس هناك", "لا يوجد", "لا توجد",
                "bala", "bila", "without", "except", "with no", "but no", "and no", "but not", "and not", "excluding",
                "free of",
                *(f"{negation} {there}" for negation in _NOT_THERE for there in _THERE),
                *(f"{without} {that}" for without in ("بدون", "من غير", "من دون", "بلا") for that in (
                    "ما فيه", "ما فيها", "ما يكون فيه", "ما يكون فيها", "ما يكون في", "ما تكون فيها")),
                *(f"{of} {other}" for of in ("men", "min", "mn") for other in (
                    "8eir", "8er", "8air", "gheir", "gher", "ghair", "gheyr", "ghir", "8ir")),
            )
        },
        key=len,
        reverse=True,
    )
)  # fmt: skip
_BY_FIRST = {phrase[0]: tuple(each for each in _WITHOUT if each[0] == phrase[0]) for phrase in _WITHOUT}
_AT_ALL = frozenset(map(fold, ("خالص", "أبدا", "نهائيا", "بالمرة", "بتاتا", "إطلاقا", "كليا")))  # say nothing more
_BIDOUN = re.compile("b[aeiou]?d(?:o|u|ou|oo)n")  # بدون in Latin letters
NEGATIONS = frozenset(map(fold, ("مش", "مو", "مب", "غير", "ليس", "ليست", "ماشي", "لا", "not", "no", "mish", "msh")))
# Where an excluded thing ends: «بدون سيارات في الشارع» excludes cars, and is in the street.
_ENDS = frozenset(
    map(
        fold,
        (
            "في", "على", "من", "مع", "إلى", "عن", "تحت", "فوق", "أمام", "قدام", "خلف", "ورا", "بجانب", "جنب", "بين",
            "حول", "عند",
            "داخل", "خارج", "عبر", "وهو", "وهي", "الذي", "اللي", "in", "on", "at", "with", "near", "under", "over",
            "by", "from",
            "is", "are", "who", "that", "while", "behind", "between", "through", "along",
        ),
    )
)  # fmt: skip
MAX_THING = 3  # words of an excluded thing
# «رجل بلا قميص» is how a man looks; what he lacks is no thing beside him.
_WORN = frozenset(
    map(
        fold,
        (
            "قميص", "قمصان", "ملابس", "هدوم", "ثياب", "حذاء", "أحذية", "جزمة", "خوذة", "خوذات", "قبعة", "شعر",
            "أكمام", "نظارات",
            "نظارة", "بنطال", "جوارب", "لحية", "shirt", "shirts", "clothes", "shoes", "helmet", "helmets", "hat",
            "sleeves", "hair",
        ),
    )
)  # fmt: skip
_PLACE = re.compile("(?:بال|فال).{3}")  # بالشارع, فالبحر: where it is
_AND = frozenset(map(fold, ("و", "أو", "ولا", "and", "or", "nor", "w", "wala")))
_WEARING = frozenset(map(fold, ("لابس", "لابسة", "لابسين", "مرتدي", "مرتدية", "wearing")))
# Things and qualities that begin as verbs of the present tense do in Egypt and the Levant.
_THINGS = frozenset(
    map(fold, ("بيضاء", "بيتزا", "بيوت", "بيانو", "بيجاما", "بيبسي", "بيكيني", "بيسبول", "بيرة", "بيئة"))
)
# What «لا» before it makes a sentence of, not a thing that is left out: لا تبتسم, لا ننام; and a number: house no 5.
_NO_THING = re.compile(r"[تنا]...|\d")
_NO = frozenset(map(fold, ("لا", "no")))
_WHAT_IS_IN = tuple(fold("ما في").split())  # «ما في الصورة» asks what is in it, «ما في ناس» says who is not
# «بلا» and «دون» are also within fixed phrases that exclude nothing visible.
_FIXED = frozenset(
    map(fold, ("بدون شك", "بلا شك", "بدون توقف", "من غير شك", "بلا توقف", "بدون عنوان", "without doubt"))
)


@dataclass(frozen=True)
class Split:
    """A text without what it excludes, and the excluded texts; `words` are the negations as typed."""

    text: str
    excluded: tuple[str, ...]
    negations: tuple[str, ...]


def _without_at(folded: list[str], at: int) -> tuple[str, ...] | None:
    """The longest of _WITHOUT that begins at a place, perhaps with و before it («ومفيش ناس»); None where none does."""
    word = folded[at]
    for first in (word, word.removeprefix("و")):
        for phrase in _BY_FIRST.get(first, ()):
            if tuple(folded[at + 1 : at + len(phrase)]) == phrase[1:]:
                return (word, *phrase[1:])
    return (word,) if _BIDOUN.fullmatch(word) else None


def split_exclusions(text: str) -> Split:
    """Separate what a text shows from what it excludes; a text that only excludes stays whole.

    After a word such as «بدون» all is excluded up to the next one; «و» between two excluded things separates them.
    «مش», «لا» and «غير» exclude the one word after them, where something stands before.
    """
    normal = normalize(text)
    found = list(words(normal))
    folded = [fold(match.group()) for match in found]
    kept, excluded, negations = [], [], []
    at, end = 0, 0
    while at < len(found):
        phrase = _without_at(folded, at)
        adjective = phrase is None and at and folded[at] in NEGATIONS and _is_thing(folded, at)
        if phrase is None and not adjective:
            at += 1
            continue
        first = at + (len(phrase) if phrase else 1)
        if phrase == _WHAT_IS_IN and first < len(found) and folded[first].startswith("ال"):
            at += 1
            continue
        if first >= len(found) or " ".join(folded[at : first + 1]) in _FIXED:
            at += 1
            continue
        if phrase and folded[first].removeprefix("ال") in _WORN:
            at = first + 1
            continue
        last = first + 1 if adjective else _end_of_things(folded, first)
        kept.append(normal[end : found[at].start()])
        negations.append(normal[found[at].start() : found[first - 1].end()])
        excluded += _things(normal, found[first:last])
        end = found[last - 1].end()
        at = last
    kept.append(normal[end:])
    left = " ".join(" ".join(kept).split())
    left = _trimmed(left)
    if not excluded or not any(True for _ in words(left)):
        return Split(text, (), ())
    return Split(left, tuple(excluded), tuple(negations))


def _end_of_things(folded: list[str], first: int) -> int:
    """Where the excluded things that begin at a word end: at a preposition, a verb or a negation, or after a few
    words."""
    width = 0
    for at in range(first, len(folded)):
        word = folded[at]
        joined = word[1:] if word.startswith("و") and len(word) > 4 else ""
        ends = word in _ENDS or _PLACE.match(word) or _is_verb(word) or _is_verb(joined)
        if at > first and (ends or _without_at(folded, at)):
            return at
        width = 0 if word in _AND else 1 if joined else width + 1
        if width > MAX_THING:
            return at
    return len(folded)


def _is_thing(folded: list[str], at: int) -> bool:
    """Whether what follows a negation at a place is a thing or a quality that can be left out, no verb."""
    following = folded[at + 1] if at + 1 < len(folded) else ""
    verb = _is_verb(following) or (following not in _THINGS and _is_verb(following.removeprefix("ب")))  # بيلعب
    if not following or verb or following in _WEARING:
        return False
    return folded[at] not in _NO or not _NO_THING.match(following)


def _is_verb(word: str) -> bool:
    """Whether a folded word looks like a verb of the present tense: few nouns begin with ي."""
    return len(word) > 3 and word[0] == "ي"


def _things(text: str, matches: list) -> list[str]:  # type: ignore[type-arg]
    """The excluded things: split at a lone و or "and", and at a و that begins a word after the first (كلاب وقطط)."""
    things: list[list[str]] = [[]]
    for match in matches:
        word = match.group()
        if fold(word) in _AND:
            things.append([])
        elif things[-1] and fold(word) in _AT_ALL:
            continue
        elif word.startswith("و") and len(word) > 4 and things[-1] and len(things[-1]) == 1:
            things.append([word[1:]])
        else:
            things[-1].append(word)
    return [" ".join(thing) for thing in things if thing]


def _trimmed(text: str) -> str:
    """Without an "and", a comma or a lone letter left at either end."""
    parts = text.strip(" ،,.;؛").split()
    while parts and fold(parts[-1]) in _AND:
        parts.pop()
    while parts and fold(parts[0]) in _AND:
        parts.pop(0)
    return " ".join(parts)
