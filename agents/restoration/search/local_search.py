"""Travelling repairman with an equity limit: visiting orders by batched local search (see `annealing`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from stormgym.agents.restoration.search.annealing import Annealing
from stormgym.agents.restoration.search.orders import Ints, OrderPlan, OrderProblem

SMALL = 20
"""Up to this many regions a limited search is followed by a second one at higher temperatures: with few regions
a gap changes in large steps, and the best order within the limit may lie beyond orders that are well over it."""

HOT = (10.0, 2.0)
"""Temperatures of that second search."""

STEEP = (1.0, 3.0)
"""Its prices."""

FIRST_TEMPERATURE = (3.0, 0.06)
"""Of a search that begins from a poor order."""

CHUNK = 64
"""Episodes searched together: enough to share the interpreter's cost, few enough for the cache."""


def plan_orders(
    travel_h: ArrayLike,
    repair_h: ArrayLike,
    group: ArrayLike,
    *,
    gap_limit: ArrayLike | None = None,
    start: ArrayLike | None = None,
    group_size: ArrayLike | None = None,
    ahead: ArrayLike | None = None,
    accrued_h: ArrayLike | None = None,
    iterations: int = 600,
    segments: int = 12,
    temperature: tuple[float, float] = (3.0, 0.06),
    price: tuple[float, float] = (0.08, 0.3),
    seed: int = 0,
) -> OrderPlan:
    """Search orders of least mean outage, with the gap held under `gap_limit` unless that is None.

    Args:
        travel_h: `[n+1, n+1]` hours from row to column, the crew's position last; or `[B, n+1, n+1]`.
        repair_h: `[B, n]` expected repair hours (`[n]` is one episode).
        group: `[n]` or `[B, n]` group ids.
        gap_limit: hours, one number or `[B]`; None leaves the gap free.
        start: orders `[B, n]` (or one for all, `[n]`) to begin from; None begins with the shortest visit
            each time.
        group_size: `[G]` members that shares are taken of; None counts `group` (right when all regions are
            open).
        ahead: `[B, P]` F_a - F_b of regions restored before the plan's start.
        accrued_h: `[B, P]` pairwise W1 (h) accrued before the plan's start.
        iterations: moves made.
        segments: segments tried at every place in each iteration.
        temperature: first and last temperature of the geometric cooling, in units of (mean hours of a
            visit) / n, which is about what swapping neighbours changes.
        price: first and last price (geometric) of an hour of gap over the limit, in hours of mean outage.
            Episodes that end over the limit are searched once more at ten times the price; with at most
            `SMALL` regions all are searched again, at the settings there.
        seed: of segments and noise.

    Returns:
        The best orders found, valued in double precision.

    Raises:
        ValueError: shapes that do not fit, hours that are negative or not finite, a start that is no
            permutation.
    """
    problem = OrderProblem.of(travel_h, repair_h, group, group_size=group_size, ahead=ahead, accrued_h=accrued_h)
    return search_orders(
        problem,
        gap_limit=gap_limit,
        start=start,
        iterations=iterations,
        segments=segments,
        temperature=temperature,
        price=price,
        seed=seed,
    )


def search_orders(
    problem: OrderProblem,
    *,
    gap_limit: ArrayLike | None = None,
    start: ArrayLike | None = None,
    iterations: int = 600,
    segments: int = 12,
    temperature: tuple[float, float] = FIRST_TEMPERATURE,
    price: tuple[float, float] = (0.08, 0.3),
    paid: float | None = None,
    seed: int = 0,
) -> OrderPlan:
    """`plan_orders` for a problem that is already checked.

    With `paid`, hours of mean outage for an hour of gap, there is no limit: every hour of gap is paid for, and the best
    orders are those of least mean outage + paid * gap.
    """
    n_rows, n = problem.repair_h.shape
    for name, (first, last) in (("temperature", temperature), ("price", price)):
        if not (0 < first < np.inf and 0 < last < np.inf):
            raise ValueError(f"{name} must be (first, last), both above 0; got {(first, last)}")
    if iterations < 0 or segments < 1:
        raise ValueError(f"need iterations >= 0 and segments >= 1; got {iterations} and {segments}")
    limit = None
    if paid is not None:
        if gap_limit is not None or not 0 <= paid < np.inf:
            raise ValueError(f"paid must be at least 0, and stands for gap_limit; got {paid} and {gap_limit!r}")
        if paid > 0 and problem.n_pairs and n > 1 and iterations > 0:
            return _search_paid(problem, paid, start, iterations, segments, temperature, seed)
    if gap_limit is not None:
        limit = np.array(np.broadcast_to(gap_limit, (n_rows,)), dtype=np.float64)
        if not (limit >= 0).all():
            raise ValueError(f"gap_limit must be at least 0 h, or None for no limit; got {gap_limit!r}")
    order = _checked_start(start, problem)
    bound_by = limit if problem.n_pairs else None

    def anneal(
        rows: Ints, n_iterations: int, temperature: tuple[float, float], price: tuple[float, float], seed: int
    ) -> None:
        # `order` is improved in place; every chunk gets the same seed, so chunks change no episode's result
        cooling, prices = np.geomspace(*temperature, n_iterations), np.geomspace(*price, n_iterations)
        for i in range(0, len(rows), CHUNK):
            part = rows[i : i + CHUNK]
            search = Annealing(problem, part, bound_by, order[part])
            order[part] = search.run(cooling, prices, segments, seed)

    if n > 1 and iterations > 0:
        anneal(np.arange(n_rows), iterations, temperature, price, seed)
        if bound_by is not None and n <= SMALL:
            anneal(np.arange(n_rows), 2 * iterations, HOT, STEEP, seed + 1)
        elif bound_by is not None:  # the last price was too low for these to give up mean outage for the gap
            over = np.flatnonzero(problem.gap(order) > bound_by)
            anneal(over, iterations, temperature, (10.0 * price[0], 10.0 * price[1]), seed)
    gap = problem.gap(order)
    status = np.full(n_rows, "no limit")
    if limit is not None:
        status = np.where(gap <= limit, "within limit", "over limit")
    return OrderPlan(order, problem.mean_outage(order), gap, problem.mean_bound(), status)


def _search_paid(
    problem: OrderProblem,
    paid: float,
    start: ArrayLike | None,
    iterations: int,
    segments: int,
    temperature: tuple[float, float],
    seed: int,
) -> OrderPlan:
    """Search orders of least mean outage + paid * gap."""
    order, n_rows = _checked_start(start, problem), len(problem.repair_h)
    cooling, prices = np.geomspace(*temperature, iterations), np.full(iterations, paid)
    for i in range(0, n_rows, CHUNK):
        rows = np.arange(i, min(i + CHUNK, n_rows))
        search = Annealing(problem, rows, np.zeros(n_rows), order[rows], price=paid)
        order[rows] = search.run(cooling, prices, segments, seed)
    status = np.full(n_rows, "no limit")
    return OrderPlan(order, problem.mean_outage(order), problem.gap(order), problem.mean_bound(), status)


def _checked_start(start: ArrayLike | None, problem: OrderProblem) -> Ints:
    n_rows, n = problem.repair_h.shape
    if start is None:
        return problem.greedy_order()
    order = np.array(np.broadcast_to(np.asarray(start, dtype=np.int64), (n_rows, n)))
    if not (np.sort(order, axis=1) == np.arange(n)).all():
        raise ValueError(f"start must hold each of the regions 0..{n - 1} once in every row")
    return order
