"""Orders whose *expected* gap, or a tail of it, keeps a limit, over scenarios drawn from a predictive distribution.

For a fixed order each pair's W1 is linear in the repair hours, so its expectation is the W1 of the mean hours. The
expected gap, a mean of maxima over pairs, is larger than the maximum of these means (Jensen). Hence a surrogate: search
on the mean hours with a limit of its own on the largest W1, estimate the plan's expected gap over scenarios, shift the
surrogate's limit by what that misses the true one, and search again from the last plan. So it goes for any statistic of
the gap in the scenarios that is in hours: its mean, its CVaR or a quantile of it (`RiskMeasure`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from stormgym.agents.restoration.search.local_search import search_orders
from stormgym.agents.restoration.search.orders import Floats, Ints, OrderPlan, OrderProblem
from stormgym.envs.risk_measure import MEAN, RiskMeasure

FIRST_ITERATIONS = 500
NEXT_ITERATIONS = 150
NEXT_TEMPERATURE = (0.6, 0.06)
NEXT_PRICE = (0.2, 0.3)


def uniform_scenarios(n_scenarios: int, n_regions: int, rng: np.random.Generator) -> Floats:
    """Latin hypercube `[S, N]` in (0, 1): in every region each of S equal slices holds one number."""
    slices = rng.permuted(np.tile(np.arange(n_scenarios), (n_regions, 1)), axis=1).T
    return np.asarray((slices + rng.random((n_scenarios, n_regions))) / n_scenarios)


def sample_quantiles(
    uniform: ArrayLike, levels: ArrayLike, quantile_h: ArrayLike, mean_h: ArrayLike, factor: ArrayLike = 1.0
) -> Floats:
    """Repair hours `[B, S, N]` by inverse distribution functions, interpolated between quantiles.

    Beyond the outermost levels the outermost quantile holds; each region's hours are then scaled so that
    their average over the scenarios is the mean forecast.

    Args:
        uniform: `[S, N]` numbers in (0, 1).
        levels: `[Q]` ascending levels in (0, 1).
        quantile_h: `[B, N, Q]` quantiles (h).
        mean_h: `[B, N]` mean forecasts (h).
        factor: `[S, N]` what multiplies the hours of a scenario (a shock).
    """
    u, level = np.asarray(uniform, dtype=np.float64), np.asarray(levels, dtype=np.float64)
    quantile = np.asarray(quantile_h, dtype=np.float64)
    below = np.clip(np.searchsorted(level, u, side="right") - 1, 0, max(level.size - 2, 0))  # [S, N]
    above = np.minimum(below + 1, level.size - 1)
    width = np.where(above > below, level[above] - level[below], 1.0)
    share = np.clip((u - level[below]) / width, 0.0, 1.0)
    region = np.arange(u.shape[1])
    low = quantile[:, region, below]  # [B, S, N]
    # linear between levels; clipping the share holds the outermost quantile beyond them
    hours = low + share * (quantile[:, region, above] - low)
    return _scaled(hours * np.asarray(factor, dtype=np.float64), mean_h)


def sample_lognormal(uniform: ArrayLike, mean_h: ArrayLike, upper_h: ArrayLike, factor: ArrayLike = 1.0) -> Floats:
    """Repair hours `[B, S, N]` from lognormals with means `mean_h` and 95 % quantiles `upper_h` `[B, N]`.

    The log standard deviation s solves log(upper / mean) = 1.645 s - s^2 / 2; where no lognormal reaches
    the ratio, s = 1.645 comes nearest. `uniform` and `factor` as in `sample_quantiles`.
    """
    mean, upper = np.asarray(mean_h, dtype=np.float64), np.asarray(upper_h, dtype=np.float64)
    ratio = np.log(np.maximum(upper, mean) / mean)
    # the smaller root of the quadratic: of two lognormals with this ratio the one of less spread
    sd = ndtri(0.95) - np.sqrt(np.maximum(ndtri(0.95) ** 2 - 2.0 * ratio, 0.0))  # [B, N]
    hours = np.exp(sd[:, None] * ndtri(np.asarray(uniform, dtype=np.float64)))
    return _scaled(hours * np.asarray(factor, dtype=np.float64), mean)


def _scaled(hours: Floats, mean_h: ArrayLike) -> Floats:
    average = hours.mean(axis=1)  # [B, N]
    scale = np.divide(mean_h, average, out=np.zeros_like(average), where=average > 0)
    return np.asarray(hours * scale[:, None])


def scenario_gaps(problem: OrderProblem, order: Ints, scenario_h: Floats) -> Floats:
    """Gap `[B, S]` (h) of the orders `[B, n]` in each of the scenarios of repair hours `[B, S, n]`."""
    if problem.n_pairs == 0:
        return np.zeros(scenario_h.shape[:2])
    repair = np.take_along_axis(scenario_h, order[:, None], axis=2)  # [B, S, n] in the order of visits
    delta = repair + problem.way_h(order)[:, None]
    pairs = delta @ problem.imbalance(order) + problem.accrued_h[:, None]  # [B, S, P]
    return np.asarray(pairs.max(axis=2))


def expected_gap(problem: OrderProblem, order: Ints, scenario_h: Floats, measure: RiskMeasure = MEAN) -> Floats:
    """Expected gap `[B]` (h) of the orders `[B, n]` over equally likely repair hours `[B, S, n]`.

    With another `measure`, that statistic of the gap over the scenarios in place of its mean.
    """
    return measure.statistic(scenario_gaps(problem, order, scenario_h))


def plan_expected_gap(
    problem: OrderProblem,
    scenario_h: Floats,
    gap_limit: ArrayLike,
    *,
    start: ArrayLike | None = None,
    rounds: int = 8,
    first_iterations: int = FIRST_ITERATIONS,
    next_iterations: int = NEXT_ITERATIONS,
    measure: RiskMeasure = MEAN,
    seed: int = 0,
) -> OrderPlan:
    """Search orders of least expected mean outage whose expected gap is at most `gap_limit` in every episode.

    With another `measure` than the mean, its CVaR over the scenarios is; or (`chance`) it is within the limit in a
    share of them.

    Args:
        problem: B episodes with mean forecasts as repair hours.
        scenario_h: `[B, S, n]` equally likely repair hours whose average is the mean forecast.
        gap_limit: hours, one number or `[B]`.
        start: orders `[B, n]` or `[n]` to begin from.
        rounds: how often the planner's own limit is corrected at most; once for every episode, then for those that
            are over the limit.
        first_iterations: of the first search.
        next_iterations: of each search after a correction.
        measure: statistic of the gap over the scenarios that the limit bounds.
        seed: of the searches.

    Returns:
        The best plans found; `gap_h` is the expected gap, or that statistic, and `status` compares it with the limit.
    """
    n_rows = len(problem.repair_h)
    limit = np.array(np.broadcast_to(gap_limit, (n_rows,)), dtype=np.float64)
    plan = search_orders(problem, gap_limit=limit, start=start, iterations=first_iterations, seed=seed)
    order, mean, gap = plan.order, plan.mean_h, expected_gap(problem, plan.order, scenario_h, measure)
    best, own, last, found = order.copy(), limit.copy(), order.copy(), gap.copy()
    for i in range(rounds if problem.n_pairs else 0):
        # the first correction also loosens limits that leave room; later ones only mend what is over
        rows = np.arange(n_rows) if i == 0 else np.flatnonzero(gap > limit)
        if rows.size == 0:
            break
        part, target = problem.take(rows), limit[rows]
        # secant step of slope 1: one hour less on the surrogate is about one hour less of expected gap
        own[rows] = np.maximum(own[rows] + target - found[rows], 0.0)
        plan = search_orders(
            part,
            gap_limit=own[rows],
            start=last[rows],
            iterations=next_iterations,
            temperature=NEXT_TEMPERATURE,
            price=NEXT_PRICE,
            seed=seed + 1 + i,
        )
        last[rows], found[rows] = plan.order, expected_gap(part, plan.order, scenario_h[rows], measure)
        excess, best_excess = np.maximum(found[rows] - target, 0.0), np.maximum(gap[rows] - target, 0.0)
        # feasibility first, then the mean: an episode's best plan may come from any round
        better = (excess < best_excess) | ((excess == best_excess) & (plan.mean_h < mean[rows]))
        won = rows[better]
        best[won], mean[won], gap[won] = plan.order[better], plan.mean_h[better], found[won]
    status = np.where(gap <= limit, "within limit", "over limit")
    return OrderPlan(best, mean, gap, problem.mean_bound(), status)
