"""What is planned for several crews: B storms as they stand, with hours as forecast, and what a plan is worth in them.

A plan is a **tour** a storm, `[T]`: the jobs (items) of the first crew in sequence, a separator, those of the second,
and so on. Items are numbered 0 to n - 1, n is padding (at the end only), n + 1 to n + K - 1 are the separators.

Times of repairs follow from a tour crew by crew, all crews and tours side by side, with a loop over places in a
sequence only; where every crew is always on duty they are a running sum.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from stormgym.agents.crews.search.compiled import compiled
from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.crews.roster import Roster
from stormgym.envs.equity import FINE, running_gap

UNABLE_H = 500.0
"""Hours that a job takes a crew without the skill for it: more than any plan gains by it."""


@dataclass(frozen=True, eq=False)
class CrewProblem:
    """B storms with up to n jobs to plan, K crews that repair, and s jobs that are under way.

    Jobs without power stand in columns 0 to W - 1, W = n + 1 + s: items, one column that is nobody's, jobs under way.
    """

    roster: Roster
    """Of the K crews."""
    slots: Ints
    """`[B, n]` slot of each item in the environment; -1 for padding, at the end."""
    leg_h: Floats
    """`[B, K, n + 1, n + 1]` hours of way and work: from an item (the last row: from where the crew is) to an item (the
    last column, padding: 0)."""
    ready_h: Floats
    """`[B, K]` when a crew is free and on duty, as far as can be told."""
    under_way_h: Floats
    """`[B, s]` when the repair of jobs under way ends, as far as can be told; 0 for padding."""
    chain: Ints
    """`[B, W, D]` columns of a job and all above it that lacks power; padded with itself."""
    weight: Floats
    """`[B, W]`; 0 for padding."""
    arrival_h: Floats
    """`[B, W]`; 0 for padding."""
    overtime_price: float = 0.0
    earliest_h: Floats | None = None
    """`[B, n + 1]` hour before which no crew may set out for an item; None where all are there."""
    group: Ints | None = None
    """`[B, W + r]` group of each job, those behind the W columns have power back; None where no gap is asked for."""
    there: Bools | None = None
    """`[B, W + r]` which of these columns are jobs."""
    settled_h: Floats | None = None
    """`[B, r]` outage of jobs whose power is back."""
    n_groups: int = 0

    @property
    def n_storms(self) -> int:
        """B."""
        return len(self.slots)

    @property
    def n_items(self) -> Ints:
        """`[B]` items of each storm."""
        return np.asarray((self.slots >= 0).sum(axis=1))

    @property
    def n_crews(self) -> int:
        """K."""
        return self.roster.n_crews

    def rows(self, at: Ints) -> CrewProblem:
        """Those of some storms, trimmed to the items that they have."""
        parts: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            parts[f.name] = value[at] if isinstance(value, np.ndarray) else value
        return replace(self, **parts)


def sequences(tours: Ints, n: int, n_crews: int) -> Ints:
    """The items of each crew one after another, `[L, M, K]` (padding: n), of tours `[M, T]`."""
    m, length = tours.shape
    separator = tours > n
    crew = np.cumsum(separator, axis=1)
    place = np.arange(length)
    first = np.maximum.accumulate(np.where(separator, place + 1, 0), axis=1)
    place = place - first
    item = tours < n
    longest = int(np.where(item, place, -1).max(initial=-1)) + 1
    result = np.full(longest * m * n_crews + 1, n)  # one cell more, for what is no item
    row = np.arange(m)[:, None]
    result[np.where(item, (place * m + row) * n_crews + crew, result.size - 1)] = tours
    return result[:-1].reshape(longest, m, n_crews)


def legs(problem: CrewProblem, sequence: Ints, storm: Ints) -> Floats:
    """Hours of way and work `[L, M, K]` of sequences `[L, M, K]` in storms `[M]`; 0 for padding."""
    k, n = problem.n_crews, problem.slots.shape[1]
    before = np.empty_like(sequence)
    before[:1], before[1:] = n, sequence[:-1]
    table = (storm[:, None] * k + np.arange(k)) * (n + 1) ** 2  # [M, K]
    hours: Floats = problem.leg_h.ravel().take(table + before * (n + 1) + sequence)
    return hours


def finish_times(
    roster: Roster, ready_h: Floats, leg_h: Floats, earliest_h: Floats | None = None
) -> tuple[Floats, Floats]:
    """When each of the jobs in sequence is mended, and the overtime of each plan.

    Args:
        roster: K crews and their hours.
        ready_h: `[M, K]` when each crew is free and on duty.
        leg_h: `[L, M, K]` hours of way and work; 0 for padding.
        earliest_h: `[L, M, K]` hour before which it may not set out; None for none.

    Returns:
        `[L, M, K]` (h), and `[M]` crew-hours.
    """
    if earliest_h is None and not (roster.off_h > 0).any():
        return ready_h + np.cumsum(leg_h, axis=0), np.zeros(ready_h.shape[0])
    if earliest_h is not None:
        return _one_by_one(roster, ready_h, leg_h, earliest_h)
    m, k = ready_h.shape
    finish = (ready_h + np.cumsum(leg_h, axis=0)).reshape(len(leg_h), m * k)
    works, place = (leg_h > 0).reshape(finish.shape), np.arange(len(leg_h))[:, None]
    end = roster.duty.end_of_window(ready_h).ravel()
    overtime = np.zeros(m)
    columns = np.arange(m * k)
    while True:  # once a window: work that ends behind its end moves what follows to the next
        part = finish[:, columns]
        late = (part >= end[columns]) & works[:, columns]
        which = late.argmax(axis=0)
        crosses = late[which, np.arange(columns.size)] if late.size else np.zeros(columns.size, dtype=bool)
        if not crosses.any():
            return finish.reshape(leg_h.shape), overtime
        columns, which = columns[crosses], which[crosses]
        duty, done = roster.duty.at(columns % k), finish[which, columns]
        again = duty.next_on(done)
        overtime += np.bincount(columns // k, duty.overtime(end[columns], done), m)
        finish[:, columns] += np.where(place > which, again - done, 0.0)
        end[columns] = duty.end_of_window(again)


def _one_by_one(roster: Roster, ready_h: Floats, leg_h: Floats, earliest_h: Floats) -> tuple[Floats, Floats]:
    """As `finish_times`, where some jobs are still to arrive: place after place."""
    finish, now, duty = np.empty_like(leg_h), ready_h, roster.duty
    overtime = np.zeros(ready_h.shape[0])
    for place, leg in enumerate(leg_h):
        now = np.where(earliest_h[place] > now, duty.next_on(np.maximum(now, earliest_h[place])), now)
        end = duty.end_of_window(now)
        done = finish[place] = now + leg
        crosses = (done >= end) & (leg > 0)
        if crosses.any():
            overtime += np.where(crosses, duty.overtime(end, done), 0.0).sum(axis=1)
            done = np.where(crosses, duty.next_on(done), done)
        now = done
    return finish, overtime


def back_times(problem: CrewProblem, storm: Ints, sequence: Ints, finish_h: Floats, under_way_h: Floats) -> Floats:
    """When power is back `[M, W]`: the last repair of a job and all above it.

    Args:
        problem: the storms.
        storm: `[M]` which of them each plan is for.
        sequence, finish_h: `[L, M, K]` items and when they are mended.
        under_way_h: `[M, s]` when jobs under way are.
    """
    m, n = len(storm), problem.slots.shape[1]
    mended = np.zeros((m, n + 1 + under_way_h.shape[1]))
    mended[:, n + 1 :] = under_way_h
    row = np.arange(m)[:, None]
    np.put(mended, row * mended.shape[1] + sequence, finish_h)
    mended[:, n] = 0.0
    chain = problem.chain
    if chain.shape[2] == 1:
        return mended
    width = mended.shape[1]
    flat = (np.arange(m) * width)[:, None] + chain[storm, :, 1]
    result = np.maximum(mended, mended.ravel().take(flat))
    for depth in range(2, chain.shape[2]):
        flat = (np.arange(m) * width)[:, None] + chain[storm, :, depth]
        np.maximum(result, mended.ravel().take(flat), out=result)
    return result


@dataclass(frozen=True, eq=False)
class Valued:
    """What M plans are worth."""

    outage_h: Floats
    """`[M]` weighted sum of outages of jobs without power, and the price of overtime."""
    back_h: Floats
    """`[M, W]` when power is back."""

    def gap(self, problem: CrewProblem, storm: Ints, at: Ints | slice = slice(None)) -> Floats:
        """Largest Wasserstein-1 distance between groups of the outages of plans `at`."""
        if problem.group is None or problem.there is None or problem.settled_h is None:
            raise ValueError("this problem has no groups, so no gap; make it with problem_of(situation, gap=True)")
        fast = compiled()
        if fast is not None:
            plans = np.arange(len(storm))[at]
            told = (problem.arrival_h, problem.settled_h, problem.there, problem.group, problem.n_groups)
            parts, steps = fast.gap_parts_of(self.back_h, plans, storm, *told, FINE)
            return np.vecdot(parts, steps[:, None]).max(axis=1, initial=0.0)
        storm = storm[at]
        age = np.concatenate([self.back_h[at] - problem.arrival_h[storm], problem.settled_h[storm]], axis=1)
        return running_gap(np.maximum(age, 0.0), problem.there[storm], problem.group[storm], problem.n_groups)


def value_tours(problem: CrewProblem, tours: Ints, storm: Ints) -> Valued:
    """The worth of tours `[M, T]`, each in one of the storms, `[M]`."""
    fast = compiled()
    if fast is not None and problem.earliest_h is None:
        duty = problem.roster.duty
        parts = (problem.leg_h, problem.ready_h, problem.under_way_h, problem.chain)
        back, overtime = fast.back_times_of(tours, storm, *parts, duty.start_h, duty.on_h, duty.period_h)
    else:
        back, overtime = back_times_by_numpy(problem, tours, storm)
    outage = np.vecdot(back - problem.arrival_h[storm], problem.weight[storm])
    return Valued(outage + problem.overtime_price * overtime, back)


def back_times_by_numpy(problem: CrewProblem, tours: Ints, storm: Ints) -> tuple[Floats, Floats]:
    """When power is back `[M, W]`, and the overtime `[M]`, by NumPy."""
    n = problem.slots.shape[1]
    sequence = sequences(tours, n, problem.n_crews)
    hours = legs(problem, sequence, storm)
    earliest = None
    if problem.earliest_h is not None:
        earliest = problem.earliest_h.ravel().take(storm[:, None] * (n + 1) + sequence)
    finish, overtime = finish_times(problem.roster, problem.ready_h[storm], hours, earliest)
    return back_times(problem, storm, sequence, finish, problem.under_way_h[storm]), overtime
