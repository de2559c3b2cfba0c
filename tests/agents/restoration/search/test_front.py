"""Orders around the one that keeps a limit, and the price of the tail that chooses among them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from stormgym.agents.restoration.search.expected_gap import plan_expected_gap, sample_lognormal, uniform_scenarios
from stormgym.agents.restoration.search.front import (
    LOOSER,
    MOST_PRICE,
    TIGHTER,
    Front,
    TailPrice,
    find_tail_price,
    search_front,
)
from stormgym.agents.restoration.search.orders import OrderProblem
from stormgym.envs.risk_measure import RiskMeasure

TAILS = [RiskMeasure("cvar", 0.8), RiskMeasure("chance", 0.8)]


def random_front(n_orders: int = 3, n_storms: int = 5, n_scenarios: int = 20, seed: int = 0) -> Front:
    """Orders with less outage have the larger gaps."""
    rng = np.random.default_rng(seed)
    gap = np.sort(rng.uniform(4.0, 12.0, (n_orders, n_storms)), axis=0)[::-1]
    scenarios = gap[..., None] * rng.lognormal(0.0, 0.2, (1, n_storms, n_scenarios))
    mean = 40.0 + np.sort(rng.uniform(0.0, 1.0, (n_orders, n_storms)), axis=0)
    return Front(np.zeros((n_orders, n_storms, 1), dtype=np.int64), mean, scenarios)


def chosen(front: Front, choice: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean outage, and all gaps, of an order for each storm."""
    storms = np.arange(len(choice))
    return float(front.mean_h[choice, storms].mean()), front.gap_h[choice, storms].ravel()


@pytest.mark.parametrize("measure", TAILS, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_price__keeps_the_limit_over_storms_and_no_choice_that_does_it_as_well_is_better(
    measure: RiskMeasure, seed: int
) -> None:
    front = random_front(seed=seed)
    least = chosen(front, np.full(5, 2))[1]  # the orders of least gap
    limit = 1.15 * float(measure.statistic(least))
    tail = find_tail_price(front, measure, limit)
    mean, gaps = chosen(front, front.best(measure, limit, tail))
    assert tail.price < MOST_PRICE
    assert measure.statistic(gaps) <= limit + 1e-9
    burden = measure.g(gaps / limit, tail.threshold_h / limit).mean()
    for choice in product(range(3), repeat=5):  # Lagrangian duality: what costs less breaks more
        other, its_gaps = chosen(front, np.array(choice))
        if other < mean - 1e-9:
            assert measure.g(its_gaps / limit, tail.threshold_h / limit).mean() > burden


def test_price__is_nothing_where_the_limit_does_not_bind_and_the_most_where_nothing_keeps_it() -> None:
    front = random_front()
    for measure in TAILS:
        assert find_tail_price(front, measure, 100.0).price == 0.0
        assert find_tail_price(front, measure, 0.01).price == MOST_PRICE


def test_best__is_the_order_of_least_outage_and_priced_burden() -> None:
    front, measure, limit = random_front(seed=3), RiskMeasure("cvar", 0.8), np.array([8.0, 7.0, 9.0, 8.0, 6.0])
    tail = TailPrice(0.3, 7.5)
    paid = [
        [front.mean_h[k, b] + 0.3 * (7.5 + np.maximum(front.gap_h[k, b] - 7.5, 0.0).mean() / 0.2) for b in range(5)]
        for k in range(3)
    ]
    assert_array_equal(front.best(measure, limit, tail), np.argmin(paid, axis=0))  # in hours, whatever the limit
    chance = RiskMeasure("chance", 0.8)
    share = (front.gap_h > limit[:, None]).mean(axis=-1)
    assert_allclose(front.burden(chance, limit, 0.0), share / 0.2)
    wanted = (front.mean_h + 0.01 * limit * share / 0.2).argmin(axis=0)
    assert_array_equal(front.best(chance, limit, TailPrice(0.01, 0.0)), wanted)


@pytest.mark.slow
def test_search__begins_from_the_plan_that_keeps_the_limit_and_goes_both_ways() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 10, (15, 2))
    travel = np.linalg.norm(points[:, None] - points[None], axis=-1) / 30
    mean = rng.uniform(1, 3, (4, 14))
    problem = OrderProblem.of(travel, mean, np.arange(14) % 3)
    scenarios = sample_lognormal(uniform_scenarios(40, 14, rng), mean, 2.0 * mean)
    measure, short = RiskMeasure("cvar", 0.9), {"first_iterations": 150, "next_iterations": 50}
    front = search_front(problem, scenarios, 3.0, measure, seed=2, **short)
    assert front.order.shape == (1 + len(LOOSER) + len(TIGHTER), 4, 14)
    assert (np.sort(front.order, axis=-1) == np.arange(14)).all()
    first = plan_expected_gap(problem, scenarios, 3.0, measure=measure, seed=2, **short)
    assert_array_equal(front.order[0], first.order)
    assert_allclose(measure.statistic(front.gap_h[0]), first.gap_h)
    assert (front.mean_h[len(LOOSER)] <= front.mean_h[0] + 1e-9).all()  # with no limit at all
    own = problem.gap(first.order)
    tightest = problem.gap(front.order[-1])
    assert (tightest <= own + 1e-9).all()
    alone = search_front(problem.take(np.array([2])), scenarios[2:3], 3.0, measure, seed=2, **short)
    assert_array_equal(alone.order[:, 0], front.order[:, 2])  # whatever else is in the batch
