"""Spans of dates in a query's words: «من يناير 2019 إلى مارس 2020», «بين مايو ويوليو 2019», «حتى 2015». Pure.

A span has both of its ends. An end without a year has that of the other one, or the year beside it where the first
would come after the last: «من نوفمبر إلى فبراير 2020» begins in 2019.
"""

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from araclip.text.facets import calendar_words as names
from araclip.text.facets.date_filter import DateFilter, one
from araclip.text.facets.months import Months

Read = Callable[[int], tuple[int, DateFilter] | None]  # the other dates that may be an end: a place → (width, filter)


@dataclass(frozen=True)
class _End:
    """An end of a span: a whole date, or only a month, a day of a month or a day."""

    width: int
    filter: DateFilter | None = None
    month: int | None = None
    day: int | None = None

    @property
    def is_year(self) -> bool:
        """Whether it is a year as a whole."""
        return self.filter is not None and len(self.filter.first or "") == 4

    def of(self, year: int) -> str | None:
        """The end in a year; None where the month has no such day."""
        if self.month is None or (self.day or 1) > calendar.monthrange(year, self.month)[1]:
            return None
        return f"{year}-{self.month:02}" + (f"-{self.day:02}" if self.day else "")


def between(words: Months, at: int, read: Read) -> tuple[int, DateFilter] | None:
    """(number of words, filter) of «من … إلى …», «بين … و…», «… إلى …» at a place."""
    lead = words.named(at, names.FROM) or ()
    bare = words.named(at + len(lead) + 1, names.TO) and _bare_day(words, at + len(lead))
    first = bare or _end(words, at + len(lead), read)
    middle = first and words.named(at + len(lead) + first.width, names.TO)
    if not (first and middle):
        return None
    place = at + len(lead) + first.width + len(middle)
    last = _end(words, place, read)
    if not last or (middle in names.AND and lead not in names.BETWEEN and not (lead and first.is_year)):
        return None  # «مايو ويوليو» are two months
    found = _joined(first, last)
    return (place + last.width - at, found) if found else None


def limit(words: Months, at: int, read: Read) -> tuple[int, DateFilter] | None:
    """(number of words, filter) of «قبل 2015», «حتى مايو 2019», «بعد 17/5/2019», «قبل رمضان 1444», «منذ الصيف الماضي»
    at a place."""
    if words.named(at, names.YESTERDAYS):  # «قبل أمس» is a day
        return None
    for known in (names.BEFORE, names.UNTIL, names.AFTER):
        lead = words.named(at, known)
        found = _limiting(words, at + len(lead), read) if lead else None
        if not (lead and found and found[1].first):
            continue
        first, last, width = found[1].first, found[1].last, len(lead) + found[0]
        if known is names.AFTER:
            return width, DateFilter(first)
        if known is names.UNTIL:
            return width, DateFilter(last=last)
        day_before = first_day(first) - timedelta(days=1)
        return width, DateFilter(last=str(day_before.year) if len(first) == 4 else day_before.isoformat())
    return None


def _limiting(words: Months, at: int, read: Read) -> tuple[int, DateFilter] | None:
    if year := words.gregorian(at):
        return year[0], one(str(year[1]))
    month = words.month_named(at)
    if month and (year := words.gregorian(at + month[0])):
        return month[0] + year[0], one(f"{year[1]}-{month[1]:02}")
    end = _end(words, at, read)
    if end and end.filter:
        return end.width, end.filter
    last = end and next(
        (day for back in (0, 1) if (day := end.of(words.today.year - back)) and _begun(day, words)), None
    )
    return (end.width, one(last)) if end and last else None


def _begun(day: str, words: Months) -> bool:
    return first_day(day) <= words.today


def _end(words: Months, at: int, read: Read) -> _End | None:
    """The date that words name at a place, as an end of a span."""
    for skipped in dict.fromkeys((words.qualifier(at, names.OF_AN_END), 0)):
        if end := _named_end(words, at + skipped, read):
            return replace(end, width=end.width + skipped)
    return None


def _named_end(words: Months, at: int, read: Read) -> _End | None:
    if name := words.named(at, names.TODAY):
        return _End(len(name), one(words.today.isoformat()))
    if day := words.day_named(at):
        end = _End(day[0], month=day[1], day=day[2])
    elif month := words.month_named(at):
        end = _End(month[0], month=month[1])
    else:
        found = read(at) if words.word(at) else None
        return _End(found[0], _whole(found[1])) if found else None
    if not (year := words.gregorian(at + end.width)):
        return end
    whole = end.of(year[1])
    return _End(end.width + year[0], one(whole)) if whole else None


def _bare_day(words: Months, at: int) -> _End | None:
    """«5» of «من 5 إلى 10 مايو 2019»."""
    word = words.word(at)
    return _End(1, day=int(word)) if re.fullmatch(r"\d{1,2}", word) and 1 <= int(word) <= 31 else None


def _whole(found: DateFilter) -> DateFilter:
    """A season of a year as its first and last month."""
    if not (found.months and found.first):
        return found
    return DateFilter(f"{found.first}-{min(found.months):02}", f"{found.last}-{max(found.months):02}")


def _joined(first: _End, last: _End) -> DateFilter | None:
    """The span from one end to another; None where they are none: an order or a day that does not exist."""
    if first.month is None and first.day is not None:  # the day alone: its month is the other one's
        if not last.filter:
            return _joined(replace(first, month=last.month), last) if last.month else None
        year_month, _, day = (last.filter.last or "").rpartition("-")
        if len(year_month) < 7 or first.day > int(day):
            return None
        first = replace(first, filter=one(f"{year_month}-{first.day:02}"))
    if first.filter and last.filter:
        begins, ends = first.filter.first, last.filter.last
    elif last.filter and last.filter.last and not last.is_year:
        ends = last.filter.last
        begins = first.of(int(ends[:4]))
        if begins and first_day(begins) > last_day(ends):
            begins = first.of(int(ends[:4]) - 1)
    elif first.filter and first.filter.first and not first.is_year:
        begins = first.filter.first
        ends = last.of(int(begins[:4]))
        if ends and first_day(begins) > last_day(ends):
            ends = last.of(int(begins[:4]) + 1)
    elif first.month and last.month:
        if first.month == last.month and first.day and last.day:
            days = tuple(range(first.day, last.day + 1))
            return DateFilter(months=(last.month,), days=days) if days else None
        # Days of two months are their whole months: no filter has a span of days of every year.
        months = range(first.month, last.month + (1 if last.month >= first.month else 13))
        return DateFilter(months=tuple((month - 1) % 12 + 1 for month in months))
    else:
        return None
    ordered = begins and ends and first_day(begins) <= last_day(ends)
    return DateFilter(begins, ends) if ordered else None


def first_day(text: str) -> date:
    """The first day of a year, a month or a day."""
    return date.fromisoformat(f"{text}-01-01"[:10])


def last_day(text: str) -> date:
    """The last day of a year, a month or a day."""
    year, month, day = (*map(int, text.split("-")), *(0, 0)[: 2 - text.count("-")])
    month = month or 12
    return date(year, month, day or calendar.monthrange(year, month)[1])
