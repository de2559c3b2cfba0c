"""Fractional knapsack: which items to take before their gains are known (Gen-DFL section 6.1, B.2).

    f(c, w) = -c.w,   0 <= w <= 1, weights.w <= capacity;   c = m(x) (1 + noise u),   u uniform on (-1, 1)

with m(x) = ((Bx / sqrt p + 3)^degree + 1) / 3.5^degree and whole weights of 3 to 8. The paper prints a noise of 20,
under which gains are +-20 times their mean and nothing can be learnt; here it is 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.decisions.arguments import check_number, check_whole
from stormgym.envs.decisions.problem import Cases
from stormgym.envs.decisions.projections import nearest_with_total
from stormgym.envs.decisions.synthetic_costs import MultipliedCosts
from stormgym.envs.risk import Polytope

LIGHTEST, HEAVIEST = 3, 8
WHOLE = 1e-6
"""How far from whole an item may be taken and still count as taken or left."""


class FractionalKnapsackProblem(MultipliedCosts):
    """Shares `[n]` of n items in a sack; context: `features`, and `weights` `[n]` and `capacity` `[1]`, which stay.

    Args:
        n_items: n.
        capacity: weight that the sack holds.
        noise: of the gains, as a share of their mean.
        integral: items are taken whole or not at all. Too many are repaired: light ones first, while they fit.
        **kwargs: of `SyntheticCosts`.
    """

    sense = -1.0
    stream = 8_002

    def __init__(
        self, n_items: int = 50, *, capacity: float = 20.0, noise: float = 1.0, integral: bool = False, **kwargs: Any
    ) -> None:
        if not isinstance(integral, bool):
            raise TypeError(f"integral must be True or False; got {integral!r}")
        super().__init__(check_whole("n_items", n_items, 1), noise=noise, **kwargs)
        self.capacity = check_number("capacity", capacity, above=0)
        self.integral = integral
        self.weights: Floats = self._made_by.integers(LIGHTEST, HEAVIEST + 1, self.n).astype(np.float64)
        self.polytope = Polytope(np.zeros(self.n), np.ones(self.n), self.weights[None], np.array([self.capacity]))
        self.key = (*self.key, self.capacity, integral)

    def constants(self) -> dict[str, Floats]:
        """Weights and capacity."""
        return {"weights": self.weights, "capacity": np.array([self.capacity])}

    def mean_of(self, features: Floats) -> Floats:
        """m(x) `[E, n]`."""
        mean: Floats = ((self.mixed(features) + 3.0) ** self.degree + 1.0) / 3.5**self.degree
        return mean

    def oracle(self, prices: Floats) -> Floats:
        """What to take `[B, n]` at prices `[B, n]`, minus the gains: only what gains, the most for its weight first.

        Whole items by dynamic programming over weights.
        """
        if self.integral:
            return best_whole_items(-prices, self.weights.astype(np.int64), int(self.capacity))
        gains = np.maximum(-prices, 0.0)
        order = np.argsort(-gains / self.weights, axis=1, kind="stable")
        heavy = self.weights[order]
        before = np.cumsum(heavy, axis=1) - heavy
        taken = np.clip((self.capacity - before) / heavy, 0.0, 1.0)
        taken[np.take_along_axis(gains, order, 1) <= 0.0] = 0.0
        plans = np.empty_like(gains)
        np.put_along_axis(plans, order, taken, 1)
        return plans

    def project(self, plans: Floats) -> Floats:
        """The nearest sacks `[B, n]` that hold; those that do stay as they are.

        Whole items: |z - w|^2 is linear in z of zeros and ones, so that the nearest sack is a best one too.
        """
        if not self.integral:
            return nearest_with_total(plans, self.low, self.high, self.weights, self.capacity, at_most=True)
        nearest = np.clip(np.round(plans), 0.0, 1.0)
        wrong = (np.abs(nearest - plans) > WHOLE).any(axis=1) | (nearest @ self.weights > self.capacity)
        nearest[wrong] = self.oracle(1.0 - 2.0 * plans[wrong])
        return nearest

    @property
    def action_space(self) -> spaces.Space[Any]:
        """Shares, or which items are taken."""
        return spaces.MultiBinary(self.n) if self.integral else super().action_space

    def plans_of(self, actions: Any) -> tuple[Floats, Bools]:
        """Sacks `[B, n]`; of whole items the light ones first, in their order where they are alike, while they fit."""
        if not self.integral:
            return super().plans_of(actions)
        order = np.argsort(self.weights, kind="stable")
        wanted = np.asarray(actions, dtype=np.float64)[:, order]
        fits = np.cumsum(wanted * self.weights[order], axis=1) <= self.capacity
        plans = np.empty_like(wanted)
        plans[:, order] = wanted * fits
        return plans, np.asarray((wanted > fits).any(axis=1))

    def actions_of(self, plans: Floats) -> Any:
        """Shares, or the nearest sack of whole items."""
        return self.project(plans).astype(np.int8) if self.integral else plans

    def picture(self, axes: Any, case: Cases, plan: Floats | None) -> None:
        """Gain for its weight of each item, and how much of it is in the sack."""
        item = np.arange(self.n)
        if plan is not None:
            worth = case.outcomes[0] / self.weights
            axes.bar(item, worth, color="#cccccc", label="gain that came")
            axes.bar(item, worth * plan, color="#0072B2", label="taken")
            best = self.best(case.outcomes)[0]
            axes.plot(item[best > 0], worth[best > 0], "v", color="#D55E00", label="in the best sack in hindsight")
            axes.legend(loc="upper left", frameon=False)
            axes.set_ylabel("gain for a unit of weight")
            axes.margins(y=0.25)
            axes.set_ylim(bottom=0.0)
        else:
            axes.bar(item, self.weights, color="#cccccc")
            axes.set_ylabel(f"weight (the sack holds {self.capacity:g})")
        axes.set_xlabel("item")


def best_whole_items(gains: Floats, weights: Ints, capacity: int) -> Floats:
    """Zeros and ones `[B, n]` of most gains within a capacity, exact.

    value[r] is the most that the items so far gain in a sack of r; going back, an item is in where it made it grow.

    Args:
        gains: `[B, n]`; what gains nothing stays out.
        weights: `[n]` whole, above 0.
        capacity: at least 0.
    """
    n_rows, n = gains.shape
    value = np.zeros((n_rows, capacity + 1))
    grew = np.zeros((n, n_rows, capacity + 1), dtype=bool)
    for i in range(n):
        w = int(weights[i])
        if w > capacity:
            continue
        with_it = value[:, : capacity + 1 - w] + gains[:, i : i + 1]
        grew[i, :, w:] = with_it > value[:, w:]
        value[:, w:] = np.maximum(with_it, value[:, w:])
    plans, left, row = np.zeros((n_rows, n)), np.full(n_rows, capacity), np.arange(n_rows)
    for i in range(n - 1, -1, -1):
        taken = grew[i, row, left]
        plans[:, i] = taken
        left = left - taken * int(weights[i])
    return plans
