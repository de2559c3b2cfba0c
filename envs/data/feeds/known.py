"""What is known of each outage at a time: numbers that forecasts of its end may read, and none from later on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.feeds.columns import Moments, hours_between
from stormgym.envs.data.feeds.faults import STAGES
from stormgym.envs.data.feeds.table import JobTable
from stormgym.envs.data.times import time_feature

RECENT_H = 6
"""Hours over which arrivals and restorations are counted."""
FEATURES = (
    "age_h",
    "hour_sin",
    "hour_cos",
    "log_customers",
    "cause",
    "seen_h",
    *(f"{name.removesuffix('_at')}_h" for name in STAGES),
    *(f"log_{what}_{where}" for where in ("all", "region") for what in ("open", "arrived", "restored")),
)
"""Names of the columns of `known_at`."""


def known_at(jobs: JobTable, at: ArrayLike, *, tz: str, causes: Sequence[str] = ()) -> Floats:
    """What is known of each outage at a time of its own, `[R, F]` with the columns `FEATURES`.

    Its age; the local hour; its customers and the place of its cause in `causes` (-1: another), as the table has them,
    so that they should be the first that were stated; hours since it was first seen and since each stage of the work
    was, -1 for what has not happened; outages open now, and seen or restored in the last six hours, in the whole table
    and in the outage's region. Outages count from when they were first seen (from their arrival where that is not
    known) until they were restored.

    Args:
        jobs: outages of one storm; all of them, since they are counted.
        at: `[R]` times, UTC. What is known of a row whose time is unknown says nothing.
        tz: IANA zone of the hour.
        causes: the feed's words.
    """
    when = np.asarray(at, dtype="M8[s]")
    seconds = when.astype(np.int64)
    hour = np.array(time_feature("hour", np.where(np.isnat(when), 0, seconds), tz)) / 24.0
    seen = np.where(np.isnat(jobs.first_seen_at), jobs.arrival, jobs.first_seen_at)
    place = {word: i for i, word in enumerate(causes)}
    columns = [
        hours_between(jobs.arrival, when),
        np.sin(2.0 * np.pi * hour),
        np.cos(2.0 * np.pi * hour),
        np.log1p(np.nan_to_num(jobs.customers, nan=-0.5)),
        np.array([place.get(word, -1) for word in jobs.cause.tolist()], dtype=np.float64),
        _since(seen, when),
        *(_since(getattr(jobs, name), when) for name in STAGES),
    ]
    counts = np.zeros((2, 3, len(jobs)))
    counts[0] = _counts(seen, jobs.restored, when)
    for name in np.unique(jobs.region.astype(str)):
        own = jobs.region == name
        counts[1][:, own] = _counts(seen[own], jobs.restored[own], when[own])
    return np.column_stack([*columns, *np.log1p(counts.reshape(6, -1))])


def _since(then: Moments, when: Moments) -> Floats:
    """Hours since something happened, -1 if it has not."""
    hours = hours_between(then, when)
    return np.where(hours >= 0, hours, -1.0)


def _counts(seen: Moments, restored: Moments, when: Moments) -> Ints:
    """`[3, R]` outages open, and seen and restored in the last hours, at each time."""
    first, last = _sorted(seen), _sorted(restored)
    now = when.astype(np.int64)
    before = now - RECENT_H * 3600

    def until(times: Ints, moment: Ints) -> Ints:
        return np.searchsorted(times, moment, side="right")

    known, back = until(first, now), until(last, now)
    still = np.maximum(known - back, 0)  # of those restored before they were first seen none was open
    return np.maximum([still, known - until(first, before), back - until(last, before)], 0)


def _sorted(times: Moments) -> Ints:
    return np.sort(times[~np.isnat(times)].astype(np.int64))
