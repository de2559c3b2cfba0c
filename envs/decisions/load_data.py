"""Hourly load and temperature by day: read from a user's folder, or made by a synthetic generator.

A folder holds text files of three columns, time, load and temperature, in any number and order: `.txt` without a
header, separated by blanks, with times in seconds since 1970 (as the published PJM files are), or `.csv` with the
header `time,load,temperature` and times either so or as text with a zone. Missing hours are filled from the hours
after and before them on the same day; of an hour that is there twice, when clocks go back, the later is kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.decisions.dates import (
    SATURDAY,
    Dates,
    day_of_week,
    day_of_year,
    is_federal_holiday,
    is_us_daylight_saving,
)
from stormgym.predictors.extras import require

if TYPE_CHECKING:
    import pandas as pd

HOURS = 24
CALENDAR = ("weekend", "holiday", "daylight_saving", "cos_day_of_year", "sin_day_of_year")
"""What is known of a date."""
HAS_ZONE = r"[T ]\d{2}.*(?:Z|[+-]\d{2}:?(?:\d{2})?)$"
"""What a time as text ends in: local times of one zone have two offsets a year."""
NOON = time_of_day(12)
NOISE_CORRELATION = 0.8
"""Of the synthetic load's noise from hour to hour."""


@dataclass(frozen=True, eq=False)
class LoadDays:
    """D days whose day before is known too, in order of time."""

    load: Floats  # [D, 24]
    load_yesterday: Floats  # [D, 24]
    temperature: Floats  # [D, 24]
    temperature_yesterday: Floats  # [D, 24]
    calendar: Floats  # [D, 5] see CALENDAR
    key: Hashable
    """Equal for two records exactly when their data are."""

    def __len__(self) -> int:
        """D."""
        return len(self.load)


def read_load(folder: str | Path, timezone: str = "America/New_York") -> LoadDays:
    """Days of a folder of hourly files.

    Args:
        folder: see the module.
        timezone: whose days and hours are meant, an IANA name.

    Raises:
        FileNotFoundError: no such folder, or no file in it.
        ValueError: a file, a column or a number that cannot be read, an unknown zone, or fewer than two days.
    """
    require("a folder of loads", "pandas", "parquet")
    import pandas as pd

    path = Path(os.path.expanduser(folder))  # a user who is not known stays as it is
    if not path.is_dir():
        raise FileNotFoundError(f"folder {str(path)!r} does not exist; data names a folder of hourly load files")
    files = sorted(file for file in path.iterdir() if file.suffix in (".csv", ".txt") and _is_table(file))
    if not files:
        raise FileNotFoundError(
            f"folder {str(path)!r} holds no load file: .txt of time, load, temperature, or .csv with that header"
        )
    hours = pd.concat([_read(file) for file in files], ignore_index=True)
    try:
        zone = ZoneInfo(timezone)
    except Exception as error:
        raise ValueError(f"timezone must be an IANA name such as America/New_York; got {timezone!r}") from error
    hours = hours.sort_values("time", kind="stable", ignore_index=True)
    local = hours["time"].dt.tz_convert(zone)
    hours["date"], hours["hour"] = local.dt.date, local.dt.hour
    hours = hours.drop_duplicates(["date", "hour"], keep="last")
    tables = {}
    for name in ("load", "temperature"):
        table = hours.pivot(index="date", columns="hour", values=name).reindex(columns=range(HOURS)).sort_index()
        tables[name] = table.bfill(axis=1).ffill(axis=1)
    known = tables["load"].notna().all(axis=1) & tables["temperature"].notna().all(axis=1)
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    days = tables["load"].index[known]
    saving = [bool(datetime.combine(day, NOON, zone).dst()) for day in days]
    load, temperature = (tables[name][known].to_numpy(np.float64) for name in ("load", "temperature"))
    return _days(np.array(days, dtype="datetime64[D]"), saving, load, temperature, ("load", digest, timezone))


def _is_table(file: Path) -> bool:
    """Whether a file is a table of numbers: folders also hold licences and notes."""
    with file.open(encoding="utf-8", errors="replace") as text:
        first = text.readline().replace(",", " ").split()
    if file.suffix == ".csv":
        return [word.strip().lower() for word in first] == ["time", "load", "temperature"]
    try:
        return len([float(word) for word in first]) == 3
    except ValueError:
        return False


def _read(file: Path) -> pd.DataFrame:
    import pandas as pd

    names = ["time", "load", "temperature"]
    try:
        if file.suffix == ".csv":
            table = pd.read_csv(file)
            table.columns = pd.Index([name.strip().lower() for name in table.columns])
        else:
            table = pd.read_csv(file, sep=r"\s+", header=None, names=names)
        as_text = table["time"].dtype == object or pd.api.types.is_string_dtype(table["time"])
        if as_text:
            bare = ~table["time"].astype(str).str.strip().str.contains(HAS_ZONE)
            if bare.any():
                raise ValueError(
                    f"times as text must have a zone, as 2012-01-01T00:00-05:00; got {table['time'][bare].iloc[0]!r}"
                )
            table["time"] = pd.to_datetime(table["time"], utc=True, format="ISO8601")
        else:
            if not np.isfinite(table["time"]).all():
                raise ValueError("a time is missing or not finite")
            table["time"] = pd.to_datetime(table["time"].round(), unit="s", utc=True)
        numbers = table[["load", "temperature"]].astype(np.float64)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{file} cannot be read as time, load, temperature: {error}") from error
    bad = ~(np.isfinite(numbers.to_numpy()) | numbers.isna().to_numpy()).all(axis=1) | (numbers["load"] < 0).to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"{file}, row {row + 1}: load must be at least 0 and finite; got {numbers.iloc[row].tolist()}")
    return pd.DataFrame({"time": table["time"], "load": numbers["load"], "temperature": numbers["temperature"]})


def _days(dates: Dates, saving: Sequence[bool] | Bools, load: Floats, temperature: Floats, key: Hashable) -> LoadDays:
    """Days whose day before is there; `saving` tells on which dates clocks are forward."""
    follows = np.flatnonzero(np.diff(dates) == np.timedelta64(1, "D")) + 1
    if not len(follows):
        raise ValueError(f"at least two days in a row are needed, with load and temperature; got {len(dates)} days")
    return LoadDays(
        load[follows],
        load[follows - 1],
        temperature[follows],
        temperature[follows - 1],
        _calendar(dates, saving)[follows],
        key,
    )


def _calendar(dates: Dates, saving: Sequence[bool] | Bools) -> Floats:
    """See CALENDAR; holidays are the federal ones of the United States."""
    angle = 2.0 * np.pi * day_of_year(dates) / 365.0
    parts = (day_of_week(dates) >= SATURDAY, is_federal_holiday(dates), saving, np.cos(angle), np.sin(angle))
    return np.stack([np.asarray(part, dtype=np.float64) for part in parts], axis=1)


# -------------------------------------------------------------------------------------------------------- synthetic


class SyntheticLaw(NamedTuple):
    """Load of a day given the day before, temperatures and calendar: independent days, normal hours."""

    mean: Floats  # [D, 24]
    sd: Floats  # [D, 24]


def synthetic_load(n_days: int = 1_461, instance: int = 0) -> LoadDays:
    """A made-up town, for an environment that needs no data: temperatures with seasons, load that follows them.

    Loads are of the order of 1 to 3, as the published ones. Given what is known on the eve, the hours' loads are normal
    with the mean and spread of `synthetic_law`; what is uncertain grows with cold and heat.

    Args:
        n_days: from 2012-01-01 on; with two fewer in the record.
        instance: seed.
    """
    rng = np.random.default_rng([9_015, instance])
    dates = np.datetime64("2012-01-01") + np.arange(n_days)
    season = np.cos(2.0 * np.pi * (day_of_year(dates) - 20) / 365.25)
    weather = np.zeros(n_days)
    for day in range(1, n_days):
        weather[day] = 0.75 * weather[day - 1] + rng.normal(0.0, 5.0)
    hour = np.arange(HOURS)
    swing = 8.0 * np.cos(2.0 * np.pi * (hour - 15) / HOURS)
    temperature = 54.0 - 22.0 * season[:, None] + weather[:, None] + swing + rng.normal(0.0, 1.0, (n_days, HOURS))
    saving = is_us_daylight_saving(dates)
    calendar = _calendar(dates, saving)
    load = np.empty((n_days, HOURS))
    load[0] = 1.7
    noise = rng.standard_normal((n_days, HOURS))
    for h in range(1, HOURS):
        noise[:, h] = NOISE_CORRELATION * noise[:, h - 1] + np.sqrt(1.0 - NOISE_CORRELATION**2) * noise[:, h]
    for day in range(1, n_days):
        row = slice(day, day + 1)
        mean, sd = synthetic_law(load[day - 1 : day], temperature[day - 1 : day], temperature[row], calendar[row])
        load[day] = np.maximum(mean + sd * noise[row], 0.2)[0]
    # the first day begins from a made-up one before it
    return _days(dates[1:], saving[1:], load[1:], temperature[1:], ("synthetic load", n_days, instance))


def synthetic_law(
    load_yesterday: Floats, temperature_yesterday: Floats, temperature: Floats, calendar: Floats
) -> SyntheticLaw:
    """The true law of `synthetic_load`, from what is known; all `[D, ...]`."""
    hour = np.arange(HOURS)
    shape = 1.35 + 0.22 * np.exp(-(((hour - 8.5) / 2.5) ** 2)) + 0.30 * np.exp(-(((hour - 18.5) / 3.5) ** 2))
    cold, hot = np.maximum(52.0 - temperature, 0.0), np.maximum(temperature - 66.0, 0.0)
    before = np.maximum(52.0 - temperature_yesterday, 0.0) + np.maximum(temperature_yesterday - 66.0, 0.0)
    rest = 1.0 - 0.10 * np.maximum(calendar[:, :1], calendar[:, 1:2])  # weekends and holidays
    own = rest * shape + 0.009 * cold + 0.016 * hot + 0.002 * before
    mean = 0.25 * (load_yesterday - 1.6) + own
    sd = 0.04 + 0.0015 * cold + 0.0025 * hot
    return SyntheticLaw(mean, sd)
