"""Times of a file as UTC: zones, daylight-saving changes, formats."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.data.tables import BLANKS, Table

EPOCH = datetime(1970, 1, 1)
YEARS = (1900, 2200)
"""Times of other years are errors: sentinels such as 9999 overflow in another zone."""


class Times(NamedTuple):
    """Times of R rows.

    Attributes:
        seconds: `[R]` seconds since 1970, UTC where the zone is known, else local wall time.
        zoned: `[R]` True where the zone is known.
        repeated_s: `[R]` seconds between both readings of a time that the clock repeats, else 0.
    """

    seconds: Ints
    zoned: Bools
    repeated_s: Ints


def zone(tz: str) -> ZoneInfo:
    """Return the zone of an IANA name.

    Raises:
        ValueError: no such zone.
    """
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"tz must be an IANA zone name such as 'America/New_York' or 'UTC'; got {tz!r}.") from error


def read_times(
    table: Table,
    column: str,
    *,
    tz: str | None,
    time_format: str | None = None,
    cure: str = "Write times so.",
    stacklevel: int = 3,
) -> Times:
    """Read a column of times.

    A cell with an offset (`2018-10-10T14:00:00-04:00`, `...Z`) keeps it; one without is local time in `tz`.
    In the hour that the clock repeats in autumn the first (daylight-saving) reading is taken; a time that
    the clock skips in spring is moved forward by the change. A warning counts both.

    Args:
        table: rows.
        column: name of the column.
        tz: IANA zone of cells without an offset; None leaves them as wall time with `zoned` False.
        time_format: `datetime.strptime` format; None takes ISO 8601.
        cure: of a cell that is not ISO 8601.
        stacklevel: of warnings, seen from here.

    Raises:
        DataError: a cell is blank, is no time, or is of a year outside `YEARS`.
    """
    local = None if tz is None else zone(tz)
    n = len(table)
    seconds, repeated_s = np.empty(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    zoned = np.zeros(n, dtype=np.bool_)
    repeated: list[int] = []
    skipped: list[int] = []
    faults: dict[tuple[str, str], list[int]] = {}  # rows by rule and cure
    table.require(column)
    for row, cell in enumerate(table.columns[column]):
        moment = _parse(cell, time_format, cure)
        if isinstance(moment, tuple):
            faults.setdefault(moment, []).append(row)
            continue
        if moment.tzinfo is None and local is not None:
            first, second = moment.replace(tzinfo=local), moment.replace(tzinfo=local, fold=1)
            change = _utc_seconds(second) - _utc_seconds(first)
            if change > 0:
                repeated.append(row)
                repeated_s[row] = change
            elif change < 0:
                skipped.append(row)
            moment = first
        zoned[row] = moment.tzinfo is not None
        seconds[row] = _utc_seconds(moment)
    for (rule, remedy), wrong in faults.items():
        table.fail(wrong[0], column, rule, remedy, also=wrong[1:])
    for rows, what in (
        (
            repeated,
            "in the hour that the clock repeats in autumn: the first (daylight-saving) reading is taken",
        ),
        (skipped, "in the hour that the clock skips in spring: they are moved forward by the change"),
    ):
        if rows:
            warnings.warn(
                f"{table.source}, column '{column}': {len(rows)} time(s) without an offset fall {what} "
                f"(first: line {table.lines[rows[0]]}, {table.columns[column][rows[0]]!r}).",
                stacklevel=stacklevel,
            )
    return Times(seconds, zoned, repeated_s)


def parse_moment(text: str, tz: str | None, name: str) -> int:
    """Return an ISO date or time, local to `tz` unless it has an offset, as seconds since 1970.

    Raises:
        ValueError: the text is no ISO 8601 date or time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an ISO 8601 date or time such as '2017-01-01'; got {text!r}.") from error
    if not YEARS[0] <= moment.year <= YEARS[1]:
        raise ValueError(f"{name} must be of a year {YEARS[0]} to {YEARS[1]}; got {text!r}.")
    if moment.tzinfo is None and tz is not None:
        moment = moment.replace(tzinfo=zone(tz))
    return _utc_seconds(moment)


def _parse(cell: str, time_format: str | None, cure: str) -> datetime | tuple[str, str]:
    """The time that a cell states, or the rule that it breaks and the cure."""
    if cell.lower() in BLANKS:
        return "a time must not be blank", "Fill it or remove the row."
    try:
        moment = datetime.fromisoformat(cell) if time_format is None else datetime.strptime(cell, time_format)
    except ValueError:
        if time_format is None:
            return "a time must be ISO 8601 (YYYY-MM-DD HH:MM:SS)", cure
        return f"a time must match time_format={time_format!r}", "Correct the cell or the format."
    if not YEARS[0] <= moment.year <= YEARS[1]:
        return f"a time must be of a year {YEARS[0]} to {YEARS[1]}", "Correct the cell or remove the row."
    return moment


def _utc_seconds(moment: datetime) -> int:
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return (moment - EPOCH) // timedelta(seconds=1)


TIME_FEATURES = ("hour", "weekday", "month", "requests_24h")
"""Features that the time of a request yields, see `time_feature`."""


def time_feature(name: str, seconds: Ints, tz: str | None) -> Floats:
    """Return one of `TIME_FEATURES` for requests at `seconds` (UTC) `[R]`.

    `hour` 0..23, `weekday` 0 (Monday)..6 and `month` 1..12 are local to `tz` (None: UTC). `requests_24h`
    counts the requests of the 24 h before, over all regions: high in a storm, and known when a job comes in.
    """
    if name == "requests_24h":
        ordered = np.sort(seconds)
        first = np.searchsorted(ordered, seconds - 86_400, "left")
        before = np.searchsorted(ordered, seconds, "left") - first
        return before.astype(np.float64)
    place = UTC if tz is None else zone(tz)
    moments = [datetime.fromtimestamp(s, place) for s in seconds.tolist()]
    values = [m.weekday() if name == "weekday" else getattr(m, name) for m in moments]
    return np.array(values, dtype=np.float64)


def to_datetime64(seconds: Ints) -> NDArray[np.datetime64]:
    """Return seconds since 1970 as `datetime64[s]`."""
    return seconds.astype("datetime64[s]")


def require_zone(table: Table, column: str, times: Times) -> None:
    """Raise a `DataError` for the first time whose zone is unknown."""
    unknown = np.flatnonzero(~times.zoned)
    if unknown.size:
        table.fail(
            int(unknown[0]),
            column,
            "a time needs a zone, and neither the cell nor tz gives one",
            "Pass tz, e.g. tz='America/New_York' for local times or tz='UTC' for times in UTC.",
            also=unknown[1:].tolist(),
        )
