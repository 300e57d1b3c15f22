"""Finds dates in a query (a day, month, season, feast, span of years), in Arabic and English, as a filter. Pure."""

import calendar
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial

from araclip.text import calendar_words as names
from araclip.text.calendar_words import LAST, LAST_FEMININE, MONTH_WORDS, MONTHS, NUMBERS_TOO, SEASONS, WEEKDAYS
from araclip.text.folding import cut_out, fold
from araclip.text.normalization import normalize
from araclip.text.picture_words import shows_nothing
from araclip.text.script import words
from araclip.text.word_lists import read_numbered_forms

HIJRI_YEARS = range(1343, 1501)  # Hijri years in Umm al-Qura's tables


def hijri_days(year: int, first: tuple[int, int], last: tuple[int, int]) -> tuple[date, date]:
    """Return the Gregorian first and last day of a span in a Hijri year, from one (month, day) to another.

    A day after a month's end counts as the month's last day.
    """
    from hijridate import Hijri

    def gregorian(month: int, day: int) -> date:
        length = Hijri(year, month, 1).month_length()
        return date(*Hijri(year, month, min(day, length)).to_gregorian().datetuple())

    return gregorian(*first), gregorian(*last)


@dataclass(frozen=True)
class DateFilter:
    """A date as `Filters` takes it: a span of days, certain months, or certain days of months.

    `first` and `last` are a day, month or year each, both included; None leaves the span open at that end. `months` are
    months of any year or, with a span, of its years. `days` are days of these months or, without months, of the span.
    """

    first: str | None = None
    last: str | None = None
    months: tuple[int, ...] = ()
    days: tuple[int, ...] = ()

    @property
    def is_day(self) -> bool:
        """True if the filter is a single day, or the same day of every year."""
        return len(self.days) == 1 or (self.first == self.last and len(self.first or "") == len("2019-05-17"))

    def texts(self) -> tuple[str, ...]:
        """Return the filter as KEY=VALUE texts: captured=2019..2019, month=12,1,2, day=17."""
        out = []
        if self.first or self.last:
            out.append(f"captured={self.first or ''}..{self.last or ''}")
        if self.months:
            out.append(f"month={','.join(map(str, self.months))}")
        if self.days:
            out.append(f"day={','.join(map(str, self.days))}")
        return tuple(out)


def single_date(day: str) -> DateFilter:
    """Return the filter for one day, month or year."""
    return DateFilter(day, day)


def day_span(ends: tuple[date, date]) -> DateFilter:
    """Return the filter for the days from one to another."""
    return DateFilter(ends[0].isoformat(), ends[1].isoformat())


NUMERIC = re.compile(
    r"(?<![\d/.-])(?:(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?|(?:(\d{1,2})[-/.])?(\d{1,2})[-/.](\d{4}))"
    r"(?![\d/-]|\.\w)"
)
_CHUNK = re.compile(r"\S+")
_GENITIVE = re.compile("['\u2019]s$")  # the English genitive, as in "yesterday's photos"
_FILE_NAME = re.compile(r"_\d|\d_|\d\.[A-Za-z]")  # finds file names, whose numbers are no years: IMG_2019, 2015.jpg
# و (and) or ل (to), written on a month: «ويوليو», «لمارس». It continues a list or span after a month or a number.
_ATTACHED = re.compile("[ول](?=..)")
_PERIODS = MONTH_WORDS | names.YEAR_WORDS | names.WEEK_WORDS | names.THIS
_ENDS = (*MONTHS, *_PERIODS, *SEASONS, *names.YESTERDAYS, *names.TODAY, *names.NOW, *names.THIRDS, *names.AFTER)
_FIRST_WORDS = frozenset(name[0] for name in _ENDS)
_LAST_WORDS = frozenset(name[-1] for name in (*MONTHS, *names.YESTERDAYS, *names.TODAY, *_PERIODS, *LAST))


@dataclass(frozen=True)
class Token:
    """A folded word and its position in the text."""

    folded: str
    start: int
    end: int


def tokens(normal: str) -> list[Token]:
    """Return a normalised text's words; و or ل before a date's name (ويوليو, and July) is a token of its own."""
    found: list[Token] = []
    for token in _split(normal):
        name = re.sub("^لل", "لال", token.folded)[1:]  # «للآن» (until now) is split into ل and الآن
        if (joined := _ATTACHED.match(token.folded)) and found and _continues(found[-1].folded, name):
            middle = token.start + joined.end()
            found += [Token(joined.group(), token.start, middle), Token(name, middle, token.end)]
        else:
            found.append(token)
    return found


def _split(normal: str) -> Iterator[Token]:
    """Yield the words of a normalised text; a date in digits, and a file name with digits, are one token each."""
    for chunk in _CHUNK.finditer(normal):
        start, end = chunk.span()
        if _FILE_NAME.search(chunk.group()):
            yield Token(fold(chunk.group()), start, end)
            continue
        while date := NUMERIC.search(normal, start, end):
            yield from (
                Token(_GENITIVE.sub("", fold(word.group())), *word.span())
                for word in words(normal, start, date.start())
            )
            yield Token(date.group(), *date.span())
            start = date.end()
        yield from (Token(_GENITIVE.sub("", fold(word.group())), *word.span()) for word in words(normal, start, end))


def _continues(before: str, name: str) -> bool:
    """True if a date may go on after و or ل with `name`, such as a month, when its last word so far is `before`."""
    return name in _FIRST_WORDS and (before[-1:].isdigit() or before in _LAST_WORDS)


Found = tuple[int, int]  # (how many words name a number, the number)


UNITS = {" ".join(form): 1 + place for place, form in read_numbered_forms("numbers: 1 to 10")}
_TEENS = {" ".join(form): 11 + place for place, form in read_numbered_forms("numbers: 11 to 19")}
_TENS = {" ".join(form): 20 + 10 * place for place, form in read_numbered_forms("numbers: tens")}
_TWO_THOUSAND, _TWENTY = fold("ألفين"), fold("عشرين")
_THOUSAND, _NINE_HUNDRED = fold("ألف"), frozenset(map(fold, ("تسعمائة", "تسعمئة", "تسعمية", "تسعميه")))


def number_in_words(folded: Sequence[str], at: int) -> Found | None:
    """Return how many words from index `at` on name a number from 1 to 99, and the number; None if they name none."""
    if at >= len(folded):
        return None
    word, following = folded[at], folded[at + 1] if at + 1 < len(folded) else ""
    if (pair := f"{word} {following}") in _TEENS:
        return 2, _TEENS[pair]
    tens = _TENS.get(_without_and(following) or "", 0)
    if word in UNITS and UNITS[word] < 10 and tens:  # خمسة وعشرين, "five and twenty"
        return 2, UNITS[word] + tens
    value = _TEENS.get(word) or _TENS.get(word) or UNITS.get(word)
    return (1, value) if value else None


def year_in_words(folded: Sequence[str], at: int, after_year_word: bool) -> Found | None:
    """Return how many words from index `at` on name a year from 1900 to 2099, and the year; None if they name none.

    Args:
        after_year_word: true if a word for "year" stands before, so that «ألفين» alone is a year.
    """
    word = folded[at] if at < len(folded) else ""
    if word == _TWO_THOUSAND:
        if rest := _and_number(folded, at + 1):
            return 1 + rest[0], 2000 + rest[1]
        return (1, 2000) if after_year_word else None
    if word == _TWENTY and (rest := number_in_words(folded, at + 1)) and rest[1] > 9:  # such as "twenty twenty"
        return 1 + rest[0], 2000 + rest[1]
    if word == _THOUSAND and at + 1 < len(folded) and _without_and(folded[at + 1]) in _NINE_HUNDRED:
        rest = _and_number(folded, at + 2) or (0, 0)
        return 2 + rest[0], 1900 + rest[1]
    return None


def _and_number(folded: Sequence[str], at: int) -> Found | None:
    """Read "and" and a number, in one word (وعشرين) or two: return (words read, number), or None."""
    if at < len(folded) and folded[at] == "و":
        found = number_in_words(folded, at + 1)
        return (found[0] + 1, found[1]) if found else None
    bare = _without_and(folded[at]) if at < len(folded) else None
    return number_in_words([*folded[:at], bare, *folded[at + 1 :]], at) if bare else None


def _without_and(word: str) -> str | None:
    """Return a word without the و ("and") that it begins with; None if it begins with another letter or is short."""
    return word[1:] if word.startswith("و") and len(word) > 2 else None


# function that reads a date which begins at the word with an index; returns (number of words read, filter), or None
Rule = Callable[[int], tuple[int, DateFilter] | None]
FIRST_YEAR = 1840  # earlier years are no dates of photographs
GENERAL = fold("العام")  # «العام» means "general" or "the year"
_YEAR = re.compile(r"\d{4}")
_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?")
_OF = frozenset((fold("من"), "of"))  # words between day and month: «17 من مايو», "17th of May"
_OR = frozenset((fold("أو"), "or"))
_MONTHS_OR_NUMBERS = MONTHS | {(str(month),): month for month in range(1, 13)}
_LEAP_YEAR = 2000
MOST_LISTED = 12  # limit: dates of a list («2018 و2019 و2020») that are joined: bounds the time for endless queries


class DateReader:
    """Finds dates in a sequence of folded words, in which spelling variants are equal.

    Its methods, and the functions below that take a reader, read what begins at the word with index `at`. They return
    the number of words that they read and the meaning of these words, or None if nothing of the kind begins there.
    """

    def __init__(self, folded: Sequence[str], today: date) -> None:
        self.folded, self.today = folded, today

    def word(self, at: int) -> str:
        """Return the folded word at index `at`; empty after the last word."""
        return self.folded[at] if at < len(self.folded) else ""

    def name_at(self, at: int, known: Collection[tuple[str, ...]]) -> tuple[str, ...] | None:
        """Return the longest of the `known` names that begins at word `at`, at most three words; None if none does."""
        for width in (3, 2, 1):
            name = tuple(self.folded[at : at + width])
            if len(name) == width and name in known:
                return name
        return None

    def this_word(self, at: int) -> tuple[str, ...] | None:
        """Return the word after «هـ» ("this") at word `at`, with its article: هالصيف → الصيف; None without «هـ»."""
        word = self.word(at)
        return (word.removeprefix("ه"),) if word.startswith("هال") else None

    def is_general(self, at: int) -> bool:
        """True if «العام» as word `at` may mean "general": after a definite masculine word, as in «المدير العام»."""
        before = self.word(at - 1) if at else ""
        return self.word(at) == GENERAL and before.startswith("ال") and not before.endswith("ه")

    def gregorian_year(self, at: int) -> tuple[int, int] | None:
        """Read a Gregorian year from word `at` on: return (number of words read, year), or None.

        Examples: «2019», «عام 2019» (the year 2019), «٢٠١٩م», «سنة ألفين وعشرين» (the year twenty-twenty).
        """
        skipped = 1 if self.name_at(at, names.YEAR_WORDS) and not self.is_general(at) else 0
        word = self.word(at + skipped)
        found = (1, int(word)) if _YEAR.fullmatch(word) else year_in_words(self.folded, at + skipped, bool(skipped))
        if found and FIRST_YEAR <= found[1] <= self.today.year + 1:
            width = found[0] + skipped
            marked = self.name_at(at + width, names.HIJRI_MARKS)
            return None if marked else (width + self.width_at(at + width, names.GREGORIAN_MARKS), found[1])
        return None

    def any_year(self, at: int) -> tuple[int, int] | None:
        """Read a year, or a year relative to today, from word `at` on: return (number of words read, year), or None.

        Examples: «2019», "of 2019", «السنة الماضية» (last year), «هالسنة» (this year).
        """
        if self.word(at) == "of" and (year := self.any_year(at + 1)):
            return 1 + year[0], year[1]
        if year := self.gregorian_year(at):
            return year
        if (width := self.width_at(at, names.THIS_YEAR)) or (width := int(self.this_word(at) in names.YEAR_WORDS)):
            return width, self.today.year
        for known, back in ((names.LAST, 1), (names.THIS, 0)):
            for first, then in ((names.YEAR_WORDS, known), (known, names.YEAR_WORDS)):
                if (width := self.width_at(at, first)) and (more := self.width_at(at + width, then)):
                    return width + more, self.today.year - back
        return None

    def hijri_year_number(self, at: int) -> tuple[int, int] | None:
        """Read a Hijri year, «1441» or «1441 هـ», from word `at` on: return (words read, year), or None."""
        word = self.word(at)
        if _YEAR.fullmatch(word) and int(word) in HIJRI_YEARS:
            return (2 if self.name_at(at + 1, names.HIJRI_MARKS) else 1), int(word)
        return None

    def width_at(self, at: int, known: Collection[tuple[str, ...]]) -> int:
        """Return the number of words in the longest of the `known` names that begins at word `at`; 0 if none does."""
        name = self.name_at(at, known)
        return len(name) if name else 0

    def hijri_year(self, at: int) -> tuple[int, DateFilter] | None:
        """Read a whole Hijri year, «1441 هـ» or «سنة 1441»: return (words read, date filter), or None."""
        skipped = 1 if self.name_at(at, names.YEAR_WORDS) else 0
        if (year := self.hijri_year_number(at + skipped)) and skipped + year[0] > 1:
            return skipped + year[0], day_span(hijri_days(year[1], (1, 1), (12, 30)))
        return None

    def hijri_span(self, at: int, month: int, first: int = 1, last: int = 30) -> tuple[int, DateFilter] | None:
        """Read what follows a Hijri month: a year of either calendar, or "last".

        Return (words read, filter for the days from `first` to `last` of the month), or None.
        """
        if year := self.hijri_year_number(at):
            return year[0], day_span(hijri_days(year[1], (month, first), (month, last)))
        if gregorian := self.any_year(at):
            for hijri in range(gregorian[1] - 580, gregorian[1] - 576):
                if hijri in HIJRI_YEARS:
                    span = day_span(hijri_days(hijri, (month, first), (month, last)))
                    if span.first and span.first.startswith(str(gregorian[1])):
                        return gregorian[0], span
        if width := self.width_at(at, names.LAST):
            found = self.last_hijri(month, first, last)
            return (width, found) if found else None
        return None

    def last_hijri(self, month: int, first: int = 1, last: int = 30) -> DateFilter | None:
        """Return the filter for certain days of a Hijri month, in the latest year in which the days are over.

        None if today lies outside of Umm al-Qura's tables.
        """
        years = (year for year in range(self.today.year - 577, self.today.year - 581, -1) if year in HIJRI_YEARS)
        spans = (day_span(hijri_days(year, (month, first), (month, last))) for year in years)
        return next((span for span in spans if span.last and span.last < self.today.isoformat()), None)

    # ------------------------------------------------------------------ days and months

    def numeric(self, at: int) -> tuple[int, DateFilter] | None:
        """Read a date in digits, «17/5/2019» or «2019-05», as word `at`: return (words read, date filter), or None."""
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
            return 1, single_date(f"{year}-{month:02}")
        known = 1 <= day <= calendar.monthrange(year, month)[1]
        return (1, single_date(f"{year}-{month:02}-{day:02}")) if known else None

    def day_and_month(self, at: int) -> tuple[int, DateFilter] | None:
        """Read days of a month, perhaps with a year: return (words read, date filter), or None.

        Examples: «17 مايو 2019» (17 May 2019), "june 17, 2019", «17 و18 مايو» (17 and 18 May).
        """
        if (found := self._days_of_month(at)) is None:
            return None
        width, month, days, span = found
        year = self.any_year(at + width)
        if not year and (last := self.width_at(at + width, names.LAST)):
            year = last, self.today.year - ((month, days[-1]) >= (self.today.month, self.today.day))
        if days[-1] > calendar.monthrange(year[1] if year else _LEAP_YEAR, month)[1]:
            return None
        if year:
            in_year = f"{year[1]}-{month:02}"
            ends = DateFilter(f"{in_year}-{days[0]:02}", f"{in_year}-{days[-1]:02}")
            return width + year[0], ends if span else DateFilter(in_year, in_year, days=days)
        return None if self._is_name(at, at + width) else (width, DateFilter(months=(month,), days=days))

    def _days_of_month(self, at: int) -> tuple[int, int, tuple[int, ...], bool] | None:
        """Read one or several days of a month: return (words read, month, days, whether they are a span), or None."""
        if one_day := self.day_named(at):
            return *one_day[:2], one_day[2:], True
        joint = self.width_at(at + 1, names.AND)
        first, last = self._day_number(at), self.day_named(at + 1 + joint)
        if not first or last is None or first >= last[2] or not self._day_number(at + 1 + joint):
            return None
        days = (first, last[2]) if joint else tuple(range(first, last[2] + 1))
        return 1 + joint + last[0], last[1], days, not joint

    def day_named(self, at: int) -> tuple[int, int, int] | None:
        """Read one day of a month, without its year: return (words read, month, day), or None.

        Examples: «17 مايو» (17 May), «17 من مايو» (17th of May), "june 17", «سبعتاشر مايو» (seventeen May).
        """
        if name := self.name_at(at, names.MONTHS):
            width, day = 1, self._day_number(at + len(name))
        else:
            in_words = self._ordinal_day(at) or number_in_words(self.folded, at) or (0, 0)
            width, day = (1, self._day_number(at)) if self._day_number(at) else in_words
            width += self.word(at + width) in _OF
            name = self.name_at(at + width, names.MONTHS)
            # «كلب واحد مايو 2019» (one dog, May 2019) names no day, but «الأول من مايو» (the first of May) does
            if day == in_words[1] and (day < 3 or name in names.AMBIGUOUS) and not self._ordinal_day(at):
                return None
        return (width + len(name), names.MONTHS[name], day) if name and 1 <= day <= 31 else None

    def _ordinal_day(self, at: int) -> tuple[int, int] | None:
        """Read the number of a day, «الأول» (the first) or «الخامس عشر» (the fifteenth): return (words read, day).

        Return None if there is no such number, or if it counts a part of a month: «الأسبوع الأول», the first week.
        """
        name = self.name_at(at, names.BY_ORDER)
        of_part = at > 0 and (self.word(at - 1),) in names.PARTS_OF_A_MONTH
        return (len(name), names.BY_ORDER[name]) if name and not of_part else None

    def _day_number(self, at: int) -> int:
        """Return the number in word `at` («17», "17th"); 0 if it is no number of one or two digits."""
        number = _DAY.fullmatch(self.word(at))
        return int(number[1]) if number else 0

    def _is_name(self, first: int, end: int) -> bool:
        """True if a day or month without a year, from `first` to `end`, is part of a name: «ميدان 25 يناير»."""
        before = self.word(first - 1).removeprefix("ال") if first else ""
        return (before,) in names.BEFORE_ITS_DAY or (end > first + 1 and (self.word(end),) in names.AFTER_ITS_DAY)

    def month(self, at: int) -> tuple[int, DateFilter] | None:
        """Read one or several months, perhaps with a year: return (words read, date filter), or None.

        Examples: «مايو 2019» (May 2019), «مايو الماضي» (last May), "last may", «مارس وأبريل» (March and April).
        """
        if (lead := self.width_at(at, names.LAST)) and (name := self.name_at(at + lead, names.MONTHS)):
            return lead + len(name), self._last_such_month(names.MONTHS[name])
        if (found := self.month_named(at)) is None:
            return None
        width, month, is_month = found
        if several := self._further_months(at + width, month):
            return width + several[0], several[1]
        if year := self.any_year(at + width):
            return width + year[0], single_date(f"{year[1]}-{month:02}")
        if qualified := self.width_at(at + width, names.LAST):
            return width + qualified, self._last_such_month(month)
        first = at - 1 if at and self.word(at - 1) in _OF else at
        # In «ميدان 25 يناير» (25 January Square), the day was found to be part of a name. So is the month after it.
        first = first - 1 if first and self._day_number(first - 1) else at
        return (width, DateFilter(months=(month,))) if is_month and not self._is_name(first, at + width) else None

    def month_named(self, at: int) -> tuple[int, int, bool] | None:
        """Read a month's name, «مايو» or «شهر مايو», or «شهر 5» (month 5), without its year.

        Return (words read, month, is_surely_a_month), or None.

        `is_surely_a_month` is false if the words may also mean something else, as "may". They need a year beside them.
        """
        if name := self.name_at(at, names.MONTHS):
            before = self.word(at - 1) if at else ""
            # after «في» (in), مارس is March, not the verb "practised"
            surely = (before,) in names.MONTH_WORDS or (before, name) in names.TOLD_BY_IN
            return len(name), names.MONTHS[name], surely or name not in names.AMBIGUOUS
        if self.name_at(at, names.MONTH_WORDS):
            word = self.word(at + 1)
            number = (1, int(word)) if re.fullmatch(r"\d{1,2}", word) else number_in_words(self.folded, at + 1)
            if number and 1 <= number[1] <= 12:
                # «شهر واحد» is "one month", not month 1
                return 1 + number[0], number[1], word.isdigit() or number[1] > 2
        return None

    def _last_such_month(self, month: int) -> DateFilter:
        """Return the filter for the latest month with this number that has ended, in this year or the year before."""
        return single_date(f"{self.today.year - (self.today.month <= month)}-{month:02}")

    def _further_months(self, at: int, first: int) -> tuple[int, DateFilter] | None:
        """Read the months after a first one: «يناير وفبراير ومارس 2019». Return (words read, date filter), or None."""
        months, width = [first], 0
        # after a month's number the next one may be a number, too: «شهر 5 أو 6», month 5 or 6
        known = _MONTHS_OR_NUMBERS if self.word(at - 1).isdigit() else MONTHS
        while (
            len(months) < MOST_LISTED
            and (joint := self.width_at(at + width, names.AND))
            and (name := self.name_at(at + width + joint, known))
        ):
            months.append(known[name])
            width += joint + len(name)
        year = self.any_year(at + width) or (0, None)
        if len(set(months)) == 1 and not (width and year[0]):  # «may or may not» names no month
            return None
        named = str(year[1]) if year[1] else None
        return width + year[0], DateFilter(named, named, tuple(dict.fromkeys(months)))

    # ------------------------------------------------------------------ any date

    def find(self, *, joins: bool = True) -> tuple[int, int, DateFilter] | None:
        """Return (index of the first word, number of words, filter) of the first date; None if there is none.

        With `joins`, dates that follow after "and" or "or" are read, too, and joined with the first date into one
        filter; None is returned if no filter fits all of these dates.
        """
        rules: tuple[Rule, ...] = (
            partial(read_limit, self), self._third, self._date_but_no_month, self.month, self._relative_or_year,
        )  # fmt: skip
        if any((word,) in names.TO for word in self.folded):
            rules = (partial(read_span, self), *rules)
        for at in range(len(self.folded)):
            if result := _try_all(rules, at):
                width, found = result
                for _ in range(MOST_LISTED if joins else 0):
                    if not (joint := self.width_at(at + width, names.AND)):
                        break
                    after = at + width + joint
                    # the date after "and"; None if the text ends there
                    other = _try_all(rules, after) if after < len(self.folded) else None
                    if found.first and found.last:
                        other = self._same_of_year(at, at + width, after) or other
                    if other is None:
                        break
                    found = self._in_year_of((at, at + width), found, (after, after + other[0]), other[1])
                    further = self._in_year_of((after, after + other[0]), other[1], (at, at + width), found)
                    opposite = bool(found.first or further.last) != bool(found.last or further.first)
                    if (opposite and self.word(at + width) in _OR) or (both := join_dates(found, further)) is None:
                        return None  # no filter fits both dates, and a filter for one would hide the other's pictures
                    width, found = width + joint + other[0], both
                return at, width, found
        return None

    def _in_year_of(self, part: Found, date: DateFilter, other: Found, its_date: DateFilter) -> DateFilter:
        """Return `date` with the year of `its_date`, to which "and" joins it, if `date` has no year of its own.

        In «مايو 2019 ويونيو», June becomes June 2019. If `its_date` has no year either, `date` is returned unchanged.

        Args:
            part, other: where the words of `date` and the words of `its_date` stand, each as (first index, end).
        """
        named, years = self.folded[slice(*part)], list(filter(_YEAR.fullmatch, self.folded[slice(*other)]))
        # the other date is a year alone, as in «مايو و2019» (May and 2019): then May is that of any year
        both = years and other > part and its_date == single_date(years[-1])
        if not years or both or (date.first and date.last) or any(map(_YEAR.fullmatch, named)):
            return date
        found = DateReader((*named, years[-1]), self.today).find(joins=False)
        return found[2] if found and found[:2] == (0, len(named) + 1) else date

    def _same_of_year(self, at: int, end: int, after: int) -> tuple[int, DateFilter] | None:
        """Read a bare year at word `after` as a repetition, in that year, of the date named before it.

        In «صيف 2018 و2019» (summer 2018 and 2019), «2019» means summer 2019. The date before is named by the words from
        `at` to `end`. Return (words read, date filter), or None.
        """
        years = [place for place in (*range(at, end), after) if _YEAR.fullmatch(self.word(place))]
        if len(years) < 2 or years[-1] != after:
            return None
        named = self.folded[at : years[0]]
        found = DateReader((*named, *self.folded[after : after + MOST_LISTED]), self.today).find(joins=False)
        return (found[1] - len(named), found[2]) if found and not found[0] and found[1] > len(named) else None

    # ------------------------------------------------------------------ rules: index of a word → (words read, filter)
    def _third(self, at: int) -> tuple[int, DateFilter] | None:
        """Read a third of a year or month, such as «أواخر 2023» (late 2023): return (words read, filter), or None."""
        if (name := self.name_at(at, names.THIRDS)) is None:
            return None
        third, width = names.THIRDS[name], len(name)
        if year := self.any_year(at + width):
            return width + year[0], DateFilter(f"{year[1]}-{4 * third + 1:02}", f"{year[1]}-{4 * third + 4:02}")
        month = self.month(at + width)
        if month is None or len(month[1].months) > 1:
            return None
        days = tuple(range(10 * third + 1, 32 if third == 2 else 10 * third + 11))
        return width + month[0], replace(month[1], days=days)

    def _third_as_end(self, at: int) -> tuple[int, DateFilter] | None:
        """Read a third of a year or month that begins or ends a span: return (words read, date filter), or None.

        Early, middle and late in a year mean January, June to July, and December; in a month they mean its first,
        second and last third.
        """
        if (name := self.name_at(at, names.THIRDS)) is None:
            return None
        third, width = names.THIRDS[name], len(name)
        if year := self.any_year(at + width):
            first, last = ((1, 1), (6, 7), (12, 12))[third]
            return width + year[0], DateFilter(f"{year[1]}-{first:02}", f"{year[1]}-{last:02}")
        month = self.month(at + width)
        if month is None or not month[1].first or month[1].first != month[1].last:
            return None
        begin = first_day(month[1].first).replace(day=10 * third + 1)
        return width + month[0], day_span(
            (begin, last_day(month[1].first) if third == 2 else begin + timedelta(days=9))
        )

    def whole_date(self, at: int) -> tuple[int, DateFilter] | None:
        """Read a date that may begin or end a span: return (words read, date filter), or None.

        A month's name without a day, as «مايو», is not read here, see `month_named`.
        """
        return self._third_as_end(at) or self._date_but_no_month(at) or self._relative_or_year(at)

    def _date_but_no_month(self, at: int) -> tuple[int, DateFilter] | None:
        """Read a date in digits, feast, Hijri date, day of a month, or season: return (words read, filter), or None."""
        return _try_all((self.numeric, self._feast, self._hijri_month, self.day_and_month, self._season), at)

    def _relative_or_year(self, at: int) -> tuple[int, DateFilter] | None:
        """Read a time relative to today or a year from word `at` on: return (words read, date filter), or None.

        Examples: «أمس» (yesterday), «الشهر الماضي» (last month), «2019».
        """
        return read_relative_time(self, at) or self._year_or_span_of_years(at)

    def _feast(self, at: int) -> tuple[int, DateFilter] | None:
        """Read a feast with its year, «عيد الفطر 2019», "last christmas": return (words read, date filter), or None."""
        order = self.name_at(at, names.DAYS_OF_A_FEAST) or ()
        if name := self.name_at(at + len(order), names.FEASTS):
            month, first, last = names.FEASTS[name]
            if order:
                first = last = min(first + names.DAYS_OF_A_FEAST[order], last)
            width = len(order) + len(name)
            if found := self.hijri_span(at + width, month, first, last):
                return width + found[0], found[1]
        if (name := self.name_at(at, names.EITHER_FEAST)) and (width := self.width_at(at + len(name), names.LAST)):
            spans = [span for feast in names.EITHER_OF if (span := self.hijri_span(at + len(name), *feast))]
            later = max(spans, key=lambda span: span[1].last or "", default=None)
            return (len(name) + width, later[1]) if later else None
        if name := self.name_at(at, names.GREGORIAN_FEASTS):
            begins, ends = names.GREGORIAN_FEASTS[name]
            if year := self.any_year(at + len(name)):
                return len(name) + year[0], day_span((_feast_day(year[1], begins), _feast_day(year[1], ends)))
            if width := self.width_at(at + len(name), names.LAST):
                year_of = self.today.year - (_feast_day(self.today.year, ends) >= self.today)
                return len(name) + width, day_span((_feast_day(year_of, begins), _feast_day(year_of, ends)))
        return None

    def _hijri_month(self, at: int) -> tuple[int, DateFilter] | None:
        """Read a Hijri month with its year or after "last", or a Hijri year: return (words read, date filter), or None.

        A part or a day of the month may stand before it: «نهاية رمضان 1444» (end of Ramadan 1444), «15 رمضان 1444».
        """
        part = self.name_at(at, names.PARTS_OF_A_HIJRI_MONTH) or ()
        width = len(part) + (self.width_at(at + len(part), names.MONTH_WORDS) if part else 0)
        if name := self.name_at(at + width, names.HIJRI_MONTHS):
            width += len(name)
            days = names.PARTS_OF_A_HIJRI_MONTH.get(part, (1, 30))
            if found := self.hijri_span(at + width, names.HIJRI_MONTHS[name], *days):
                return width + found[0], found[1]
        lead = self.width_at(at, LAST)
        if lead and (name := self.name_at(at + lead, names.HIJRI_MONTHS)):  # such as "last Ramadan"
            latest = self.last_hijri(names.HIJRI_MONTHS[name])
            return (lead + len(name), latest) if latest else None
        word, name = self.folded[at], self.name_at(at + 1, names.HIJRI_MONTHS)
        day = int(word) if name and re.fullmatch(r"\d{1,2}", word) else 0  # as in 15 رمضان 1444 (15 Ramadan)
        if name and 1 <= day <= 30:
            found = self.hijri_span(at + 1 + len(name), names.HIJRI_MONTHS[name], day, day)
            return (1 + len(name) + found[0], found[1]) if found else None
        return self.hijri_year(at)

    def _season(self, at: int) -> tuple[int, DateFilter] | None:
        """Read a season with its year or a word such as "last": return (words read, date filter), or None.

        Examples: «صيف 2019» (summer 2019), «الصيف الماضي» (last summer), «هالصيف» (this summer).
        """
        here = self.this_word(at)  # as in هالصيف, "this summer", one word in the Levant and the Gulf
        name = here if here in names.SEASONS else self.name_at(at, names.SEASONS)
        lead = 0
        if not name and (lead := self.width_at(at, names.LAST | names.THIS)):
            name = self.name_at(at + lead, names.SEASONS)
        if not name:
            return None
        months, after = names.SEASONS[name], at + lead + len(name)
        if year := self._season_year(after):
            width = lead + len(name) + year[0]
            if months[0] == 12 and year[1] < year[2]:  # a winter with two years: winter 2018-2019
                return width, DateFilter(f"{year[1]}-12", f"{year[2]}-02")
            return width, DateFilter(str(year[1]), str(year[2]), months)
        last = self.width_at(after, names.LAST)
        of_now = self.width_at(after, names.THIS_YEAR) or int(self.this_word(after) in names.YEAR_WORDS)
        current = self.width_at(after, names.THIS) or bool(lead and (self.folded[at],) in names.THIS)
        current = current or of_now or here == name
        if last or current or lead:
            year_of = self.today.year + 1
            while _season_end(year_of, months) >= self.today and not (
                current and _season_start(year_of, months) <= self.today
            ):
                year_of -= 1
            first, end = _season_start(year_of, months), _season_end(year_of, months)
            width = lead + len(name) + max(last, self.width_at(after, names.THIS))
            width += of_now or self.width_at(at + width, names.YEAR_WORDS)  # "this year", in two words
            return width, DateFilter(f"{first:%Y-%m}", f"{end:%Y-%m}")
        return None

    def _season_year(self, at: int) -> tuple[int, int, int] | None:
        """Read the year of a season: «2018-2019», «19» or «السنة الماضية».

        Return (words read, first year, last year), or None.
        """
        year = self.any_year(at)
        # "this year" is left to `_season`, because this year's season may not be over
        if year and (year[1] < self.today.year or self.gregorian_year(at)):
            following = self.gregorian_year(at + year[0])
            joined = following if following and following[1] == year[1] + 1 else (0, year[1])
            return year[0] + joined[0], year[1], joined[1]
        word = self.folded[at] if at < len(self.folded) else ""
        if re.fullmatch(r"\d{2}", word) and int(word) <= self.today.year % 100:
            named = self.today.year - self.today.year % 100 + int(word)
            return 1, named, named
        return None

    def _year_or_span_of_years(self, at: int) -> tuple[int, DateFilter] | None:
        """Read a year, a span of years (2018-2019) or "2023 summer": return (words read, date filter), or None."""
        if not (year := self.gregorian_year(at)):
            return None
        season = self.name_at(at + year[0], SEASONS)  # a season after its year, as in "2023 summer"
        if season and season[0].isascii() and not self.gregorian_year(at + year[0] + 1):
            return year[0] + 1, DateFilter(str(year[1]), str(year[1]), SEASONS[season])
        width, last = year
        while (further := self.gregorian_year(at + width)) and further[1] > last:  # a span: 2018-2019
            width, last = width + further[0], further[1]
        return width, DateFilter(str(year[1]), str(last))


MOST = 99  # limit: how many years, months, weeks or days back a relative date may lie
Ago = tuple[int, str, str]  # (number of words, first, last); first and last are days, months or years


def _folds(words: str) -> frozenset[str]:
    """Split a list of words at its bars (|); return the words folded."""
    return frozenset(map(fold, words.split("|")))


_UNITS = {  # unit → words for one, for two, for several
    "year": ("سنة|عام|year", "سنتين|عامين", "سنوات|سنين|أعوام|years"),
    "month": ("شهر|month", "شهرين", "أشهر|شهور|اشهر|months"),
    "week": ("أسبوع|اسبوع|week", "أسبوعين|اسبوعين", "أسابيع|اسابيع|weeks"),
    "day": ("يوم|day", "يومين", "أيام|ايام|days"),
}
_ONE, _TWO, _SEVERAL = ({word: unit for unit, forms in _UNITS.items() for word in _folds(forms[i])} for i in range(3))
# Without one and two, واحد and اثنين, which stand after their noun; «أيام الاثنين» are Mondays, not two days.
_NUMBERS = {word: number for word, number in UNITS.items() if number > 2}
_NUMBERS |= {form[0]: 1 + place for place, form in read_numbered_forms("numbers: 1 to 10 in English")}
# Words for "ago": «قبل سنتين», «منذ سنتين», in Egypt «من سنتين»: two years ago. «من سنة» may begin a span of years.
_BEFORE, _SINCE, _FROM = fold("قبل"), fold("منذ"), fold("من")
# Words that may follow «قبل سنة», "a year ago". Before any other word, «قبل» means "before" and «منذ» "since", as in
# «قبل شهر رمضان» (before the month of Ramadan) and «منذ سنة ١٤٤٠» (since the year 1440).
_AFTER_ONE = _folds("|في|على|من|مع|عند|بين|فوق|تحت|أمام|بجانب")


def read_time_ago(folded: Sequence[str], at: int, today: date) -> Ago | None:
    """Read a time such as «قبل سنتين» or "2 years ago" from word `at` on: return (words read, first, last), or None."""
    lead = folded[at] in (_BEFORE, _SINCE, _FROM)
    start = at + lead
    if start >= len(folded):
        return None
    word, following = folded[start], folded[start + 1] if start + 1 < len(folded) else ""
    number = _parse_number(word)
    unit = (_SEVERAL.get(following) or _ONE.get(following)) if 1 <= number <= MOST else None
    width = start - at + 2
    if unit and (lead or (len(folded) > start + 2 and folded[start + 2] == "ago")):
        return (width + (not lead), *_period_ago(unit, number, today))
    if lead and word in _TWO:
        return (width - 1, *_period_ago(_TWO[word], 2, today))
    if lead and word in _ONE and following in _AFTER_ONE and (folded[at] != _FROM or _ONE[word] in ("month", "week")):
        return (width - 1, *_period_ago(_ONE[word], 1, today))
    return None


def read_last_several(words: DateReader, at: int) -> tuple[int, DateFilter] | None:
    """Read the last several years, months, weeks or days: return (words read, date filter up to today), or None.

    Examples: «السنوات الأربع الماضية» (the last four years), «آخر ٣ أشهر» (the last 3 months).
    """
    if (lead := words.width_at(at, names.RECENT)) and (recent := _read_recent(words, at + lead)):
        return lead + recent[0], day_span((_day_ago(words.today, recent[1], recent[2]), words.today))
    pair = [words.word(place).removeprefix("ال") for place in (at, at + 1)]
    width = words.width_at(at + 2, LAST)
    for number, unit in (pair, reversed(pair)):
        if width and unit in _SEVERAL and 1 <= _parse_number(number) <= MOST:
            return 2 + width, day_span((_day_ago(words.today, _SEVERAL[unit], _parse_number(number)), words.today))
    return None


def _read_recent(words: DateReader, at: int) -> tuple[int, str, int] | None:
    """Read a length of time after «آخر» (last) or "past", such as «شهرين» (two months).

    Return (number of words read, unit of time, how many units), or None.
    """
    word, following = words.word(at), words.word(at + 1)
    if following in _SEVERAL and 1 <= (number := _parse_number(word)) <= MOST:
        return 2, _SEVERAL[following], number
    if word in _TWO:
        return 1, _TWO[word], 2
    # but "last week" is the week before this one, and «آخر يوم» is the last day of something, such as school
    single = word in _ONE and _ONE[word] != "day" and following in _AFTER_ONE and words.word(at - 1) != "last"
    return (1, _ONE[word], 1) if single else None


def _parse_number(word: str) -> int:
    """Return the number that a word names, in digits or letters; 0 if none."""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 3 else _NUMBERS.get(word, 0)


def _day_ago(today: date, unit: str, back: int) -> date:
    """Return the day that lies `back` units (years, months, weeks or days) before `today`."""
    if unit in ("week", "day"):
        return today - timedelta(days=back * (7 if unit == "week" else 1))
    year, month = divmod(today.year * 12 + today.month - 1 - back * (12 if unit == "year" else 1), 12)
    return date(year, month + 1, min(today.day, calendar.monthrange(year, month + 1)[1]))


def _period_ago(unit: str, back: int, today: date) -> tuple[str, str]:
    """Return (first, last) of the period that lies `back` units before today, as filters write it.

    A year or month is returned twice, as ("2019", "2019"). For weeks, the period is the day that lies so far back, with
    the three days before and the three days after it; for days, it is that day alone.
    """
    day = _day_ago(today, unit, back)
    if unit in ("year", "month"):
        return (day.isoformat()[: len("2019" if unit == "year" else "2019-05")],) * 2
    around = 3 if unit == "week" else 0
    return (day - timedelta(days=around)).isoformat(), (day + timedelta(days=around)).isoformat()


# «اليوم» means "today" only in a text of at most so many words; in longer texts it may be "the day". A «و» ("and") and
# one word with it, as in "and yesterday", are not counted.
TODAY_IN = 3


def read_relative_time(words: DateReader, at: int) -> tuple[int, DateFilter] | None:
    """Read a time relative to today (yesterday, last month, the 90s) that begins at word `at`.

    Return (number of words, date filter); None if no such time begins there.
    """
    folded, today = words.folded, words.today
    if found := read_time_ago(folded, at, today):
        return found[0], DateFilter(*found[1:])
    if several := read_last_several(words, at):
        return several
    if weekday := read_last_weekday(words, at):
        return weekday
    if name := words.name_at(at, names.YESTERDAYS):
        return len(name), single_date((today - timedelta(days=names.YESTERDAYS[name])).isoformat())
    short = len(folded) - 2 * ("و" in folded) <= TODAY_IN
    if short and (name := words.name_at(at, names.TODAY)) and not words.word(at + 1).startswith("ال"):
        return len(name), single_date(today.isoformat())
    if name := words.name_at(at, names.DECADES):
        return len(name), DateFilter(str(names.DECADES[name]), str(names.DECADES[name] + 9))
    if name := words.name_at(at, names.THIS_YEAR):
        return len(name), _year_ago(today, 0)
    for known, span in ((names.YEAR_WORDS, _year_ago), (names.MONTH_WORDS, _month_ago), (names.WEEK_WORDS, _week_ago)):
        if words.this_word(at) in known:
            return 1, span(today, 0)
        if name := words.name_at(at, known):
            if words.is_general(at) and words.name_at(at + 1, names.OF_AN_OFFICE):
                return None
            if width := words.width_at(at + len(name), names.LAST):
                return len(name) + width, span(today, 1)
            if width := words.width_at(at + len(name), names.THIS):
                return len(name) + width, span(today, 0)
        lead = words.width_at(at, names.LAST | names.THIS)
        if lead and (name := words.name_at(at + lead, known)):
            return lead + len(name), span(today, 0 if tuple(folded[at : at + lead]) in names.THIS else 1)
    return None


def _year_ago(today: date, back: int) -> DateFilter:
    return single_date(str(today.year - back))


def _month_ago(today: date, back: int) -> DateFilter:
    day = today.replace(day=1) - timedelta(days=1) if back else today
    return single_date(f"{day:%Y-%m}")


def _week_ago(today: date, back: int) -> DateFilter:
    first = today - timedelta(days=(today.weekday() + 2) % 7 + 7 * back)  # a week begins on Saturday
    return DateFilter(first.isoformat(), (first + timedelta(days=6)).isoformat())


def read_last_weekday(words: DateReader, at: int) -> tuple[int, DateFilter] | None:
    """Read the last weekday or weekend («الجمعة الماضية») from word `at` on: (words read, date filter), or None."""
    if (name := words.name_at(at, WEEKDAYS)) and (last := words.name_at(at + len(name), LAST)):
        several = name in NUMBERS_TOO and last in LAST_FEMININE
        return None if several else (len(name) + len(last), _last_occurrence(name, words.today))
    if (width := words.width_at(at, LAST)) and (name := words.name_at(at + width, WEEKDAYS)):
        return width + len(name), _last_occurrence(name, words.today)
    return None


def _last_occurrence(name: tuple[str, ...], today: date) -> DateFilter:
    """Return the filter for the last weekday or weekend of this name before today."""
    day, length = WEEKDAYS[name]
    last = today - timedelta(days=(today.weekday() - day - 1) % 7 + 1)
    return day_span((last - timedelta(days=length - 1), last))


@dataclass(frozen=True)
class _SpanEnd:
    """One end of a span of dates; `width` is the number of words that name it.

    Either `filter` holds a whole date, or `month` and `day` hold what was said: a month («مايو»), a day and its month
    («5 مايو»), or a day alone («5», whose month the other end names).
    """

    width: int
    filter: DateFilter | None = None
    month: int | None = None
    day: int | None = None

    @property
    def is_year(self) -> bool:
        """True if this end of a span is a whole year, as 2018 in "from 2018 to May 2020"."""
        return self.filter is not None and len(self.filter.first or "") == 4

    def in_year(self, year: int) -> str | None:
        """Return this end of a span as a date in `year`; None if the month is not known, or has no such day."""
        if self.month is None or (self.day or 1) > calendar.monthrange(year, self.month)[1]:
            return None
        return f"{year}-{self.month:02}" + (f"-{self.day:02}" if self.day else "")


def read_span(words: DateReader, at: int) -> tuple[int, DateFilter] | None:
    """Read a span of dates from word `at` on: return (words read, date filter), or None.

    Its forms are «من … إلى …» (from … to …), «بين … و…» (between … and …) and «… إلى …» (… to …).
    """
    lead = words.name_at(at, names.FROM) or ()
    bare = words.name_at(at + len(lead) + 1, names.TO) and _read_bare_day(words, at + len(lead))
    first = bare or _read_end(words, at + len(lead))
    middle = first and words.name_at(at + len(lead) + first.width, names.TO)
    if not (first and middle):
        return None
    place = at + len(lead) + first.width + len(middle)
    last = _read_end(words, place, is_last=True)
    if not last or (middle in names.AND and lead not in (names.FROM - names.AFTER if first.is_year else names.BETWEEN)):
        return None  # «مايو ويوليو», May and July, are two months and no span
    found = _join_ends(first, last)
    return (place + last.width - at, found) if found else None


def read_limit(words: DateReader, at: int) -> tuple[int, DateFilter] | None:
    """Read a limit before or after a date, from word `at` on: return (words read, date filter), or None.

    Limits are «قبل 2015» (before), «حتى مايو 2019» (until), «بعد 17/5/2019» (after), «منذ الصيف الماضي» (since).
    """
    if words.name_at(at, names.YESTERDAYS):  # «قبل أمس», literally "before yesterday", is a day, not a limit
        return None
    for known in (names.BEFORE, names.UNTIL, names.AFTER):
        lead = words.name_at(at, known)
        found = _read_limiting_date(words, at + len(lead), known is names.UNTIL) if lead else None
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


def _read_limiting_date(words: DateReader, at: int, is_last: bool) -> tuple[int, DateFilter] | None:
    """Read the date after "before", "until" or "since": return (words read, date filter), or None.

    A day or month without a year gets this year or, if it has not begun yet this year, the year before. A third of a
    month («أوائل مايو») becomes its first day or, with `is_last`, its last day.
    """
    if year := words.gregorian_year(at):
        return year[0], single_date(str(year[1]))
    month = words.month_named(at)
    if month and (year := words.gregorian_year(at + month[0])):
        return month[0] + year[0], single_date(f"{year[1]}-{month[1]:02}")
    end = _read_end(words, at, is_last)
    if end and end.filter:
        return end.width, end.filter
    last = end and next(
        (day for back in (0, 1) if (day := end.in_year(words.today.year - back)) and first_day(day) <= words.today),
        None,
    )
    return (end.width, single_date(last)) if end and last else None


def _read_end(words: DateReader, at: int, is_last: bool = False) -> _SpanEnd | None:
    """Read an end of a span from word `at` on, with a word such as شهر ("month") before it; None if none is there.

    `is_last`: it is the span's last end, so of a third of a month the last day counts.
    """
    for skipped in dict.fromkeys((words.width_at(at, names.OF_AN_END), 0)):
        if end := _read_end_itself(words, at + skipped, is_last):
            return replace(end, width=end.width + skipped)
    return None


def _read_end_itself(words: DateReader, at: int, is_last: bool) -> _SpanEnd | None:
    """Read an end of a span that begins exactly at word `at`; None if there is none. `is_last`: see `_read_end`."""
    if (name := words.name_at(at, names.THIRDS)) and (named := words.month_named(at + len(name))):
        width, third = len(name) + named[0], names.THIRDS[name]
        if not (words.any_year(at + width) or words.name_at(at + width, names.LAST)):  # «أول مايو», early May
            return _SpanEnd(width, month=named[1], day=(10, 20, None)[third] if is_last else 10 * third + 1)
    if name := words.name_at(at, names.TODAY | names.NOW):
        return _SpanEnd(len(name), single_date(words.today.isoformat()))
    if day := words.day_named(at):
        end = _SpanEnd(day[0], month=day[1], day=day[2])
    elif month := words.month_named(at):
        end = _SpanEnd(month[0], month=month[1])
    else:
        found = words.whole_date(at) if words.word(at) else None
        return _SpanEnd(found[0], _season_as_span(found[1])) if found else None
    if not (year := words.gregorian_year(at + end.width)):
        return end
    whole = end.in_year(year[1])
    return _SpanEnd(end.width + year[0], single_date(whole)) if whole else None


def _read_bare_day(words: DateReader, at: int) -> _SpanEnd | None:
    """Read a day without a month, as «5» in «من 5 إلى 10 مايو 2019»; None if there is none."""
    word = words.word(at)
    return _SpanEnd(1, day=int(word)) if re.fullmatch(r"\d{1,2}", word) and 1 <= int(word) <= 31 else None


def _season_as_span(found: DateFilter) -> DateFilter:
    """Return the span of months for a season of a year; any other date unchanged.

    The winter of a year becomes the whole year, since December, January and February of one year are no single span."""
    if not (found.months and found.first):
        return found
    return DateFilter(f"{found.first}-{min(found.months):02}", f"{found.last}-{max(found.months):02}")


def _join_ends(first: _SpanEnd, last: _SpanEnd) -> DateFilter | None:
    """Return the filter for a span of dates between two ends; None if no filter fits, as when `last` is before `first`.

    An end may lack its year or month; it is taken from the other end.
    """
    # a first day without a month is in the month of the last: «من 5 إلى 10 مايو», from 5 to 10 May
    if first.month is None and first.day is not None:
        if not last.filter:
            return _join_ends(replace(first, month=last.month), last) if last.month else None
        year_month, _, day = (last.filter.last or "").rpartition("-")
        if len(year_month) < 7 or first.day > int(day):
            return None
        first = replace(first, filter=single_date(f"{year_month}-{first.day:02}"))
    if first.filter and last.filter:
        begins, ends = first.filter.first, last.filter.last
    elif last.filter and last.filter.last and not last.is_year:
        ends = last.filter.last
        begins = first.in_year(int(ends[:4]))
        if begins and first_day(begins) > last_day(ends):
            begins = first.in_year(int(ends[:4]) - 1)
    elif first.filter and first.filter.first and not first.is_year:
        begins = first.filter.first
        ends = last.in_year(int(begins[:4]))
        if ends and first_day(begins) > last_day(ends):
            ends = last.in_year(int(begins[:4]) + 1)
    elif first.month and last.month:
        if first.month == last.month and first.day and (last.day or first.day > 1):
            days = tuple(range(first.day, (last.day or 31) + 1))
            return DateFilter(months=(last.month,), days=days) if days else None
        # Days of two months become whole months, since no filter has a span of days of every year.
        months = range(first.month, last.month + (1 if last.month >= first.month else 13))
        return DateFilter(months=tuple((month - 1) % 12 + 1 for month in months))
    else:
        return None
    ordered = begins and ends and first_day(begins) <= last_day(ends)
    return DateFilter(begins, ends) if ordered else None


def join_dates(first: DateFilter, second: DateFilter) -> DateFilter | None:
    """Join two dates with "and" or "or" between them into one filter for the pictures of both; None if no filter fits.

    Dates with a gap between them («2018 و2020») become the span from the earlier to the later one. «بعد 2015 وقبل 2018»
    (after 2015 and before 2018) becomes the span between the two limits.
    """
    # the same month of two years: «مايو 2018 و2020» (May 2018 and 2020)
    if (one := _month_of_year(first)).months == (other := _month_of_year(second)).months:
        first, second = one, other
    same = first.months == second.months
    # days or months of any year: «17 مايو و20 يونيو», 17 May and 20 June
    if not (first.first or first.last or second.first or second.last):
        both = first.days == second.days or (same and first.days and second.days)
        days = {*first.days, *second.days} if both else ()
        return DateFilter(months=tuple(dict.fromkeys((*first.months, *second.months))), days=tuple(sorted(days)))
    if not same or first.days or second.days:
        first, second = _season_as_span(first), _season_as_span(second)
    # one limit is "after" a date, the other "before" a date: together they are a span
    if first.last is second.first is None or first.first is second.last is None:
        begins, ends = first.first or second.first, first.last or second.last
        return DateFilter(begins, ends) if begins and ends and first_day(begins) <= last_day(ends) else None
    begins = min(first.first, second.first, key=first_day) if first.first and second.first else None
    ends = max(first.last, second.last, key=last_day) if first.last and second.last else None
    return DateFilter(begins, ends, first.months if same else ()) if begins or ends else None


def _month_of_year(found: DateFilter) -> DateFilter:
    """Rewrite a span of one month ("2019-05" to "2019-05") as the year 2019 with `months` = (5,).

    Any other filter is returned unchanged.
    """
    year, _, month = (found.first or "").partition("-")
    is_month = found.first == found.last and len(month) == 2
    return replace(found, first=year, last=year, months=(int(month),)) if is_month else found


def first_day(text: str) -> date:
    """Return the first day of a year, month or day."""
    return date.fromisoformat(f"{text}-01-01"[:10])


def last_day(text: str) -> date:
    """Return the last day of a year, month or day."""
    year, month, day = (*map(int, text.split("-")), *(0, 0)[: 2 - text.count("-")])
    month = month or 12
    return date(year, month, day or calendar.monthrange(year, month)[1])


@dataclass(frozen=True)
class Dated:
    """A text without its date. `words` are the words that named it, `filter` is the date (None: no date was found)."""

    text: str
    words: str = ""
    filter: DateFilter | None = None

    @property
    def only_date(self) -> bool:
        """True if a date was found and nothing is left that a picture could show."""
        return self.filter is not None and shows_nothing(self.text)


def split_date(text: str, today: date) -> Dated:
    """Separate the first date in a text from the rest; the text stays as it is if it has no date."""
    normal = normalize(text)
    found = tokens(normal)
    folded = [token.folded for token in found]
    place = DateReader(folded, today).find() if any(map(_may_be_dated, folded)) else None
    if place is None:
        return Dated(text)
    at, width, named = place
    first, last = found[at].start, found[at + width - 1].end
    before = list(words(normal[:first]))
    # a weekday before a date is removed with it: «يوم الجمعة 17 مايو 2019», Friday 17 May 2019
    absorbed = names.LEADING | (names.WEEKDAYS.keys() if named.is_day else set())
    while before and (fold(before[-1].group()),) in absorbed:
        first = before.pop().start()
    return Dated(cut_out(normal, first, last), normal[first:last], named)


def _may_be_dated(word: str) -> bool:
    """True if a folded word may be part of a date. In a text without such a word, no date is looked for."""
    bare = word.removeprefix("ه").removeprefix("ال")
    return word in _DATE_WORDS or bare in _DATE_WORDS or any(map(str.isdigit, word))


# Every date has a digit or one of these words of names of days, months, years and feasts, with or without article.
_DATE_WORDS = {_TWO_THOUSAND, _THOUSAND, _TWENTY, *_ONE, *_TWO, *_SEVERAL} | {
    word.removeprefix(article)
    for named in (
        names.MONTHS, names.HIJRI_MONTHS, names.SEASONS, names.FEASTS, names.GREGORIAN_FEASTS, names.EITHER_FEAST,
        WEEKDAYS, names.YEAR_WORDS, MONTH_WORDS, names.WEEK_WORDS, names.THIS_YEAR, names.TODAY, names.NOW,
        names.YESTERDAYS, names.DECADES,
    )
    for name in named
    for word in name
    for article in ("", "ال")
}  # fmt: skip


def _try_all(rules: Sequence[Rule], at: int) -> tuple[int, DateFilter] | None:
    """Return what the first rule returns that reads a date from word `at` on; None if no rule does."""
    return next((found for rule in rules if (found := rule(at)) is not None), None)


def _feast_day(year: int, day: tuple[int, int, int]) -> date:
    """Return the date in `year` of a feast's day, which `calendar_words` gives as (years before, month, day)."""
    return date(year - day[0], *day[1:])


def _season_start(year: int, months: Sequence[int]) -> date:
    """Return the first day of a season; a winter counts to the year of its January."""
    return date(year - 1 if months[0] == 12 else year, months[0], 1)


def _season_end(year: int, months: Sequence[int]) -> date:
    return date(year, months[-1], calendar.monthrange(year, months[-1])[1])
