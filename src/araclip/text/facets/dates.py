"""Dates in a query's words («صيف ٢٠٢١», «الشتاء الماضي», «رمضان ١٤٤٤», "last summer") → when pictures were taken. Pure.

One date of a text is read, the first. A season without a year, such as «غابة في الخريف», says what a picture shows
and is left alone; so is «رمضان» without one. Hijri dates are those of Umm al-Qura, 1343 to 1500 (hijridate).
"""

import calendar
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from araclip.text.facets import calendar_words as names
from araclip.text.facets import relative, spans
from araclip.text.facets.date_filter import DateFilter, days, one
from araclip.text.facets.date_tokens import tokens
from araclip.text.facets.months import Months
from araclip.text.folding import fold
from araclip.text.normalization import normalize
from araclip.text.picture_words import shows_nothing
from araclip.text.script import words

Rule = Callable[[int], tuple[int, DateFilter] | None]  # place → (width, filter)


@dataclass(frozen=True)
class Dated:
    """A text without its date: `words` are those that named it; `filter` is None where none was found."""

    text: str
    words: str = ""
    filter: DateFilter | None = None

    @property
    def only_date(self) -> bool:
        """Whether nothing is left that a picture could show."""
        return self.filter is not None and shows_nothing(self.text)


def split_date(text: str, today: date) -> Dated:
    """Separate the first date of a text from the rest."""
    normal = normalize(text)
    found = tokens(normal)
    place = _Reader([token.folded for token in found], today).find()
    if place is None:
        return Dated(text)
    at, width, named = place
    first, last = found[at].start, found[at + width - 1].end
    before = list(words(normal[:first]))
    absorbed = names.LEADING | (names.WEEKDAYS.keys() if named.is_day else set())  # «يوم الجمعة 17 مايو 2019»
    while before and (fold(before[-1].group()),) in absorbed:
        first = before.pop().start()
    left = " ".join((normal[:first] + " " + normal[last:]).split()).strip(" ،,.;؛")
    return Dated(left, normal[first:last], named)


class _Reader(Months):
    """Tries every rule at every word."""

    def find(self) -> tuple[int, int, DateFilter] | None:
        """(place, number of words, filter) of the first date."""
        rules: tuple[Rule, ...] = (self._limit, self._without_months, self.month, self._relative_or_year)
        if any((word,) in names.TO for word in self.folded):
            rules = (self._between, *rules)
        for at in range(len(self.folded)):
            if result := _first(rules, at):
                return at, *result
        return None

    # ------------------------------------------------------------------ rules: place → (width, filter)
    def _between(self, at: int) -> tuple[int, DateFilter] | None:
        return spans.between(self, at, self._whole_date)

    def _limit(self, at: int) -> tuple[int, DateFilter] | None:
        return spans.limit(self, at, self._whole_date)

    def _whole_date(self, at: int) -> tuple[int, DateFilter] | None:
        return self._without_months(at) or self._relative_or_year(at)

    def _without_months(self, at: int) -> tuple[int, DateFilter] | None:
        return _first((self.numeric, self._feast, self._hijri_month, self.day_month, self._season), at)

    def _relative_or_year(self, at: int) -> tuple[int, DateFilter] | None:
        return relative.read(self, at) or self._year(at)

    def _feast(self, at: int) -> tuple[int, DateFilter] | None:
        if name := self.named(at, names.FEASTS):
            month, first, last = names.FEASTS[name]
            if found := self.hijri_span(at + len(name), month, first, last):
                return len(name) + found[0], found[1]
        if (name := self.named(at, names.EITHER_FEAST)) and (width := self.qualifier(at + len(name), names.LAST)):
            spans = [span for feast in names.EITHER_OF if (span := self.hijri_span(at + len(name), *feast))]
            later = max(spans, key=lambda span: span[1].last or "", default=None)
            return (len(name) + width, later[1]) if later else None
        if name := self.named(at, names.GREGORIAN_FEASTS):
            begins, ends = names.GREGORIAN_FEASTS[name]
            if year := self.year_told(at + len(name)):
                return len(name) + year[0], days((_day_of(year[1], begins), _day_of(year[1], ends)))
            if width := self.qualifier(at + len(name), names.LAST):
                year_of = self.today.year - (_day_of(self.today.year, ends) >= self.today)
                return len(name) + width, days((_day_of(year_of, begins), _day_of(year_of, ends)))
        return None

    def _hijri_month(self, at: int) -> tuple[int, DateFilter] | None:
        name = self.named(at, names.HIJRI_MONTHS)
        if name and (found := self.hijri_span(at + len(name), names.HIJRI_MONTHS[name])):
            return len(name) + found[0], found[1]
        word, name = self.folded[at], self.named(at + 1, names.HIJRI_MONTHS)
        day = int(word) if name and re.fullmatch(r"\d{1,2}", word) else 0  # 15 رمضان 1444
        if name and 1 <= day <= 30:
            found = self.hijri_span(at + 1 + len(name), names.HIJRI_MONTHS[name], day, day)
            return (1 + len(name) + found[0], found[1]) if found else None
        return self.hijri_year(at)

    def _season(self, at: int) -> tuple[int, DateFilter] | None:
        here = self.this_one(at)  # هالصيف
        name = here if here in names.SEASONS else self.named(at, names.SEASONS)
        lead = 0
        if not name and (lead := self.qualifier(at, names.LAST | names.THIS)):
            name = self.named(at + lead, names.SEASONS)
        if not name:
            return None
        months, after = names.SEASONS[name], at + lead + len(name)
        if year := self._season_year(after):
            width = lead + len(name) + year[0]
            if months[0] == 12 and year[1] < year[2]:  # شتاء 2018-2019
                return width, DateFilter(f"{year[1]}-12", f"{year[2]}-02")
            return width, DateFilter(str(year[1]), str(year[2]), months)
        last = self.qualifier(after, names.LAST)
        of_now = self.qualifier(after, names.THIS_YEAR) or int(self.this_one(after) in names.YEAR_WORDS)  # صيف هالسنة
        current = self.qualifier(after, names.THIS) or bool(lead and (self.folded[at],) in names.THIS)
        current = current or of_now or here == name
        if last or current or (lead and not current):
            year_of = self.today.year + 1
            while _season_end(year_of, months) >= self.today and not (
                current and _season_start(year_of, months) <= self.today
            ):
                year_of -= 1
            first, end = _season_start(year_of, months), _season_end(year_of, months)
            width = lead + len(name) + max(last, self.qualifier(after, names.THIS))
            width += of_now or self.qualifier(at + width, names.YEAR_WORDS)  # صيف هذا العام
            return width, DateFilter(f"{first:%Y-%m}", f"{end:%Y-%m}")
        return None

    def _season_year(self, at: int) -> tuple[int, int, int] | None:
        """(width, first and last year) of what follows a season: «2021», «21», «2018-2019», «السنة الماضية»."""
        year = self.year_told(at)
        if year and (year[1] < self.today.year or self.gregorian(at)):  # «صيف هالسنة» is read as the season of now
            following = self.gregorian(at + year[0])
            joined = following if following and following[1] == year[1] + 1 else (0, year[1])
            return year[0] + joined[0], year[1], joined[1]
        word = self.folded[at] if at < len(self.folded) else ""
        if re.fullmatch(r"\d{2}", word) and int(word) <= self.today.year % 100:
            named = self.today.year - self.today.year % 100 + int(word)
            return 1, named, named
        return None

    def _year(self, at: int) -> tuple[int, DateFilter] | None:
        if not (year := self.gregorian(at)):
            return None
        last = self.gregorian(at + year[0])  # 2018-2019
        if last and last[1] > year[1]:
            return year[0] + last[0], DateFilter(str(year[1]), str(last[1]))
        joint = self.qualifier(at + year[0], names.AND)
        following = self.gregorian(at + year[0] + joint) if joint else None
        if following and following[1] == year[1] + 1:  # 2018 و2019
            return year[0] + joint + following[0], DateFilter(str(year[1]), str(following[1]))
        return year[0], one(str(year[1]))


def _first(rules: Sequence[Rule], at: int) -> tuple[int, DateFilter] | None:
    """What the first rule reads that reads anything at a place."""
    return next((found for rule in rules if (found := rule(at)) is not None), None)


def _day_of(year: int, day: tuple[int, int, int]) -> date:
    """A feast's day (years before, month, day) in a year."""
    return date(year - day[0], *day[1:])


def _season_start(year: int, months: Sequence[int]) -> date:
    """The first day of a season; a winter has the year of its January."""
    return date(year - 1 if months[0] == 12 else year, months[0], 1)


def _season_end(year: int, months: Sequence[int]) -> date:
    return date(year, months[-1], calendar.monthrange(year, months[-1])[1])
