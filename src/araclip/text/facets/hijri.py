"""Hijri days as Gregorian ones, by the calendar of Umm al-Qura (hijridate)."""

from datetime import date

HIJRI_YEARS = range(1343, 1501)  # those that Umm al-Qura's tables cover


def hijri_days(year: int, first: tuple[int, int], last: tuple[int, int]) -> tuple[date, date]:
    """The Gregorian days of a Hijri year from one (month, day) to another; a day after a month's end is its last."""
    from hijridate import Hijri

    def gregorian(month: int, day: int) -> date:
        length = Hijri(year, month, 1).month_length()
        return date(*Hijri(year, month, min(day, length)).to_gregorian().datetuple())

    return gregorian(*first), gregorian(*last)
