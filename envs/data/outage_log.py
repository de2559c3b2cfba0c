"""A utility's export with one row an outage: read, checked, and what is doubtful in it told."""

from __future__ import annotations

import os
import re
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.data.names import NAME_RULE, name_fault, shown
from stormgym.envs.data.sizes import LONG_OUTAGE_H
from stormgym.envs.data.tables import DataError, Table, read_table
from stormgym.envs.data.times import TIME_FEATURES, parse_moment, read_times, require_zone, time_feature, to_datetime64
from stormgym.envs.spelling import but_for_case

LONG_SHORTEST_H = 5.0
"""A log whose shortest outage is longer than this (h) very likely has times in another zone than stated."""
UNITS_H = {"h": 1.0, "min": 60.0, "s": 3600.0}
"""Units of durations, and how many of each make an hour."""
_DATE = re.compile(r"[0-9]{4}-?([0-9]{2}-?[0-9]{2}|W[0-9]{2}(-?[0-9])?)")
_CLOCK = re.compile(r"%-?[HIMSTXRrc]")
"""Codes of a time of day, in a `strptime` format."""
_FORMAT_CURE = "Write times so, or pass time_format, e.g. '%m/%d/%Y %H:%M'."
_MOST_LINES = 5


class LogFields(TypedDict):
    """The fields of a `RepairLog`, which documents them."""

    region: Ints
    features: Floats
    feature_names: tuple[str, ...]
    repair_h: Floats
    time: NDArray[np.datetime64]
    timezone: str
    region_ids: tuple[str, ...]


class Outages(NamedTuple):
    """What an export holds."""

    fields: LogFields
    n_rows: int
    """Rows of the file."""
    left_out: Mapping[str, int]
    """Rows that were left out, by reason."""
    unused: tuple[str, ...]
    """Columns that were not read."""


def read_outages(
    csv: str | os.PathLike[str],
    *,
    tz: str | None,
    region_column: str = "region",
    time_column: str = "start_time",
    duration_column: str | None = "duration_h",
    end_column: str | None = None,
    duration_unit: str = "h",
    feature_columns: Sequence[str] = (),
    time_features: Sequence[str] = (),
    time_format: str | None = None,
    since: str | None = None,
    until: str | None = None,
    drop_zero: bool = False,
    stacklevel: int = 2,
) -> Outages:
    """Read an export; see `RepairLog.read_outage_log`. `stacklevel` is that of warnings, seen from here."""
    if duration_unit not in UNITS_H:
        raise ValueError(f"duration_unit must be 'h', 'min' or 's'; got {duration_unit!r}.")
    for name in time_features:
        if name not in TIME_FEATURES:
            raise ValueError(f"time_features must be among {TIME_FEATURES}; got {name!r}.")
    table = read_table(csv)
    value_column = end_column or duration_column
    if value_column is None:
        raise ValueError("read_outage_log needs duration_column or end_column; got neither.")
    cure = "Name it by region_column, time_column, duration_column, end_column or feature_columns."
    table.require(region_column, time_column, value_column, *feature_columns, cure=cure)
    if value_column in feature_columns or (end_column and duration_column in feature_columns):
        raise ValueError(
            f"feature_columns must be known before the repair, and the duration is what is forecast; got "
            f"{list(feature_columns)}. Leave it out."
        )
    start = read_times(table, time_column, tz=tz, time_format=time_format, cure=_FORMAT_CURE, stacklevel=stacklevel + 1)
    if end_column is None:
        rule = "a duration must be a number"
        duration_h = table.numbers(value_column, rule=rule) / UNITS_H[duration_unit]
    else:
        end = read_times(
            table, end_column, tz=tz, time_format=time_format, cure=_FORMAT_CURE, stacklevel=stacklevel + 1
        )
        early = end.seconds < start.seconds
        duration_h = (end.seconds + np.where(early, end.repeated_s, 0) - start.seconds) / 3600.0
    out_of_span = {
        "began before since": _before(start.seconds, since, tz, "since"),
        "began at or after until": ~_before(start.seconds, until, tz, "until", without=True),
    }
    zero = (duration_h == 0) & ~np.logical_or.reduce(list(out_of_span.values())) & drop_zero
    left_out = {**out_of_span, "last exactly 0 h (drop_zero)": zero}
    keep = ~np.logical_or.reduce(list(left_out.values()))
    _check_durations(table, value_column, duration_h, keep, ends=end_column is not None)
    if zero.any():
        what = f"{zero.sum():,} of {len(table):,} outages last exactly 0 h and are left out, as drop_zero says"
        warnings.warn(
            f"{table.source}, column '{value_column}': {what} ({_lines(table, zero)}).", stacklevel=stacklevel
        )
    rows = np.flatnonzero(keep)
    if rows.size == 0:
        raise DataError(f"{table.source}: no outage is left of {len(table)}. Check since, until and drop_zero.")
    kept = table.take(rows)
    region_ids = _region_ids(kept, region_column)
    columns = [kept.numbers(name) for name in feature_columns]
    columns += [time_feature(name, start.seconds, tz)[rows] for name in time_features]
    require_zone(table, time_column, start)
    if end_column is not None:
        require_zone(table, end_column, end)
    doubts = _Doubts(kept, stacklevel + 2)
    doubts.of_durations(value_column, duration_h[rows], tz)
    for column in (time_column, *([end_column] if end_column else ())):
        doubts.of_dates(column, time_format)
    doubts.of_regions(region_column)
    doubts.of_double_rows()
    order = np.argsort(start.seconds[rows], kind="stable")
    read = {region_column, time_column, value_column, *feature_columns}
    return Outages(
        fields={
            "region": kept.index(region_column, region_ids, what="", cure="")[order],
            "features": np.stack(columns, axis=1)[order] if columns else np.empty((rows.size, 0)),
            "feature_names": (*feature_columns, *time_features),
            "repair_h": duration_h[rows][order],
            "time": to_datetime64(start.seconds[rows][order]),
            "timezone": tz or "UTC",
            "region_ids": region_ids,
        },
        n_rows=len(table),
        left_out={reason: int(out.sum()) for reason, out in left_out.items() if out.any()},
        unused=tuple(name for name in table.columns if name not in read),
    )


def _before(seconds: Ints, text: str | None, tz: str | None, name: str, *, without: bool = False) -> Bools:
    """Whether each time `[R]` is before a date or time; `without` is the answer where there is none."""
    if text is None:
        return np.full(seconds.shape, without)
    before: Bools = seconds < parse_moment(text, tz, name)
    return before


def _region_ids(table: Table, column: str) -> tuple[str, ...]:
    """The names of the regions, sorted."""
    for row, name in enumerate(table.text(column)):
        fault = name_fault(name)
        if fault is not None:
            table.fail(row, column, f"{NAME_RULE}, and {fault}", "Rename it.")
    return tuple(sorted(set(table.columns[column])))


def _check_durations(table: Table, column: str, hours: Floats, keep: Bools, *, ends: bool) -> None:
    """Raise for the first duration of a row to keep that is not above 0."""
    wrong = keep & (hours <= 0)
    if not wrong.any():
        return
    row = int(wrong.argmax())
    negative = bool(hours[row] < 0)
    also = np.flatnonzero(wrong & ((hours < 0) == negative))[1:].tolist()
    got = f"{hours[row]:.4g} h, with its end at {shown(table.columns[column][row])}" if ends else None
    if negative:
        rule = "an outage must not end before it starts" if ends else "a duration must not be negative"
        table.fail(row, column, rule, "Correct the cell or remove the row.", also=also, got=got)
    cure = "Correct it, remove the row, or pass drop_zero=True."
    table.fail(row, column, "a duration must be above 0", cure, also=also, got=got)


class _Doubts:
    """Warnings of what is possible but doubtful in the rows that are kept."""

    def __init__(self, table: Table, stacklevel: int) -> None:
        self.table = table
        self.stacklevel = stacklevel

    def of_durations(self, column: str, hours: Floats, tz: str | None) -> None:
        """All of them longer than `LONG_SHORTEST_H`; some longer than `LONG_OUTAGE_H`."""
        n = len(self.table)
        if hours.min() > LONG_SHORTEST_H:
            self._warn(
                f": the shortest of {n} outages lasts {hours.min():.1f} h. All above {LONG_SHORTEST_H:g} h: local "
                f"times may have been written as UTC or the reverse. Check tz={tz!r}."
            )
        long = hours > LONG_OUTAGE_H
        if long.any():
            self._warn(
                f", column '{column}': {long.sum():,} of {n:,} outages last more than {LONG_OUTAGE_H / 24:g} days, the "
                f"longest {hours.max():,.0f} h ({_lines(self.table, long)}). Correct them or remove the rows, if they "
                "are not true."
            )

    def of_dates(self, column: str, time_format: str | None) -> None:
        """Dates without a time of day."""
        cells = self.table.columns[column]
        if time_format is None:
            dates = np.array([_DATE.fullmatch(cell) is not None for cell in cells])
        else:
            dates = np.full(len(cells), not _CLOCK.search(time_format))
        if dates.any():
            self._warn(
                f", column '{column}': {dates.sum():,} of {len(cells):,} times are dates without a time of day, such "
                f"as {cells[int(dates.argmax())]!r}, and are read as midnight ({_lines(self.table, dates)}). Add the "
                "time if it is known."
            )

    def of_regions(self, column: str) -> None:
        """Regions that differ in case or blanks alone."""
        cells = self.table.columns[column]
        rows: defaultdict[str, list[int]] = defaultdict(list)
        for row, cell in enumerate(cells):
            rows[cell].append(row)
        alike: defaultdict[str, list[str]] = defaultdict(list)
        for name in rows:
            alike[but_for_case(name)].append(name)
        for names in alike.values():
            if len(names) > 1:
                names.sort(key=lambda name: len(rows[name]))
                each = ", ".join(
                    f"{name!r} ({len(rows[name]):,} rows, first line {self.table.lines[rows[name][0]]})"
                    for name in names
                )
                self._warn(
                    f", column '{column}': these differ only in case or blanks, and each is a region of its own: {each}"
                    f". Did you mean {names[-1]!r}? Write them alike if they are one."
                )

    def of_double_rows(self) -> None:
        """Rows that are the same as an earlier one in every cell."""
        first: dict[int, int] = {}
        double = np.zeros(len(self.table), dtype=np.bool_)
        columns = list(self.table.columns.values())
        for row, cells in enumerate(zip(*columns, strict=True)):
            one = first.setdefault(hash(cells), row)  # the hash alone: a log may have millions of rows
            double[row] = one < row and all(column[one] == cell for column, cell in zip(columns, cells, strict=True))
        if double.any():
            row = int(double.argmax())
            one = first[hash(tuple(column[row] for column in columns))]
            self._warn(
                f": {double.sum():,} of {len(self.table):,} rows are the same as an earlier one in every cell, line "
                f"{self.table.lines[row]} as line {self.table.lines[one]} ({_lines(self.table, double)}); each counts "
                "as an outage. Remove them if they are not."
            )

    def _warn(self, words: str) -> None:
        warnings.warn(f"{self.table.source}{words}", stacklevel=self.stacklevel)


def _lines(table: Table, rows: Bools) -> str:
    """The first lines of rows, in words."""
    lines = [table.lines[row] for row in np.flatnonzero(rows)[: _MOST_LINES + 1]]
    some = ", ".join(map(str, lines[:_MOST_LINES])) + (", ..." if len(lines) > _MOST_LINES else "")
    return f"line{'s' * (len(lines) > 1)} {some}"
