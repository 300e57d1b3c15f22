"""When pictures were taken, as filters take it. Pure."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class DateFilter:
    """A span of days, both ends included, as `Filters` takes them; or months of any year, or of the span's years; or
    days of these months."""

    first: str | None = None
    last: str | None = None
    months: tuple[int, ...] = ()
    days: tuple[int, ...] = ()

    @property
    def is_day(self) -> bool:
        """Whether it is one day, or one of every year."""
        return len(self.days) == 1 or (self.first == self.last and len(self.first or "") == len("2019-05-17"))

    def texts(self) -> tuple[str, ...]:
        """The filter as KEY=VALUE texts: captured=2019..2019, month=12,1,2, day=17."""
        out = []
        if self.first or self.last:
            out.append(f"captured={self.first or ''}..{self.last or ''}")
        if self.months:
            out.append(f"month={','.join(map(str, self.months))}")
        if self.days:
            out.append(f"day={','.join(map(str, self.days))}")
        return tuple(out)


def one(day: str) -> DateFilter:
    """The filter of a day, month or year."""
    return DateFilter(day, day)


def days(ends: tuple[date, date]) -> DateFilter:
    """The filter of the days from one to another."""
    return DateFilter(ends[0].isoformat(), ends[1].isoformat())
