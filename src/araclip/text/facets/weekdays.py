"""Days of the week that are over, in a query's words: «الجمعة الماضية», «الويكند اللي فات», "last friday". Pure."""

from datetime import date, timedelta

from araclip.text.facets.calendar_words import LAST, LAST_FEMININE, NUMBERS_TOO, WEEKDAYS
from araclip.text.facets.date_filter import DateFilter, days
from araclip.text.facets.years import Years


def last_weekday(words: Years, at: int) -> tuple[int, DateFilter] | None:
    """(number of words, filter) of the last such day or weekend, where words name one at a place."""
    if (name := words.named(at, WEEKDAYS)) and (last := words.named(at + len(name), LAST)):
        several = name in NUMBERS_TOO and last in LAST_FEMININE
        return None if several else (len(name) + len(last), _last(name, words.today))
    if (width := words.qualifier(at, LAST)) and (name := words.named(at + width, WEEKDAYS)):
        return width + len(name), _last(name, words.today)
    return None


def _last(name: tuple[str, ...], today: date) -> DateFilter:
    day, length = WEEKDAYS[name]
    last = today - timedelta(days=(today.weekday() - day - 1) % 7 + 1)
    return days((last - timedelta(days=length - 1), last))
