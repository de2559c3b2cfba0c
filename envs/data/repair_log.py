"""`RepairLog`: past repairs, one record a job; and how to read one from a utility's export."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.data.names import check_names, shown
from stormgym.envs.data.tables import DataError, Table, frozen_array, read_table, set_frozen
from stormgym.envs.data.times import (
    TIME_FEATURES,
    YEARS,
    parse_moment,
    read_times,
    require_zone,
    time_feature,
    to_datetime64,
    zone,
)

LONG_SHORTEST_H = 5.0
"""A log whose shortest outage is longer than this (h) very likely has times in another zone than stated."""


@dataclass(frozen=True, eq=False)
class RepairLog:
    """A history of repairs: M records of N regions with F features each. Arrays are read-only.

    Attributes:
        region: `[M]` index of each record's region in `region_ids`.
        features: `[M, F]` what is known of a job when it is triaged.
        feature_names: F names.
        repair_h: `[M]` repair duration (h), above 0.
        time: `[M]` time of the request as `datetime64[s]`, or None. UTC if `timezone` is set, else local.
        timezone: IANA name of the utility's zone, or None if unknown.
        region_ids: N names.

    Raises:
        DataError: a wrong shape, a duration that is not above 0, a region index out of range, a double name.
    """

    region: Ints
    features: Floats
    feature_names: tuple[str, ...]
    repair_h: Floats
    time: NDArray[np.datetime64] | None
    timezone: str | None
    region_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        set_frozen(self, region_ids=tuple(str(r) for r in self.region_ids))
        set_frozen(self, feature_names=tuple(str(f) for f in self.feature_names))
        set_frozen(self, repair_h=frozen_array(self.repair_h, np.float64, (None,), "RepairLog.repair_h"))
        m = len(self.repair_h)
        set_frozen(self, region=frozen_array(self.region, np.int64, (m,), "RepairLog.region"))
        shape = (m, len(self.feature_names))
        set_frozen(self, features=frozen_array(self.features, np.float64, shape, "RepairLog.features"))
        if self.time is not None:
            set_frozen(self, time=frozen_array(self.time, "datetime64[s]", (m,), "RepairLog.time"))
            years = self.time.astype("datetime64[Y]").astype(np.int64) + 1970
            if m and not YEARS[0] <= years.min() <= years.max() <= YEARS[1]:
                wrong = self.time[(years < YEARS[0]) | (years > YEARS[1])][0]
                raise DataError(f"RepairLog.time must be of a year {YEARS[0]} to {YEARS[1]}; got {wrong}. Correct it.")
        if self.timezone is not None:
            try:
                zone(self.timezone)
            except (TypeError, ValueError) as error:
                raise DataError(
                    "RepairLog.timezone must be an IANA zone name such as 'America/New_York', or None; got "
                    f"{shown(self.timezone)}. Correct it."
                ) from error
        for name in ("region_ids", "feature_names"):
            check_names(getattr(self, name), f"RepairLog.{name}")
            names = getattr(self, name)
            if len(set(names)) != len(names):
                double = next(n for n in names if names.count(n) > 1)
                raise DataError(f"RepairLog.{name}: {double!r} stands twice. Give each a name of its own.")
        if m and (self.repair_h <= 0).any():
            row = int(np.argmin(self.repair_h > 0))
            raise DataError(
                f"RepairLog.repair_h must be above 0 h; record {row} (region "
                f"{self.region_ids[self.region[row]]!r}) has {self.repair_h[row]}. Remove the record."
            )
        if m and (self.region.min() < 0 or self.region.max() >= len(self.region_ids)):
            raise DataError(
                f"RepairLog.region must be indices 0..{len(self.region_ids) - 1} into region_ids; "
                f"got {int(self.region.min())}..{int(self.region.max())}."
            )

    def __len__(self) -> int:
        return len(self.repair_h)

    def __reduce__(self) -> tuple[Any, ...]:
        return RepairLog, tuple(getattr(self, f.name) for f in fields(self))  # arrays stay read-only

    def __deepcopy__(self, memo: dict[int, Any]) -> RepairLog:
        return self

    def counts(self) -> Ints:
        """Return the number of records of each region `[N]`."""
        return np.bincount(self.region, minlength=len(self.region_ids))

    def take(self, mask: ArrayLike) -> RepairLog:
        """Return the records of a boolean mask `[M]` or of an index array; `region_ids` stay as they are."""
        rows = np.asarray(mask)
        if rows.dtype == np.bool_ and rows.shape != (len(self),):
            raise ValueError(f"mask must have one entry a record, {len(self)}; got shape {rows.shape}.")
        if rows.dtype != np.bool_:
            whole = rows.dtype.kind in "iu" or rows.size == 0
            if rows.ndim != 1 or not whole or ((rows < -len(self)) | (rows >= len(self))).any():
                raise ValueError(
                    f"mask must be booleans or whole numbers 0 to {len(self) - 1}, the records; got {shown(mask)}."
                )
            rows = rows.astype(np.int64)
        time = None if self.time is None else self.time[rows]
        return replace(
            self,
            region=self.region[rows],
            features=self.features[rows],
            repair_h=self.repair_h[rows],
            time=time,
        )

    def select(self, region_ids: Sequence[str]) -> RepairLog:
        """Return the records of the named regions, which become the log's regions in the order given.

        Raises:
            ValueError: a name is not in the log.
        """
        unknown = [r for r in region_ids if r not in self.region_ids]
        if unknown:
            raise ValueError(f"region {shown(unknown[0])} is not in the log; it has {_short(self.region_ids)}.")
        new_index = np.full(len(self.region_ids), -1, dtype=np.int64)
        for i, name in enumerate(region_ids):
            new_index[self.region_ids.index(name)] = i
        kept = self.take(new_index[self.region] >= 0)
        return replace(kept, region=new_index[kept.region], region_ids=tuple(region_ids))

    def busiest(self, n: int) -> RepairLog:
        """Return the records of the n regions that have most (ties: first in `region_ids`); order is kept.

        Raises:
            ValueError: n is not between 1 and the number of regions that have records.
        """
        try:
            n = operator.index(n)
        except TypeError:
            raise ValueError(f"n must be a whole number of regions; got {n!r}.") from None
        counts = self.counts()
        present = int((counts > 0).sum())
        if not 1 <= n <= present:
            raise ValueError(f"n must be from 1 to {present}, the number of regions with records; got {n}.")
        top = np.sort(np.argsort(-counts, kind="stable")[:n])
        return self.select([self.region_ids[i] for i in top])

    @classmethod
    def read_outage_log(
        cls,
        csv: str | os.PathLike[str],
        *,
        tz: str | None,
        region_column: str = "region",
        time_column: str = "start_time",
        duration_column: str | None = "duration_h",
        end_column: str | None = None,
        duration_unit: Literal["h", "min", "s"] = "h",
        feature_columns: Sequence[str] = (),
        time_features: Sequence[str] = (),
        time_format: str | None = None,
        since: str | None = None,
        until: str | None = None,
        drop_zero: bool = False,
    ) -> RepairLog:
        """Read a utility's export with one row an outage.

        Times are turned into UTC. A local time in the hour that the clock repeats in autumn is read as the
        first of the two (an end before its start as the second); one that the clock skips in spring is moved
        forward; a warning counts them. Records are sorted by time, regions by name.

        Args:
            csv: path of a `.csv` or `.csv.gz` file.
            tz: IANA zone of times without an offset, e.g. "America/New_York", or "UTC". None if all carry
                one.
            region_column: column with the name of the region.
            time_column: column with the start of the outage.
            duration_column: column with its duration; ignored if `end_column` is given.
            end_column: column with its end, instead of a duration.
            duration_unit: unit of `duration_column`.
            feature_columns: numeric columns known when a job is triaged.
            time_features: features to make of the start: "hour", "weekday", "month" (local), "requests_24h"
                (outages of the file that began in the 24 h before, over all regions: high in a storm).
            time_format: `datetime.strptime` format of both times; None takes ISO 8601.
            since: leave out outages that start before this ISO date or time (local to `tz`).
            until: leave out outages that start at or after it.
            drop_zero: leave out durations of exactly zero instead of raising.

        Raises:
            DataError: a column is missing, a duration is negative, zero or no number, a time has no zone, a
                cell is blank, or no outage is left.
            ValueError: an unknown zone, unit or time feature, a malformed `since` / `until`, or the duration among
                the features.

        Warns:
            UserWarning: the shortest duration is above 5 h, a sign of local times written as UTC or the
                reverse; or times fall into the hour of a clock change.
        """
        if duration_unit not in ("h", "min", "s"):
            raise ValueError(f"duration_unit must be 'h', 'min' or 's'; got {duration_unit!r}.")
        for name in time_features:
            if name not in TIME_FEATURES:
                raise ValueError(f"time_features must be among {TIME_FEATURES}; got {name!r}.")
        table = read_table(csv)
        cure = "Name it by region_column, time_column, duration_column, end_column or feature_columns."
        value_column = end_column or duration_column
        if value_column is None:
            raise ValueError("read_outage_log needs duration_column or end_column; got neither.")
        table.require(region_column, time_column, value_column, *feature_columns, cure=cure)
        if value_column in feature_columns or (end_column and duration_column in feature_columns):
            raise ValueError(
                f"feature_columns must be known before the repair, and the duration is what is forecast; got "
                f"{list(feature_columns)}. Leave it out."
            )
        start = read_times(table, time_column, tz=tz, time_format=time_format)
        require_zone(table, time_column, start)
        if end_column is None:
            duration_h = (
                table.numbers(
                    value_column,
                    rule="a duration must be a number",
                    cure="Correct the cell or remove the row.",
                )
                / {"h": 1.0, "min": 60.0, "s": 3600.0}[duration_unit]
            )
        else:
            end = read_times(table, end_column, tz=tz, time_format=time_format)
            require_zone(table, end_column, end)
            early = end.seconds < start.seconds
            duration_h = (end.seconds + np.where(early, end.repeated_s, 0) - start.seconds) / 3600.0
        keep = np.ones(len(table), dtype=np.bool_)
        if since is not None:
            keep &= start.seconds >= parse_moment(since, tz, "since")
        if until is not None:
            keep &= start.seconds < parse_moment(until, tz, "until")
        if drop_zero:
            keep &= duration_h != 0
        _check_durations(table, value_column, duration_h, keep, ends=end_column is not None)
        rows = np.flatnonzero(keep)
        if rows.size == 0:
            raise DataError(f"{table.source}: no outage is left of {len(table)}. Check since, until and drop_zero.")
        rows = rows[np.argsort(start.seconds[rows], kind="stable")]
        kept = table.take(rows)
        if duration_h[rows].min() > LONG_SHORTEST_H:
            warnings.warn(
                f"{table.source}: the shortest of {rows.size} outages lasts {duration_h[rows].min():.1f} h. "
                f"All above {LONG_SHORTEST_H:g} h: local times may have been written as UTC or the reverse. "
                f"Check tz={tz!r}.",
                stacklevel=2,
            )
        region_ids = tuple(sorted(set(kept.text(region_column))))
        check_names(region_ids, f"{table.source}, column '{region_column}'")
        columns = [kept.numbers(name) for name in feature_columns]
        columns += [time_feature(name, start.seconds, tz)[rows] for name in time_features]
        return cls(
            region=kept.index(region_column, region_ids, what="", cure=""),
            features=np.stack(columns, axis=1) if columns else np.empty((rows.size, 0)),
            feature_names=(*feature_columns, *time_features),
            repair_h=duration_h[rows],
            time=to_datetime64(start.seconds[rows]),
            timezone=tz or "UTC",
            region_ids=region_ids,
        )


def _check_durations(table: Table, column: str, hours: Floats, keep: Bools, *, ends: bool) -> None:
    for row in np.flatnonzero(keep & (hours <= 0)):
        if hours[row] < 0:
            rule = "an outage must not end before it starts" if ends else "a duration must not be negative"
            table.fail(int(row), column, rule, "Correct the cell or remove the row.")
        table.fail(
            int(row),
            column,
            "a duration must be above 0",
            "Correct it, remove the row, or pass drop_zero=True.",
        )


def _short(names: Sequence[str], n: int = 8) -> str:
    return f"{list(names[:n])}" + (f" and {len(names) - n} more" if len(names) > n else "")
