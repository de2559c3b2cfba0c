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
from stormgym.envs.data.tables import DataError, set_frozen
from stormgym.envs.data.times import zone
from stormgym.predictors.extras import is_installed, require

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
_COUNTS = ("customers_out", "sum")
_TIME_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%y %H:%M", "%m/%d/%Y %H:%M")
_CHUNK = 2_000_000


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
        if np.nanmin(self.out, initial=0.0) < 0:
            raise DataError(f"{self.source}: customers out must be at least 0; got {np.nanmin(self.out):g}.")
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
        """
        place = {name: i for i, name in enumerate(self.county)}
        missing = [name for name in counties if name not in place]
        if missing:
            raise KeyError(f"county {missing[0]!r} is not in {self.source}; it has {', '.join(self.county[:8])}, ...")
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
        """The record with other numbers of customers served `[K]`, and its faults found again with these."""
        served = np.array(customers, dtype=np.float64)
        return _flagged(replace(self, customers=served, faults=self.faults & np.uint8(DOUBLE)))

    def window(self, start: str, end: str) -> OutageRecord:
        """Times from `start` to before `end` (ISO 8601, UTC).

        Raises:
            ValueError: fewer than two times are left.
        """
        first, last = np.searchsorted(self.time, [np.datetime64(start, "s"), np.datetime64(end, "s")])
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
        n = hours / self.interval_h
        if n < 1 or abs(n - round(n)) > 1e-9 or round(n) > len(self.time):
            raise ValueError(f"hours must be a multiple of {self.interval_h:g} within the record; got {hours:g}")
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
        since, until: keep times from `since` to before `until` (ISO 8601, UTC); all if None.

    Raises:
        DataError: a missing file or column, a count that is no number or negative, a time in no known format.
    """
    frame, source = _frame(
        files, "fips_code", "run_start_time", "UTC", states=states, counties=counties, since=since, until=until
    )
    frame["fips_code"] = _fips(frame["fips_code"])
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
        ValueError: an unknown zone.
    """
    frame, source = _frame(file, county_column, time_column, tz)
    record = _on_grid(frame, county_column, time_column, interval_min, source, missing_is_zero, snap)
    if customers is not None:
        served = np.array([customers.get(name, np.nan) for name in record.county])
        record = replace(record, customers=served)
    return _flagged(record)


def _frame(
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    county_column: str,
    time_column: str,
    tz: str,
    *,
    states: Sequence[str] = (),
    counties: Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
) -> tuple[Any, str]:
    """Rows of the files with the count in `customers_out` and times in UTC without a zone, and what to call them."""
    require("a record of customers out", "pandas", "parquet")
    import pandas as pd

    paths = [Path(f) for f in ([files] if isinstance(files, str | os.PathLike) else files)]
    wanted = {str(code).zfill(5) for code in counties}
    parts = []
    for path in paths:
        for piece in _pieces(path):
            piece.columns = [str(name).strip() for name in piece.columns]
            count = next((name for name in _COUNTS if name in piece), None)
            for name in (county_column, time_column, *(("state",) if states else ())):
                if name not in piece:
                    raise DataError(f"{path}: column '{name}' is missing; the file has {list(piece.columns)}.")
            if count is None:
                raise DataError(f"{path}: a column {' or '.join(_COUNTS)} is missing; it has {list(piece.columns)}.")
            if states:
                piece = piece[piece["state"].isin(list(states))]
            if wanted:
                piece = piece[_fips(piece[county_column]).isin(wanted)]
            times = _times(piece[time_column], tz, str(path))
            piece = piece.assign(**{time_column: times})
            if since is not None:
                piece = piece[piece[time_column] >= pd.Timestamp(since)]
            if until is not None:
                piece = piece[piece[time_column] < pd.Timestamp(until)]
            numbers = pd.to_numeric(piece[count], errors="coerce")
            bad = (numbers.isna() & piece[count].notna()) | (numbers < 0)
            if bad.any():
                raise DataError(
                    f"{path}: a count of customers must be a number of at least 0 or blank; got "
                    f"'{piece[count][bad].iloc[0]}' in row {int(piece.index[bad][0]) + 2}. Correct the cell."
                )
            extra = [name for name in ("total_customers", "observed") if name in piece]
            parts.append(piece[[county_column, time_column, *extra]].assign(customers_out=numbers))
    frame = pd.concat(parts, ignore_index=True)
    source = paths[0].name + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
    if frame.empty:
        raise DataError(
            f"{source}: no row is left. Check states, counties and times: names of states, FIPS codes of counties, UTC."
        )
    return frame, source


def _pieces(path: Path) -> Any:
    import pandas as pd

    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the path of an existing file.")
    if path.suffix == ".parquet":
        if not is_installed("pyarrow"):
            raise DataError(f'{path}: parquet needs pyarrow; pip install "stormgym[parquet]", or export CSV.')
        return [pd.read_parquet(path)]
    return pd.read_csv(path, dtype={"fips_code": str}, encoding="utf-8-sig", chunksize=_CHUNK)


def _fips(codes: Any) -> Any:
    """Five digits, whatever the file made of them."""
    return codes.astype(str).str.strip().str.removesuffix(".0").str.zfill(5)


def _times(texts: Any, tz: str, source: str) -> Any:
    """UTC times without a zone."""
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(texts):
        for form in _TIME_FORMATS:
            parsed = pd.to_datetime(texts, format=form, errors="coerce")
            if parsed.notna().all():
                texts = parsed
                break
        else:
            best = pd.to_datetime(texts, format=_TIME_FORMATS[0], errors="coerce")
            first = texts[best.isna()].iloc[0]
            raise DataError(f"{source}: times must all be of one of the formats {_TIME_FORMATS}; got {first!r}.")
    if texts.dt.tz is not None:
        return texts.dt.tz_convert("UTC").dt.tz_localize(None)
    if tz != "UTC":
        local = texts.dt.tz_localize(zone(tz), ambiguous="NaT", nonexistent="shift_forward")
        if local.isna().any():
            raise DataError(
                f"{source}: {int(local.isna().sum())} times fall into the hour that the clock repeats in {tz} (first: "
                f"{texts[local.isna()].iloc[0]}). Write times in UTC."
            )
        texts = local.dt.tz_convert("UTC").dt.tz_localize(None)
    return texts


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
    first = int(seconds.min())
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


def _customers(file: str | os.PathLike[str], record: OutageRecord) -> Floats:
    """Customers of each county from a table `County_FIPS, Customers`; those that the record has itself stay."""
    require("a table of customers", "pandas", "parquet")
    import pandas as pd

    path = Path(file)
    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the path of an existing file.")
    table = pd.read_csv(path, dtype={"County_FIPS": str}, encoding="utf-8-sig")
    if not {"County_FIPS", "Customers"} <= set(table.columns):
        raise DataError(f"{path}: columns 'County_FIPS' and 'Customers' are needed; it has {list(table.columns)}.")
    served = dict(zip(_fips(table["County_FIPS"]), table["Customers"].astype(float), strict=True))  # "Grand Total" too
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
