"""Visiting orders of one crew: mean outage, gap between groups, and a lower bound on the mean outage of any order.

With delta_k = travel(previous, r_k) + repair(r_k), an order of n regions has

    mean outage = sum_k delta_k (n - k) / n                                     (EPOPR eq. 13)
    W1(a, b)    = sum_k |F_a - F_b| delta_k,  F = shares restored before k     (exact: completion times are sorted)
    gap         = max over group pairs of W1                                   (EPOPR eq. 14)

For a fixed order the first two are linear in the hours, so expected W1 are those of the expected hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stormgym.envs.equity import pair_matrix

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class OrderPlan:
    """Visiting orders for B episodes, their values, and a bound."""

    order: Ints
    """`[B, n]` regions in the order of visits."""
    mean_h: Floats
    """`[B]` mean outage (h) of the n regions, counted from the plan's start."""
    gap_h: Floats
    """`[B]` largest pairwise W1 (h), with what had accrued before the plan's start."""
    bound_h: Floats
    """`[B]` lower bound (h) on the mean outage of any order, with or without a limit (`OrderProblem.mean_bound`)."""
    status: NDArray[np.str_]
    """`[B]` "no limit", "within limit", or "over limit" where no order within the limit was found."""


@dataclass(frozen=True)
class OrderProblem:
    """B episodes in each of which one crew has n regions to restore; made by `OrderProblem.of`."""

    travel_h: Floats
    """`[n+1, n+1]` or `[B, n+1, n+1]` hours from row to column; the crew's position is last."""
    repair_h: Floats
    """`[B, n]` expected repair hours."""
    steps: Floats
    """`[n, P]` or `[B, n, P]` what restoring a region adds to F_a - F_b."""
    ahead: Floats
    """`[B, P]` F_a - F_b at the start."""
    accrued_h: Floats
    """`[B, P]` pairwise W1 (h) at the start."""

    @classmethod
    def of(
        cls,
        travel_h: ArrayLike,
        repair_h: ArrayLike,
        group: ArrayLike,
        *,
        group_size: ArrayLike | None = None,
        ahead: ArrayLike | None = None,
        accrued_h: ArrayLike | None = None,
    ) -> OrderProblem:
        """Check and complete the arguments.

        Args:
            travel_h: as the attribute.
            repair_h: `[B, n]`, or `[n]` for one episode.
            group: `[n]` or `[B, n]` group ids.
            group_size: `[G]` members that shares are taken of; None counts `group` (right when all regions
                are open).
            ahead: `[B, P]`; None for 0 (nothing restored yet).
            accrued_h: `[B, P]`; None for 0.

        Raises:
            ValueError: shapes that do not fit, or hours that are negative or not finite.
        """
        repair = np.atleast_2d(np.asarray(repair_h, dtype=np.float64))
        travel, ids = np.asarray(travel_h, dtype=np.float64), np.asarray(group, dtype=np.int64)
        n_rows, n = repair.shape
        if travel.shape not in ((n + 1, n + 1), (n_rows, n + 1, n + 1)):
            raise ValueError(
                f"travel_h must have shape {(n + 1, n + 1)} or {(n_rows, n + 1, n + 1)}, for {n} regions and "
                f"the crew's position; got {travel.shape}"
            )
        if ids.shape not in ((n,), (n_rows, n)):
            raise ValueError(f"group must have shape {(n,)} or {(n_rows, n)}; got {ids.shape}")
        for name, value in (("travel_h", travel), ("repair_h", repair)):
            if not (np.isfinite(value) & (value >= 0)).all():
                raise ValueError(f"{name} must be finite and >= 0 h; got {value.min()} to {value.max()}")
        size = np.bincount(ids.ravel()) if group_size is None else np.asarray(group_size)
        steps = (np.eye(size.size) / np.maximum(size, 1))[ids] @ pair_matrix(size.size)
        shape = (n_rows, steps.shape[-1])
        start = [
            np.array(np.broadcast_to(0.0 if x is None else x, shape), dtype=np.float64) for x in (ahead, accrued_h)
        ]
        return cls(travel, repair, steps, *start)

    @property
    def n_pairs(self) -> int:
        """P, number of group pairs."""
        return int(self.steps.shape[-1])

    def take(self, rows: Ints) -> OrderProblem:
        """The problem of the episodes `rows` alone."""
        return OrderProblem(
            self.travel_h if self.travel_h.ndim == 2 else self.travel_h[rows],
            self.repair_h[rows],
            self.steps if self.steps.ndim == 2 else self.steps[rows],
            self.ahead[rows],
            self.accrued_h[rows],
        )

    def way_h(self, order: Ints) -> Floats:
        """Hours `[B, n]` on the road before each visit of the orders `[B, n]`."""
        n_rows, n = order.shape
        previous = np.concatenate([np.full((n_rows, 1), n), order[:, :-1]], axis=1)
        if self.travel_h.ndim == 2:
            return self.travel_h[previous, order]
        return self.travel_h[np.arange(n_rows)[:, None], previous, order]

    def imbalance(self, order: Ints) -> Floats:
        """|F_a - F_b| before each visit of the orders `[B, n]`: `[B, n, P]`."""
        steps = np.broadcast_to(self.steps, (len(order), *self.steps.shape[-2:]))
        gain = np.take_along_axis(steps, order[..., None], axis=1)
        return np.abs(np.cumsum(gain, axis=1) - gain + self.ahead[:, None])

    def mean_outage(self, order: Ints) -> Floats:
        """Mean outage `[B]` (h) of the orders `[B, n]`."""
        delta = self.way_h(order) + np.take_along_axis(self.repair_h, order, axis=1)
        n = order.shape[1]
        return (delta * (n - np.arange(n)) / n).sum(axis=1)

    def pair_gaps(self, order: Ints) -> Floats:
        """Pairwise W1 `[B, P]` (h) of the orders `[B, n]`."""
        delta = self.way_h(order) + np.take_along_axis(self.repair_h, order, axis=1)
        return (self.imbalance(order) * delta[..., None]).sum(axis=1) + self.accrued_h

    def gap(self, order: Ints) -> Floats:
        """Largest pairwise W1 `[B]` (h) of the orders `[B, n]`; 0 for a single group."""
        return self.pair_gaps(order).max(axis=1, initial=0.0)

    def shortest_visit(self) -> Floats:
        """Hours `[B, n]` that a visit of each region takes at least: the shortest way in, and the repair."""
        n = self.repair_h.shape[1]
        way_in = self.travel_h[..., :n].copy()
        way_in[..., np.arange(n), np.arange(n)] = np.inf
        return way_in.min(axis=-2) + self.repair_h

    def mean_bound(self) -> Floats:
        """Lower bound `[B]` (h) on any order's mean outage: the shortest visits, shortest first.

        No visit is shorter than `shortest_visit`, and a sum with falling weights is least when its terms
        rise.
        """
        n = self.repair_h.shape[1]
        return (np.sort(self.shortest_visit(), axis=1) * (n - np.arange(n)) / n).sum(axis=1)

    def greedy_order(self) -> Ints:
        """Orders `[B, n]` that always go where travel and repair together are shortest."""
        n_rows, n = self.repair_h.shape
        travel = np.broadcast_to(self.travel_h, (n_rows, n + 1, n + 1))
        row, here, left = np.arange(n_rows), np.full(n_rows, n), self.repair_h.copy()
        order = np.empty((n_rows, n), dtype=np.int64)
        for k in range(n):
            here = np.argmin(travel[row, here, :n] + left, axis=1)
            order[:, k], left[row, here] = here, np.inf
        return order
