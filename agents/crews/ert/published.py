"""What is published of B storms: the ERT in force of every job, and those that are scored.

An ERT is published when a job is new, when a crew is sent, and when the median has left the interval in force:
hysteresis, without which the ERT of a job would change at every decision.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from stormgym.agents.crews.ert.calibration import Calibration, Kind
from stormgym.agents.crews.ert.looks import Look
from stormgym.envs.arrays import Bools, Floats, Ints

AGES_H = (3.0, 6.0, 12.0)
"""Hours after a job is reported at which the ERT in force is scored."""


@dataclass(frozen=True, eq=False)
class Published:
    """ERTs of B storms: lower end, ERT and upper end, hours since the storm began; NaN where there is none."""

    first_h: Floats
    """`[B, N, 3]` the first of each job."""
    first_at_h: Floats
    """`[B, N]` when it was published."""
    sent_h: Floats
    """`[B, N, 3]` the one when its crew was sent."""
    sent_at_h: Floats
    """`[B, N]`"""
    now_h: Floats
    """`[B, N, 3]` the one in force."""
    aged_h: Floats
    """`[B, N, A, 3]` the one in force at each of `AGES_H` after the report."""
    revisions: Ints
    """`[B, N]` how often it was published anew."""

    @classmethod
    def none(cls, n_storms: int, n_jobs: int) -> Published:
        """Nothing yet."""
        shape = (n_storms, n_jobs)

        def nan(*more: int) -> Floats:
            return np.full((*shape, *more), np.nan)

        return cls(nan(3), nan(), nan(3), nan(), nan(3), nan(len(AGES_H), 3), np.zeros(shape, dtype=np.int64))

    def without(self, rows: Bools) -> Published:
        """Those of some storms forgotten."""
        fresh = Published.none(*self.revisions.shape)
        parts = {}
        for f in fields(self):
            old, new = getattr(self, f.name), getattr(fresh, f.name)
            parts[f.name] = np.where(rows.reshape(-1, *[1] * (old.ndim - 1)), new, old)
        return Published(**parts)


@dataclass(frozen=True, eq=False)
class News:
    """What one decision publishes anew."""

    kind: Ints
    """`[B, N]` a `Kind`; -1 where the ERT in force stays."""
    told_h: Floats
    """`[B, N, 3]` the new ERTs; NaN elsewhere."""


def published(before: Published, seen: Look, calibration: Calibration) -> tuple[Published, News]:
    """Publish what a decision asks for.

    Args:
        before: what is in force.
        seen: the decision.
        calibration: of ERTs.
    """
    news = _news(before, seen, calibration)
    changed = news.kind >= 0
    first = changed & np.isnan(before.now_h[..., 0])
    sent = news.kind == Kind.SENT
    now = seen.now_h[:, None]
    after = Published(
        first_h=np.where(first[..., None], news.told_h, before.first_h),
        first_at_h=np.where(first, now, before.first_at_h),
        sent_h=np.where(sent[..., None], news.told_h, before.sent_h),
        sent_at_h=np.where(sent, now, before.sent_at_h),
        now_h=np.where(changed[..., None], news.told_h, before.now_h),
        aged_h=aged(before, seen.arrival_h, seen.now_h),
        revisions=before.revisions + (changed & ~first),
    )
    return after, news


def _news(before: Published, seen: Look, calibration: Calibration) -> News:
    new = seen.dark & np.isnan(before.now_h[..., 0])
    fresh = np.where(seen.crewed, Kind.SENT, Kind.FIRST)
    again = np.where(seen.crewed, Kind.REVISED_SENT, Kind.REVISED)
    # whether it is as if nothing had been published before or not, the ERT is outside the interval in force
    left = _left(before, seen, fresh, calibration) & _left(before, seen, again, calibration)
    kind = np.where(new | seen.sent, fresh, again)
    due = seen.dark & (new | seen.sent | left)
    told = np.full((*kind.shape, 3), np.nan)
    told[due] = calibration.tell(kind[due], seen.at(due))
    return News(np.where(due, kind, -1), told)


def _left(before: Published, seen: Look, kind: Ints, calibration: Calibration) -> Bools:
    """Jobs `[B, N]` whose ERT, told as of a kind, is outside the interval in force."""
    result = np.zeros(kind.shape, dtype=bool)
    at = seen.dark & np.isfinite(before.now_h[..., 0])
    ert = calibration.tell(kind[at], seen.at(at))[:, 1]
    result[at] = (ert < before.now_h[at][:, 0]) | (ert > before.now_h[at][:, 2])
    return result


def aged(before: Published, arrival_h: Floats, now_h: Floats) -> Floats:
    """`aged_h` at a time before which nothing was published anew.

    Args:
        before: what was in force until then.
        arrival_h: `[B, N]`
        now_h: `[B]` inf for storms that are over.
    """
    passed = (arrival_h[..., None] + np.array(AGES_H) < now_h[:, None, None]) & np.isnan(before.aged_h[..., 0])
    return np.where(passed[..., None], before.now_h[:, :, None], before.aged_h)
