"""Hourly electricity prices by day with what is known on the eve: read from a folder, or made by a synthetic market.

A folder holds one file of prices, or several of a user's own.

- `*.dat` as the ICON energy challenge published them (`prices2013.dat`, half-hourly, Irish market). Fields have
  blanks in them; rows are read from the right: SMPEP2 (the price), SystemLoadEP2, ActualWindProduction, CO2Intensity,
  ORKWindspeed, ORKTemperature, SMPEA, SystemLoadEA, ForecastWindProduction, PeriodOfDay, Year, Month, Day. Known on the
  eve are the forecasts of wind, load (EA) and price (EA); actual wind, load and price are not, nor is the weather
  measured on the day, and all of these are left out.
- `*.csv` with the header `time,price,load_forecast,wind_forecast,price_forecast`, in any order: times as text, local
  and without a zone (`2024-05-01 00:30`), hourly or half-hourly.

Hours are means of their half hours. Days that lack a number are left out, and so are days whose day before is not
there: its mean price and spread are known.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.predictors.extras import require

if TYPE_CHECKING:
    import pandas as pd

HOURS = 24
FORECASTS = ("load_forecast", "wind_forecast", "price_forecast")
COLUMNS = ("price", *FORECASTS)
CALENDAR = (*(f"weekday_{i}" for i in range(7)), "cos_month", "sin_month")
"""What is known of a date: the day of the week, Monday first, and the month on a circle."""
YESTERDAY = ("mean", "sd")
LEAST_DAYS = 20
"""Of a record: below it there is nothing to learn, choose and test with."""
_FROM_RIGHT = {"price": 1, "price_forecast": 7, "load_forecast": 8, "wind_forecast": 9}
_DATE_FROM_RIGHT = {"period": 10, "year": 11, "month": 12, "day": 13}


@dataclass(frozen=True, eq=False)
class PriceDays:
    """D days in order of time."""

    price: Floats  # [D, 24]
    load_forecast: Floats  # [D, 24]
    wind_forecast: Floats  # [D, 24]
    price_forecast: Floats  # [D, 24]
    calendar: Floats  # [D, 9] see CALENDAR
    price_yesterday: Floats  # [D, 2] mean and standard deviation
    key: Hashable
    """Equal for two records exactly when their data are."""
    dates: Any
    """`[D]` datetime64[D]"""

    def __len__(self) -> int:
        """D."""
        return len(self.price)


def read_prices(folder: str | Path) -> PriceDays:
    """Days of a folder; see the module.

    Raises:
        FileNotFoundError: no such folder, or no file of prices in it.
        ValueError: a file, a column or a number that cannot be read, an hour that is there twice, or too few days.
    """
    require("a folder of prices", "pandas", "parquet")
    import pandas as pd

    path = Path(os.path.expanduser(folder))  # a user who is not known stays as it is
    if not path.is_dir():
        raise FileNotFoundError(f"folder {str(path)!r} does not exist; data names a folder of electricity prices")
    files = sorted(file for file in path.iterdir() if file.suffix in (".csv", ".dat"))
    if not files:
        raise FileNotFoundError(
            f"folder {str(path)!r} holds no prices: a .dat file as prices2013.dat, or .csv with the header "
            f"time,{','.join(COLUMNS)}"
        )
    if len({file.suffix for file in files}) > 1:
        raise ValueError(f"folder {str(path)!r} holds .dat and .csv files; keep prices of one layout in a folder")
    table = pd.concat([(_read_csv if f.suffix == ".csv" else _read_published)(f) for f in files], ignore_index=True)
    twice = table.duplicated("time")
    if twice.any():
        raise ValueError(
            f"{path}: time {table['time'][twice].iloc[0]} is there twice; leave out one of the rows "
            "(local times are ambiguous when clocks go back)"
        )
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    return _days_of(table, path, ("prices", digest))


def _read_published(file: Path) -> pd.DataFrame:
    """Times and COLUMNS of a file as the challenge published them; `NaN` and whatever is no number is missing."""
    import pandas as pd

    rows = [line.split() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    rows = [row for row in rows if row and not row[0].startswith("#")]
    short = [row for row in rows if len(row) < max(_DATE_FROM_RIGHT.values())]
    if short:
        raise ValueError(f"{file} cannot be read as prices2013.dat: a row has {len(short[0])} fields, {short[0][:6]}")
    taken = {name: [row[-place] for row in rows] for name, place in (_FROM_RIGHT | _DATE_FROM_RIGHT).items()}
    table = pd.DataFrame({name: pd.to_numeric(pd.Series(v), errors="coerce") for name, v in taken.items()})
    try:
        parts = table[["year", "month", "day"]]
        if not len(parts) or parts.isna().any(axis=None) or not table["period"].between(0, 47).all():
            raise ValueError("a year, month, day or half hour is missing")
        time = pd.to_datetime(parts) + pd.to_timedelta(30 * table["period"], unit="min")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} cannot be read as prices2013.dat: {error}") from error
    return table.assign(time=time)[["time", *COLUMNS]]


def _read_csv(file: Path) -> pd.DataFrame:
    """Times and COLUMNS of a user's own file."""
    import pandas as pd

    try:
        table = pd.read_csv(file, skipinitialspace=True)
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{file} cannot be read as a table: {error}") from error
    table.columns = pd.Index([str(name).strip().lower() for name in table.columns])
    missing = [name for name in ("time", *COLUMNS) if name not in table.columns]
    if missing:
        raise ValueError(
            f"{file} lacks the column {missing[0]!r}; it has {', '.join(table.columns)} and needs "
            f"time, {', '.join(COLUMNS)}"
        )
    if not len(table):
        raise ValueError(f"{file} holds no row beside its header")
    text = table["time"].astype(str).str.strip()
    time = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=False)
    if not pd.api.types.is_datetime64_dtype(time) or time.isna().any():
        bad = text[time.isna()] if time.isna().any() else text
        raise ValueError(f"{file}: times must be local and without a zone, as 2024-05-01 00:30; got {bad.iloc[0]!r}")
    if ((time.dt.minute % 30 != 0) | (time.dt.second != 0)).any():
        odd = text[(time.dt.minute % 30 != 0) | (time.dt.second != 0)].iloc[0]
        raise ValueError(f"{file}: rows must be hourly or half-hourly, at minute 0 or 30; got {odd!r}")
    numbers = table[list(COLUMNS)].apply(pd.to_numeric, errors="coerce")
    words = numbers.isna() & table[list(COLUMNS)].notna()
    endless = ~np.isfinite(numbers) & numbers.notna()
    for name in COLUMNS:
        if (words[name] | endless[name]).any():
            row = int((words[name] | endless[name]).to_numpy().argmax())
            raise ValueError(
                f"{file}, row {row + 1}: {name} must be a finite number, or empty where it is missing; "
                f"got {table[name].iloc[row]!r}"
            )
    return numbers.assign(time=time)[["time", *COLUMNS]]


def _days_of(table: pd.DataFrame, path: Path, key: Hashable) -> PriceDays:
    """Whole days whose day before is whole in its prices."""
    import pandas as pd

    date, hour = table["time"].dt.normalize(), table["time"].dt.hour
    grouped = table.groupby([date.rename("date"), hour.rename("hour")])[list(COLUMNS)]
    # the mean of an hour whose half is missing is missing
    hourly = grouped.mean().where(grouped.count() == grouped.size().max())
    wide = {name: hourly[name].unstack("hour").reindex(columns=range(HOURS)).sort_index() for name in COLUMNS}
    whole = pd.concat([w.notna().all(axis=1) for w in wide.values()], axis=1).all(axis=1)
    dates = pd.DatetimeIndex(wide["price"].index)
    price = wide["price"].to_numpy(np.float64)
    before = dates.get_indexer(dates - pd.Timedelta(days=1))
    known = whole.to_numpy() & (before >= 0) & np.isfinite(price[before]).all(axis=1)
    if known.sum() < LEAST_DAYS:
        raise ValueError(
            f"{path}: at least {LEAST_DAYS} days with all of {', '.join(COLUMNS)} and a day before are needed to "
            f"learn, choose and test; got {int(known.sum())} of {len(dates)}"
        )
    return PriceDays(
        **{name: wide[name].to_numpy(np.float64)[known] for name in COLUMNS},
        calendar=calendar_of(dates[known].dayofweek.to_numpy(), dates[known].month.to_numpy()),
        price_yesterday=day_before(price[before[known]]),
        key=key,
        dates=dates[known].to_numpy("datetime64[D]"),
    )


def calendar_of(weekday: Ints, month: Ints) -> Floats:
    """See CALENDAR, `[D, 9]` of days of the week (Monday 0) and months (January 1)."""
    angle = 2.0 * np.pi * (np.asarray(month) - 1) / 12.0
    return np.column_stack([np.eye(7)[np.asarray(weekday)], np.cos(angle), np.sin(angle)])


def day_before(price: Floats) -> Floats:
    """Mean and standard deviation `[D, 2]` of prices `[D, 24]`."""
    return np.stack([price.mean(axis=1), price.std(axis=1)], axis=1)
