"""Years in a query's folded words, Gregorian and Hijri, and what hangs on a Hijri one. Pure."""

import re
from collections.abc import Collection, Sequence
from datetime import date

from araclip.text.facets import calendar_words as names
from araclip.text.facets import year_words
from araclip.text.facets.date_filter import DateFilter, days
from araclip.text.facets.hijri import HIJRI_YEARS, hijri_days
from araclip.text.folding import fold

FIRST_YEAR = 1840  # of photography
GENERAL = fold("العام")  # or "the year"
_YEAR = re.compile(r"\d{4}")


class Years:
    """Reads years and names of several words at any place of folded words."""

    def __init__(self, folded: Sequence[str], today: date) -> None:
        self.folded, self.today = folded, today

    def word(self, at: int) -> str:
        """The folded word at a place; empty after the last one."""
        return self.folded[at] if at < len(self.folded) else ""

    def named(self, at: int, known: Collection[tuple[str, ...]]) -> tuple[str, ...] | None:
        """The longest of several names that begins at a place; with or without the article."""
        for width in (3, 2, 1):
            name = tuple(self.folded[at : at + width])
            if len(name) == width and name in known:
                return name
        return None

    def this_one(self, at: int) -> tuple[str, ...] | None:
        """What «هالصيف», «هالسنة» at a place says of now, with its article: الصيف."""
        word = self.word(at)
        return (word.removeprefix("ه"),) if word.startswith("هال") else None

    def is_general(self, at: int) -> bool:
        """Whether «العام» at a place may be "general": a definite masculine word is before it, as in «المدير العام»."""
        before = self.word(at - 1) if at else ""
        return self.word(at) == GENERAL and before.startswith("ال") and not before.endswith("ه")

    def gregorian(self, at: int) -> tuple[int, int] | None:
        """(width, year) of «2019», «عام 2019», «٢٠١٩م», «سنة ألفين وعشرين» at a place."""
        skipped = 1 if self.named(at, names.YEAR_WORDS) and not self.is_general(at) else 0
        word = self.word(at + skipped)
        found = (1, int(word)) if _YEAR.fullmatch(word) else year_words.year(self.folded, at + skipped, bool(skipped))
        if found and FIRST_YEAR <= found[1] <= self.today.year + 1:
            width = found[0] + skipped
            marked = self.named(at + width, names.HIJRI_MARKS)
            return None if marked else (width + self.qualifier(at + width, names.GREGORIAN_MARKS), found[1])
        return None

    def year_told(self, at: int) -> tuple[int, int] | None:
        """(width, year) of a Gregorian year at a place, or of «السنة الماضية», «هالسنة», "last year", "of 2019"."""
        if self.word(at) == "of" and (year := self.year_told(at + 1)):
            return 1 + year[0], year[1]
        if year := self.gregorian(at):
            return year
        if (width := self.qualifier(at, names.THIS_YEAR)) or (width := int(self.this_one(at) in names.YEAR_WORDS)):
            return width, self.today.year
        for known, back in ((names.LAST, 1), (names.THIS, 0)):
            for first, then in ((names.YEAR_WORDS, known), (known, names.YEAR_WORDS)):
                if (width := self.qualifier(at, first)) and (more := self.qualifier(at + width, then)):
                    return width + more, self.today.year - back
        return None

    def hijri(self, at: int) -> tuple[int, int] | None:
        """(width, year) of «1441», «1441 هـ» at a place."""
        word = self.word(at)
        if _YEAR.fullmatch(word) and int(word) in HIJRI_YEARS:
            return (2 if self.named(at + 1, names.HIJRI_MARKS) else 1), int(word)
        return None

    def qualifier(self, at: int, known: Collection[tuple[str, ...]]) -> int:
        """The width of the longest of several names at a place; 0 where there is none."""
        name = self.named(at, known)
        return len(name) if name else 0

    def hijri_year(self, at: int) -> tuple[int, DateFilter] | None:
        """«1441 هـ», «سنة 1441»."""
        skipped = 1 if self.named(at, names.YEAR_WORDS) else 0
        if (year := self.hijri(at + skipped)) and skipped + year[0] > 1:
            return skipped + year[0], days(hijri_days(year[1], (1, 1), (12, 30)))
        return None

    def hijri_span(self, at: int, month: int, first: int = 1, last: int = 30) -> tuple[int, DateFilter] | None:
        """What follows a Hijri month: a Hijri year, a Gregorian one, or "last"."""
        if year := self.hijri(at):
            return year[0], days(hijri_days(year[1], (month, first), (month, last)))
        if gregorian := self.year_told(at):
            for hijri in range(gregorian[1] - 580, gregorian[1] - 576):
                if hijri in HIJRI_YEARS:
                    span = days(hijri_days(hijri, (month, first), (month, last)))
                    if span.first and span.first.startswith(str(gregorian[1])):
                        return gregorian[0], span
        if width := self.qualifier(at, names.LAST):
            for hijri in range(self.today.year - 577, self.today.year - 581, -1):
                if hijri in HIJRI_YEARS:
                    span = days(hijri_days(hijri, (month, first), (month, last)))
                    if span.last and span.last < self.today.isoformat():
                        return width, span
        return None
