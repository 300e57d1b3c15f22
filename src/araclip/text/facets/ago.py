"""Times counted back from today in a query's words: «قبل سنتين», «السنوات الأربع الماضية», "two years ago". Pure."""

import calendar
from collections.abc import Sequence
from datetime import date, timedelta

from araclip.text.facets.calendar_words import LAST
from araclip.text.facets.date_filter import DateFilter, days
from araclip.text.facets.years import Years
from araclip.text.folding import fold

MOST = 99  # of a unit
Ago = tuple[int, str, str]  # number of words, first and last day, month or year


def _folded(words: str) -> frozenset[str]:
    return frozenset(map(fold, words.split("|")))


_UNITS = {  # one, two, several
    "year": ("سنة|عام|year", "سنتين|عامين", "سنوات|سنين|أعوام|years"),
    "month": ("شهر|month", "شهرين", "أشهر|شهور|اشهر|months"),
    "week": ("أسبوع|اسبوع|week", "أسبوعين|اسبوعين", "أسابيع|اسابيع|weeks"),
    "day": ("يوم|day", "يومين", "أيام|ايام|days"),
}
_ONE, _TWO, _SEVERAL = ({word: unit for unit, forms in _UNITS.items() for word in _folded(forms[i])} for i in range(3))
_NUMBERS = {
    word: number
    for number, words in enumerate(
        ("ثلاث|ثلاثة|تلات|تلاتة|three", "أربع|أربعة|اربع|اربعة|four", "خمس|خمسة|five", "ست|ستة|six", "سبع|سبعة|seven",
         "ثماني|ثمانية|تمن|تمانية|eight", "تسع|تسعة|nine", "عشر|عشرة|ten"), 3,
    )
    for word in _folded(words)
} | {"two": 2, "one": 1, "a": 1, "an": 1}  # fmt: skip
_BEFORE, _SINCE, _FROM = fold("قبل"), fold("منذ"), fold("من")  # «من سنتين» in Egypt; «من سنة» may begin a span of years
# What may follow «قبل سنة»; before anything else it names that: «قبل يوم العيد», «قبل شهر رمضان», «منذ سنة ١٤٤٠».
_AFTER_ONE = _folded("|في|على|من|مع|عند|بين|فوق|تحت|أمام|بجانب")


def read(folded: Sequence[str], at: int, today: date) -> Ago | None:
    """The time that folded words name at a place; None where they name none."""
    lead = folded[at] in (_BEFORE, _SINCE, _FROM)
    start = at + lead
    if start >= len(folded):
        return None
    word, following = folded[start], folded[start + 1] if start + 1 < len(folded) else ""
    number = _number(word)
    unit = (_SEVERAL.get(following) or _ONE.get(following)) if 1 <= number <= MOST else None
    width = start - at + 2
    if unit and (lead or (len(folded) > start + 2 and folded[start + 2] == "ago")):
        return (width + (not lead), *_span(unit, number, today))
    if lead and word in _TWO:
        return (width - 1, *_span(_TWO[word], 2, today))
    if lead and folded[at] != _FROM and word in _ONE and following in _AFTER_ONE:
        return (width - 1, *_span(_ONE[word], 1, today))
    return None


def last_several(words: Years, at: int) -> tuple[int, DateFilter] | None:
    """(number of words, filter) of «السنوات الأربع الماضية», «التلات أيام اللي فاتت» at a place: up to today."""
    pair = [words.word(place).removeprefix("ال") for place in (at, at + 1)]
    width = words.qualifier(at + 2, LAST)
    for number, unit in (pair, reversed(pair)):
        if width and unit in _SEVERAL and 1 <= _number(number) <= MOST:
            return 2 + width, days((_day_before(words.today, _SEVERAL[unit], _number(number)), words.today))
    return None


def _number(word: str) -> int:
    return int(word) if word.isascii() and word.isdigit() and len(word) < 3 else _NUMBERS.get(word, 0)


def _day_before(today: date, unit: str, back: int) -> date:
    """The day that is so many years, months, weeks or days before another one."""
    if unit in ("week", "day"):
        return today - timedelta(days=back * (7 if unit == "week" else 1))
    year, month = divmod(today.year * 12 + today.month - 1 - back * (12 if unit == "year" else 1), 12)
    return date(year, month + 1, min(today.day, calendar.monthrange(year, month + 1)[1]))


def _span(unit: str, back: int, today: date) -> tuple[str, str]:
    """First and last of the year, month or day that is so many back; of weeks the seven days around that day."""
    day = _day_before(today, unit, back)
    if unit in ("year", "month"):
        return (day.isoformat()[: len("2019" if unit == "year" else "2019-05")],) * 2
    around = 3 if unit == "week" else 0
    return (day - timedelta(days=around)).isoformat(), (day + timedelta(days=around)).isoformat()
