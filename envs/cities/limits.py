"""The limit of each episode: one number for all, or drawn from a range by a random stream of its own."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from stormgym.envs.arrays import Floats, Ints

CostLimit = float | Sequence[float] | None
"""What `cost_limit` may be: a number (h), a pair (low, high) or None (the city's)."""

MOST_LIMIT_H = 1e30
"""Beyond it an observation could not hold the limit; it binds no policy long before."""


class EpisodeLimits:
    """The limits d of B episodes (h).

    Args:
        batch: B.
        cost_limit: a number for every episode; a pair `(low, high)`, from which each episode draws its own limit
            uniformly; None takes `default_h`.
        default_h: the city's limit.

    Raises:
        TypeError: neither a number, a pair of numbers, nor None.
        ValueError: not a positive number of hours, or a range that does not rise.
    """

    def __init__(self, batch: int, cost_limit: CostLimit, default_h: float) -> None:
        self.range_h = _range_of(cost_limit)
        """`(low, high)`; None where the limit is a number."""
        if self.range_h is not None:
            self.middle_h = (self.range_h[0] + self.range_h[1]) / 2
        else:
            self.middle_h = _hours_of(default_h if cost_limit is None else cost_limit)
        self._scenario_rngs: list[np.random.Generator | None] = [None] * batch
        self._rngs: list[np.random.Generator | None] = [None] * batch

    def draw(self, rngs: Sequence[np.random.Generator], rows: Ints | None = None) -> float | Floats:
        """Return the limits of new episodes of `rows` (all when None): the number, or `[len(rngs)]` drawn ones.

        A row draws from a child of the generator of its scenarios, which leaves that generator's own stream as it
        is: a seed gives the same scenarios with a range as with a number.

        Args:
            rngs: the generator of each row's scenarios.
            rows: the rows.
        """
        if self.range_h is None:
            return self.middle_h
        return np.array([own.uniform(*self.range_h) for own in self.generators(rngs, rows)])

    def generators(self, rngs: Sequence[np.random.Generator], rows: Ints | None = None) -> list[np.random.Generator]:
        """The generators of the limits of these rows, arguments as of `draw`; none where the limit is a number."""
        if self.range_h is None:
            return []
        own: list[np.random.Generator] = []
        for row, rng in zip(range(len(rngs)) if rows is None else rows.tolist(), rngs, strict=True):
            child = self._rngs[row]
            if child is None or self._scenario_rngs[row] is not rng:  # the row was seeded anew
                child = rng.spawn(1)[0]
                self._scenario_rngs[row], self._rngs[row] = rng, child
            own.append(child)
        return own


def fixed_limits(value: Any, batch: int) -> Floats:
    """The limits `[B]` that `reset(options={"cost_limit": value})` fixes: a number, or B of them.

    Raises:
        ValueError: anything but positive numbers of hours, one or B.
    """
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.array(None)
    if array.dtype.kind in "iuf" and array.shape in ((), (batch,)):
        limit_h = np.array(np.broadcast_to(array, (batch,)), dtype=np.float64)
        if ((limit_h > 0) & (limit_h < np.inf)).all():
            _check_shown(limit_h.max(), value)
            return limit_h
    or_more = f", or {batch} of them" if batch > 1 else ""
    raise ValueError(f"options['cost_limit'] must be a positive number of hours{or_more}; got {value!r}")


def _range_of(cost_limit: Any) -> tuple[float, float] | None:
    if cost_limit is None or isinstance(cost_limit, Real):
        return None
    values = list(cost_limit) if isinstance(cost_limit, Sequence | np.ndarray) else []
    if isinstance(cost_limit, str) or not values or not all(isinstance(v, Real) for v in values):
        raise TypeError(f"cost_limit must be a number; got {cost_limit!r}. A pair (low, high) or None will do as well")
    if len(values) != 2 or not 0 < values[0] <= values[1] < np.inf:
        raise ValueError(f"cost_limit must be a pair (low, high) with 0 < low <= high hours; got {cost_limit!r}")
    _check_shown(values[1], cost_limit)
    return float(values[0]), float(values[1])


def _hours_of(cost_limit: Any) -> float:
    if not 0 < cost_limit < np.inf:
        raise ValueError(
            "cost_limit must be a positive number of hours or None (the city's), or a pair (low, high); "
            f"got {cost_limit!r}"
        )
    _check_shown(cost_limit, cost_limit)
    return float(cost_limit)


def _check_shown(limit_h: Any, given: Any) -> None:
    """Observations are numbers of 32 bits."""
    if limit_h > MOST_LIMIT_H:
        raise ValueError(f"cost_limit must be at most {MOST_LIMIT_H:g} hours, which no gap reaches; got {given!r}")
