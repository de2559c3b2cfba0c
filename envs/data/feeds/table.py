"""`JobTable`: outages and the work on them, whatever feed they come from, with every fault of a row flagged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.data.feeds.columns import COLUMNS, NEEDED, TIMES, Moments, Text, column_of, hours_between, unknown
from stormgym.envs.data.feeds.faults import FAULTS, FIRST_YEAR, LAST_YEAR, Fault, count_faults, find_faults
from stormgym.envs.data.tables import DataError, set_frozen

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class JobTable:
    """R outages, one a row. Arrays are read-only; texts are `str` (blank: unknown), times UTC (NaT: unknown), numbers
    float64 (NaN: unknown).

    A value that cannot be (a negative count, the year 9999, a time that is no time) is unknown here, its flag says so
    and `unread` keeps the cell. Values that contradict each other (restored before it arrived) stay, and are flagged.

    Attributes:
        job_id: `[R]`.
        region: `[R]` name or code of the place.
        latitude, longitude: `[R]` degrees.
        arrival: `[R]` when the outage began, or was reported.
        restored: `[R]` when power was back; NaT while it is not.
        restored_within_h: `[R]` half the width of the time in which that lies (h), where the feed only tells snapshots.
        sent_at: `[R]` when the first crew set out.
        on_site_at: `[R]` when the first crew, assessing or repairing, was at the place.
        assessed_at: `[R]` when the assessment had ended and another crew was called; NaT where the first one mended.
        repair_start: `[R]` when the crew that repairs began.
        customers: `[R]` without power.
        vulnerable_customers: `[R]` those of them on a priority register.
        cause, status: `[R]` the feed's own words.
        feeder: `[R]` what the place hangs on.
        parent: `[R]` id of the job above it, or that it was merged into.
        crew: `[R]`.
        first_seen_at: `[R]` when a reader of the feed could first know of it.
        ert, ert_seen_at: `[R]` stated time of restoration, and when it was stated.
        planned: `[R]` int8: 1 planned, 0 not, -1 unknown.
        flags: `[R]` int64, bits of `Fault`.
        zone: `[R]` IANA zone in which local times were read.
        source, line: `[R]` file of the row, and its line (or record) there.
        unread: `[R]` cells that were taken as unknown, `column='text'`.

    Raises:
        DataError: a column of the wrong length or type.
    """

    job_id: Text
    region: Text
    latitude: Floats
    longitude: Floats
    arrival: Moments
    restored: Moments
    restored_within_h: Floats
    sent_at: Moments
    on_site_at: Moments
    assessed_at: Moments
    repair_start: Moments
    customers: Floats
    vulnerable_customers: Floats
    cause: Text
    status: Text
    feeder: Text
    parent: Text
    crew: Text
    first_seen_at: Moments
    ert: Moments
    ert_seen_at: Moments
    planned: NDArray[np.int8]
    flags: Ints
    zone: Text
    source: Text
    line: Ints
    unread: Text

    def __post_init__(self) -> None:
        n = len(self.job_id)
        for f in fields(self):
            array = column_of(f.name, getattr(self, f.name), n)
            array.setflags(write=False)
            set_frozen(self, **{f.name: array})
        if not np.isin(self.planned, (-1, 0, 1)).all():
            raise DataError("JobTable.planned must be 1 (planned), 0 (not) or -1 (unknown)")

    @classmethod
    def of(cls, *, parents_inside: bool = True, **columns: Any) -> JobTable:
        """A table of some columns; the others are unknown, and what the columns show of each other is flagged.

        A time of a year that stands for "unknown" (`FIRST_YEAR`, `LAST_YEAR`) is taken as unknown and flagged.

        Args:
            parents_inside: whether every parent should be a row of the table.
            **columns: any column of the class; `job_id`, `arrival`, and a region or coordinates are needed.

        Raises:
            DataError: a column that is missing, unknown, or of the wrong length or type.
        """
        odd = sorted(set(columns) - set(COLUMNS))
        if odd:
            raise DataError(f"a JobTable has no column '{odd[0]}'; it has {list(COLUMNS)}. Rename it or leave it out.")
        for name in NEEDED:
            if name not in columns:
                raise DataError(f"a JobTable needs the column '{name}'; got {sorted(columns)}. Give it.")
        if "region" not in columns and not {"latitude", "longitude"} <= set(columns):
            raise DataError("a JobTable needs 'region', or 'latitude' and 'longitude'; got neither. Give one.")
        n = len(columns["job_id"])
        whole = {name: column_of(name, columns.get(name, unknown(name)), n) for name in COLUMNS}
        _forget_sentinels(whole)
        whole["flags"] = whole["flags"] | find_faults(whole, parents_inside=parents_inside)
        return cls(**whole)

    @classmethod
    def concat(cls, tables: Sequence[JobTable]) -> JobTable:
        """Rows of several tables one after the other; ids that stand in two of them are flagged.

        Raises:
            ValueError: no table.
        """
        if not tables:
            raise ValueError("concat needs at least one table; got none")
        whole = {name: np.concatenate([getattr(t, name) for t in tables]) for name in COLUMNS}
        return cls.of(parents_inside=False, **whole)

    def __len__(self) -> int:
        return len(self.job_id)

    def __repr__(self) -> str:
        n = sum(self.faults().values())
        return f"JobTable({len(self)} rows, {n} flags)"

    @property
    def duration_h(self) -> Floats:
        """Hours without power `[R]`, NaN while it is not back; may be negative (`Fault.RESTORED_FIRST`)."""
        return hours_between(self.arrival, self.restored)

    @property
    def work_h(self) -> Floats:
        """Hours from when the crew that mended it was on site until power was back `[R]`; NaN where that is not known.

        They begin with the repair, or where no second crew was called with the first crew on site. They are elapsed
        time: a night in which nobody worked counts.
        """
        return hours_between(self.work_start, self.restored)

    @property
    def work_start(self) -> Moments:
        """When the crew that mended it was on site `[R]`; NaT where that is not known."""
        alone = np.isnat(self.repair_start) & np.isnat(self.assessed_at)
        return np.where(alone, self.on_site_at, self.repair_start)

    def has(self, fault: Fault) -> Bools:
        """Rows that carry one of these faults (`Fault.A | Fault.B`) `[R]`."""
        return (self.flags & int(fault)) != 0

    def faults(self) -> dict[str, int]:
        """Rows that carry each fault, by its words; those that none carries left out."""
        return count_faults(self.flags)

    def check(self, fault: Fault) -> JobTable:
        """The table itself, if no row carries one of these faults.

        Raises:
            DataError: a row does; the message names its file, line, fault and cell.
        """
        wrong = np.flatnonzero(self.has(fault))
        if wrong.size:
            row = int(wrong[0])
            told = "; ".join(text for kind, text in FAULTS.items() if int(self.flags[row]) & kind & fault)
            cell = f" ({self.unread[row]})" if self.unread[row] else ""
            raise DataError(
                f"{self.source[row] or 'job table'}, line {self.line[row]}, job {self.job_id[row]!r}: {told}{cell}; "
                f"{wrong.size} of {len(self)} rows are like that. Correct them, or leave them out: "
                "table.take(~table.has(...))."
            )
        return self

    def take(self, rows: ArrayLike) -> JobTable:
        """Rows of a boolean mask `[R]` or of indices; flags stay as they are.

        Raises:
            ValueError: a mask of the wrong length, or rows that the table lacks.
        """
        at = np.asarray(rows)
        if at.dtype == np.bool_ and at.shape != (len(self),):
            raise ValueError(f"mask must have one entry a row, {len(self)}; got shape {at.shape}.")
        at = at if at.size else at.astype(np.int64)
        if at.dtype != np.bool_ and (
            at.ndim != 1 or at.dtype.kind not in "iu" or ((at < -len(self)) | (at >= len(self))).any()
        ):
            raise ValueError(
                f"rows must be booleans or whole numbers 0 to {len(self) - 1}, rows of the table; got {str(rows)[:99]}."
            )
        return JobTable(**{name: getattr(self, name)[at] for name in COLUMNS})

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file (`.csv` or `.csv.gz`) that `read_csv` reads back to the same table.

        Texts are written as they are. A spreadsheet may run one that begins like a formula (`Fault.ODD_TEXT`).
        """
        from stormgym.envs.data.feeds.storage import write_csv

        write_csv(vars(self), path)

    def to_frame(self) -> pd.DataFrame:
        """The table as a pandas frame; flags as their names."""
        from stormgym.envs.data.feeds.storage import frame_of

        return frame_of(vars(self))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write a Parquet file that `read_parquet` reads back to the same table."""
        from stormgym.envs.data.feeds.storage import write_parquet

        write_parquet(vars(self), path)

    @classmethod
    def read_csv(cls, path: str | os.PathLike[str], *, tz: str | None = None) -> JobTable:
        """Read a CSV file in the table's own form: `job_id`, `arrival` and a place, any other of its columns.

        Args:
            path: `.csv` or `.csv.gz`.
            tz: IANA zone of times without an offset.

        Raises:
            DataError: the file or a column is missing or unknown, or the file is no table.
        """
        from stormgym.envs.data.feeds.storage import read_csv

        return cls.of(parents_inside=False, **read_csv(path, tz))

    @classmethod
    def read_parquet(cls, path: str | os.PathLike[str]) -> JobTable:
        """Read a Parquet file that `to_parquet` wrote.

        Raises:
            DataError: the file is missing, is no Parquet, or has columns of other names or types.
        """
        from stormgym.envs.data.feeds.storage import read_parquet

        return cls.of(parents_inside=False, **read_parquet(path))


def _forget_sentinels(columns: dict[str, Any]) -> None:
    """Take times of years that stand for "unknown" as unknown, flag their rows, and keep what stood there as text."""
    unread = columns["unread"]
    for name in TIMES:
        times = columns[name]
        year = times.astype("M8[Y]").astype(np.int64) + 1970
        odd = ~np.isnat(times) & ((year < FIRST_YEAR) | (year > LAST_YEAR))
        if not odd.any():
            continue
        columns["flags"] = columns["flags"] | np.where(odd, int(Fault.SENTINEL_TIME), 0)
        columns[name] = np.where(odd, np.datetime64("NaT", "s"), times)
        unread = unread.copy()
        for row in np.flatnonzero(odd):
            unread[row] = "; ".join(filter(None, (unread[row], f"{name}={str(times[row])!r}")))
    columns["unread"] = unread
