"""Times in a query's words that today stands in: «الشهر الماضي», «هالسنة», «أول أمس», "last week". Pure."""

from datetime import date, timedelta

from araclip.text.facets import ago
from araclip.text.facets import calendar_words as names
from araclip.text.facets.date_filter import DateFilter, one
from araclip.text.facets.weekdays import last_weekday
from araclip.text.facets.years import Years

TODAY_IN = 3  # words at most of a text in which "today" is a date; «اليوم الوطني» is a day of another kind


def read(words: Years, at: int) -> tuple[int, DateFilter] | None:
    """(number of words, filter) of the time that words name at a place; None where they name none."""
    folded, today = words.folded, words.today
    if found := ago.read(folded, at, today):
        return found[0], DateFilter(*found[1:])
    if several := ago.last_several(words, at):
        return several
    if weekday := last_weekday(words, at):
        return weekday
    if name := words.named(at, names.YESTERDAYS):
        return len(name), one((today - timedelta(days=names.YESTERDAYS[name])).isoformat())
    if (name := words.named(at, names.TODAY)) and len(folded) <= TODAY_IN and not words.word(at + 1).startswith("ال"):
        return len(name), one(today.isoformat())
    if name := words.named(at, names.DECADES):
        return len(name), DateFilter(str(names.DECADES[name]), str(names.DECADES[name] + 9))
    if name := words.named(at, names.THIS_YEAR):
        return len(name), _year(today, 0)
    for known, span in ((names.YEAR_WORDS, _year), (names.MONTH_WORDS, _month), (names.WEEK_WORDS, _week)):
        if words.this_one(at) in known:
            return 1, span(today, 0)
        if name := words.named(at, known):
            if words.is_general(at) and words.named(at + 1, names.OF_AN_OFFICE):
                return None
            if width := words.qualifier(at + len(name), names.LAST):
                return len(name) + width, span(today, 1)
            if width := words.qualifier(at + len(name), names.THIS):
                return len(name) + width, span(today, 0)
        lead = words.qualifier(at, names.LAST | names.THIS)
        if lead and (name := words.named(at + lead, known)):
            return lead + len(name), span(today, 0 if tuple(folded[at : at + lead]) in names.THIS else 1)
    return None


def _year(today: date, back: int) -> DateFilter:
    return one(str(today.year - back))


def _month(today: date, back: int) -> DateFilter:
    day = today.replace(day=1) - timedelta(days=1) if back else today
    return one(f"{day:%Y-%m}")


def _week(today: date, back: int) -> DateFilter:
    first = today - timedelta(days=(today.weekday() + 2) % 7 + 7 * back)  # weeks begin on Saturday
    return DateFilter(first.isoformat(), (first + timedelta(days=6)).isoformat())
