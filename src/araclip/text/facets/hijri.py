"""Hijri days as Gregorian ones, by the calendar of Umm al-Qura (hijridate)."""

from datetime import date

HIJRI_YEARS = range(1343, 1501)  # those that Umm al-Qura's tables cover


def hijri_days(year: int, first: tuple[int, int], last: tuple[int, int]) -> tuple[date, date]:
    """The Gregorian days of a Hijri year from one (month, day) to another; a day after a month's end is its last."""
    from hijridate import Hijri

    length = Hijri(year, last[0], 1).month_length()
    ends = Hijri(year, *first).to_gregorian(), Hijri(year, last[0], min(last[1], length)).to_gregorian()
    return date(*ends[0].datetuple()), date(*ends[1].datetuple())
