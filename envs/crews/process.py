"""The dynamics of crew dispatch, written once and batched: B storms, K crews, N jobs that arrive; no Gymnasium in it.

Whenever a crew is free, on duty and has a job that it could do, it is asked: one of the jobs, or to wait until
something happens. There is no queue of events: between two decisions nothing changes but time, so the next instant at
which a crew is asked is the latest of "it is free", "its first job has arrived" and "it is on duty", least over crews.
A step is O(B N (Z + log N) + B K), with no loop over jobs, crews or events.

What hangs on what (`parent`, a forest) has power when its own repair and those of all above it are done. The reward is
minus the growth of the weighted outage, the cost the growth of the largest Wasserstein-1 distance between groups of the
outages so far.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.core import Step
from stormgym.envs.crews.roster import Roster
from stormgym.envs.equity import running_pair_gaps

WASTED_H = 0.25
"""Hours that a masked choice loses, beside the travel."""
CHOICES_PER_JOB = 4
"""An episode is truncated after this many choices, other than waits, per job."""


@dataclass(eq=False)
class StormJobs:
    """The jobs of B storms, `[B, N]` unless said otherwise; a slot whose arrival is inf is empty."""

    site: Ints
    """Row of the distance table."""
    group: Ints
    weight: Floats
    """Share of the reward."""
    customers: Floats
    arrival_h: Floats
    """0 for those known at the start."""
    need: Ints
    """Skill, 0 to Z - 1."""
    parent: Ints
    """Slot that must have power first; -1 for none."""
    duration_h: Floats
    """Above 0; hidden."""
    point_h: Floats
    lower_h: Floats
    upper_h: Floats
    """Forecast of a job that has been assessed."""
    wide_h: Floats
    """`[B, N, 3]` mean, lower and upper end for one that has not."""
    assessed: Bools
    """From the start."""
    quantile_h: Floats | None = None
    """`[B, N, Q]` predictive quantiles."""
    wide_quantile_h: Floats | None = None
    """`[B, N, Q]` those of a job that has not been assessed; None: linear between the numbers of `wide_h`."""

    def rows(self, at: Ints) -> StormJobs:
        """Those of some storms."""
        parts: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            parts[f.name] = None if value is None else value[at]
        return StormJobs(**parts)


def chains_of(parent: Ints) -> Ints:
    """`[B, N, D]` each job and all that is above it, padded with itself; D is the depth of the deepest.

    Raises:
        ValueError: a parent that is no slot, or jobs that hang on each other in a circle.
    """
    n = parent.shape[1]
    if ((parent < -1) | (parent >= n)).any():
        raise ValueError(
            f"parent must be a slot 0 to {n - 1}, or -1 for none; got {parent[(parent < -1) | (parent >= n)][0]}"
        )
    own = np.broadcast_to(np.arange(n), parent.shape)
    chain = [own]
    above = parent
    while (above >= 0).any():
        if len(chain) > n:
            raise ValueError("parent has a circle: some job hangs on itself; every chain must end at -1")
        chain.append(np.where(above >= 0, above, own))
        above = np.where(above >= 0, np.take_along_axis(parent, np.maximum(above, 0), axis=1), -1)
    return np.ascontiguousarray(np.stack(chain, axis=-1))


_JOB_STATE = ("repaired_h", "power_h", "seen_h", "sent_h", "begun_h")
_CREW_STATE = ("loc", "ready_h", "begin_h", "finish_h", "target", "waiting", "overtime_h", "overtime_due_h")
_STORM_STATE = (
    "t",
    "asked",
    "n_left",
    "choices",
    "waits",
    "wasted",
    "travel_h",
    "work_h",
    "paid_outage_h",
)


class CrewProcess:
    """B storms that K crews mend.

    Args:
        distance_km: `[V, V]` road km between places: sites of jobs and depots.
        roster: crews.
        batch: B.
        n_jobs: N slots.
        n_groups: G.
        arrival_end_h: hour after which nothing arrives; it is public.
        assess_h: hours that looking at a job takes.
        overtime_price: hours of mean outage that an hour of a crew's overtime is worth.
    """

    def __init__(
        self,
        distance_km: Floats,
        roster: Roster,
        batch: int,
        n_jobs: int,
        n_groups: int,
        *,
        arrival_end_h: float = 0.0,
        assess_h: float = 0.25,
        overtime_price: float = 0.0,
    ) -> None:
        self.distance_km = np.asarray(distance_km, dtype=np.float64)
        self.roster = roster
        self.batch, self.n_jobs, self.n_groups = batch, n_jobs, n_groups
        self.arrival_end_h, self.assess_h = float(arrival_end_h), float(assess_h)
        self.overtime_price = float(overtime_price)
        self.max_choices = CHOICES_PER_JOB * n_jobs
        k, z, shape = roster.n_crews, roster.n_skills, (batch, n_jobs)
        self.serves = roster.serves  # [K, Z + 1]
        self.jobs = StormJobs(
            site=np.zeros(shape, dtype=np.int64),
            group=np.zeros(shape, dtype=np.int64),
            weight=np.zeros(shape),
            customers=np.zeros(shape),
            arrival_h=np.full(shape, np.inf),
            need=np.zeros(shape, dtype=np.int64),
            parent=np.full(shape, -1),
            duration_h=np.ones(shape),
            point_h=np.ones(shape),
            lower_h=np.ones(shape),
            upper_h=np.ones(shape),
            wide_h=np.ones((*shape, 3)),
            assessed=np.ones(shape, dtype=bool),
        )
        self.chain = chains_of(self.jobs.parent)  # [B, N, D]
        # jobs
        self.repaired_h = np.full(shape, np.inf)  # F: finish of the repair, from when a crew is sent
        self.power_h = np.full(shape, np.inf)  # P: power is back
        self.seen_h = np.full(shape, np.inf)  # the narrow interval is shown from then on
        self.sent_h = np.full(shape, np.inf)  # a repair crew set out
        self.begun_h = np.full(shape, np.inf)  # and came
        self.crew_of = np.full(shape, -1)  # which one; -1 before
        self.pending_h = np.full((batch, z + 1, n_jobs), np.inf)  # arrival while work of a class is open, else inf
        # crews
        self.loc = np.zeros((batch, k), dtype=np.int64)  # place, from when it is sent
        self.ready_h = np.zeros((batch, k))  # free and on duty
        self.begin_h = np.full((batch, k), -np.inf)  # on site
        self.finish_h = np.full((batch, k), -np.inf)
        self.target = np.full((batch, k), -1)  # job in hand; -1 for none
        self.waiting = np.zeros((batch, k), dtype=bool)
        self.overtime_h = np.zeros((batch, k))
        self.overtime_due_h = np.zeros((batch, k))  # of work that has not ended: paid when it ends
        # storms
        self.t = np.zeros(batch)
        self.asked = np.zeros(batch, dtype=np.int64)
        self.n_left = np.zeros(batch, dtype=np.int64)  # jobs without a repair crew
        self.choices = np.zeros(batch, dtype=np.int64)
        self.waits = np.zeros(batch, dtype=np.int64)
        self.wasted = np.zeros(batch, dtype=np.int64)
        self.travel_h = np.zeros(batch)
        self.work_h = np.zeros(batch)  # crew-hours of work and travel
        self.paid_outage_h = np.zeros(batch)  # weighted outage that rewards have paid
        self.pair_gap_h = np.zeros((batch, n_groups * (n_groups - 1) // 2))
        self.gap_h = np.zeros(batch)  # that costs have paid
        self.mask = np.ones((batch, n_jobs + 1), dtype=bool)
        self.completed = np.ones(batch, dtype=bool)  # no job was left to the nearest rule

    # ------------------------------------------------------------------------------------------------- beginning

    def reset(self, jobs: StormJobs, rows: Ints | None = None) -> None:
        """Begin the storms of `rows` (all when None).

        Raises:
            ValueError: a skill that no crew has, a parent that is no slot, or durations that are not above 0.
        """
        at: Ints | slice = slice(None) if rows is None else rows
        exists = np.isfinite(jobs.arrival_h)
        if not ((jobs.duration_h > 0) & np.isfinite(jobs.duration_h))[exists].all():
            raise ValueError("duration_h must be finite and above 0 for every job that exists")
        self.roster.check_needs(jobs.need[exists])
        self._take(jobs, at)
        arrival = jobs.arrival_h
        for name in _JOB_STATE:
            getattr(self, name)[at] = np.inf
        self.crew_of[at] = -1
        self.seen_h[at] = np.where(jobs.assessed, arrival, np.inf)
        pending = np.full((len(arrival), *self.pending_h.shape[1:]), np.inf)
        np.put_along_axis(pending, jobs.need[:, None], arrival[:, None], axis=1)
        pending[:, -1] = np.where(jobs.assessed, np.inf, arrival)
        self.pending_h[at] = pending
        self.loc[at], self.target[at], self.waiting[at] = self.roster.depot, -1, False
        self.ready_h[at] = self.roster.next_on(np.zeros(self.roster.n_crews))
        self.begin_h[at] = self.finish_h[at] = -np.inf
        self.overtime_h[at] = self.overtime_due_h[at] = 0.0
        for name in _STORM_STATE:
            getattr(self, name)[at] = 0
        self.n_left[at] = exists.sum(axis=1)
        self.pair_gap_h[at], self.gap_h[at], self.completed[at] = 0.0, 0.0, True
        self._next(at)

    def _take(self, jobs: StormJobs, at: Ints | slice) -> None:
        """Keep jobs, and what hangs on what."""
        for f in fields(jobs):
            value = getattr(jobs, f.name)
            if value is None:
                continue
            if getattr(self.jobs, f.name) is None:
                setattr(self.jobs, f.name, np.zeros((self.batch, *value.shape[1:])))
            getattr(self.jobs, f.name)[at] = value
        chain = chains_of(jobs.parent)
        depth = max(chain.shape[2], self.chain.shape[2])
        own = np.broadcast_to(np.arange(self.n_jobs)[:, None], (self.n_jobs, depth - self.chain.shape[2]))
        if own.size:
            self.chain = np.concatenate([self.chain, np.broadcast_to(own, (self.batch, *own.shape))], axis=2)
        wide = np.broadcast_to(np.arange(self.n_jobs)[:, None], (len(chain), self.n_jobs, depth)).copy()
        wide[:, :, : chain.shape[2]] = chain
        self.chain[at] = wide

    # --------------------------------------------------------------------------------------------------- a choice

    def step(self, actions: Ints) -> Step:
        """Carry out one choice in every storm: a job for the crew that is asked, or N to wait.

        Args:
            actions: `[B]` in 0..N. Storms that are over stay as they are.
        """
        self._choose(actions)
        self._next(slice(None))
        reward, cost = self._pay()
        terminated = self.n_left == 0
        truncated = ~terminated & (self.choices >= self.max_choices)
        if truncated.any():
            late = np.flatnonzero(truncated)
            more_reward, more_cost = self._serve_the_rest(late)
            reward[late] += more_reward
            cost[late] += more_cost
            self.mask[late] = True
        return Step(reward, cost, terminated, truncated, bool((terminated | truncated).any()))

    def _choose(self, actions: Ints) -> None:
        """Send the asked crews, or let them wait."""
        jobs, roster = self.jobs, self.roster
        every = np.arange(self.batch)
        wait = actions == self.n_jobs
        allowed = self.mask[every, actions] & (self.n_left > 0)
        rests, good = wait & allowed, ~wait & allowed
        moves = np.flatnonzero(~rests & (self.n_left > 0))
        rows = np.flatnonzero(rests)
        self.waiting[rows, self.asked[rows]] = True
        self.waits[rows] += 1
        b, k, t, good = moves, self.asked[moves], self.t[moves], good[moves]
        j = np.minimum(actions[moves], self.n_jobs - 1)
        goes = ~wait[moves] & (jobs.arrival_h[b, j] <= t)  # an unknown job is no place to go to
        here = self.loc[b, k]
        place = np.where(goes, jobs.site[b, j], here)
        travel = np.where(goes, self.distance_km[here, place] / roster.speed_kmh[k], 0.0)
        looks = roster.assessor[k]
        begin = t + travel
        work = np.where(good, np.where(looks, self.assess_h, jobs.duration_h[b, j]), WASTED_H)
        finish = begin + work
        self.loc[b, k], self.begin_h[b, k], self.finish_h[b, k] = place, begin, finish
        self.target[b, k] = np.where(good, j, -1)
        duty = roster.duty.at(k)
        self.ready_h[b, k] = duty.next_on(finish)
        on_duty = duty.hours(finish) - duty.hours(t)
        overtime = (finish - t) - on_duty
        self.overtime_h[b, k] += overtime
        self.overtime_due_h[b, k] += overtime
        self.choices[b] += 1
        self.wasted[b] += ~good
        self.travel_h[b] += travel
        self.work_h[b] += finish - t
        mends, sees = good & ~looks, good & looks
        r, jr = b[mends], j[mends]
        self.repaired_h[r, jr], self.begun_h[r, jr], self.sent_h[r, jr] = finish[mends], begin[mends], t[mends]
        self.crew_of[r, jr] = k[mends]
        self.pending_h[r, :, jr] = np.inf
        self.n_left[r] -= 1
        self.seen_h[r, jr] = np.minimum(self.seen_h[r, jr], begin[mends])
        self.power_h[r] = self._power(r)
        r, jr = b[sees], j[sees]
        self.pending_h[r, -1, jr] = np.inf
        self.seen_h[r, jr] = np.minimum(self.seen_h[r, jr], finish[sees])

    def _power(self, rows: Ints) -> Floats:
        """When power is back `[len(rows), N]`: the last repair of a job and all above it."""
        repaired = self.repaired_h[rows]
        result: Floats = repaired.copy()
        first = (np.arange(len(rows)) * self.n_jobs)[:, None]
        for depth in range(1, self.chain.shape[2]):  # few; a maximum over a short last axis would be slow
            np.maximum(result, repaired.ravel().take(first + self.chain[rows, :, depth]), out=result)
        return result

    def _next(self, at: Ints | slice) -> None:
        """Find the next instant at which a crew is asked in these storms, that crew, and what it may choose."""
        t, pending = self.t[at], self.pending_h[at]
        first = pending.min(axis=2)  # [b, Z + 1] when the first job of each class is there
        for_crew = np.where(self.serves, first[:, None, :], np.inf).min(axis=2)  # [b, K]
        finish, waiting, ready = self.finish_h[at], self.waiting[at], self.ready_h[at]
        news = self._news(at) if waiting.any() else np.full(t.shape, np.inf)
        can = np.maximum(np.where(waiting, news[:, None], ready), np.maximum(for_crew, t[:, None]))
        ever = np.isfinite(can)
        asks = np.where(ever, self.roster.next_on(np.where(ever, can, 0.0)), np.inf)  # [b, K] next pending instant
        then = asks.min(axis=1)
        over = self.n_left[at] == 0
        if over.any():
            repaired = self.repaired_h[at]
            last = np.where(np.isfinite(repaired), repaired, -np.inf).max(axis=1)
            then = np.where(over, np.maximum(t, last), then)
        assert np.isfinite(then).all(), "some job is left that no crew is ever asked about"
        woken = waiting & (news <= then)[:, None]
        self.waiting[at] = waiting & ~woken
        self.ready_h[at] = np.where(woken, then[:, None], ready)
        self.t[at] = then
        asked = asks.argmin(axis=1)
        self.asked[at] = asked
        does = self.serves[asked]  # [b, Z + 1]
        mask = np.empty((len(then), self.n_jobs + 1), dtype=bool)
        mask[:, :-1] = ((pending <= then[:, None, None]) & does[:, :, None]).any(axis=1)
        others = (asks <= then[:, None]).sum(axis=1) > 1
        mask[:, -1] = (finish > then[:, None]).any(axis=1) | others | (then < self.arrival_end_h)
        mask[over] = True
        self.mask[at] = mask

    def _news(self, at: Ints | slice) -> Floats:
        """The next arrival, end of work, or end of arrivals after now `[b]`; inf where there is none."""
        t = self.t[at]
        later = t[:, None]
        arrival, finish = self.jobs.arrival_h[at], self.finish_h[at]
        news = np.where(arrival > later, arrival, np.inf).min(axis=1)
        news = np.minimum(news, np.where(finish > later, finish, np.inf).min(axis=1))
        return np.minimum(news, np.where(self.arrival_end_h > t, self.arrival_end_h, np.inf))

    # --------------------------------------------------------------------------------------------- reward and cost

    def _pay(self) -> tuple[Floats, Floats]:
        """Reward and cost of what passed since they were last paid, `[B]` each."""
        jobs, now = self.jobs, self.t[:, None]
        over = self.n_left == 0
        dark = np.minimum(self.power_h, now) - np.minimum(jobs.arrival_h, now)
        outage = (jobs.weight * dark).sum(axis=1)
        ended = (self.finish_h <= now) | over[:, None]
        overtime = np.where(ended, self.overtime_due_h, 0.0)
        self.overtime_due_h -= overtime
        paid = overtime.sum(axis=1)
        reward = -(outage - self.paid_outage_h) - self.overtime_price * paid
        self.paid_outage_h = outage
        self.pair_gap_h = running_pair_gaps(dark, jobs.arrival_h <= now, jobs.group, self.n_groups)
        gap = self.pair_gap_h.max(axis=1, initial=0.0)
        cost = gap - self.gap_h
        self.gap_h = gap
        return reward, cost

    def _serve_the_rest(self, rows: Ints) -> tuple[Floats, Floats]:
        """Serve what is left in storms that are cut off: each crew takes its nearest job and never waits."""
        part = self.part(rows)
        part.max_choices = np.iinfo(np.int64).max
        reward, cost = np.zeros((2, len(rows)))
        while (part.n_left > 0).any():
            step = part.step(part.nearest())
            reward += step.reward
            cost += step.cost
        for name in ("crew_of", *_JOB_STATE, *_CREW_STATE, *_STORM_STATE, "pending_h", "pair_gap_h", "gap_h"):
            getattr(self, name)[rows] = getattr(part, name)
        self.completed[rows] = False
        return reward, cost

    def nearest(self) -> Ints:
        """The nearest open job of each asked crew `[B]`, the lowest slot among equals; N where none is open."""
        way = self.distance_km[self.loc[np.arange(self.batch), self.asked]]  # [B, V]
        km = np.where(self.mask[:, :-1], np.take_along_axis(way, self.jobs.site, axis=1), np.inf)
        return np.where(self.mask[:, :-1].any(axis=1), km.argmin(axis=1), self.n_jobs)

    def part(self, rows: Ints) -> CrewProcess:
        """A process of its own with a copy of some storms."""
        part = CrewProcess.__new__(CrewProcess)
        part.__dict__.update(self.__dict__)
        part.batch = len(rows)
        part.jobs = self.jobs.rows(rows)
        for name, value in self.__dict__.items():
            if isinstance(value, np.ndarray) and name not in ("distance_km", "serves"):
                part.__dict__[name] = value[rows]
        return part
