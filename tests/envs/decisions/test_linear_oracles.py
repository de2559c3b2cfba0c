"""Linear decisions against other solvers: the best in hindsight, and the nearest that can be carried out."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import clarabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog

from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.energy_scheduling import EnergySchedulingProblem
from stormgym.envs.decisions.fractional_knapsack import FractionalKnapsackProblem, best_whole_items
from stormgym.envs.decisions.linear import LinearProblem
from stormgym.envs.decisions.portfolio import PortfolioProblem
from stormgym.envs.decisions.price_market import synthetic_prices
from stormgym.envs.decisions.projections import nearest_with_total
from stormgym.envs.decisions.shortest_path import ShortestPathProblem
from stormgym.envs.risk import Polytope, cvar_plan

SMALL: dict[str, Any] = {"n_train": 8, "n_validation": 2, "n_test": 2}
DAYS = synthetic_prices(30)
MAKE = {
    "portfolio": lambda: PortfolioProblem(12, **SMALL),
    "knapsack": lambda: FractionalKnapsackProblem(12, **SMALL),
    "path": lambda: ShortestPathProblem(4, **SMALL),
    "energy": lambda: EnergySchedulingProblem(DAYS),
}
each_problem = pytest.mark.parametrize("name", MAKE)
each_linear = pytest.mark.parametrize("name", ["knapsack", "path", "energy"])


def least(quadratic: Floats, linear: Floats, polytope: Polytope) -> Floats:
    """argmin w'Qw + linear.w over a polytope, by Clarabel."""
    d = len(linear)
    low, high = polytope.bounds(d)
    a_ub, b_ub, a_eq, b_eq = polytope.rows(d)
    eye, up, down = sparse.eye(d, format="csr"), np.isfinite(high), np.isfinite(low)
    rows = sparse.vstack([a_eq, a_ub, eye[up], -eye[down]]).tocsc()
    right = np.concatenate([b_eq, b_ub, high[up], -low[down]])
    cones = [clarabel.ZeroConeT(len(b_eq)), clarabel.NonnegativeConeT(len(right) - len(b_eq))]
    options = clarabel.DefaultSettings()
    options.verbose = False
    options.tol_gap_abs = options.tol_gap_rel = options.tol_feas = 1e-11
    hessian = sparse.triu(2.0 * quadratic).tocsc()
    return np.array(clarabel.DefaultSolver(hessian, linear, rows, right, cones, options).solve().x)


def assert_feasible(problem: LinearProblem, plans: Floats, tolerance: float = 1e-8) -> None:
    low, high = problem.polytope.bounds(problem.n)
    a_ub, b_ub, a_eq, b_eq = problem.polytope.rows(problem.n)
    assert (plans >= low - tolerance).all()
    assert (plans <= high + tolerance).all()
    assert (a_ub @ plans.T <= b_ub[:, None] + tolerance).all()
    np.testing.assert_allclose(a_eq @ plans.T, np.tile(b_eq[:, None], len(plans)), atol=tolerance)


@each_linear
def test_oracle__is_the_linear_programs_optimum_at_prices_of_any_sign(name: str) -> None:
    problem = MAKE[name]()
    prices = np.random.default_rng(0).normal(0.3, 1.0, (40, problem.n))
    plans = problem.oracle(prices)
    assert_feasible(problem, plans)
    low, high = problem.polytope.bounds(problem.n)
    a_ub, b_ub, a_eq, b_eq = problem.polytope.rows(problem.n)
    bounds = np.stack([low, high], axis=1)
    for price, plan in zip(prices, plans, strict=True):
        answer = linprog(price, A_ub=a_ub, b_ub=b_ub, A_eq=a_eq, b_eq=b_eq, bounds=bounds)
        assert price @ plan == pytest.approx(answer.fun, abs=1e-9)


def test_oracle__of_portfolios_is_the_quadratic_programs_optimum() -> None:
    problem = PortfolioProblem(50, **SMALL)
    prices = np.concatenate([-problem.cases("train").outcomes, np.random.default_rng(1).normal(0, 0.02, (8, 50))])
    plans = problem.oracle(prices)
    assert_feasible(problem, plans, 1e-12)
    slope = prices + 2.0 * plans @ problem.quadratic
    # Frank and Wolfe's bound: no decision is better by more than what the slope promises
    gap = (slope * plans).sum(axis=1) - np.minimum(slope.min(axis=1), 0.0)
    assert gap.max() < 1e-9
    for price, plan in zip(prices, plans, strict=True):
        np.testing.assert_allclose(plan, least(problem.quadratic, price, problem.polytope), atol=1e-6)


@pytest.mark.parametrize("number", [1, 2])
def test_knapsack__is_that_of_the_instances(shared_data: Path, number: int) -> None:
    known = json.loads((shared_data / "instances" / "dfl" / f"spo_knapsack_{number}.json").read_text())
    problem = FractionalKnapsackProblem(len(known["weights"]), capacity=known["capacity"], **SMALL)
    problem.weights = np.array(known["weights"], dtype=np.float64)
    np.testing.assert_allclose(problem.best(np.array(known["c"])), known["w_true"], atol=1e-9)


@pytest.mark.parametrize("number", [1, 2])
def test_path__is_that_of_the_instances_arc_by_arc(shared_data: Path, number: int) -> None:
    known = json.loads((shared_data / "instances" / "dfl" / f"spo_path_{number}.json").read_text())
    problem = ShortestPathProblem(3, **SMALL)
    np.testing.assert_array_equal(problem.arcs, known["arcs"])
    np.testing.assert_allclose(problem.best(np.array(known["c"])), known["w_true"], atol=1e-9)


@pytest.mark.parametrize("number", [1, 2])
def test_energy__plans_on_samples_are_those_of_the_instances(shared_data: Path, number: int) -> None:
    known = json.loads((shared_data / "instances" / "dfl" / f"energy_{number}.json").read_text())
    problem = EnergySchedulingProblem(DAYS, lower=known["lower"], upper=known["upper"], total=known["total"])
    prices = np.array(known["prices"])
    for alpha, answer in known["answers"].items():
        found = cvar_plan(prices, problem.polytope, alpha=float(alpha))
        assert found.value == pytest.approx(answer["value"], rel=1e-9)
    best = problem.oracle(prices.mean(axis=0)[None])[0]
    np.testing.assert_allclose(best, known["answers"]["1.0"]["p"], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(0, 20))
def test_whole_items__are_those_of_enumeration(seed: int, n: int, capacity: int) -> None:
    rng = np.random.default_rng(seed)
    weights, gains = rng.integers(3, 9, n), rng.normal(0.3, 1.0, (4, n))
    plans = best_whole_items(gains, weights, capacity)
    every = np.array(list(itertools.product([0.0, 1.0], repeat=n)))
    every = every[every @ weights <= capacity]
    assert (plans @ weights <= capacity).all()
    assert set(np.unique(plans)) <= {0.0, 1.0}
    np.testing.assert_allclose((gains * plans).sum(axis=1), (gains @ every.T).max(axis=1), atol=1e-12)


def test_path__of_negative_prices_is_the_cheapest_of_all_paths() -> None:
    problem = ShortestPathProblem(4, actions="moves", **SMALL)
    prices = np.random.default_rng(3).normal(-1.0, 1.0, (20, problem.n))
    assert len(problem._paths) == 20
    np.testing.assert_allclose((prices * problem.oracle(prices)).sum(axis=1), (prices @ problem._paths.T).min(axis=1))


# ----------------------------------------------------------------------------------------------------- projection


@each_problem
def test_project__is_the_nearest_decision(name: str) -> None:
    problem = MAKE[name]()
    rng = np.random.default_rng(5)
    wanted = rng.uniform(-0.5, 2.0, (30, problem.n)) * rng.uniform(0.05, 1.0, (30, 1))
    plans = problem.project(wanted)
    assert_feasible(problem, plans)
    for plan, want in zip(plans, wanted, strict=True):
        np.testing.assert_allclose(plan, least(np.eye(problem.n), -2.0 * want, problem.polytope), atol=1e-6)


@each_problem
def test_project__leaves_what_can_be_carried_out(name: str) -> None:
    problem = MAKE[name]()
    best = problem.best(problem.cases("train").outcomes)
    mixed = 0.5 * (best + best[::-1])
    np.testing.assert_allclose(problem.project(mixed), mixed, rtol=0, atol=1e-12)
    as_played = mixed.astype(np.float32).astype(np.float64)
    plans, repaired = problem.plans_of(as_played)
    assert not repaired.any()  # float32 rounds
    np.testing.assert_allclose(plans, as_played, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.booleans())
def test_nearest_with_total__keeps_the_total_and_nothing_near_it_is_nearer(seed: int, n: int, at_most: bool) -> None:
    rng = np.random.default_rng(seed)
    low, weights = rng.uniform(-1.0, 0.0, n), rng.uniform(0.5, 8.0, n)
    high = low + rng.uniform(0.1, 2.0, n)
    inside = low + rng.random((1, n)) * (high - low)
    total = float(inside[0] @ weights)
    wanted = rng.normal(0.0, 2.0, (5, n))
    plans = nearest_with_total(wanted, low, high, weights, total, at_most)
    reached = plans @ weights
    assert (reached <= total + 1e-9).all()
    if not at_most:
        np.testing.assert_allclose(reached, total, atol=1e-9)
    assert ((plans >= low) & (plans <= high)).all()
    # a point of a convex set is the nearest exactly when it makes no acute angle towards any other
    assert (((wanted - plans) * (inside - plans)).sum(axis=1) <= 1e-8).all()


def test_project__of_whole_items_is_the_nearest_sack_and_of_moves_the_nearest_path() -> None:
    sack = FractionalKnapsackProblem(8, integral=True, **SMALL)
    path = ShortestPathProblem(4, actions="moves", **SMALL)
    every = np.array(list(itertools.product([0.0, 1.0], repeat=8)))
    every = every[every @ sack.weights <= sack.capacity]
    rng = np.random.default_rng(2)
    for problem, points in ((sack, every), (path, path._paths)):
        wanted = rng.uniform(-0.2, 1.2, (20, problem.n))
        distance = ((wanted[:, None] - points) ** 2).sum(axis=2).min(axis=1)
        np.testing.assert_allclose(((wanted - problem.project(wanted)) ** 2).sum(axis=1), distance, atol=1e-9)
        np.testing.assert_array_equal(problem.project(points[:9]), points[:9])
