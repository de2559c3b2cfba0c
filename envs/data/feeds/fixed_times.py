"""Stated and forecast times of restoration at fixed times after the start of each outage, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.data.feeds.columns import hours_between
from stormgym.envs.data.feeds.faults import UNUSABLE_END
from stormgym.envs.data.feeds.known import known_at
from stormgym.envs.data.feeds.stated import StatedTimes, error_scores, open_at
from stormgym.envs.data.feeds.table import JobTable


class FixedTimes(NamedTuple):
    """M pairs of an outage and a time after its start at which it was known and open; `left_h` is what came later."""

    row: Ints
    """`[M]` row of the table."""
    after_h: Floats
    """`[M]` hours after the start."""
    known: Floats
    """`[M, F]` `known_at` that time."""
    left_h: Floats
    """`[M]` hours until it was restored."""
    stated_h: Floats
    """`[M]` hours until the time that was stated then; below 0 if it had passed, NaN for none."""


def fixed_times(
    jobs: JobTable,
    stated: StatedTimes,
    hours: Sequence[float],
    *,
    tz: str,
    causes: Sequence[str] = (),
    rows: ArrayLike | None = None,
) -> FixedTimes:
    """Outages at fixed times after their start. Those whose end is no restoration are left out (`UNUSABLE_END`).

    A last stated time knows how things went; that in force at a fixed time does not. Outages without one are kept:
    scores of stated times are those of a selected set, and `score_fixed_times` scores forecasts on both.

    Args:
        jobs: outages of one storm, all of them.
        stated: their stated times.
        hours: after the start, above 0.
        tz, causes: of `known_at`.
        rows: mask `[R]` of outages to take; all if None.

    Raises:
        ValueError: no hours, or some that are not above 0.
    """
    if not len(hours) or not all(h > 0 for h in hours):
        raise ValueError(f"hours must be at least one number above 0; got {list(hours)}")
    taken = np.ones(len(jobs), dtype=np.bool_) if rows is None else np.asarray(rows, dtype=np.bool_)
    parts = []
    for after in hours:
        at, still = open_at(jobs, after)
        own = np.flatnonzero(still & taken & ~jobs.has(UNUSABLE_END))
        parts.append(
            FixedTimes(
                row=own,
                after_h=np.full(own.size, float(after)),
                known=known_at(jobs, at, tz=tz, causes=causes)[own],
                left_h=hours_between(at, jobs.restored)[own],
                stated_h=hours_between(at, stated.stated_at(at))[own],
            )
        )
    return FixedTimes(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def score_fixed_times(
    times: FixedTimes, median_h: Floats, interval_h: Floats, group: Ints, n_groups: int
) -> list[dict[str, Any]]:
    """Scores of stated times and of a forecast, a record for each time after the start.

    Args:
        times: see there.
        median_h: `[M]` forecast of the hours left.
        interval_h: `[M, 2]` its interval.
        group: `[M]` group of the outage.
        n_groups: G.

    Returns:
        Records with `after_h`; `open` and `stated`, outages that were there and that had a stated time; `error_scores`
        of `theirs` and `ours` on the latter and of ours on `all`, each with `constant_mae_h`, the mean absolute error
        of the best constant in hindsight; `held`, `held_by_group` and `width_h` (median) of the intervals on all.
        What there are no outages for is NaN.
    """
    inside = (times.left_h >= interval_h[:, 0]) & (times.left_h <= interval_h[:, 1])
    width = interval_h[:, 1] - interval_h[:, 0]
    found = []
    for after in np.unique(times.after_h):
        own = times.after_h == after
        told = own & np.isfinite(times.stated_h)
        record: dict[str, Any] = {"after_h": float(after), "open": int(own.sum()), "stated": int(told.sum())}
        for name, rows, hours in (("theirs", told, times.stated_h), ("ours", told, median_h), ("all", own, median_h)):
            best = np.median(times.left_h[rows]) if rows.any() else np.nan
            constant = error_scores(times.left_h[rows] - best)["mae_h"]
            record[name] = error_scores(times.left_h[rows] - hours[rows]) | {"constant_mae_h": constant}
        record["held"], record["width_h"] = _share(inside[own]), float(np.median(width[own]))
        record["held_by_group"] = [_share(inside[own & (group == g)]) for g in range(n_groups)]
        found.append(record)
    return found


def _share(inside: Bools) -> float:
    return float(inside.mean()) if inside.size else float("nan")
