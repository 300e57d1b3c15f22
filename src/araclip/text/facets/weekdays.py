"""Days of the week that are over, in a query's words: «الجمعة الماضية», «الويكند اللي فات», "last friday". Pure."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta

from araclip.text.facets.calendar_words import LAST
from araclip.text.folding import fold

_NAMES = {
    tuple(fold(name).split()): day
    for day, names in enumerate((
        "الاثنين|الإثنين|الاتنين|التنين|monday", "الثلاثاء|التلات|الثلاثا|tuesday", "الأربعاء|الأربع|wednesday",
        "الخميس|thursday", "الجمعة|friday", "السبت|saturday", "الأحد|الحد|sunday",
    ))
    for name in names.split("|")
}  # as `date.weekday` counts  # fmt: skip
_WEEKEND = frozenset(
    tuple(fold(name).split())
    for name in ("نهاية الأسبوع", "عطلة نهاية الأسبوع", "آخر الأسبوع", "الويكند", "ويكند", "الويك اند", "weekend")
)
_SUNDAY = 6


def read(folded: Sequence[str], at: int, today: date) -> tuple[int, str, str] | None:
    """(number of words, first and last day) of the last such day or weekend, where folded words name one at a place.

    A weekend is Friday to Sunday, as some countries rest on Friday and others on Sunday.
    """
    for name in (*_named(folded, at, _NAMES), *_named(folded, at, _WEEKEND)):
        if after := _named(folded, at + len(name), LAST):
            return len(name) + len(after[0]), *_days(name, today)
    for lead in _named(folded, at, LAST):
        for name in (*_named(folded, at + len(lead), _NAMES), *_named(folded, at + len(lead), _WEEKEND)):
            return len(lead) + len(name), *_days(name, today)
    return None


def _days(name: tuple[str, ...], today: date) -> tuple[str, str]:
    day = _NAMES.get(name, _SUNDAY)
    last = today - timedelta(days=(today.weekday() - day - 1) % 7 + 1)
    first = last if name in _NAMES else last - timedelta(days=2)
    return first.isoformat(), last.isoformat()


def _named(folded: Sequence[str], at: int, known: Collection[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The longest of several names that begins at a place, in a list; an empty one where there is none."""
    names = (tuple(folded[at : at + width]) for width in (3, 2, 1))
    return [name for name in names if name in known][:1]
