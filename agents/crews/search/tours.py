"""Tours from the plans that policies keep, and back; jobs that are new are put in where they cost least."""

from __future__ import annotations

import numpy as np

from stormgym.agents.crews.search.annealing import Limit, value_of
from stormgym.agents.crews.search.problem import CrewProblem
from stormgym.envs.arrays import Ints

NOWHERE = -1
"""Crew of a job that is in no plan."""


def tours_of(problem: CrewProblem, crew: Ints, place: Ints) -> Ints:
    """Tours `[B, T]` in which each item stands where a plan has it; those in none are left out.

    Args:
        problem: B storms.
        crew: `[B, n]` crew of each item, 0 to K - 1, or `NOWHERE`.
        place: `[B, n]` any numbers by which the items of one crew follow each other.
    """
    b, n = problem.slots.shape
    k = problem.n_crews
    far = np.iinfo(np.int64).max
    span = int(place.max(initial=0)) + 2
    there = (problem.slots >= 0) & (crew >= 0)
    keys = np.concatenate(
        [np.where(there, crew * span + place, far), np.broadcast_to(np.arange(k - 1) * span + span - 1, (b, k - 1))],
        axis=1,
    )
    token = np.concatenate([np.where(there, np.arange(n), n), np.broadcast_to(n + 1 + np.arange(k - 1), (b, k - 1))], 1)
    return np.take_along_axis(token, np.argsort(keys, axis=1, kind="stable"), axis=1)


def places_of(tours: Ints, n: int) -> tuple[Ints, Ints]:
    """Crew and place `[B, n]` of each item in tours `[B, T]`; `NOWHERE` for those that are in none."""
    b, t = tours.shape
    of_place = np.cumsum(tours > n, axis=1)
    crew, place = np.full((2, b, n + 1), NOWHERE)
    at = np.minimum(tours, n)
    np.put_along_axis(crew, at, of_place, axis=1)
    np.put_along_axis(place, at, np.broadcast_to(np.arange(t), tours.shape), axis=1)
    return crew[:, :n], place[:, :n]


def insert_missing(problem: CrewProblem, tours: Ints, first: Ints, limit: Limit | None = None) -> Ints:
    """Put the items that tours `[B, T]` lack in, one after another, each where the value is least.

    Args:
        problem: B storms.
        tours: whose padding stands at the end.
        first: `[B, n]` items in the sequence in which they are put in.
        limit: price on the gap.
    """
    t, n = tours.shape[1], problem.slots.shape[1]
    tours = tours.copy()
    crew, _ = places_of(tours, n)
    lacks = np.take_along_axis((crew == NOWHERE) & (problem.slots >= 0), first, axis=1)
    queue = np.take_along_axis(first, np.argsort(~lacks, axis=1, kind="stable"), axis=1)
    count = lacks.sum(axis=1)
    place = np.arange(t)
    for turn in range(int(count.max(initial=0))):
        rows = np.flatnonzero(count > turn)
        length = (tours[rows] != n).sum(axis=1)
        most = int(length.max()) + 1
        spot = np.arange(most)[:, None]
        source = np.where(place > spot, place - 1, place)  # [P, T]
        candidates = np.where(place == spot, queue[rows, turn][:, None, None], tours[rows][:, source])  # [R, P, T]
        value = value_of(problem, candidates.reshape(-1, t), np.repeat(rows, most), limit).reshape(rows.size, most)
        value = np.where(np.arange(most) <= length[:, None], value, np.inf)
        tours[rows] = candidates[np.arange(rows.size), value.argmin(axis=1)]
    return tours
