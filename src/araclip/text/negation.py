"""Finds what a query excludes: «ثلج بدون كلاب» (snow without dogs), "street without cars". Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from araclip.text.folding import FoldedWords, fold, folded_words
from araclip.text.picture_words import PICTURE_WORDS, shows_nothing
from araclip.text.word_lists import read_entries, read_folded, read_mapping, read_phrases

# First words of phrases that say that something is not there: «ليس معه كلب», no dog is with him.
_NOT_THERE = read_entries("negation: not there")
_THERE = read_entries("negation: there")
# Words for "there" or "in it" after "nobody". في is left out, because after "nobody" it means "in", as in
# «محدش في الشارع» (nobody in the street).
_IN_IT = read_folded("negation: there") - {fold("في")}
_WITHOUT = tuple(
    sorted(
        {
            tuple(fold(phrase).split())
            for phrase in (
                *read_entries("negation: without"),
                *(f"{everything} {but}" for everything in read_entries("negation: everything") for but in (
                    "but", *read_entries("negation: except"))),
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
# a word for "nobody" → "people"
_NOBODY = {fold(word): thing for word, thing in read_mapping("negation: nobody").items()}
_NOBODY_BUT = read_folded("negation: nobody but")
# a word for "anybody", after a negation → "people"
_ANYBODY = {fold(word): thing for word, thing in read_mapping("negation: anybody").items()}
_AT_ALL = read_folded("negation: at all")  # words such as "at all", which add nothing
_LONGEST = len(_WITHOUT[0])
_BIDOUN = re.compile("b[aeiou]?d(?:o|u|ou|oo)n")  # بدون, "without", in Latin letters
NEGATIONS = read_folded("negation: not")
WALKING = fold("ماشي")  # «ماشي» means "not" in Morocco, and "walking" in the east
_MO = fold("مو")  # «مو» means "not" in the Levant and the Gulf, but is also a name: مو صلاح (Mo Salah)
# Words between a negation and the excluded thing, as in "not a cat", «ليس أي كلب» (not any dog).
_ARTICLES = read_folded("negation: articles")
_ONLY = read_folded("negation: only")  # words that make a "not" in front of them exclude nothing: "not only cats"
# Words that say how one walks, such as بسرعة (fast) and لوحده (alone): before them, «ماشي» means "walking", not "not".
_HOW_ONE_WALKS = read_folded("negation: walking")
_MANNER = re.compile("[بل]...")
# Words that end an excluded thing: «بدون سيارات في الشارع», without cars in the street, does not exclude the street.
_BUT = read_folded("negation: but")
ENDS = read_folded("negation: ends") | _BUT
_SPACED_STOP = re.compile(r"[\s,،;؛]+([,،;؛])")  # stops that are left when the thing between two commas was cut out
MAX_LIST = 16  # limit: words read to see if they are a list: a query has at most so many terms
MAX_THING = 3  # limit: words of an excluded thing
# Clothes and the like: «رجل بلا قميص», a man without a shirt, says how a man looks and excludes no thing.
_WORN = read_folded("negation: worn")
_PLACE = re.compile("(?:بال|فال).{3}")  # words that begin with "in the" and say where: بالشارع, فالبحر
_AND = read_folded("negation: and")
_NOR = read_folded("negation: nor")  # "nor", which excludes one more thing: «لا قطط ولا كلاب», no cats nor dogs
_WEARING, _ASKING = read_folded("negation: wearing"), read_folded("dialects: asking")
# Words for things and qualities that look like verbs of the present tense, which begin with ي or a dialect's بي.
_THINGS = read_folded("negation: things")
# Words that make a «لا» ("no") in front of them exclude no thing: verbs (لا ننام), a slogan (لا للحرب), house numbers.
_NO_THING = re.compile(r"[تنا]...|لل..|\d")
_NO = read_folded("negation: no")
# Words that make a "not" in front of them exclude nothing: "not far behind", "not yet". _BEFORE_VERB: words before a
# "not" that show that a verb follows it.
_HOW_FAR = read_folded("negation: not far")
_BEFORE_VERB = frozenset(read_entries("negation: before a verb"))
_SIGNS = frozenset(read_entries("negation: signs"))  # words for signs: "a no skiing sign" excludes nothing
_THAT = read_folded("negation: that")  # "that" before a verb: «دون أن يبتسم», without smiling, excludes no thing
# After _SOME, ما means "some", not "not": «شيء ما في فمه», something in his mouth. _NOTHING and _EXCEPT: "nothing
# except paint" shows the paint.
_SOME = read_folded("negation: some")
_NOTHING = read_folded("negation: nothing")
_EXCEPT = read_phrases("negation: except")
_EXCEPTING, _WHERE = {phrase[-1] for phrase in _EXCEPT} | {"but"}, read_folded("places: before")
# «غير» means "not", but after a word of _NONE_BUT "except": «لا أريد غير صور 2019», I want only pictures of 2019
_OTHER_THAN = fold("غير")
# Words that mean "only" with "except" after them: «لا أريد إلا صور 2019», I want only pictures of 2019.
_NONE_BUT = NEGATIONS | _NOTHING | {fold("ما")}
# _OUTSIDE: phrases that exclude a folder or a place after them; the words of _DENYING, below, exclude a date, too.
# Words of _BETWEEN, such as "in" and "pictures", may stand between the phrase and the date, folder or place.
_OUTSIDE, _BETWEEN = read_phrases("negation: outside"), read_folded("negation: before what it denies")
# Before a definite word, «ما في» asks (what is in …), as in «ما في الصورة»; else it excludes: «ما في ناس», no people.
_WHAT_IS_IN = tuple(fold("ما في").split())
_DENYING = {*_WITHOUT, *((word,) for word in (NEGATIONS | {fold("ولا"), "nor"}) - {WALKING})} - {_WHAT_IS_IN}
# Fixed phrases with «بلا» and «دون», "without", that exclude nothing visible, such as «بلا شك», "no doubt".
_FIXED = read_folded("negation: fixed phrases")


class KnownWords(Protocol):
    """What `split_exclusions` must know about words; an `Interpreter` provides it."""

    def is_name(self, word: str) -> bool:
        """True if a word is the name of a person or a place."""

    def phrase_width(self, typed: Sequence[str], at: int) -> int:
        """Return how many words the known phrase at word `at` has: 2 for «لقطة شاشة» (screenshot); else 1."""

    def begins_with_and(self, word: str) -> bool:
        """True if the و that a word begins with means "and", as in وقطط (and cats) and unlike in واقفة (standing)."""


@dataclass(frozen=True)
class Split:
    """What is left of a text without its exclusions (`text`), the excluded texts, and the negations as typed."""

    text: str
    excluded: tuple[str, ...]
    negations: tuple[str, ...]


def _find_without(folded: Sequence[str], at: int) -> tuple[str, ...] | None:
    """Return the longest phrase that means "without" (of _WITHOUT) at word `at`, perhaps after و (and); else None."""
    word = folded[at]
    beginning = (*_BY_FIRST.get(word, ()), *_BY_FIRST.get(word.removeprefix("و"), ()))
    found = (phrase for phrase in beginning if tuple(folded[at + 1 : at + len(phrase)]) == phrase[1:])
    if phrase := max(found, key=len, default=()):
        return (word, *phrase[1:])
    return (word,) if _BIDOUN.fullmatch(word) else None


def split_exclusions(text: str, known: KnownWords, *, beside: bool = False) -> Split:
    """Separate what a text shows from what it excludes.

    Phrases such as «بدون» (without) exclude the words after them, up to a preposition, a verb or the next negation; «و»
    (and) separates two excluded things. «مش», «لا» and «غير» (not) exclude the word or known phrase after them, if
    something stands before them or the text says nothing else; "not a" excludes a few words. If a text only excludes,
    as «صور بدون كلاب» (pictures without dogs), `text` is empty; with `beside`, words for pictures may be left in it.

    Args:
        beside: true if the query also has something else, such as a date, so that the text may begin with «لا».
    """
    found = _split_off_exclusions(text, known, beside)
    if not (beside or (found.excluded and not shows_nothing(found.text))):
        alone = _split_off_exclusions(text, known, True)
        walks = alone.negations[:1] and fold(alone.negations[0]) == WALKING
        whole = walks or not shows_nothing(alone.text)
        found = Split(text, (), ()) if whole else replace(alone, text="")
    return found if found.excluded else Split(text, (), ())


def _split_off_exclusions(text: str, known: KnownWords, beside: bool) -> Split:
    """Split a text into what it shows (perhaps nothing) and what it excludes; `beside` as in `split_exclusions`."""
    found = folded_words(text)
    normal, spans, folded = found.normal, found.spans, found.folded
    kept, excluded, negations = [], [], []
    # left_out: index of the word after an excluded thing, if a word such as «مش» (not) excluded it; else -1
    at, end, left_out = 0, 0, -1
    while at < len(folded):
        nobody = _NOBODY.get(folded[at].removeprefix("و"))
        if nobody and at + 1 < len(folded) and folded[at + 1] in _NOBODY_BUT:
            at += 2  # «محدش غير العروسة», nobody but the bride, shows the bride
            continue
        if nobody:
            kept.append(normal[end : spans[at][0]])
            negations.append(found.part(at, at + 1))
            excluded.append(nobody)
            # go on after the word for "nobody" and, if it follows, a word for "there" or "in it"
            at += 1 + (at + 1 < len(folded) and folded[at + 1] in _IN_IT)
            end, left_out = spans[at - 1][1], -1
            continue
        phrase = _find_without(folded, at)
        after = at + len(phrase or ())
        gap = normal[spans[after - 1][1] : spans[after][0] if after < len(folded) else None] if phrase else ""
        if not shows_nothing(gap):  # the excluded thing is an emoji, which is no word: «بدون 🐶»
            kept.append(normal[end : spans[at][0]])
            negations.append(found.part(at, after))
            excluded.append(gap.strip(" ،,.;؛"))
            at, end, left_out = after, spans[after - 1][1] + len(gap), -1
            continue
        may_begin = at or beside or _begins_surely(folded)
        thing = None if phrase or not may_begin else _thing_after(found, at, known, again=at == left_out)
        first = _skip_article(folded, at, phrase) if phrase else thing[0] if thing else len(folded)
        if first >= len(folded) or (phrase and _excludes_nothing(folded, at, phrase, first)):
            # Nothing is excluded here: go on behind the phrase. But if «غير» follows, go on with the last word of the
            # phrase, because it may begin another phrase: in «فاضي من غير كراسي» (empty, without chairs), «من» ends
            # the phrase «فاضي من» and begins «من غير» (without).
            at += max(len(phrase or ()) - (first < len(folded) and folded[first] == _OTHER_THAN), 1)
            continue
        if phrase and folded[first].removeprefix("ال") in _WORN:
            at = first + 1
            continue
        # the fast test with `all` comes first, since `shows_nothing` must fold the whole text before the exclusion
        alone = all(word in PICTURE_WORDS for word in folded[:at]) and shows_nothing(normal[: spans[at][0]])
        last = thing[1] if thing else _end_of_things(found, first, known, alone=alone)
        kept.append(normal[end : spans[at][0]])
        negations.append(found.part(at, first))
        excluded += _split_things(found, first, last, known)
        last += last < len(folded) and folded[last] in _BUT
        end = spans[last - 1][1]
        at = last
        left_out = last if thing else -1
    kept.append(normal[end:])
    left = _SPACED_STOP.sub(r"\1", " ".join(" ".join(kept).split()))
    return Split(_trim(left), tuple(excluded), tuple(negations))


def _begins_surely(folded: Sequence[str]) -> bool:
    """True if the negation that a text begins with excludes a thing: "no cars in the street".

    Other texts that begin with "no" are slogans, signs, or say what one does.
    """
    after = folded[2] if len(folded) > 2 else ""
    if len(folded) < 2 or (after and not (after in ENDS or _PLACE.match(after))):
        return False
    return folded[1] in _ANYBODY or (folded[0] == "no" and after != "" and not folded[1].endswith("ing"))


def begin_of_denial(before: Sequence[str], *, outside: bool) -> int | None:
    """Return the index at which a negation begins that excludes the date, folder or place after it.

    Examples: «ليست من 2019» (not of 2019), «ما عدا صور 2019» (except pictures of 2019). None if nothing is excluded:
    "not outside" and "nothing except" exclude nothing.

    Args:
        before: the folded words before the date, folder or place.
        outside: true if words such as «خارج» (outside) exclude, too.
    """
    for end in range(len(before), 0, -1):
        for first in range(max(end - _LONGEST, 0), end):
            phrase = tuple(before[first:end])
            if phrase in _EXCEPT or phrase == (_OTHER_THAN,):
                return None if _NONE_BUT.intersection(before[max(first - 2, 0) : first]) else first
            if phrase in _DENYING or (outside and phrase in _OUTSIDE):
                return None if first and before[first - 1] in NEGATIONS else first
        if before[end - 1] not in _BETWEEN:
            break
    return None


def _skip_article(folded: Sequence[str], at: int, phrase: tuple[str, ...]) -> int:
    """Return the index of the excluded thing's first word, for a phrase such as "without" at word `at`.

    A word for "in" («إلا في», except in) and an article after the phrase are skipped.
    """
    at += len(phrase)
    at += at + 1 < len(folded) and phrase[-1] in _EXCEPTING and folded[at] in _WHERE
    return at + (at + 1 < len(folded) and folded[at] in _ARTICLES)


def _end_of_things(found: FoldedWords, first: int, known: KnownWords, *, alone: bool = False) -> int:
    """Return the index of the word at which the excluded things end; they begin at word `first`.

    The things end before a preposition, a verb or a negation, after a few words, or at a comma. A comma in a list of
    single words («بدون ناس، سيارات، كلاب») does not end them. A list of two words (one comma) counts only if it ends
    the text, and if nothing before it names a thing to show (`alone`).
    """
    folded, width = found.folded, 0
    for at in range(first, len(folded)):
        word = folded[at]
        joined, bare = known.begins_with_and(word), word.removeprefix("و")
        ends = word in ENDS or bare in ENDS or bare in _NOBODY or _PLACE.match(word) or _is_verb(word) or _is_verb(bare)
        stop = at > first and found.begins_after_stop(at)
        if at > first and (ends or _find_without(folded, at) or (stop and not _is_list(found, at, known, alone))):
            return at
        width = 0 if word in _AND else 1 if joined or stop else width + 1
        if width > MAX_THING:
            return at
    return len(folded)


def _is_list(found: FoldedWords, at: int, known: KnownWords, alone: bool) -> bool:
    """True if the words from word `at` on, before which a comma stands, go on with a list of excluded things.

    `alone`: the text before the list names nothing to show.
    """
    folded, after = found.folded, at + 1
    while after < min(len(folded), at + MAX_LIST) and folded[after] not in ENDS:
        joined = known.begins_with_and(folded[after]) or not _AND.isdisjoint(folded[after - 1 : after + 1])
        if not (joined or found.begins_after_stop(after)):
            return False
        after += 1
    several = after > at + 1 or known.begins_with_and(folded[at])
    return (alone and after == len(folded)) or several or found.begins_after_stop(at - 1)


def _excludes_nothing(folded: Sequence[str], at: int, phrase: tuple[str, ...], first: int) -> bool:
    """True if a phrase excludes nothing because of the words around it.

    Examples: «بلا شك» (no doubt), «ما في الصورة» (what is in the picture), «شيء ما في فمه» (something in his mouth),
    "but not on", "nothing except".
    """
    following, before = folded[first], folded[at - 1] if at else ""
    in_it = phrase == _WHAT_IS_IN and (following.startswith("ال") or before.removeprefix("و") in _SOME)
    just_that = phrase in _EXCEPT and before in _NOTHING
    just_that = just_that or following in _EXCEPTING or following == _OTHER_THAN
    # who does not want to do something is in the picture: «ولد مش عايز ياكل», a boy who does not want to eat
    wants = phrase[-1] in _ASKING and _is_verb(following)
    fixed = following in ENDS or following in _THAT or " ".join((*phrase, following)) in _FIXED
    return in_it or just_that or wants or fixed


def _thing_after(found: FoldedWords, at: int, known: KnownWords, *, again: bool) -> tuple[int, int] | None:
    """Return where the thing or quality that the negation at index `at` excludes begins and ends.

    None if there is no negation, or if a verb, a preposition or a name follows. `again`: true if an excluded thing ends
    right before, so that "nor" counts as a negation, too.
    """
    folded, negation, first = found.folded, found.folded[at], at + 1
    if negation not in NEGATIONS and not (again and negation in _NOR):
        return None
    if negation == _OTHER_THAN and _NONE_BUT.intersection(folded[max(at - 2, 0) : at]):
        return None
    article = first < len(folded) and folded[first] in _ARTICLES
    first += article
    if first >= len(folded) or _is_no_thing(folded[first]) or (at and folded[at - 1] in NEGATIONS):
        return None
    word = folded[first]
    if (negation in _NO and _NO_THING.match(word)) or f"{negation} {word}" in _FIXED:
        return None
    if word.removeprefix("ال") in _WORN or (first + 1 < len(folded) and folded[first + 1] in _SIGNS):
        return None
    if negation == "not" and (word in _HOW_FAR or word.endswith("ing") or (at and folded[at - 1] in _BEFORE_VERB)):
        return None
    if negation == WALKING and (word in _HOW_ONE_WALKS or (_MANNER.match(word) and word not in _THINGS)):
        return None
    if negation == _MO and known.is_name(word):
        return None
    return first, _end_of_things(found, first, known) if article else first + known.phrase_width(folded, first)


def _is_no_thing(word: str) -> bool:
    """True if a word after a negation is no thing, but says what one does («مش لابس», not wearing), where or how."""
    verb = _is_verb(word) or (word not in _THINGS and _is_verb(word.removeprefix("ب")))  # as in بيلعب, "plays"
    other = word in ENDS or word in NEGATIONS or word in _WEARING or word in _ONLY or word in _ASKING
    return verb or other or _PLACE.match(word) is not None


def _is_verb(word: str) -> bool:
    """True if a folded word looks like a verb of the present tense; few nouns begin with ي."""
    return len(word) > 3 and word[0] == "ي" and word not in _THINGS


def _split_things(found: FoldedWords, first: int, last: int, known: KnownWords) -> list[str]:
    """Split the excluded words, which are those from number `first` to number `last` - 1, into things.

    They are split at a lone و or "and", and at a و that begins a second word (كلاب وقطط) or stands after a comma.
    """
    things: list[list[str]] = [[]]
    for at in range(first, last):
        word = found.part(at, at + 1)
        if found.begins_after_stop(at):
            things.append([])
        if found.folded[at] in _AND:
            things.append([])
        elif things[-1] and found.folded[at] in _AT_ALL:
            continue
        elif (len(things[-1]) == 1 or (at > first and not things[-1])) and known.begins_with_and(word):
            things.append([word[1:]])
        else:
            things[-1].append(word)
    return [_people_or(thing) for thing in things if thing]


def _people_or(thing: Sequence[str]) -> str:
    """Return the word for people if a thing begins with a word for "anybody"; any other thing as typed.

    «أحد» before a definite word is "one of": «أحد الأصدقاء», one of the friends, stays as typed, too.
    """
    one_of = thing[1:] and thing[1].startswith("ال")
    return " ".join(thing) if one_of else _ANYBODY.get(fold(thing[0]), " ".join(thing))


def _trim(text: str) -> str:
    """Return the text without commas, other stops and words for "and" and "but" at its ends."""
    parts = text.strip(" ،,.;؛").split()
    while parts and fold(parts[-1]) in _AND | _BUT:
        parts.pop()
    while parts and fold(parts[0]) in _AND | _BUT:
        parts.pop(0)
    return " ".join(parts)
