"""Customers out by county and time, as utilities' feeds give them: read, flagged, and never silently put right."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.data.outage_files import (
    check_fips,
    check_interval,
    csv_pieces,
    fips_of,
    moment_utc,
    numbers,
    read_rows,
)
from stormgym.envs.data.tables import DataError, set_frozen
from stormgym.predictors.extras import require

ABOVE_CUSTOMERS, DROP_OUT, LATE_START, DOUBLE = 1, 2, 4, 8
FAULTS: dict[int, str] = {
    ABOVE_CUSTOMERS: "more customers out than the county has",
    DROP_OUT: "the feed drops to nearly zero for a few intervals and comes back",
    LATE_START: "a large part of the county goes out in one interval: the feed may have begun late",
    DOUBLE: "two different counts for one time, of which the larger is kept",
}
"""What can be wrong with a count, by its bit in `OutageRecord.faults`."""

LONGEST_DROP = 6
"""Intervals; a longer low is taken for real."""
_FEW = 100.0
"""Customers below which a drop is no fault."""
_NEARLY_ZERO = 0.05
_LARGE_PART, _SMALL_PART = 0.25, 0.01
MOST_COUNTS = 250_000_000
"""Counties times times of a record: two years of the whole country at quarters of an hour are 220 million."""
MOST_YEARS = 50
"""Between the first and the last time of a record."""


@dataclass(frozen=True, eq=False)
class OutageRecord:
    """Customers out in K counties at T equally spaced times.

    Attributes:
        county: K names or FIPS codes.
        time: `[T]` UTC, datetime64[s].
        out: `[T, K]` customers out; NaN where nothing is known.
        observed: `[T, K]` False where the feed said nothing for that time (missing, or carried forward by its maker).
        customers: `[K]` customers served; NaN where unknown.
        faults: `[T, K]` bits of `FAULTS`.
        source: where it comes from, for messages.
    """

    county: tuple[str, ...]
    time: NDArray[np.datetime64]
    out: Floats
    observed: Bools
    customers: Floats
    faults: NDArray[np.uint8]
    source: str = "outage record"

    def __post_init__(self) -> None:
        t, k = len(self.time), len(self.county)
        for name, shape in (("out", (t, k)), ("observed", (t, k)), ("customers", (k,)), ("faults", (t, k))):
            array = np.array(getattr(self, name))
            if array.shape != shape:
                raise DataError(f"{self.source}: {name} must have shape {list(shape)}; got {list(array.shape)}.")
            array.setflags(write=False)
            set_frozen(self, **{name: array})
        for name, values in (("customers out", self.out), ("customers of a county", self.customers)):
            low, high = np.nanmin(values, initial=0.0), np.nanmax(values, initial=0.0)
            if low < 0 or high == np.inf:
                raise DataError(
                    f"{self.source}: {name} must be at least 0 and finite; got {low if low < 0 else high:g}."
                )
        if len(set(self.county)) < k:
            double = next(name for name in self.county if self.county.count(name) > 1)
            raise DataError(f"{self.source}: county {double!r} stands twice. Give each a name of its own.")
        steps = np.unique(np.diff(self.time).astype(np.int64))
        if t < 2 or steps.size != 1 or steps[0] <= 0:
            raise DataError(f"{self.source}: times must be two or more and equally spaced; got steps of {steps} s.")

    @property
    def interval_h(self) -> float:
        """Hours between two times."""
        return float((self.time[1] - self.time[0]) / np.timedelta64(1, "s")) / 3600.0

    def n_faults(self) -> dict[str, int]:
        """Counts that carry each fault, those that none carries left out."""
        found = {text: int((self.faults & bit > 0).sum()) for bit, text in FAULTS.items()}
        return {text: n for text, n in found.items() if n}

    def select(self, counties: Sequence[str]) -> OutageRecord:
        """The named counties, in the order given.

        Raises:
            KeyError: a county that the record lacks.
            ValueError: a county named twice, or a text in place of a list.
        """
        if isinstance(counties, str):
            raise ValueError(f"counties must be a list of names; got the text {counties!r}. Write [{counties!r}]")
        place = {name: i for i, name in enumerate(self.county)}
        missing = [name for name in counties if name not in place]
        if missing:
            raise KeyError(f"county {missing[0]!r} is not in {self.source}; it has {', '.join(self.county[:8])}, ...")
        double = [name for name in counties if list(counties).count(name) > 1]
        if double:
            raise ValueError(f"county {double[0]!r} stands twice in {list(counties)[:8]}; name it once")
        index = [place[name] for name in counties]
        return replace(
            self,
            county=tuple(counties),
            out=self.out[:, index],
            observed=self.observed[:, index],
            customers=self.customers[index],
            faults=self.faults[:, index],
        )

    def with_customers(self, customers: ArrayLike) -> OutageRecord:
        """The record with other numbers of customers served `[K]`, and its faults found again with these.

        Raises:
            DataError: another shape, or a number below 0 or infinite; NaN is unknown.
        """
        try:
            served = np.array(customers, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{self.source}: customers must be numbers, one a county ({error}).") from error
        return _flagged(replace(self, customers=served, faults=self.faults & np.uint8(DOUBLE)))

    def window(self, start: str, end: str) -> OutageRecord:
        """Times from `start` to before `end` (ISO 8601, UTC unless they have an offset).

        Raises:
            ValueError: no such time, or fewer than two times are left.
        """
        ends: Any = [moment_utc(start, "start"), moment_utc(end, "end")]
        if ends[0] is None or ends[1] is None:
            raise ValueError(f"a window needs a start and an end; got {start!r} and {end!r}")
        first, last = np.searchsorted(self.time, ends)
        if last - first < 2:
            raise ValueError(f"{self.source} has no two times from {start} to {end}; it has {self.time[[0, -1]]}")
        rows = slice(int(first), int(last))
        return replace(
            self, time=self.time[rows], out=self.out[rows], observed=self.observed[rows], faults=self.faults[rows]
        )

    def without_faults(self, *, drop: int = ABOVE_CUSTOMERS | DROP_OUT | LATE_START) -> OutageRecord:
        """Counts that carry one of the named faults become unknown (NaN)."""
        bad = self.faults & drop > 0
        return replace(self, out=np.where(bad, np.nan, self.out), observed=self.observed & ~bad)

    def filled(self) -> OutageRecord:
        """Unknown counts are read off the line between the known ones around them; outer ones take the nearest.

        They stay unobserved. Raises `ValueError` for a county of which nothing is known.
        """
        known = np.isfinite(self.out)
        if not known.any(axis=0).all():
            name = self.county[int((~known.any(axis=0)).argmax())]
            raise ValueError(f"{self.source}: nothing is known of {name}; leave the county out (select)")
        rows = np.arange(len(self.time))
        out = np.stack(
            [np.interp(rows, rows[ok], column[ok]) for ok, column in zip(known.T, self.out.T, strict=True)], axis=1
        )
        return replace(self, out=out)

    def per_period(self, hours: float) -> Floats:
        """Mean customers out in each whole period of `hours`, `[P, K]`.

        Raises:
            ValueError: a period that is no whole number of intervals or longer than the record, or counts that are
                unknown (see `without_faults` and `filled`).
        """
        n = np.nan if isinstance(hours, str) or hours is None else float(hours) / self.interval_h
        if not 1 <= n < np.inf or abs(n - round(n)) > 1e-9 or round(n) > len(self.time):
            raise ValueError(f"hours must be a multiple of {self.interval_h:g} within the record; got {hours!r}")
        if not np.isfinite(self.out).all():
            raise ValueError(f"{self.source}: {int(np.isnan(self.out).sum())} counts are unknown; say filled() first")
        periods = len(self.time) // round(n)
        return self.out[: periods * round(n)].reshape(periods, round(n), -1).mean(axis=1)


def read_eaglei(
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    states: Sequence[str] = (),
    counties: Sequence[str] = (),
    customers: str | os.PathLike[str] | None = None,
    missing_is_zero: bool = False,
    interval_min: int = 15,
    since: str | None = None,
    until: str | None = None,
) -> OutageRecord:
    """Read EAGLE-I's yearly files (csv, csv.gz or parquet), of any year.

    The columns are `fips_code, county, state, customers_out` (2023: `sum`) and `run_start_time` (UTC without a zone),
    in 2024 `total_customers` and in some editions `observed`. Large files are read in pieces, so naming states or
    counties keeps memory small. Faults are flagged (`FAULTS`), never put right; see `OutageRecord.without_faults` and
    `filled`.

    Args:
        files: one file or several, e.g. of two years.
        states: names of states to keep; all if empty.
        counties: FIPS codes to keep (a lost leading zero does not matter); all if empty.
        customers: table of customers by county (`County_FIPS, Customers`), for years that lack `total_customers`.
        missing_is_zero: rows that are absent are zero outages (as in files before 2024, which leave zeros out) rather
            than unknown; they stay unobserved.
        interval_min: minutes between times; EAGLE-I's are 15.
        since, until: keep times from `since` to before `until` (ISO 8601, UTC unless they have an offset); all if None.

    Raises:
        DataError: a file that is missing or cannot be read, a missing column, a count or a number of customers that is
            no number, negative or above `MOST_CUSTOMERS`, a code that is no FIPS code, a time in no known format, or a
            record of more than `MOST_COUNTS` counts or `MOST_YEARS` years.
        ValueError: an argument that does not fit.

    Warns:
        UserWarning: a file has no rows.
    """
    interval_min = check_interval(interval_min)
    frame, source = read_rows(
        files, "fips_code", "run_start_time", "UTC", states=states, counties=counties, since=since, until=until
    )
    frame["fips_code"] = check_fips(fips_of(frame["fips_code"]), source)
    record = _on_grid(frame, "fips_code", "run_start_time", interval_min, source, missing_is_zero)
    if customers is not None:
        record = replace(record, customers=_customers(customers, record))
    return _flagged(record)


def read_outage_counts(
    file: str | os.PathLike[str],
    *,
    county_column: str,
    time_column: str,
    tz: str,
    interval_min: int,
    snap: bool = False,
    customers: dict[str, float] | None = None,
    missing_is_zero: bool = False,
) -> OutageRecord:
    """Read counts of customers out from any feed with one row a county and time.

    Args:
        file: csv, csv.gz or parquet with a column `customers_out` or `sum`.
        county_column, time_column: names of these columns.
        tz: IANA zone of times, e.g. "America/New_York", or "UTC".
        interval_min: minutes between times; the grid begins at the first one.
        snap: move times off the grid back to it, the last count of an interval stays; else they are errors.
        customers: customers served by county name.
        missing_is_zero: as in `read_eaglei`.

    Raises:
        DataError: as `read_eaglei`.
        ValueError: an unknown zone, or another argument that does not fit.
    """
    interval_min = check_interval(interval_min)
    frame, source = read_rows(file, county_column, time_column, tz)
    record = _on_grid(frame, county_column, time_column, interval_min, source, missing_is_zero, snap)
    if customers is not None:
        return record.with_customers([customers.get(name, np.nan) for name in record.county])
    return _flagged(record)


def _on_grid(
    frame: Any,
    county_column: str,
    time_column: str,
    interval_min: int,
    source: str,
    missing_is_zero: bool,
    snap: bool = False,
) -> OutageRecord:
    """Rows spread over a grid of times and counties."""
    seconds = frame[time_column].to_numpy().astype("datetime64[s]").astype(np.int64)
    step = interval_min * 60
    first, last = int(seconds.min()), int(seconds.max())
    _check_size(first, last, step, frame[county_column].astype(str).nunique(), source)
    off = (seconds - first) % step
    if snap:
        row = (seconds - first) // step
        keep = frame.assign(_row=row, _s=seconds).sort_values("_s", kind="stable")
        frame = keep.drop_duplicates([county_column, "_row"], keep="last")
        seconds = first + frame["_row"].to_numpy() * step
    elif off.any():
        when = np.datetime64(int(seconds[(off > 0).argmax()]), "s")
        raise DataError(
            f"{source}: times must be {interval_min} min apart from the first one; got {when} UTC. "
            "Say snap=True to move them to the grid (read_outage_counts)."
        )
    row = (seconds - first) // step
    names, column = np.unique(frame[county_column].astype(str).to_numpy(), return_inverse=True)
    shape = (int(row.max()) + 1, names.size)
    counts = frame["customers_out"].to_numpy(dtype=np.float64)
    known = np.isfinite(counts)
    out = np.full(shape, -1.0)
    np.maximum.at(out, (row[known], column[known]), counts[known])
    least = np.full(shape, np.inf)
    np.minimum.at(least, (row[known], column[known]), counts[known])
    seen = out >= 0
    faults = np.where(seen & (least < out), DOUBLE, 0).astype(np.uint8)
    observed = seen.copy()
    if "observed" in frame:
        said = np.zeros(shape, dtype=bool)
        said[row, column] = frame["observed"].to_numpy() > 0
        observed &= said
    blank = np.zeros(shape, dtype=bool)
    blank[row[~known], column[~known]] = True
    out = np.where(seen, out, 0.0 if missing_is_zero else np.nan)
    out[blank & ~seen] = np.nan  # a blank cell is unknown even where an absent row is zero
    served = np.full(names.size, np.nan)
    if "total_customers" in frame:
        np.fmax.at(served, column, frame["total_customers"].to_numpy(dtype=np.float64))
    time = np.datetime64(first, "s") + np.arange(shape[0]) * np.timedelta64(step, "s")
    return OutageRecord(tuple(str(n) for n in names), time, out, observed, served, faults, source)


def _check_size(first: int, last: int, step: int, n_counties: int, source: str) -> None:
    """Raise `DataError` where times from `first` to `last` (s) span too long, or times and counties are too many."""
    years = (last - first) / (365.25 * 86_400)
    n_counts = ((last - first) // step + 1) * n_counties
    if years > MOST_YEARS or n_counts > MOST_COUNTS:
        raise DataError(
            f"{source}: times from {np.datetime64(first, 's')} to {np.datetime64(last, 's')}, {step // 60} min apart, "
            f"of {n_counties} counties are {n_counts:,} counts over {years:.1f} years; at most {MOST_COUNTS:,} and "
            f"{MOST_YEARS} years are read. Correct a time that is far off, or keep a span by since and until."
        )


def _customers(file: str | os.PathLike[str], record: OutageRecord) -> Floats:
    """Customers of each county from a table `County_FIPS, Customers`; those that the record has itself stay."""
    require("a table of customers", "pandas", "parquet")
    import pandas as pd

    path = Path(file)
    table = pd.concat(list(csv_pieces(path, "County_FIPS")), ignore_index=True)
    if not {"County_FIPS", "Customers"} <= set(table.columns):
        raise DataError(f"{path}: columns 'County_FIPS' and 'Customers' are needed; it has {list(table.columns)}.")
    code = fips_of(table["County_FIPS"])
    table = table.assign(County_FIPS=code, Customers=numbers(table["Customers"], path, "Customers"))
    table = table[code.isin(record.county)].drop_duplicates(["County_FIPS", "Customers"])
    double = table[table["County_FIPS"].duplicated()]
    if len(double):
        raise DataError(
            f"{path}: county {double['County_FIPS'].iloc[0]} has two numbers of Customers. Remove the wrong row."
        )
    served = dict(zip(table["County_FIPS"], table["Customers"].astype(float), strict=True))
    found = np.array([served.get(name, np.nan) for name in record.county])
    return np.where(np.isfinite(record.customers), record.customers, found)


def _flagged(record: OutageRecord) -> OutageRecord:
    """The record with what looks wrong in it flagged."""
    out = np.nan_to_num(record.out)
    drop = drop_outs(out)
    before = np.vstack([np.full_like(out[:1], np.inf), np.nan_to_num(record.out[:-1], nan=np.inf)])  # known ones only
    jump = np.vstack([np.zeros_like(drop[:1]), drop[:-1]])  # the return from a drop-out is no late start
    served = np.where(np.isfinite(record.customers), record.customers, np.inf)
    late = (out - before >= np.maximum(_LARGE_PART * served, _FEW)) & (before < _SMALL_PART * served) & ~jump
    faults = record.faults.copy()
    for bit, wrong in ((ABOVE_CUSTOMERS, out > served), (DROP_OUT, drop), (LATE_START, late)):
        faults |= np.where(wrong, bit, 0).astype(np.uint8)
    return replace(record, faults=faults)


def drop_outs(out: Floats, longest: int = LONGEST_DROP) -> Bools:
    """Runs of 1 to `longest` times at nearly zero between larger counts on both sides, `[T, K]`.

    Nearly zero is less than 5 % of the smaller neighbour, which has at least 100 customers out.

    Args:
        out: `[T, K]` customers out; a missing count is 0 here.
        longest: intervals.
    """
    dropped = np.zeros(out.shape, dtype=bool)
    for n in range(1, min(longest, len(out) - 2) + 1):
        inside = np.max([out[1 + i : len(out) - n + i] for i in range(n)], axis=0)  # [T - n - 1, K]
        around = np.minimum(out[: -n - 1], out[n + 1 :])
        low = (inside < _NEARLY_ZERO * around) & (around >= _FEW)
        for i in range(n):
            dropped[1 + i : len(out) - n + i] |= low
    return dropped
