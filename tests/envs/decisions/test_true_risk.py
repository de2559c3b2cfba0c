"""Where the law is known: risk, the best decision for it, and regret, against closed forms, samples and solvers."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from stormgym.envs.decisions.energy_scheduling import EnergySchedulingProblem
from stormgym.envs.decisions.fractional_knapsack import FractionalKnapsackProblem
from stormgym.envs.decisions.linear import RISKS, LinearProblem
from stormgym.envs.decisions.portfolio import PortfolioProblem, tail_factor
from stormgym.envs.decisions.price_market import market_law, synthetic_prices
from stormgym.envs.decisions.problem import Cases
from stormgym.envs.decisions.shortest_path import ShortestPathProblem
from stormgym.envs.risk import cvar, cvar_plan

SMALL: dict[str, Any] = {"n_train": 6, "n_validation": 2, "n_test": 4}
DAYS = synthetic_prices(30)
MAKE = {
    "portfolio": lambda **kwargs: PortfolioProblem(8, **SMALL, **kwargs),
    "knapsack": lambda **kwargs: FractionalKnapsackProblem(8, **SMALL, **kwargs),
    "path": lambda **kwargs: ShortestPathProblem(3, **SMALL, **kwargs),
    "energy": lambda **kwargs: EnergySchedulingProblem(DAYS, **kwargs),
}
each_problem = pytest.mark.parametrize("name", MAKE)


def some(problem: LinearProblem, n: int = 4) -> Cases:
    return problem.cases("train").rows(np.arange(n))


@each_problem
def test_true_risk__is_that_of_many_fresh_samples(name: str) -> None:
    problem = MAKE[name]()
    cases = some(problem)
    plans = problem.project(np.tile(problem.usual[0], (4, 1)))
    n = 40_000
    outcomes = problem.true_outcomes(cases, n, np.random.default_rng(7))
    assert outcomes.shape == (n, 4, problem.n)
    np.testing.assert_allclose(
        outcomes.mean(axis=0), problem.true_mean(cases), atol=6 * outcomes.std(axis=0).max() / 200
    )
    costs = problem.cost(plans, outcomes)  # [S, E]
    for alpha in RISKS:
        risk = problem.true_risk(plans, cases, alpha)
        # 2,000 common draws: four standard errors of a tail mean, about sd / sqrt(alpha S), on both sides
        error = 6.0 * costs.std(axis=0) / np.sqrt(alpha * 2_000)
        assert (np.abs(risk - cvar(costs.T, alpha)) < error).all()


def test_true_risk__of_portfolios_is_the_closed_form_of_normal_costs() -> None:
    problem = PortfolioProblem(8, **SMALL)
    cases, plans = some(problem), np.full((4, 8), 0.125)
    costs = problem.cost(plans, problem.true_outcomes(cases, 100_000, np.random.default_rng(0)))
    for alpha in (1.0, 0.5, 0.1, 0.01):
        np.testing.assert_allclose(problem.true_risk(plans, cases, alpha), cvar(costs.T, alpha), atol=8e-3)
    tail = norm.rvs(size=100_000, random_state=1)
    assert tail_factor(0.1) == pytest.approx(cvar(tail, 0.1), abs=0.02)
    assert tail_factor(1.0) == 0.0


def test_true_plans__of_portfolios_are_those_of_many_samples_and_no_other_is_safer() -> None:
    problem = PortfolioProblem(8, **SMALL)
    cases = some(problem, 1)
    prices = -problem.true_outcomes(cases, 5_000, np.random.default_rng(0))[:, 0]
    rng = np.random.default_rng(1)
    for alpha in (0.5, 0.1):
        plan = problem.true_plans(cases, alpha)
        sampled = cvar_plan(prices, problem.polytope, alpha=alpha, quadratic=problem.quadratic).plan
        assert -1e-9 < problem.true_regret(sampled[None], cases, alpha)[0] < 2e-3
        others = problem.project(plan + rng.normal(0.0, 0.05, (200, 8)))
        same = cases.rows(np.zeros(200, dtype=np.int64))
        assert (problem.true_regret(others, same, alpha) > -1e-9).all()


@each_problem
def test_true_regret__is_zero_at_the_best_decision_and_for_the_mean_never_below(name: str) -> None:
    problem = MAKE[name]()
    cases = some(problem)
    for alpha in RISKS:
        plans = problem.true_plans(cases, alpha)
        np.testing.assert_allclose(problem.project(plans), plans, atol=1e-7)
        np.testing.assert_array_equal(problem.true_regret(plans, cases, alpha), 0.0)
    rng = np.random.default_rng(0)
    plans = problem.project(rng.uniform(0.0, 1.5, (4, problem.n)))
    assert (problem.true_regret(plans, cases, 1.0) >= -1e-12).all()
    assert (problem.true_regret(plans, cases, 0.1) > 0.0).all()


def test_true_plans__with_moves_are_the_best_of_all_paths() -> None:
    problem = ShortestPathProblem(4, actions="moves", **SMALL)
    cases = some(problem, 2)
    plans = problem.true_plans(cases, 0.1)
    assert set(np.unique(plans)) == {0.0, 1.0}
    flows = ShortestPathProblem(4, **SMALL)
    flows.true_risk(flows.true_plans(cases, 0.1), cases, 0.1)
    single = problem.true_risk(plans, cases, 0.1)
    assert (single >= flows.true_risk(flows.true_plans(cases, 0.1), cases, 0.1) - 0.05).all()
    for i in range(2):
        each = cases.rows(np.full(len(problem._paths), i))
        # planned on other draws than it is judged on: near the best, if not it
        assert single[i] <= problem.true_risk(problem._paths, each, 0.1).min() * 1.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "bars"),
    [
        (PortfolioProblem, {0.1: (10.5, 13.5), 0.5: (4.5, 7.5), 1.0: (4.5, 7.5)}),
        (FractionalKnapsackProblem, {0.1: (-0.3, 2.0), 0.5: (-0.3, 0.7), 1.0: (0.0, 0.4)}),
        (ShortestPathProblem, {0.1: (-0.3, 0.5), 0.5: (-0.3, 0.2), 1.0: (0.0, 0.2)}),
    ],
)
def test_floor__of_plans_on_200_true_samples(make: Any, bars: dict[float, tuple[float, float]]) -> None:
    n = 40  # contexts: with a dozen the noise between them is as large as the bars
    problem = make(n_test=n)
    cases = problem._cases("test")
    samples = problem.sense * problem.true_outcomes(cases, 200, np.random.default_rng(0))
    best = problem.true_risk(problem.true_plans(cases, 1.0), cases, 1.0)
    for alpha, (low, high) in bars.items():
        plans = [
            cvar_plan(samples[:, i], problem.polytope, alpha=alpha, quadratic=problem.quadratic).plan for i in range(n)
        ]
        percent = 100.0 * problem.true_regret(np.stack(plans), cases, alpha).sum() / np.abs(best).sum()
        assert low <= percent <= high, (alpha, percent)


# ----------------------------------------------------------------------------------------- made alike, told apart


@pytest.mark.parametrize("name", ["portfolio", "knapsack", "path"])
def test_instances__differ_in_all_and_repeat_themselves(name: str) -> None:
    one, again, other = MAKE[name](instance=3), MAKE[name](instance=3), MAKE[name](instance=4)
    assert one == again
    assert one != other
    assert (one.mixing != other.mixing).any()
    for split in ("train", "validation", "test"):
        a, b, c = one._cases(split), again._cases(split), other._cases(split)
        np.testing.assert_array_equal(a.outcomes, b.outcomes)
        assert (a.context["features"] != c.context["features"]).all()


@pytest.mark.parametrize("make", [PortfolioProblem, FractionalKnapsackProblem])
def test_instances__draw_loadings_and_weights_too(make: Any) -> None:
    name = "loadings" if make is PortfolioProblem else "weights"
    assert (getattr(make(instance=0), name) != getattr(make(instance=1), name)).any()


@pytest.mark.parametrize("name", ["portfolio", "knapsack", "path"])
def test_splits__do_not_depend_on_each_others_size(name: str) -> None:
    few = MAKE[name]()
    more = type(few)(few.n if name != "path" else 3, n_train=6, n_validation=5, n_test=9)
    np.testing.assert_array_equal(few._cases("train").outcomes, more._cases("train").outcomes)
    np.testing.assert_array_equal(few._cases("test").outcomes, more._cases("test").outcomes[:4])
    assert few != more
    first = [few._cases(split).context["features"][0, 0] for split in ("train", "validation", "test")]
    assert len(set(first)) == 3


@each_problem
def test_key__tells_risks_apart(name: str) -> None:
    one, other = MAKE[name](risk=0.1), MAKE[name](risk=0.5)
    assert one != other
    assert MAKE[name]().risk == 1.0
    assert one == pickle.loads(pickle.dumps(one)) == copy.deepcopy(one)


def test_best_decisions__of_recorded_cases_are_made_once_for_equal_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    usual = FractionalKnapsackProblem._true_plans

    def counted(self: Any, cases: Cases, alpha: float) -> Any:
        made.append(len(cases))
        return usual(self, cases, alpha)

    monkeypatch.setattr(FractionalKnapsackProblem, "_true_plans", counted)
    problem = FractionalKnapsackProblem(5, instance=917, **SMALL)
    first = problem.true_plans(some(problem), 0.1)
    assert made == [4]
    again = FractionalKnapsackProblem(5, instance=917, **SMALL)
    np.testing.assert_array_equal(again.true_plans(some(again, 5), 0.1)[:4], first)
    assert made == [4, 1]


def test_means__of_the_paper() -> None:
    problem = ShortestPathProblem(2, n_features=3, degree=2, **SMALL)
    x = np.array([[1.0, -2.0, 0.5]])
    mixed = (problem.mixing @ x[0]) / np.sqrt(3.0)
    np.testing.assert_allclose(problem.mean_of(x)[0], (mixed + 3.0) ** 2 / 3.5**2 + 1.0)
    sack = FractionalKnapsackProblem(4, n_features=3, **SMALL)
    mixed = (sack.mixing @ x[0]) / np.sqrt(3.0)
    np.testing.assert_allclose(sack.mean_of(x)[0], ((mixed + 3.0) ** 4 + 1.0) / 3.5**4)
    shares = PortfolioProblem(4, n_features=3, **SMALL)
    mixed = (shares.mixing @ x[0]) / np.sqrt(3.0)
    np.testing.assert_allclose(shares.mean_of(x)[0], (0.05 * mixed + 0.1**0.25) ** 4)


def test_market__has_the_mean_of_its_law_and_spikes() -> None:
    problem = EnergySchedulingProblem(DAYS)
    cases = some(problem, 3)
    prices = problem.true_outcomes(cases, 30_000, np.random.default_rng(0))
    error = prices.std(axis=0) / np.sqrt(30_000)
    assert (np.abs(prices.mean(axis=0) - problem.true_mean(cases)) < 6 * error).all()
    law = market_law(
        *(cases.context[n] for n in ("load_forecast", "wind_forecast", "price_forecast", "price_yesterday"))
    )
    np.testing.assert_allclose(law.when.sum(axis=1), 1.0)
    assert ((law.q_spike > 0.02) & (law.q_spike < 0.37)).all()
    assert (prices > 0).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_assets": 0}, ValueError, "n_assets must be at least 1; got 0"),
        ({"n_assets": 2.5}, TypeError, "n_assets must be a whole number; got 2.5"),
        ({"sigma": 0}, ValueError, "sigma must be above 0 and finite; got 0"),
        ({"degree": 0}, ValueError, "degree must be at least 1"),
        ({"n_features": True}, TypeError, "n_features must be a whole number; got True"),
        ({"n_train": 0}, ValueError, "n_train must be at least 1"),
        ({"instance": -1}, ValueError, "instance must be at least 0"),
        ({"risk": 10}, ValueError, r"risk must be in \(0, 1\], the share of worst outcomes; got 10. Did you mean 0.1?"),
        ({"risk": "all"}, TypeError, "risk must be a number"),
    ],
)
def test_arguments__out_of_range_are_errors(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PortfolioProblem(**arguments)


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (FractionalKnapsackProblem, {"integral": 1}, TypeError, "integral must be True or False; got 1"),
        (FractionalKnapsackProblem, {"capacity": 0}, ValueError, "capacity must be above 0"),
        (FractionalKnapsackProblem, {"noise": -1}, ValueError, "noise must be at least 0"),
        (ShortestPathProblem, {"grid": 1}, ValueError, "grid must be at least 2; got 1"),
        (ShortestPathProblem, {"actions": "arcs"}, ValueError, "actions must be one of flow, moves; got 'arcs'"),
    ],
)
def test_arguments__of_the_others_too(make: Any, arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lower": 1.5, "upper": 1.5}, "lower must be below upper; got 1.5 and 1.5"),
        ({"total": 40.0}, "total must be what 24 hours between lower and upper can add up to, 12 to 36; got 40"),
        ({"lower": -1.0}, "lower must be at least 0"),
    ],
)
def test_arguments__of_energy_that_cannot_be(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnergySchedulingProblem(DAYS, **arguments)
