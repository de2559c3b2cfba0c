"""Dates in the United States, held to pandas' calendar and the zones of the system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

from stormgym.envs.decisions.dates import day_of_week, day_of_year, is_federal_holiday, is_us_daylight_saving

DATES = np.arange("1975-01-01", "2060-01-01", dtype="datetime64[D]")


def test_days__of_week_and_year_are_those_of_pandas() -> None:
    index = pd.DatetimeIndex(DATES)
    np.testing.assert_array_equal(day_of_week(DATES), index.dayofweek)
    np.testing.assert_array_equal(day_of_year(DATES), index.dayofyear)


def test_holidays__are_those_of_pandas() -> None:
    holidays = USFederalHolidayCalendar().holidays("1975-01-01", "2059-12-31")
    np.testing.assert_array_equal(is_federal_holiday(DATES), pd.DatetimeIndex(DATES).isin(holidays))


def test_holidays__of_a_year_know_the_next_new_year_on_a_saturday() -> None:
    year = np.arange("2021-01-01", "2022-01-01", dtype="datetime64[D]")
    assert is_federal_holiday(year)[-1]


def test_daylight_saving__is_that_of_new_york_since_2007() -> None:
    dates = DATES[(DATES >= np.datetime64("2007-01-01")) & (DATES < np.datetime64("2037-01-01"))]
    zone = ZoneInfo("America/New_York")
    noon = (datetime(2007, 1, 1, 17, tzinfo=UTC) + timedelta(days=i) for i in range(len(dates)))
    expected = [bool(time.astimezone(zone).dst()) for time in noon]
    np.testing.assert_array_equal(is_us_daylight_saving(dates), expected)
