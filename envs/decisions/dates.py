"""What a calendar says of a date in the United States; dates are `datetime64[D]` arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Bools, Ints

Dates = NDArray[np.datetime64]
MONDAY, THURSDAY, SATURDAY, SUNDAY = 0, 3, 5, 6


def day_of_week(dates: Dates) -> Ints:
    """0 is Monday."""
    return np.asarray((dates.astype("datetime64[D]").astype(np.int64) + THURSDAY) % 7)  # day 0, 1970-01-01: a Thursday


def day_of_year(dates: Dates) -> Ints:
    """From 1 on."""
    return np.asarray((dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1)


def is_federal_holiday(dates: Dates) -> Bools:
    """Whether a date is a federal holiday, on the day on which it is observed; as pandas' calendar has them."""
    years = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    # New Year may be observed on the last day of the year before
    holidays = [day for year in range(int(years.min()), int(years.max()) + 2) for day in _federal_holidays(year)]
    return np.isin(dates, np.array(holidays, dtype="datetime64[D]"))


def is_us_daylight_saving(dates: Dates) -> Bools:
    """Whether clocks are forward at noon, by the rule since 2007: from March's second Sunday to November's first."""
    years = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    saving = np.zeros(dates.shape, dtype=bool)
    for year in np.unique(years).tolist():
        saving |= (dates >= nth_weekday(year, 3, SUNDAY, 2)) & (dates < nth_weekday(year, 11, SUNDAY, 1))
    return saving


def nth_weekday(year: int, month: int, weekday: int, n: int) -> np.datetime64:
    """The n-th such weekday of a month, n from 1 on."""
    first = np.datetime64(f"{year}-{month:02}-01")
    return first + int((weekday - day_of_week(np.asarray(first))) % 7) + 7 * (n - 1)


def _federal_holidays(year: int) -> Iterator[np.datetime64]:
    yield _observed(year, 1, 1)  # New Year
    if year >= 1986:
        yield nth_weekday(year, 1, MONDAY, 3)  # Birthday of Martin Luther King, Jr.
    yield nth_weekday(year, 2, MONDAY, 3)  # Washington's Birthday
    yield nth_weekday(year, 6, MONDAY, 1) - 7  # Memorial Day: the last Monday of May
    if year >= 2021:
        yield _observed(year, 6, 19)  # Juneteenth
    yield _observed(year, 7, 4)  # Independence Day
    yield nth_weekday(year, 9, MONDAY, 1)  # Labor Day
    yield nth_weekday(year, 10, MONDAY, 2)  # Columbus Day
    yield _observed(year, 11, 11)  # Veterans Day
    yield nth_weekday(year, 11, THURSDAY, 4)  # Thanksgiving
    yield _observed(year, 12, 25)  # Christmas


def _observed(year: int, month: int, day: int) -> np.datetime64:
    """The workday nearest to a date: Friday for a Saturday, Monday for a Sunday."""
    date = np.datetime64(f"{year}-{month:02}-{day:02}")
    return date + {SATURDAY: -1, SUNDAY: 1}.get(int(day_of_week(np.asarray(date))), 0)
