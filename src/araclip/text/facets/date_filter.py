"""When pictures were taken, as filters take it. Pure."""

from dataclasses import dataclass
from datetime import date


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


def one(day: str) -> DateFilter:
    """The filter of a day, month or year."""
    return DateFilter(day, day)


def days(ends: tuple[date, date]) -> DateFilter:
    """The filter of the days from one to another."""
    return DateFilter(ends[0].isoformat(), ends[1].isoformat())
