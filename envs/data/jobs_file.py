"""`jobs.csv`: jobs as a utility reports them, open ones of today or all of a past storm (schema: docs/data.md)."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.data.sizes import MAX_CUSTOMERS, MAX_FEATURE, MAX_JOBS
from stormgym.envs.data.tables import DataError, Table, read_table
from stormgym.envs.data.times import parse_moment, read_times

if TYPE_CHECKING:
    from stormgym.envs.data.city import City

JOBS_FILE = "jobs.csv"
COLUMNS = (
    "job",
    "region",
    "arrival_h",
    "arrival_time",
    "skill",
    "parent",
    "customers",
    "assessed",
    "repair_h",
    "crew",
    "begun_h",
    "begun_time",
    "repaired",
)
"""Columns with a meaning, beside the features of the city's log."""
FROM_TIMES = {
    "hour": "the hour of the day at which it was reported, 0 to 23, local",
    "weekday": "the day of the week on which it was reported, 0 (Monday) to 6, local",
    "month": "the month in which it was reported, 1 to 12, local",
    "requests_24h": "the outages, of all regions, that began in the 24 hours before",
}
"""What the features hold that `RepairLog.read_outage_log` makes of times."""
MOST_H = 1e4
"""Hours of a file are at most this far from its hour 0."""
MAX_SKILL = 9


@dataclass(frozen=True, eq=False)
class ReportedJobs:
    """J jobs in the order of the file; hours count from the file's hour 0."""

    ids: tuple[str, ...]
    region: Ints
    """`[J]` index in the city."""
    features: Floats
    """`[J, F]`, columns as in the city's log."""
    arrival_h: Floats
    """`[J]` when each was reported."""
    skill: Ints
    """`[J]` that it needs."""
    parent: Ints
    """`[J]` job that must have power first; -1 for none."""
    customers: Floats | None
    """`[J]` without power; None where the file does not say."""
    assessed: Bools
    """`[J]` somebody has looked at it."""
    repair_h: Floats | None
    """`[J]` hours that the repair took; None where the file does not say."""
    crew: tuple[str, ...]
    """J names of the crew that is at work there or on its way; "" for none."""
    begun_h: Floats
    """`[J]` when that crew came or will come; NaN without a crew."""
    repaired: Bools
    """`[J]` mended, and without power for what is upstream alone."""
    start: str | None
    """Time of hour 0 as in the file (ISO 8601); None where the file has hours."""
    source: str
    """Where they come from, in words."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Ints) -> ReportedJobs:
        """Some of the jobs; a job whose parent is not among them hangs on nothing."""
        number = np.full(len(self) + 1, -1)
        number[rows] = np.arange(len(rows))
        taken: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                taken[f.name] = value[rows]
            elif isinstance(value, tuple):
                taken[f.name] = tuple(value[row] for row in rows)
        return replace(self, **{**taken, "parent": number[self.parent[rows]]})


def read_reported_jobs(
    city: City, file: str | os.PathLike[str], *, start: str | None = None, one_a_region: bool = False
) -> ReportedJobs:
    """Read the jobs of a file.

    Args:
        city: whose regions they are.
        file: `jobs.csv`.
        start: time of hour 0, where the file has times; None takes the first arrival.
        one_a_region: whether a region may have one job at most.

    Raises:
        DataError: the file breaks a rule; the message names file, line, value and cure.
        ValueError: `start` is no time.
    """
    table = read_table(file)
    if len(table) > MAX_JOBS:
        raise DataError(f"{table.source}: there must be at most {MAX_JOBS:,} jobs; got {len(table):,}. Leave some out.")
    _check_columns(table, city.log.feature_names)
    table.require("region")
    region = table.index(
        "region", city.region_ids, what="the region is not one of the city", cure="Correct it or remove the row."
    )
    if one_a_region:
        table.unique_ids("region")
    ids = table.unique_ids("job", "job") if "job" in table.columns else tuple(str(i + 1) for i in range(len(table)))
    parent = np.full(len(table), -1)
    if "parent" in table.columns:
        table.require("job", cure="The column 'parent' names jobs by it.")
        parent = table.parents("parent", ids, "job")
    arrival_h, begun_h, hour_0 = _hours(table, start)
    crew, repaired = _state(table, begun_h)
    unused = [c for c in table.columns if c not in COLUMNS and c not in city.log.feature_names]
    source = f"{len(ids)} job{'s' if len(ids) != 1 else ''} of {table.source}"
    if unused:
        source += f" (columns that are no features: {', '.join(unused)})"
    return ReportedJobs(
        ids=ids,
        region=region,
        features=features_of_jobs(city, table, region),
        arrival_h=arrival_h,
        skill=_skills(table, city),
        parent=parent,
        customers=_at_least_0(table, "customers"),
        assessed=_flags(table, "assessed", True),
        repair_h=None
        if "repair_h" not in table.columns
        else table.numbers(
            "repair_h", rule="a repair duration must be above 0, at most 10000 (h)", valid=lambda v: 0 < v <= MOST_H
        ),
        crew=crew,
        begun_h=begun_h,
        repaired=repaired,
        start=hour_0,
        source=source,
    )


def features_of_jobs(city: City, table: Table, region: Ints) -> Floats:
    """Features `[J, F]` of the jobs of a table, columns as in the city's log.

    A feature that never differs between the records of a region (its coordinates, say) may be left out. Where that is
    a name of `COLUMNS` (customers: of the region in the log, of the job in the file), it is the region's.

    Raises:
        DataError: another feature is missing, or a cell is no number.
    """
    log = city.log
    columns = []
    for f, name in enumerate(log.feature_names):
        first = np.zeros(city.n_regions)
        first[log.region[::-1]] = log.features[::-1, f]
        of_region = np.array_equal(first[log.region], log.features[:, f])
        if name in table.columns and not (of_region and name in COLUMNS):
            table.numbers(name)
            rule = f"a feature must be a number from -{MAX_FEATURE:g} to {MAX_FEATURE:g}"
            columns.append(table.numbers(name, rule=rule, valid=lambda v: abs(v) <= MAX_FEATURE))
            continue
        if not of_region:
            seen = log.features[:, f]
            what = f", as logs of outages have it: {FROM_TIMES[name]}" if name in FROM_TIMES else ""
            raise DataError(
                f"{table.source}: column '{name}' is missing; it differs between the jobs of a region, so each open "
                f"job needs it. Add the column (in the city's log it is {seen.min():g} to {seen.max():g}{what}); the "
                f"log's features are {', '.join(log.feature_names)}."
            )
        columns.append(first[region])
    return np.column_stack(columns)


def _check_columns(table: Table, features: tuple[str, ...]) -> None:
    """Raise for a column whose name is nearly that of one which is not there: more likely an error than a note."""
    known = [*COLUMNS, *features]
    for name in table.columns:
        if name in known:
            continue
        close = [c for c in difflib.get_close_matches(name, known, n=1, cutoff=0.75) if c not in table.columns]
        if close:
            raise DataError(
                f"{table.source}: unknown column '{name}'. Did you mean '{close[0]}'? Rename it, or give a note "
                "another name."
            )


def _hours(table: Table, start: str | None) -> tuple[Floats, Floats, str | None]:
    """Arrivals `[J]`, hours at which crews began `[J]` (NaN without), and the time of hour 0."""
    for name in ("arrival", "begun"):
        if {f"{name}_h", f"{name}_time"} <= set(table.columns):
            raise DataError(f"{table.source}: columns '{name}_h' and '{name}_time' say the same. Remove one.")
    arrival, begun = _times(table, "arrival_time"), _times(table, "begun_time")
    zoned = {part.zoned for part in (arrival, begun) if part is not None}
    hour_0 = None
    if zoned:
        if start is not None:
            hour_0 = parse_moment(start, None, "start")
            zoned.add(datetime.fromisoformat(start).tzinfo is not None)
        elif arrival is not None and np.isfinite(arrival.seconds).any():
            hour_0 = int(np.nanmin(arrival.seconds))
        else:
            raise DataError(f"{table.source}: 'begun_time' needs 'arrival_time' beside it, or a start. Add one.")
        if len(zoned) > 1:
            raise DataError(
                f"{table.source}: all times, and the start, carry an offset (e.g. Z), or none. Write all alike."
            )
    return (
        _clock(table, "arrival", arrival, hour_0, np.zeros(len(table))),
        _clock(table, "begun", begun, hour_0, np.full(len(table), np.nan)),
        None if hour_0 is None else str(np.datetime64(hour_0, "s")),
    )


class _Times(NamedTuple):
    """A column of times."""

    seconds: Floats
    """`[J]` since 1970; NaN for a blank."""
    zoned: bool


def _times(table: Table, column: str) -> _Times | None:
    """A column of times that may be blank; None where it is not there or wholly blank."""
    filled = [row for row, cell in enumerate(table.columns.get(column, [])) if cell]
    if not filled:
        return None
    times = read_times(table.take(filled), column, tz=None)
    if times.zoned.any() and not times.zoned.all():
        row = filled[int(np.argmax(times.zoned != times.zoned[0]))]
        table.fail(row, column, "either all times or none carry an offset (e.g. Z)", "Write all alike.")
    seconds = np.full(len(table), np.nan)
    seconds[filled] = times.seconds
    return _Times(seconds, bool(times.zoned[0]))


def _clock(table: Table, name: str, times: _Times | None, hour_0: int | None, default: Floats) -> Floats:
    """Hours `[J]` of a column of hours or times; a blank is the default."""
    hours = np.full(len(table), np.nan)
    if times is not None and hour_0 is not None:
        hours = (times.seconds - hour_0) / 3600.0
        far = np.abs(hours) > MOST_H
        if far.any():
            rule = f"a time must be within {MOST_H:g} h of hour 0 ({np.datetime64(hour_0, 's')})"
            table.fail(int(far.argmax()), f"{name}_time", rule, "Correct it (is the year right?).")
    elif f"{name}_h" in table.columns:
        rule = f"an hour must be from -{MOST_H:g} to {MOST_H:g}"
        hours = table.numbers(f"{name}_h", rule=rule, valid=lambda v: abs(v) <= MOST_H, blank=np.nan)
    return np.where(np.isnan(hours), default, hours)


def _state(table: Table, begun_h: Floats) -> tuple[tuple[str, ...], Bools]:
    """Crew of each job, and whether it is mended."""
    crew = tuple(table.columns["crew"]) if "crew" in table.columns else ("",) * len(table)
    repaired = _flags(table, "repaired", False)
    column = "begun_time" if "begun_time" in table.columns else "begun_h"
    first: dict[str, int] = {}
    for row, name in enumerate(crew):
        if name and first.setdefault(name, row) < row:
            rule = f"a crew is at one job, but line {table.lines[first[name]]} has it too"
            table.fail(row, "crew", rule, "Correct it.")
        if name and repaired[row]:
            table.fail(row, "crew", "a job that is mended has no crew", "Leave crew or repaired blank.")
        if name and np.isnan(begun_h[row]):
            cure = "Add the column begun_h (or begun_time) and fill it."
            table.fail(row, "crew", "a job with a crew needs the hour at which it began or will begin", cure)
        if not name and not np.isnan(begun_h[row]):
            table.fail(row, column, "a job without a crew has not begun", "Name the crew or leave it blank.")
    return crew, repaired


def _skills(table: Table, city: City) -> Ints:
    if "skill" not in table.columns:
        return np.zeros(len(table), dtype=np.int64)
    rule = f"a skill must be a whole number 0 to {MAX_SKILL}"
    skill = table.numbers("skill", rule=rule, valid=lambda v: v in range(MAX_SKILL + 1)).astype(np.int64)
    had = {s for crew in city.crews if not crew.assessor for s in crew.skills}
    for row, need in enumerate(skill.tolist()):
        if city.crews and need not in had:
            table.fail(row, "skill", "a crew that repairs must have it", f"Crews have {sorted(had)}; see crews.json.")
    return skill


def _at_least_0(table: Table, column: str) -> Floats | None:
    if column not in table.columns:
        return None
    table.numbers(column, rule=f"{column} must be 0 or more", valid=lambda v: v >= 0)
    rule = f"{column} must be 0 to {MAX_CUSTOMERS:g}"
    return table.numbers(column, rule=rule, valid=lambda v: 0 <= v <= MAX_CUSTOMERS)


def _flags(table: Table, column: str, default: bool) -> Bools:
    if column not in table.columns:
        return np.full(len(table), default)
    blank = float(default)
    flags = table.numbers(column, rule=f"{column} must be 0 or 1", valid=lambda v: v in (0.0, 1.0), blank=blank)
    return flags > 0


def jobs_file_of(folder: str | os.PathLike[str]) -> Path | None:
    """The `jobs.csv` of a city's folder; None without one."""
    path = Path(folder) / JOBS_FILE
    return path if path.is_file() else None
