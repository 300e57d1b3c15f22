"""Days and months in a query's words: «17/5/2019», «17 مايو 2019», «مايو 2019», «شهر خمسة», «مارس وأبريل». Pure."""

import calendar
import re

from araclip.text.facets import calendar_words as names
from araclip.text.facets import year_words
from araclip.text.facets.date_filter import DateFilter, one
from araclip.text.facets.date_tokens import NUMERIC
from araclip.text.facets.years import FIRST_YEAR, Years

_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?")


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
        """«17 مايو 2019», "june 17, 2019"."""
        if (found := self.day_named(at)) and (year := self.gregorian(at + found[0])):
            width, month, day = found
            if day <= calendar.monthrange(year[1], month)[1]:
                return width + year[0], one(f"{year[1]}-{month:02}-{day:02}")
        return None

    def day_named(self, at: int) -> tuple[int, int, int] | None:
        """(width, month, day) of «17 مايو», "17th june", "june 17"."""
        name = self.named(at, names.MONTHS)
        place = at + len(name) if name else at
        name = name or self.named(at + 1, names.MONTHS)
        number = _DAY.fullmatch(self.word(place))
        day = int(number[1]) if number else 0
        return (1 + len(name), names.MONTHS[name], day) if name and 1 <= day <= 31 else None

    def month(self, at: int) -> tuple[int, DateFilter] | None:
        """«مايو 2019», «مايو الماضي», «في مايو», «مارس وأبريل 2020»."""
        if (found := self.month_named(at)) is None:
            return None
        width, month, told = found
        if several := self._months_after(at + width, month):
            return width + several[0], several[1]
        if year := self.gregorian(at + width):
            return width + year[0], one(f"{year[1]}-{month:02}")
        if qualified := self.qualifier(at + width, names.LAST):
            ended = self.today.month > month
            return width + qualified, one(f"{self.today.year - (0 if ended else 1)}-{month:02}")
        return (width, DateFilter(months=(month,))) if told else None

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

    def _months_after(self, at: int, first: int) -> tuple[int, DateFilter] | None:
        """What follows a month where several are named one by one: «يناير وفبراير ومارس 2019»."""
        months, width = [first], 0
        while self.named(at + width, names.AND) and (name := self.named(at + width + 1, names.MONTHS)):
            months.append(names.MONTHS[name])
            width += 1 + len(name)
        if not width:
            return None
        year = self.gregorian(at + width) or (0, None)
        named = str(year[1]) if year[1] else None
        return width + year[0], DateFilter(named, named, tuple(dict.fromkeys(months)))
