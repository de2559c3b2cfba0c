"""Hours of a plan as times of day, for tables and files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

YEARS = (1900, 2200)
_DAY_FORMAT = "%a %d %b "
_DAY = len("Mon 01 Jan ")


@dataclass(frozen=True)
class PlanClock:
    """Writes hours from a plan's start: as they are, or as times of day where the start has one."""

    start: datetime | None = None

    def text(self, hours: float) -> str:
        """Hours, or day and time."""
        if self.start is None:
            return f"{hours:.1f}"
        return f"{self.start + timedelta(hours=hours):{_DAY_FORMAT}%H:%M}"

    def between(self, low_h: float, high_h: float, word: str = " to ") -> str:
        """An interval, or two times with another word between them; a day that both share is written once."""
        low, high = self.text(low_h), self.text(high_h)
        if self.start is not None and low[:_DAY] == high[:_DAY]:
            high = high[_DAY:]
        return f"{low}{word}{high}"

    def iso(self, hours: float) -> str | None:
        """ISO 8601 to the minute; None without a start."""
        return None if self.start is None else (self.start + timedelta(hours=hours)).isoformat(timespec="minutes")


def read_start(text: str | None) -> datetime | None:
    """The time that --start names; None for None.

    Raises:
        ValueError: no time, or one of a year outside `YEARS`.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'--start must be a date and time such as "2026-09-27 06:00"; got {text!r}') from None
    if not YEARS[0] <= moment.year <= YEARS[1]:
        raise ValueError(f"--start must be of a year {YEARS[0]} to {YEARS[1]}; got {text!r}")
    return moment
