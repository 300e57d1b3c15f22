"""Dates in a query's words («صيف ٢٠٢١», «الشتاء الماضي», «رمضان ١٤٤٤», "last summer") → when pictures were taken. Pure.

One date of a text is read, the first. A season without a year, such as «غابة في الخريف», says what a picture shows
and is left alone; so is «رمضان» without one. Hijri dates are those of Umm al-Qura, 1343 to 1500 (hijridate).
"""

import calendar
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from araclip.text.facets import ago
from araclip.text.facets import calendar_words as names
from araclip.text.facets.hijri import HIJRI_YEARS, hijri_days
from araclip.text.folding import fold
from araclip.text.normalization import normalize
from araclip.text.script import words

FIRST_YEAR = 1840  # of photography
_DAY = re.compile(
    r"(?<![\d/.-])(?:(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?|(?:(\d{1,2})[-/.])?(\d{1,2})[-/.](\d{4}))(?![\d/.-])"
)


@dataclass(frozen=True)
class DateFilter:
    """A span of days, both ends included, as `Filters` takes them; or months of any year, or of the span's years."""

    first: str | None = None
    last: str | None = None
    months: tuple[int, ...] = ()

    def texts(self) -> tuple[str, ...]:
        """The filter as KEY=VALUE texts: captured=2019..2019, month=12,1,2."""
        out = []
        if self.first or self.last:
            out.append(f"captured={self.first or ''}..{self.last or ''}")
        if self.months:
            out.append(f"month={','.join(map(str, self.months))}")
        return tuple(out)


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
        return _span(f"{year}-{month:02}")
    return _span(f"{year}-{month:02}-{day:02}") if 1 <= day <= calendar.monthrange(year, month)[1] else None


def _days(ends: tuple[date, date]) -> DateFilter:
    return DateFilter(ends[0].isoformat(), ends[1].isoformat())


def _span(day: str) -> DateFilter:
    return DateFilter(day, day)


class _Reader:
    """Tries every rule at every word."""

    def __init__(self, folded: Sequence[str], today: date) -> None:
        self.folded, self.today = folded, today

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

    def _named(self, at: int, known: Collection[tuple[str, ...]]) -> tuple[str, ...] | None:
        """The longest of several names that begins at a place; with or without the article."""
        for width in (3, 2, 1):
            name = tuple(self.folded[at : at + width])
            if len(name) == width and name in known:
                return name
        return None

    def _gregorian(self, at: int) -> tuple[int, int] | None:
        """(width, year) of «2019», «عام 2019» at a place."""
        skipped = 1 if self._named(at, names.YEAR_WORDS) else 0
        word = self.folded[at + skipped] if at + skipped < len(self.folded) else ""
        if re.fullmatch(r"\d{4}", word) and FIRST_YEAR <= int(word) <= self.today.year + 1:
            marked = self._named(at + skipped + 1, names.HIJRI_MARKS)
            return None if marked else (1 + skipped, int(word))
        return None

    def _hijri(self, at: int) -> tuple[int, int] | None:
        word = self.folded[at] if at < len(self.folded) else ""
        if re.fullmatch(r"\d{4}", word) and int(word) in HIJRI_YEARS:
            return (2 if self._named(at + 1, names.HIJRI_MARKS) else 1), int(word)
        return None

    def _qualifier(self, at: int, known: Collection[tuple[str, ...]]) -> int:
        name = self._named(at, known)
        return len(name) if name else 0

    # ------------------------------------------------------------------ rules: place → (width, filter)
    def _between(self, at: int) -> tuple[int, DateFilter] | None:
        if lead := self._named(at, names.FROM):
            first = self._gregorian(at + len(lead))
            middle = first and self._named(at + len(lead) + first[0], names.TO)
            if first and middle:
                place = at + len(lead) + first[0] + len(middle)
                if (last := self._gregorian(place)) and first[1] <= last[1]:
                    return place + last[0] - at, DateFilter(str(first[1]), str(last[1]))
            elif first and (second := self._joined_year(at + len(lead) + first[0])) and first[1] <= second:
                return len(lead) + first[0] + 1, DateFilter(str(first[1]), str(second))
        for known, early in ((names.BEFORE, True), (names.AFTER, False)):
            if (lead := self._named(at, known)) and (year := self._gregorian(at + len(lead))):
                limit = DateFilter(last=str(year[1] - 1)) if early else DateFilter(first=str(year[1]))
                return len(lead) + year[0], limit
        return None

    def _joined_year(self, at: int) -> int | None:
        """The year of «و2020», which is one word."""
        word = self.folded[at] if at < len(self.folded) else ""
        return int(word[1:]) if re.fullmatch(r"و\d{4}", word) else None

    def _feast(self, at: int) -> tuple[int, DateFilter] | None:
        if name := self._named(at, names.FEASTS):
            month, first, last = names.FEASTS[name]
            if found := self._hijri_span(at + len(name), month, first, last):
                return len(name) + found[0], found[1]
        return None

    def _hijri_month(self, at: int) -> tuple[int, DateFilter] | None:
        name = self._named(at, names.HIJRI_MONTHS)
        if name and (found := self._hijri_span(at + len(name), names.HIJRI_MONTHS[name])):
            return len(name) + found[0], found[1]
        if (year := self._hijri(at)) and year[0] == 2:
            return 2, _days(hijri_days(year[1], (1, 1), (12, 30)))
        return None

    def _hijri_span(self, at: int, month: int, first: int = 1, last: int = 30) -> tuple[int, DateFilter] | None:
        """What follows a Hijri month: a Hijri year, a Gregorian one, or "last"."""
        if year := self._hijri(at):
            return year[0], _days(hijri_days(year[1], (month, first), (month, last)))
        if gregorian := self._gregorian(at):
            for hijri in range(gregorian[1] - 580, gregorian[1] - 576):
                if hijri in HIJRI_YEARS:
                    span = _days(hijri_days(hijri, (month, first), (month, last)))
                    if span.first and span.first.startswith(str(gregorian[1])):
                        return gregorian[0], span
        if width := self._qualifier(at, names.LAST):
            for hijri in range(self.today.year - 577, self.today.year - 581, -1):
                if hijri in HIJRI_YEARS:
                    span = _days(hijri_days(hijri, (month, first), (month, last)))
                    if span.last and span.last < self.today.isoformat():
                        return width, span
        return None

    def _day_month(self, at: int) -> tuple[int, DateFilter] | None:
        """«17 مايو 2019»."""
        word = self.folded[at]
        name = self._named(at + 1, names.MONTHS)
        if name and re.fullmatch(r"\d{1,2}", word):
            month = names.MONTHS[name]
            year = self._gregorian(at + 1 + len(name))
            if year and 1 <= int(word) <= calendar.monthrange(year[1], month)[1]:
                return 1 + len(name) + year[0], _span(f"{year[1]}-{month:02}-{int(word):02}")
        return None

    def _month(self, at: int) -> tuple[int, DateFilter] | None:
        name = self._named(at, names.MONTHS)
        if not name:
            return None
        month, after = names.MONTHS[name], at + len(name)
        if year := self._gregorian(after):
            return len(name) + year[0], _span(f"{year[1]}-{month:02}")
        if width := self._qualifier(after, names.LAST):
            ended = self.today.month > month
            return len(name) + width, _span(f"{self.today.year - (0 if ended else 1)}-{month:02}")
        told = at > 0 and (self.folded[at - 1],) in names.MONTH_WORDS
        if name in names.AMBIGUOUS and not told:
            return None
        return len(name), DateFilter(months=(month,))

    def _season(self, at: int) -> tuple[int, DateFilter] | None:
        name = self._named(at, names.SEASONS)
        lead = 0
        if not name and (lead := self._qualifier(at, names.LAST | names.THIS)):
            name = self._named(at + lead, names.SEASONS)
        if not name:
            return None
        months, after = names.SEASONS[name], at + lead + len(name)
        if year := self._gregorian(after):
            return lead + len(name) + year[0], DateFilter(str(year[1]), str(year[1]), months)
        last = self._qualifier(after, names.LAST)
        current = self._qualifier(after, names.THIS) or bool(lead and (self.folded[at],) in names.THIS)
        if last or current or (lead and not current):
            year_of = self.today.year + 1
            while _season_end(year_of, months) >= self.today and not (
                current and _season_start(year_of, months) <= self.today
            ):
                year_of -= 1
            first, end = _season_start(year_of, months), _season_end(year_of, months)
            width = lead + len(name) + max(last, self._qualifier(after, names.THIS))
            width += self._qualifier(at + width, names.YEAR_WORDS)  # صيف هذا العام
            return width, DateFilter(f"{first:%Y-%m}", f"{end:%Y-%m}")
        return None

    def _relative(self, at: int) -> tuple[int, DateFilter] | None:
        today = self.today
        if found := ago.read(self.folded, at, today):
            return found[0], DateFilter(*found[1:])
        if name := self._named(at, names.YESTERDAY):
            return len(name), _span((today - timedelta(days=1)).isoformat())
        if (name := self._named(at, names.TODAY)) and len(self.folded) <= 3:
            return len(name), _span(today.isoformat())
        if name := self._named(at, names.DECADES):
            return len(name), DateFilter(str(names.DECADES[name]), str(names.DECADES[name] + 9))
        for known, span in (
            (names.YEAR_WORDS, self._years),
            (names.MONTH_WORDS, self._months),
            (names.WEEK_WORDS, self._weeks),
        ):
            if name := self._named(at, known):
                if width := self._qualifier(at + len(name), names.LAST):
                    return len(name) + width, span(1)
                if width := self._qualifier(at + len(name), names.THIS):
                    return len(name) + width, span(0)
            lead = self._qualifier(at, names.LAST | names.THIS)
            if lead and (name := self._named(at + lead, known)):
                return lead + len(name), span(0 if tuple(self.folded[at : at + lead]) in names.THIS else 1)
        return None

    def _years(self, back: int) -> DateFilter:
        return _span(str(self.today.year - back))

    def _months(self, back: int) -> DateFilter:
        day = self.today.replace(day=1) - timedelta(days=1) if back else self.today
        return _span(f"{day:%Y-%m}")

    def _weeks(self, back: int) -> DateFilter:
        first = self.today - timedelta(days=(self.today.weekday() + 2) % 7 + 7 * back)  # weeks begin on Saturday
        return DateFilter(first.isoformat(), (first + timedelta(days=6)).isoformat())

    def _year(self, at: int) -> tuple[int, DateFilter] | None:
        year = self._gregorian(at)
        return (year[0], _span(str(year[1]))) if year else None


def _season_start(year: int, months: Sequence[int]) -> date:
    """The first day of a season; a winter has the year of its January."""
    return date(year - 1 if months[0] == 12 else year, months[0], 1)


def _season_end(year: int, months: Sequence[int]) -> date:
    return date(year, months[-1], calendar.monthrange(year, months[-1])[1])
