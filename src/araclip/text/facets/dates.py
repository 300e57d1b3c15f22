"""Dates in a query's words («صيف ٢٠٢١», «الشتاء الماضي», «رمضان ١٤٤٤», "last summer") → when pictures were taken. Pure.

One date of a text is read, the first. A season without a year, such as «غابة في الخريف», says what a picture shows
and is left alone; so is «رمضان» without one. Hijri dates are those of Umm al-Qura, 1343 to 1500 (hijridate).
"""

import calendar
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from araclip.text.facets import calendar_words as names
from araclip.text.facets import relative, year_words
from araclip.text.facets.date_filter import DateFilter, days, one
from araclip.text.facets.years import FIRST_YEAR, Years
from araclip.text.folding import fold
from araclip.text.normalization import normalize
from araclip.text.script import words

_DAY = re.compile(
    r"(?<![\d/.-])(?:(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?|(?:(\d{1,2})[-/.])?(\d{1,2})[-/.](\d{4}))(?![\d/.-])"
)


@dataclass(frozen=True)
class Dated:
    """A text without its date: `words` are those that named it; `filter` is None where none was found."""

    text: str
    words: str = ""
    filter: DateFilter | None = None

    @property
    def only_date(self) -> bool:
        """Whether nothing is left that a picture could show."""
        return self.filter is not None and all(
            (fold(match.group()),) in names.PICTURE_WORDS for match in words(normalize(self.text))
        )


def split_date(text: str, today: date) -> Dated:
    """Separate the first date of a text from the rest."""
    normal = normalize(text)
    if match := _DAY.search(normal):
        found = _numeric(match, today)
        if found is None:
            return Dated(text)
        first, last = match.span()
    else:
        matches = list(words(normal))
        reading = _Reader([fold(match.group()) for match in matches], today)
        place = reading.find()
        if place is None:
            return Dated(text)
        at, width, found = place
        first, last = matches[at].start(), matches[at + width - 1].end()
    before = list(words(normal[:first]))
    while before and (fold(before[-1].group()),) in names.LEADING:
        first = before.pop().start()
    left = " ".join((normal[:first] + " " + normal[last:]).split()).strip(" ،,.;؛")
    return Dated(left, normal[first:last], found)


def _numeric(match: re.Match[str], today: date) -> DateFilter | None:
    year, month, day, first, second, third = (int(group) if group else None for group in match.groups())
    if year is None:
        day, month, year = first, second, third
    assert year is not None and month is not None
    if not (FIRST_YEAR <= year <= today.year + 1 and 1 <= month <= 12):
        return None
    if day is None:
        return one(f"{year}-{month:02}")
    return one(f"{year}-{month:02}-{day:02}") if 1 <= day <= calendar.monthrange(year, month)[1] else None


class _Reader(Years):
    """Tries every rule at every word."""

    def find(self) -> tuple[int, int, DateFilter] | None:
        """(place, number of words, filter) of the first date."""
        rules: tuple[Callable[[int], tuple[int, DateFilter] | None], ...] = (
            self._between, self._feast, self._hijri_month, self._day_month, self._month, self._season,
            self._relative, self._year,
        )  # fmt: skip
        for at in range(len(self.folded)):
            for rule in rules:
                if (result := rule(at)) is not None:
                    return at, *result
        return None

    # ------------------------------------------------------------------ rules: place → (width, filter)
    def _relative(self, at: int) -> tuple[int, DateFilter] | None:
        return relative.read(self, at)

    def _between(self, at: int) -> tuple[int, DateFilter] | None:
        if lead := self.named(at, names.FROM):
            first = self.gregorian(at + len(lead))
            middle = first and self.named(at + len(lead) + first[0], names.TO)
            if first and middle:
                place = at + len(lead) + first[0] + len(middle)
                if (last := self.gregorian(place)) and first[1] <= last[1]:
                    return place + last[0] - at, DateFilter(str(first[1]), str(last[1]))
            elif first and (second := self._joined_year(at + len(lead) + first[0])) and first[1] <= second:
                return len(lead) + first[0] + 1, DateFilter(str(first[1]), str(second))
        for known, early in ((names.BEFORE, True), (names.AFTER, False)):
            if not (lead := self.named(at, known)):
                continue
            if year := self.gregorian(at + len(lead)):
                limit = DateFilter(last=str(year[1] - 1)) if early else DateFilter(first=str(year[1]))
                return len(lead) + year[0], limit
            if (hijri := self.hijri_year(at + len(lead))) and hijri[1].first:
                day_before = date.fromisoformat(hijri[1].first) - timedelta(days=1)
                limit = DateFilter(last=day_before.isoformat()) if early else DateFilter(hijri[1].first)
                return len(lead) + hijri[0], limit
        return None

    def _joined_year(self, at: int) -> int | None:
        """The year of «و2020», which is one word."""
        word = self.folded[at] if at < len(self.folded) else ""
        return int(word[1:]) if re.fullmatch(r"و\d{4}", word) else None

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
            if year := self.gregorian(at + len(name)):
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

    def _day_month(self, at: int) -> tuple[int, DateFilter] | None:
        """«17 مايو 2019»."""
        word = self.folded[at]
        name = self.named(at + 1, names.MONTHS)
        if name and re.fullmatch(r"\d{1,2}", word):
            month = names.MONTHS[name]
            year = self.gregorian(at + 1 + len(name))
            if year and 1 <= int(word) <= calendar.monthrange(year[1], month)[1]:
                return 1 + len(name) + year[0], one(f"{year[1]}-{month:02}-{int(word):02}")
        return None

    def _month(self, at: int) -> tuple[int, DateFilter] | None:
        if (found := self._month_named(at)) is None:
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

    def _month_named(self, at: int) -> tuple[int, int, bool] | None:
        """(width, month, whether it needs no year) of «مايو», «شهر مايو», «شهر 5», «شهر خمسة»."""
        if name := self.named(at, names.MONTHS):
            before = self.folded[at - 1] if at else ""
            told = (before,) in names.MONTH_WORDS or (before, name) in names.TOLD_BY_IN  # «في مارس» is no verb
            return len(name), names.MONTHS[name], told or name not in names.AMBIGUOUS
        word = self.folded[at + 1] if at + 1 < len(self.folded) else ""
        if self.named(at, names.MONTH_WORDS):
            number = (1, int(word)) if re.fullmatch(r"\d{1,2}", word) else year_words.number(self.folded, at + 1)
            if number and 1 <= number[1] <= 12:
                return 1 + number[0], number[1], word.isdigit() or number[1] > 2  # «شهر واحد» is how long
        return None

    def _months_after(self, at: int, first: int) -> tuple[int, DateFilter] | None:
        """What follows a month where several are named: «يناير وفبراير 2019», «من يونيو إلى أغسطس»."""
        word = self.folded[at] if at < len(self.folded) else ""
        months: tuple[int, ...] = ()
        if word.startswith("و") and (month := names.MONTHS.get((word[1:],))):
            width, months = 1, (first, month)
        elif (to := self.named(at, names.TO)) and (name := self.named(at + len(to), names.MONTHS)):
            width, last = len(to) + len(name), names.MONTHS[name]
            span = range(first, last + 1 if last >= first else last + 13)
            months = (first, last) if (word,) in names.AND else tuple((month - 1) % 12 + 1 for month in span)
        if not months:
            return None
        year = self.gregorian(at + width) or (0, None)
        named = str(year[1]) if year[1] else None
        return width + year[0], DateFilter(named, named, months)

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
        of_now = self.this_one(after) in names.YEAR_WORDS  # صيف هالسنة
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
            width += self.qualifier(at + width, names.YEAR_WORDS) or of_now  # صيف هذا العام
            return width, DateFilter(f"{first:%Y-%m}", f"{end:%Y-%m}")
        return None

    def _season_year(self, at: int) -> tuple[int, int, int] | None:
        """(width, first and last year) of what follows a season: «2021», «21», «2018-2019», «السنة الماضية»."""
        if year := self.gregorian(at):
            following = self.gregorian(at + year[0])
            joined = following if following and following[1] == year[1] + 1 else (0, year[1])
            return year[0] + joined[0], year[1], joined[1]
        word = self.folded[at] if at < len(self.folded) else ""
        if re.fullmatch(r"\d{2}", word) and int(word) <= self.today.year % 100:
            named = self.today.year - self.today.year % 100 + int(word)
            return 1, named, named
        if (lead := self.named(at, names.YEAR_WORDS)) and (width := self.qualifier(at + len(lead), names.LAST)):
            return len(lead) + width, self.today.year - 1, self.today.year - 1
        return None

    def _year(self, at: int) -> tuple[int, DateFilter] | None:
        if not (year := self.gregorian(at)):
            return None
        last = self.gregorian(at + year[0])  # 2018-2019
        if last and last[1] > year[1]:
            return year[0] + last[0], DateFilter(str(year[1]), str(last[1]))
        return year[0], one(str(year[1]))


def _day_of(year: int, day: tuple[int, int, int]) -> date:
    """A feast's day (years before, month, day) in a year."""
    return date(year - day[0], *day[1:])


def _season_start(year: int, months: Sequence[int]) -> date:
    """The first day of a season; a winter has the year of its January."""
    return date(year - 1 if months[0] == 12 else year, months[0], 1)


def _season_end(year: int, months: Sequence[int]) -> date:
    return date(year, months[-1], calendar.monthrange(year, months[-1])[1])
