"""Expected gaps over scenarios, and plans that keep a limit on them."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from stormgym.agents.restoration.search.expected_gap import (
    expected_gap,
    plan_expected_gap,
    sample_lognormal,
    sample_quantiles,
    scenario_gaps,
    uniform_scenarios,
)
from stormgym.agents.restoration.search.orders import OrderProblem
from stormgym.envs import equity
from stormgym.envs.risk_measure import RiskMeasure


def test_scenarios__meet_every_slice_once_and_keep_the_mean() -> None:
    uniform = uniform_scenarios(40, 5, np.random.default_rng(0))
    assert_array_equal(np.sort((uniform * 40).astype(int), axis=0), np.tile(np.arange(40)[:, None], (1, 5)))
    levels = (np.arange(20) + 0.5) / 20
    quantile = np.sort(np.random.default_rng(1).lognormal(0, 0.5, (3, 5, 20)), axis=-1)
    mean = quantile.mean(axis=-1)
    hours = sample_quantiles(uniform, levels, quantile, mean)
    assert_allclose(hours.mean(axis=1), mean, rtol=1e-12)
    assert_allclose(np.quantile(hours, [0.25, 0.75], axis=1), np.quantile(quantile, [0.25, 0.75], axis=-1), rtol=0.15)


def test_scenarios__of_a_point_forecast_are_the_point() -> None:
    uniform, mean = uniform_scenarios(8, 3, np.random.default_rng(0)), np.array([[1.0, 2.0, 3.0]])
    points = np.repeat(mean[..., None], 20, axis=-1)
    assert_allclose(sample_quantiles(uniform, (np.arange(20) + 0.5) / 20, points, mean), np.tile(mean, (1, 8, 1)))
    assert_allclose(sample_quantiles(uniform, [0.5], points[..., :1], mean), np.tile(mean, (1, 8, 1)))
    assert_allclose(sample_lognormal(uniform, mean, mean), np.tile(mean, (1, 8, 1)))


def test_lognormal_scenarios__have_the_mean_and_the_upper_quantile() -> None:
    uniform = uniform_scenarios(4000, 2, np.random.default_rng(0))
    hours = sample_lognormal(uniform, np.array([[2.0, 1.0]]), np.array([[3.5, 2.0]]))
    assert_allclose(hours.mean(axis=1), [[2.0, 1.0]], rtol=1e-12)
    assert_allclose(np.quantile(hours, 0.95, axis=1), [[3.5, 2.0]], rtol=0.01)


@pytest.fixture(scope="module")
def problem_of(map_of: Callable[[int, int], np.ndarray]) -> Callable[..., tuple[OrderProblem, np.ndarray, np.ndarray]]:
    def make(n_rows: int, n: int, seed: int) -> tuple[OrderProblem, np.ndarray, np.ndarray]:
        """A problem, 60 scenarios of it, and its groups."""
        rng = np.random.default_rng(seed)
        group = rng.permutation(np.arange(n) % 3)
        mean = rng.uniform(1, 3, (n_rows, n)) + 0.5 * (group == 0)
        upper = mean * rng.uniform(1.3, 3, mean.shape)
        scenarios = sample_lognormal(uniform_scenarios(60, n, rng), mean, upper)
        return OrderProblem.of(map_of(n, seed), mean, group), scenarios, group

    return make


def test_expected_gap__is_the_mean_of_the_scenarios_gaps(
    problem_of: Callable[[int, int, int], tuple[OrderProblem, np.ndarray, np.ndarray]],
) -> None:
    problem, scenarios, group = problem_of(3, 9, 0)
    order = np.random.default_rng(0).permuted(np.tile(np.arange(9), (3, 1)), axis=1)
    way, expected = problem.way_h(order), np.empty(3)
    for row in range(3):
        times = np.cumsum(way[row] + scenarios[row][:, order[row]], axis=1)  # [S, n] in the order of visits
        expected[row] = equity.gap(times, group[order[row]]).mean()
    assert_allclose(expected_gap(problem, order, scenarios), expected, rtol=1e-12)


def test_expected_gap_plan__keeps_the_limit_at_a_fair_price(
    problem_of: Callable[[int, int, int], tuple[OrderProblem, np.ndarray, np.ndarray]],
) -> None:
    problem, scenarios, _ = problem_of(8, 24, 1)
    plan = plan_expected_gap(problem, scenarios, 3.6)
    assert_allclose(plan.gap_h, expected_gap(problem, plan.order, scenarios))
    assert_allclose(plan.mean_h, problem.mean_outage(plan.order))
    assert (plan.gap_h <= 3.6).all()
    assert (plan.status == "within limit").all()
    assert plan.gap_h.mean() > 3.3
    free = plan_expected_gap(problem, scenarios, 1e3)
    assert (plan.bound_h <= free.mean_h).all()
    assert (free.mean_h <= plan.mean_h + 0.05).all()


def test_expected_gap_plan__says_when_the_limit_is_out_of_reach(
    problem_of: Callable[[int, int, int], tuple[OrderProblem, np.ndarray, np.ndarray]],
) -> None:
    problem, scenarios, _ = problem_of(2, 8, 2)
    assert (plan_expected_gap(problem, scenarios, 0.01).status == "over limit").all()


def test_expected_gap__of_another_measure_is_that_of_the_scenarios_gaps(
    problem_of: Callable[[int, int, int], tuple[OrderProblem, np.ndarray, np.ndarray]],
) -> None:
    problem, scenarios, _ = problem_of(3, 9, 0)
    order = np.tile(np.arange(9), (3, 1))
    gaps = scenario_gaps(problem, order, scenarios)  # [3, 60]
    assert_array_equal(expected_gap(problem, order, scenarios), gaps.mean(axis=1))
    worst = np.sort(gaps, axis=1)
    assert_allclose(expected_gap(problem, order, scenarios, RiskMeasure("cvar", 0.8)), worst[:, -12:].mean(axis=1))
    assert_array_equal(expected_gap(problem, order, scenarios, RiskMeasure("chance", 0.8)), worst[:, 47])


def test_expected_gap_plan__holds_the_tail_to_the_limit_where_it_is_asked_for(
    problem_of: Callable[[int, int, int], tuple[OrderProblem, np.ndarray, np.ndarray]],
) -> None:
    problem, scenarios, _ = problem_of(8, 24, 1)
    limit, means = 4.8, {}
    for measure in (RiskMeasure(), RiskMeasure("chance", 0.9), RiskMeasure("cvar", 0.9)):
        plan = plan_expected_gap(problem, scenarios, limit, measure=measure)
        gaps = scenario_gaps(problem, plan.order, scenarios)
        assert_array_equal(plan.gap_h, measure.statistic(gaps))
        assert (plan.status == "within limit").all()
        means[measure.kind] = plan.mean_h.mean()
        if measure.kind == "chance":
            assert ((gaps <= limit).mean(axis=1) >= 0.9).all()
        if measure.kind == "cvar":
            assert (np.sort(gaps, axis=1)[:, -6:].mean(axis=1) <= limit).all()
    assert means["mean"] < means["chance"] < means["cvar"]  # a stronger promise costs more


def test_expected_gap_plan__of_the_mean_is_what_it_was(
    problem_of: Callable[[int, int, int], tuple[OrderProblem, np.ndarray, np.ndarray]],
) -> None:
    problem, scenarios, _ = problem_of(4, 12, 3)
    plain, named = (
        plan_expected_gap(problem, scenarios, 3.0, first_iterations=100, next_iterations=30, **kw)
        for kw in ({}, {"measure": RiskMeasure.of("mean")})
    )
    for name in ("order", "mean_h", "gap_h", "status"):
        assert_array_equal(getattr(plain, name), getattr(named, name))
