"""Times of restoration as a utility stated them, change by change, and how far they were off."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.data.feeds.columns import Moments, hours_between
from stormgym.envs.data.feeds.table import JobTable
from stormgym.envs.data.tables import DataError, set_frozen


@dataclass(frozen=True, eq=False)
class StatedTimes:
    """M statements of a time of restoration, in the order of their jobs and of time. Arrays are read-only.

    Attributes:
        row: `[M]` row of the `JobTable`.
        seen: `[M]` when it was stated, or first seen, UTC.
        ert: `[M]` the time stated, UTC; NaT where an earlier one was withdrawn.
        automatic: `[M]` 1 where a rule stated it, 0 where a person did, -1 unknown.
        usable: `[M]` False for what is no forecast (`Fault.ERT_FAR`: a year that stands for "unknown").

    Raises:
        DataError: arrays of different lengths, rows out of order, or two statements of one job at one time.
    """

    row: Ints
    seen: Moments
    ert: Moments
    automatic: NDArray[np.int8]
    usable: Bools

    def __post_init__(self) -> None:
        types: dict[str, Any] = {
            "row": np.int64,
            "seen": "M8[s]",
            "ert": "M8[s]",
            "automatic": np.int8,
            "usable": np.bool_,
        }
        for f in fields(self):
            array = np.array(getattr(self, f.name), dtype=types[f.name])
            if array.shape != (len(self.row),):
                raise DataError(f"StatedTimes.{f.name} must have one entry a statement, {len(self.row)}.")
            array.setflags(write=False)
            set_frozen(self, **{f.name: array})
        if np.isnat(self.seen).any():
            raise DataError("StatedTimes.seen must be known for every statement. Leave out those of which it is not.")
        same = np.diff(self.row) == 0
        later = np.diff(self.seen) > np.timedelta64(0, "s")
        if not ((np.diff(self.row) > 0) | (same & later)).all():
            raise DataError("StatedTimes must be sorted by row and then by time seen, each time once for a job.")

    def __len__(self) -> int:
        return len(self.row)

    def in_force(self, at: ArrayLike) -> Ints:
        """The statement of each job that was in force at a time, `[R]`; -1 for none, or one that is no forecast.

        Args:
            at: `[R]` a time for each row of the table, UTC.
        """
        when = np.asarray(at, dtype="M8[s]")
        # rows are sorted, and times within them: one search by both
        last = np.searchsorted(_by_both(self.row, self.seen), _by_both(np.arange(len(when)), when), side="right") - 1
        held = np.maximum(last, 0)
        good = (last >= 0) & ~np.isnat(when)
        if len(self):
            good &= (self.row[held] == np.arange(len(when))) & ~np.isnat(self.ert[held]) & self.usable[held]
        return np.where(good, last, -1)

    def stated_at(self, at: ArrayLike) -> Moments:
        """The time of restoration in force at a time `[R]`; NaT for none."""
        held = self.in_force(at)
        if not len(self):
            return np.full(held.shape, np.datetime64("NaT", "s"))
        return np.where(held >= 0, self.ert[np.maximum(held, 0)], np.datetime64("NaT", "s"))


def _by_both(row: Ints, time: Moments) -> Ints:
    """A number that sorts by row and then by time (seconds of a time up to the year 2514)."""
    return (row << 34) + np.clip(time.astype(np.int64), 0, (1 << 34) - 1)


def open_at(jobs: JobTable, hours: float) -> tuple[Moments, Bools]:
    """The time so many hours after each arrival `[R]`, and whether the outage was known and still there `[R]`."""
    at = jobs.arrival + np.timedelta64(round(hours * 3600), "s")
    known = np.isnat(jobs.first_seen_at) | (jobs.first_seen_at <= at)
    return at, known & (jobs.restored > at)


def time_scores(restored: Moments, stated: Moments) -> dict[str, float]:
    """How far stated times were off. Error = restored - stated (h): below 0, it came back sooner.

    `n`, `bias_h` (mean error), `median_h`, `mae_h`, `medae_h`, `before` (share restored before it or at it) and
    `within_1h`; NaN where nothing is scored.

    Args:
        restored, stated: `[R]`; rows in which either is unknown are left out.
    """
    error = hours_between(stated, restored)
    return error_scores(error[np.isfinite(error)])


def error_scores(error_h: Floats) -> dict[str, float]:
    """The scores of `time_scores` from errors (h)."""
    n = error_h.size
    if n == 0:
        names = ("bias_h", "median_h", "mae_h", "medae_h", "before", "within_1h")
        return {"n": 0.0, **dict.fromkeys(names, float("nan"))}
    size = np.abs(error_h)
    found: dict[str, Any] = {
        "n": n,
        "bias_h": error_h.mean(),
        "median_h": np.median(error_h),
        "mae_h": size.mean(),
        "medae_h": np.median(size),
        "before": (error_h <= 0).mean(),
        "within_1h": (size <= 1.0).mean(),
    }
    return {name: float(value) for name, value in found.items()}
