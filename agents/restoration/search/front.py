"""Orders around the one that keeps a limit, of which one price on the gap's tail chooses one in every storm.

A limit on the tail of the gap over storms, on its CVaR or on the share of storms beyond it, is best met by one price in
all storms, as one on the mean is (`search.priced`): by Lagrangian duality the best policy minimises, in every storm,

    mean outage + price * d * E[g(gap / d)],    g of `RiskMeasure`, whose mean is at most 1 where the limit d holds.

Each storm gets a few orders: the one that keeps the limit in this storm, some with more room and less outage, some with
less room. The price takes the one of least value, so it is found on past storms by choosing among their orders, without
further search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stormgym.agents.restoration.search.expected_gap import (
    NEXT_ITERATIONS,
    NEXT_PRICE,
    NEXT_TEMPERATURE,
    plan_expected_gap,
    scenario_gaps,
)
from stormgym.agents.restoration.search.local_search import search_orders
from stormgym.agents.restoration.search.orders import Floats, Ints, OrderProblem
from stormgym.envs.risk_measure import RiskMeasure

LOOSER, TIGHTER = (1.07, 1.15, 1.3, np.inf), (0.93, 0.86)
"""Limits of the further orders' largest W1 of mean hours, as multiples of that of the first: each chain is searched on
from its last order."""
LEAST_PRICE, MOST_PRICE = 1e-4, 20.0
"""Hours of mean outage for an hour of the tail, between which its price is found."""
HALVINGS = 25
"""Of that interval, on the logarithm."""
THRESHOLDS = tuple(np.linspace(0.5, 1.0, 21).tolist())
"""Of the CVaR that are tried, in limits: the quantile above which it is a mean is below the CVaR itself."""


class TailPrice(NamedTuple):
    """What an hour of the gap's tail costs, and where the tail begins."""

    price: float
    """Hours of mean outage for an hour of d * E[g(gap / d)]."""
    threshold_h: float
    """Gap (h) beyond which hours count, for the CVaR; 0 for other measures."""


@dataclass(frozen=True, eq=False)
class Front:
    """K orders for each of B storms, and what they cost."""

    order: Ints
    """`[K, B, n]`"""
    mean_h: Floats
    """`[K, B]` mean outage on the mean forecasts."""
    gap_h: Floats
    """`[K, B, S]` gap in each scenario."""

    def burden(self, measure: RiskMeasure, limit_h: ArrayLike, threshold_h: float) -> Floats:
        """E[g(gap / d)] `[K, B]` of each order over its scenarios.

        Args:
            measure: what the limit bounds.
            limit_h: d, one number or `[B]`.
            threshold_h: of the CVaR.
        """
        limit = np.broadcast_to(np.asarray(limit_h, dtype=np.float64), self.mean_h.shape[1:])[:, None]
        return np.asarray(measure.g(self.gap_h / limit, threshold_h / limit).mean(axis=-1))

    def best(self, measure: RiskMeasure, limit_h: ArrayLike, tail: TailPrice) -> Ints:
        """Which order of each storm is best at a price of the tail, `[B]`; arguments as of `burden`."""
        paid_h = tail.price * np.asarray(limit_h) * self.burden(measure, limit_h, tail.threshold_h)
        return np.asarray((self.mean_h + paid_h).argmin(axis=0))


def search_front(
    problem: OrderProblem,
    scenario_h: Floats,
    limit_h: ArrayLike,
    measure: RiskMeasure,
    *,
    start: ArrayLike | None = None,
    first_iterations: int = 500,
    next_iterations: int = NEXT_ITERATIONS,
    seed: int = 0,
) -> Front:
    """Search K orders for each episode: `plan_expected_gap`'s, then ones with more and with less room.

    Args:
        problem: B episodes with mean forecasts as repair hours.
        scenario_h: `[B, S, n]` equally likely repair hours whose average is the mean forecast.
        limit_h: d, one number or `[B]`.
        measure: statistic of the gap over the scenarios to which the first order holds each episode.
        start: orders `[B, n]` or `[n]` to begin from.
        first_iterations: of the first search.
        next_iterations: of each further one.
        seed: of the searches.
    """
    first = plan_expected_gap(
        problem,
        scenario_h,
        limit_h,
        start=start,
        first_iterations=first_iterations,
        next_iterations=next_iterations,
        measure=measure,
        seed=seed,
    )
    own_h, plans = problem.gap(first.order), [first]
    for chain in (LOOSER, TIGHTER) if problem.n_pairs else ():
        order = first.order
        for i, share in enumerate(chain):
            plan = search_orders(
                problem,
                gap_limit=share * own_h if np.isfinite(share) else None,
                start=order,
                iterations=next_iterations,
                temperature=NEXT_TEMPERATURE,
                price=NEXT_PRICE,
                seed=seed + 10 + i,
            )
            order = plan.order
            plans.append(plan)
    return Front(
        np.stack([plan.order for plan in plans]),
        np.stack([plan.mean_h for plan in plans]),
        np.stack([scenario_gaps(problem, plan.order, scenario_h) for plan in plans]),
    )


def find_tail_price(front: Front, measure: RiskMeasure, limit_h: float) -> TailPrice:
    """The price at which the measure of the gaps, over all scenarios of all storms, is at most the limit.

    For the CVaR each of `THRESHOLDS` gets its price, and the pair of least mean outage is taken: at any threshold the
    mean of g is at least the CVaR, so where it keeps the limit the CVaR does. `MOST_PRICE` where no price keeps it.

    Args:
        front: of past storms.
        measure: not the mean.
        limit_h: d.
    """
    found: tuple[float, TailPrice] | None = None
    for share in THRESHOLDS if measure.kind == "cvar" else (0.0,):
        burden = front.burden(measure, limit_h, share * limit_h)
        price = _least_price(front.mean_h, burden, limit_h)
        if price is None:
            continue
        tail = TailPrice(price, share * limit_h)
        mean_h = float(front.mean_h[front.best(measure, limit_h, tail), np.arange(front.mean_h.shape[1])].mean())
        if found is None or mean_h < found[0]:
            found = mean_h, tail
    return TailPrice(MOST_PRICE, limit_h if measure.kind == "cvar" else 0.0) if found is None else found[1]


def _least_price(mean_h: Floats, burden: Floats, limit_h: float) -> float | None:
    """The least price at which the mean burden of the orders chosen `[K, B]` is at most 1; None where none is."""

    def keeps(price: float) -> bool:
        choice = (mean_h + price * limit_h * burden).argmin(axis=0)
        return bool(burden[choice, np.arange(choice.size)].mean() <= 1.0)

    if keeps(0.0):
        return 0.0
    if not keeps(MOST_PRICE):
        return None
    low, high = np.log(LEAST_PRICE), np.log(MOST_PRICE)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if keeps(np.exp(middle)) else (middle, high)
    return float(np.exp(high))
