"""Days and months in a query's words: «17/5/2019», «17 مايو 2019», «مايو 2019», «شهر خمسة», «مارس وأبريل». Pure.

A day or a month without a year is that of every year.
"""

import calendar
import re

from araclip.text.facets import calendar_words as names
from araclip.text.facets import year_words
from araclip.text.facets.date_filter import DateFilter, one
from araclip.text.facets.date_tokens import NUMERIC
from araclip.text.facets.years import FIRST_YEAR, Years
from araclip.text.folding import fold

_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?")
_OF = frozenset((fold("من"), "of"))  # 17 من مايو, 17th of May
_LEAP_YEAR = 2000


class Months(Years):
    """Reads days and months at any place of folded words."""

    def numeric(self, at: int) -> tuple[int, DateFilter] | None:
        """«17/5/2019», «2019-05»."""
        match = NUMERIC.fullmatch(self.word(at))
        if not match:
            return None
        year, month, day, first, second, third = (int(group) if group else None for group in match.groups())
        if year is None:
            day, month, year = first, second, third
        assert year is not None and month is not None
        if not (FIRST_YEAR <= year <= self.today.year + 1 and 1 <= month <= 12):
            return None
        if day is None:
            return 1, one(f"{year}-{month:02}")
        known = 1 <= day <= calendar.monthrange(year, month)[1]
        return (1, one(f"{year}-{month:02}-{day:02}")) if known else None

    def day_month(self, at: int) -> tuple[int, DateFilter] | None:
        """«17 مايو 2019», "june 17, 2019", «5-10 مايو», «17 و18 مايو»."""
        if (found := self._days_named(at)) is None:
            return None
        width, month, days, span = found
        year = self.year_told(at + width)
        if not year and (last := self.qualifier(at + width, names.LAST)):
            year = last, self.today.year - ((month, days[-1]) >= (self.today.month, self.today.day))
        if days[-1] > calendar.monthrange(year[1] if year else _LEAP_YEAR, month)[1]:
            return None
        if year:
            in_year = f"{year[1]}-{month:02}"
            ends = DateFilter(f"{in_year}-{days[0]:02}", f"{in_year}-{days[-1]:02}")
            return width + year[0], ends if span else DateFilter(in_year, in_year, days=days)
        return None if self._is_name(at, at + width) else (width, DateFilter(months=(month,), days=days))

    def _days_named(self, at: int) -> tuple[int, int, tuple[int, ...], bool] | None:
        """(width, month, days, whether they are a span) of one or several days of a month."""
        if one_day := self.day_named(at):
            return *one_day[:2], one_day[2:], True
        joint = self.qualifier(at + 1, names.AND)
        first, last = self._day(at), self.day_named(at + 1 + joint)
        if not first or last is None or first >= last[2] or not self._day(at + 1 + joint):
            return None
        days = (first, last[2]) if joint else tuple(range(first, last[2] + 1))
        return 1 + joint + last[0], last[1], days, not joint

    def day_named(self, at: int) -> tuple[int, int, int] | None:
        """(width, month, day) of «17 مايو», «17 من مايو», "17th of june", "june 17", «سبعتاشر مايو»."""
        if name := self.named(at, names.MONTHS):
            width, day = 1, self._day(at + len(name))
        else:
            in_words = year_words.number(self.folded, at) or (0, 0)
            width, day = (1, self._day(at)) if self._day(at) else in_words
            width += self.word(at + width) in _OF
            name = self.named(at + width, names.MONTHS)
            if day == in_words[1] and (day < 3 or name in names.AMBIGUOUS):  # «كلب واحد مايو 2019»
                return None
        return (width + len(name), names.MONTHS[name], day) if name and 1 <= day <= 31 else None

    def _day(self, at: int) -> int:
        number = _DAY.fullmatch(self.word(at))
        return int(number[1]) if number else 0

    def _is_name(self, first: int, end: int) -> bool:
        """Whether the day or month without a year from one place to another is within a name: «ميدان 25 يناير»."""
        before = self.word(first - 1).removeprefix("ال") if first else ""
        return (before,) in names.BEFORE_ITS_DAY or (end > first + 1 and (self.word(end),) in names.AFTER_ITS_DAY)

    def month(self, at: int) -> tuple[int, DateFilter] | None:
        """«مايو 2019», «مايو الماضي», "last may", «في مايو», «مارس وأبريل 2020»."""
        if (lead := self.qualifier(at, names.LAST)) and (name := self.named(at + lead, names.MONTHS)):
            return lead + len(name), self._last(names.MONTHS[name])
        if (found := self.month_named(at)) is None:
            return None
        width, month, told = found
        if several := self._months_after(at + width, month):
            return width + several[0], several[1]
        if year := self.year_told(at + width):
            return width + year[0], one(f"{year[1]}-{month:02}")
        if qualified := self.qualifier(at + width, names.LAST):
            return width + qualified, self._last(month)
        first = at - 1 if at and self.word(at - 1) in _OF else at
        first = first - 1 if first and self._day(first - 1) else at  # a day that `day_month` took for part of a name
        return (width, DateFilter(months=(month,))) if told and not self._is_name(first, at + width) else None

    def month_named(self, at: int) -> tuple[int, int, bool] | None:
        """(width, month, whether it needs no year) of «مايو», «شهر مايو», «شهر 5», «شهر خمسة»."""
        if name := self.named(at, names.MONTHS):
            before = self.word(at - 1) if at else ""
            told = (before,) in names.MONTH_WORDS or (before, name) in names.TOLD_BY_IN  # «في مارس» is no verb
            return len(name), names.MONTHS[name], told or name not in names.AMBIGUOUS
        if self.named(at, names.MONTH_WORDS):
            word = self.word(at + 1)
            number = (1, int(word)) if re.fullmatch(r"\d{1,2}", word) else year_words.number(self.folded, at + 1)
            if number and 1 <= number[1] <= 12:
                return 1 + number[0], number[1], word.isdigit() or number[1] > 2  # «شهر واحد» is how long
        return None

    def _last(self, month: int) -> DateFilter:
        """The last month of this name that is over."""
        return one(f"{self.today.year - (self.today.month <= month)}-{month:02}")

    def _months_after(self, at: int, first: int) -> tuple[int, DateFilter] | None:
        """What follows a month where several are named one by one: «يناير وفبراير ومارس 2019»."""
        months, width = [first], 0
        while self.named(at + width, names.AND) and (name := self.named(at + width + 1, names.MONTHS)):
            months.append(names.MONTHS[name])
            width += 1 + len(name)
        if not width:
            return None
        year = self.year_told(at + width) or (0, None)
        named = str(year[1]) if year[1] else None
        return width + year[0], DateFilter(named, named, tuple(dict.fromkeys(months)))
