"""Simulated annealing of the tours of many storms side by side.

An iteration makes C candidates out of each storm's tour: some swap two places, others move a segment of consecutive
places elsewhere, every second one reversed. Separators move like items, so that crews exchange work. Of the candidates
and the tour as it is one is drawn with probability proportional to exp(-value / temperature) (heat bath, by the
Gumbel-max trick), where

    value = weighted outage + overtime price * overtime + price * max(0, gap - limit).

The gap needs a sort, so it is found only for candidates that the rest of their value does not rule out. All storms
share moves and noise, so that a storm's plan does not depend on the storms beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stormgym.agents.crews.search.compiled import compiled
from stormgym.agents.crews.search.problem import CrewProblem, value_tours
from stormgym.envs.arrays import Floats, Ints

SWAPS = 0.3
"""Share of candidates that swap two places."""
LONGEST = 8
"""Places in the longest segment that moves; half of the segments are of 1 to 3."""
TIE_H = 1e-10
"""Values that differ by less are equal."""


@dataclass(frozen=True)
class Schedule:
    """How long and how hot to anneal."""

    iterations: int
    candidates: int = 64
    """C, of each storm in each iteration."""
    first_h: float = 0.03
    """Temperature at the beginning (h of mean outage)."""
    last_h: float = 0.003
    """At the end; it falls geometrically."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for numbers that make no schedule."""
        if self.iterations < 0 or self.candidates < 1 or not 0 < self.last_h <= self.first_h:
            raise ValueError(
                "need iterations >= 0, candidates >= 1 and 0 < last_h <= first_h; got "
                f"{self.iterations}, {self.candidates}, {self.last_h} and {self.first_h}"
            )

    def temperatures(self) -> Floats:
        """`[iterations]`"""
        return np.geomspace(self.first_h, self.last_h, self.iterations) if self.iterations else np.zeros(0)


@dataclass(frozen=True, eq=False)
class Limit:
    """A price on the gap."""

    limit_h: Floats
    """`[B]`"""
    price: float = 1.0
    """Hours of mean outage for an hour of gap over the limit."""


def anneal(
    problem: CrewProblem, tours: Ints, schedule: Schedule, *, limit: Limit | None = None, seed: int = 0
) -> tuple[Ints, Floats]:
    """Search from tours `[B, T]`.

    Returns:
        The best tours found `[B, T]` and their values `[B]`.
    """
    b, t = tours.shape
    c = schedule.candidates
    length = problem.n_items + problem.n_crews - 1  # [B] places that are not padding
    rng = np.random.default_rng([seed, 2])
    rows = np.arange(b)
    storm = np.repeat(rows, c)
    value = value_of(problem, tours, rows, limit)
    best, best_value = tours.copy(), value.copy()
    moves = _Moves(c, t)
    for temperature in schedule.temperatures():
        luck = temperature * rng.gumbel(size=c + 1)
        candidates = moves.of(rng, tours, length)  # [B * C, T]
        threshold = value - luck[c]  # key of the tour as it is
        key, exact = _keys(problem, candidates, storm, limit, threshold, luck[:c])
        chosen = key.argmin(axis=1)
        moved = key[rows, chosen] < threshold
        at = np.flatnonzero(moved)
        tours = tours.copy()
        tours[at] = candidates.reshape(b, c, t)[at, chosen[at]]
        value = np.where(moved, exact[rows, chosen], value)
        # the best candidate is kept even where chance takes another
        least = exact.argmin(axis=1)
        found = exact[rows, least]
        better = np.flatnonzero(found < best_value - TIE_H)
        best[better] = candidates.reshape(b, c, t)[better, least[better]]
        best_value[better] = found[better]
    return best, best_value


def value_of(problem: CrewProblem, tours: Ints, storm: Ints, limit: Limit | None = None) -> Floats:
    """Values `[M]` of tours `[M, T]`, each in one of the storms, `[M]`."""
    valued = value_tours(problem, tours, storm)
    if limit is None:
        return valued.outage_h
    over = np.maximum(valued.gap(problem, storm) - limit.limit_h[storm], 0.0)
    return valued.outage_h + limit.price * over


def _keys(
    problem: CrewProblem, candidates: Ints, storm: Ints, limit: Limit | None, threshold: Floats, luck: Floats
) -> tuple[Floats, Floats]:
    """Value minus luck, and value, of each candidate, both `[B, C]`; inf for those that are ruled out."""
    b, c = len(threshold), len(luck)
    valued = value_tours(problem, candidates, storm)
    value = valued.outage_h.reshape(b, c)
    key = value - luck
    if limit is None:
        return key, value
    possible = np.flatnonzero((key < threshold[:, None]).ravel())
    result_key, result_value = np.full((2, b, c), np.inf)
    if possible.size:
        over = valued.gap(problem, storm, possible) - limit.limit_h[storm[possible]]
        price = limit.price * np.maximum(over, 0.0)
        result_value.ravel()[possible] = value.ravel()[possible] + price
        result_key.ravel()[possible] = key.ravel()[possible] + price
    return result_key, result_value


class _Moves:
    """Draws candidates: the same moves for every storm."""

    def __init__(self, candidates: int, n_places: int) -> None:
        self.n_swaps = round(SWAPS * candidates)
        self.n_shifts = candidates - self.n_swaps
        self.place = np.arange(n_places)
        self.reverse = np.arange(self.n_shifts) % 2 == 1

    def of(self, rng: np.random.Generator, tours: Ints, length: Ints) -> Ints:
        """Candidates `[B * C, T]` of tours `[B, T]` with `length` `[B]` places before the padding."""
        swap = rng.random((2, self.n_swaps))
        shift = rng.random((2, self.n_shifts))
        segment = rng.integers(1, np.where(rng.random(self.n_shifts) < 0.5, 4, LONGEST + 1))
        fast = compiled()
        if fast is not None:
            return fast.candidates_of(tours, length, swap, shift, segment)
        source = np.concatenate([self._swaps(swap, length), self._shifts(shift, segment, length)], axis=1)  # [B, C, T]
        return np.take_along_axis(tours[:, None, :], source, axis=2).reshape(-1, tours.shape[1])

    def _swaps(self, chance: Floats, length: Ints) -> Ints:
        first, second = (chance[:, None, :] * length[:, None]).astype(np.int64)  # [B, n_swaps]
        source = np.broadcast_to(self.place, (*first.shape, self.place.size)).copy()
        np.put_along_axis(source, first[..., None], second[..., None], axis=2)
        np.put_along_axis(source, second[..., None], first[..., None], axis=2)
        return source

    def _shifts(self, chance: Floats, segment: Ints, length: Ints) -> Ints:
        size = np.minimum(segment, np.maximum(length[:, None] - 1, 1))[..., None]  # [B, n_shifts, 1]
        room = length[:, None, None] - size + 1
        old = (chance[0][:, None] * room).astype(np.int64)
        new = (chance[1][:, None] * room).astype(np.int64)
        inside = self.place - new  # place within the segment
        rest = self.place - np.where(inside >= size, size, 0)
        rest = rest + np.where(rest >= old, size, 0)
        own = np.where(self.reverse[:, None], size - 1 - inside, inside)
        source = np.where((inside >= 0) & (inside < size), old + own, rest)
        return np.where(self.place < length[:, None, None], source, self.place)
