"""Orders of least expected mean outage where every hour of expected gap is paid for at one price.

A limit on the mean gap over storms asks for no more: by Lagrangian duality the best policy minimises mean outage +
price * gap in every storm, at the same price in all. Search goes on the mean hours (see `expected_gap`): the largest W1
of the mean hours stands for the expected gap, which it falls short of, so some prices around the own are searched, and
of their orders the one of least expected value over the scenarios is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from stormgym.agents.restoration.search.expected_gap import NEXT_ITERATIONS, NEXT_TEMPERATURE, expected_gap
from stormgym.agents.restoration.search.local_search import FIRST_TEMPERATURE, search_orders
from stormgym.agents.restoration.search.orders import Floats, OrderPlan, OrderProblem

AROUND = (0.6, 0.8, 1.0, 1.3)
"""Prices that are searched one after another, in units of the own."""


def plan_priced(
    problem: OrderProblem,
    scenario_h: Floats,
    price: float,
    *,
    start: ArrayLike | None = None,
    first_iterations: int = 500,
    next_iterations: int = NEXT_ITERATIONS,
    seed: int = 0,
) -> OrderPlan:
    """Search orders of least mean outage + `price` * expected gap.

    Args:
        problem: B episodes with mean forecasts as repair hours.
        scenario_h: `[B, S, n]` equally likely repair hours whose average is the mean forecast.
        price: hours of mean outage for an hour of gap, at least 0.
        start: orders `[B, n]` or `[n]` to begin from.
        first_iterations: of the search at the first price.
        next_iterations: of that at each other price, from the plan before.
        seed: of the searches.

    Returns:
        The best plans found; `gap_h` is the expected gap.
    """
    best: OrderPlan | None = None
    order = start
    for i, share in enumerate(AROUND if price > 0 and problem.n_pairs else (1.0,)):
        plan = search_orders(
            problem,
            paid=share * price,
            start=order,
            iterations=first_iterations if i == 0 else next_iterations,
            temperature=FIRST_TEMPERATURE if i == 0 else NEXT_TEMPERATURE,
            seed=seed + i,
        )
        order, gap = plan.order, expected_gap(problem, plan.order, scenario_h)
        if best is None:
            best = OrderPlan(plan.order, plan.mean_h, gap, plan.bound_h, plan.status)
            continue
        won = plan.mean_h + price * gap < best.mean_h + price * best.gap_h
        best = OrderPlan(
            np.where(won[:, None], plan.order, best.order),
            np.where(won, plan.mean_h, best.mean_h),
            np.where(won, gap, best.gap_h),
            plan.bound_h,
            plan.status,
        )
    assert best is not None
    return best
