"""`RepairLog`: past repairs, one record a job; and how to read one from a utility's export."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.names import check_names, shown
from stormgym.envs.data.tables import DataError, frozen_array, set_frozen
from stormgym.envs.data.times import YEARS, zone


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

    def __repr__(self) -> str:
        return f"RepairLog({self.in_words()})"

    def span(self) -> str | None:
        """The days of the first and the last record, in words; None where no times are known."""
        if self.time is None or not len(self):
            return None
        return f"{self.time.min().astype('M8[D]')} to {self.time.max().astype('M8[D]')}"

    def in_words(self) -> str:
        """Outages, regions, days from the first to the last, and the median duration, in a line."""
        n = len(self.region_ids)
        parts = [f"{len(self):,} outages", f"{n:,} region{'s' * (n != 1)}"]
        span = self.span()
        parts += [] if span is None else [span]
        if len(self):
            parts.append(f"median {np.median(self.repair_h):.3g} h")
        return ", ".join(parts)

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
                reverse; times fall into the hour of a clock change; durations above 60 days; dates without a
                time of day; rows that stand twice; regions that differ only in case or blanks; durations of
                zero that `drop_zero` leaves out.
        """
        from stormgym.envs.data.outage_log import read_outages

        outages = read_outages(
            csv,
            tz=tz,
            region_column=region_column,
            time_column=time_column,
            duration_column=duration_column,
            end_column=end_column,
            duration_unit=duration_unit,
            feature_columns=feature_columns,
            time_features=time_features,
            time_format=time_format,
            since=since,
            until=until,
            drop_zero=drop_zero,
            stacklevel=3,
        )
        return cls(**outages.fields)


def _short(names: Sequence[str], n: int = 8) -> str:
    return f"{list(names[:n])}" + (f" and {len(names) - n} more" if len(names) > n else "")
