"""Linear decisions and their generators: plans at a risk, the ball, models that train, what the paper gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.decisions.linear import GENERATORS, GeneratorModel, LinearCosts, LinearTask, features_of
from stormgym.agents.decisions.tasks import task_of
from stormgym.agents.dfl.decision import Gaussian
from stormgym.agents.dfl.risk import cvar, cvar_plan
from stormgym.envs.decisions.energy_scheduling import EnergySchedulingProblem
from stormgym.envs.decisions.fractional_knapsack import FractionalKnapsackProblem
from stormgym.envs.decisions.portfolio import PortfolioProblem
from stormgym.envs.decisions.price_market import synthetic_prices
from stormgym.envs.decisions.shortest_path import ShortestPathProblem
from stormgym.predictors.flows import ConditionalFlow
from stormgym.predictors.gaussian import DiagonalGaussian
from stormgym.predictors.point import PointNet

SIZES: dict[str, Any] = {"n_train": 40, "n_validation": 20, "n_test": 6}
PROBLEMS: dict[str, Any] = {
    "path": lambda: ShortestPathProblem(3, **SIZES),
    "knapsack": lambda: FractionalKnapsackProblem(8, **SIZES),
    "whole knapsack": lambda: FractionalKnapsackProblem(8, integral=True, **SIZES),
    "moves": lambda: ShortestPathProblem(3, actions="moves", **SIZES),
    "portfolio": lambda: PortfolioProblem(6, **SIZES),
    "energy": lambda: EnergySchedulingProblem(synthetic_prices(60)),
}


@pytest.fixture(params=list(PROBLEMS))
def task(request: pytest.FixtureRequest) -> LinearTask:
    """Of each problem."""
    return LinearTask(PROBLEMS[request.param]())


def samples_of(task: LinearTask, n_samples: int = 30, n_cases: int = 4) -> Any:
    cases = task.problem.cases("test").rows(slice(0, n_cases))
    return task.problem.true_outcomes(cases, n_samples, np.random.default_rng(0))


# ------------------------------------------------------------------------------------------------------------- plans


@pytest.mark.parametrize("risk", [0.1, 0.4, 1.0])
def test_decide__is_the_exact_plan_of_each_case(task: LinearTask, risk: float) -> None:
    samples, problem = samples_of(task), task.problem
    plans = task.decision.decide(samples, risk)
    np.testing.assert_allclose(problem.project(plans), plans, atol=1e-6)
    whole = True if problem.integral else None
    for case in range(len(plans)):
        prices = problem.sense * samples[:, case]
        exact = cvar_plan(prices, problem.polytope, alpha=risk, quadratic=problem.quadratic, integral=whole)
        found = float(cvar(problem.cost(plans[case], samples[:, case]), risk))
        assert found == pytest.approx(exact.value, rel=1e-6, abs=1e-7)


def test_decide__at_risk_1_needs_the_mean_alone(task: LinearTask) -> None:
    """Gen-DFL's Table 1 compares generators with point forecasts where samples can add nothing: costs are linear."""
    samples = samples_of(task)
    mean = samples.mean(axis=0)
    of_mean = task.decision.decide(mean[None])
    of_normal = task.decision.decide(Gaussian(mean, np.ones_like(mean)))
    for plans in (task.decision.decide(samples), of_normal):
        np.testing.assert_array_equal(plans, of_mean)
    np.testing.assert_array_equal(task.decision.decide(mean[None], 0.1), of_mean)  # one atom is its own tail


def test_decide__a_normal_forecast_has_no_samples_for_a_tail(task: LinearTask) -> None:
    mean = samples_of(task).mean(axis=0)
    with pytest.raises(ValueError, match=r"plans at risk 0.1 need samples \[S, B, n\]; got a Gaussian"):
        task.decision.decide(Gaussian(mean, mean), 0.1)
    with pytest.raises(ValueError, match=r"risk must be in \(0, 1\]"):
        task.decision.decide(mean[None], 0.0)


@pytest.mark.parametrize("risk", [0.2, 1.0])
def test_ball__is_the_least_of_the_worst_risk_in_it(risk: float) -> None:
    """Its worst case is attained: samples of one atom moved against the plan, by radius / alpha in a share alpha."""
    task = LinearTask(PROBLEMS["knapsack"]())
    samples, radius = samples_of(task), 0.05
    plans = task.decision.decide_in_ball(samples, radius, risk)

    def worst(plan: Any, case: int) -> float:
        own = float(cvar(task.problem.cost(plan, samples[:, case]), risk))
        return own + radius / risk * float(np.linalg.norm(plan))

    rng = np.random.default_rng(0)
    for case, plan in enumerate(plans):
        others = task.problem.project(np.clip(plan + rng.normal(0.0, 0.1, (200, len(plan))), 0.0, 1.0))
        assert worst(plan, case) <= min(worst(other, case) for other in others) + 1e-6
        # the law that attains it: the tail's samples moved along the plan, at a mean distance of the radius
        costs = task.problem.cost(plan, samples[:, case])
        n = round(risk * len(samples))
        moved = samples[:, case].copy()
        tail = np.argsort(-costs)[:n]
        moved[tail] -= radius / risk * plan / np.linalg.norm(plan)  # gains: less of them
        assert np.linalg.norm(moved - samples[:, case], axis=1).mean() == pytest.approx(radius)
        assert float(cvar(task.problem.cost(plan, moved), risk)) == pytest.approx(worst(plan, case))
    np.testing.assert_array_equal(task.decision.decide_in_ball(samples, 0.0, risk), task.decision.decide(samples, risk))


# ------------------------------------------------------------------------------------------------------------- models


@pytest.mark.parametrize("name", [*GENERATORS, "point"])
def test_model__forecasts_trains_where_it_can_and_comes_back(name: str) -> None:
    task = LinearTask(PROBLEMS["path"]())
    model = task.new_model(0) if name == "point" else task.new_generator(name, 0)
    model.n_samples = min(model.n_samples, 7)
    if hasattr(model.generator, "max_epochs"):
        model.generator.max_epochs = 3
    model.fit(task.problem.cases("train"), task.problem.cases("validation"))
    cases = task.problem.cases("test")
    with torch.no_grad():
        drawn = model.outcomes(cases, torch.Generator().manual_seed(0))
    assert drawn.shape == (1 if name == "point" else 7, 6, task.problem.n)
    twin = task.new_model(1) if name == "point" else task.new_generator(name, 1)
    twin.n_samples = model.n_samples
    twin.restore({key: np.asarray(values) for key, values in model.state().items()})
    with torch.no_grad():
        assert torch.equal(twin.outcomes(cases, torch.Generator().manual_seed(0)), drawn)
    if isinstance(model.generator, (PointNet, DiagonalGaussian, ConditionalFlow)):
        model.fit_loss(cases, torch.Generator()).backward()
        assert all(weights.grad is not None for weights in model.parameters())
        assert model.outcomes(cases, torch.Generator()).requires_grad
    else:
        with pytest.raises(TypeError, match="resamples past outcomes and has no weights to train"):
            model.parameters()


def test_features__are_what_differs_from_case_to_case() -> None:
    knapsack = PROBLEMS["knapsack"]()
    assert features_of(knapsack).names == ("features",)
    assert features_of(knapsack)(knapsack.cases("train")).shape == (40, 5)
    energy = PROBLEMS["energy"]()
    width = sum(int(np.prod(shape)) for shape in energy.context_shapes.values())
    assert features_of(energy)(energy.cases("train")).shape[1] == width


def test_task_of__linear_problems_get_this_task() -> None:
    for make in PROBLEMS.values():
        assert isinstance(task_of(make()), LinearTask)
    with pytest.raises(
        ValueError, match="generator must be one of flow, gaussian, residuals, ratios, forest; got 'vae'"
    ):
        LinearTask(PROBLEMS["path"]()).new_generator("vae", 0)


def test_model__is_of_a_generator() -> None:
    model = GeneratorModel(PointNet(), lambda cases: cases.context["features"])
    assert (model.n_samples, model.n_training_samples, model.scale_) == (1, 1, 1.0)
    assert isinstance(LinearTask(PROBLEMS["path"]()).decision, LinearCosts)


# ------------------------------------------------------------------------------- what the paper gets wrong (Gen-DFL)


def test_paper__cvar_of_a_difference_is_not_the_difference_of_cvars() -> None:
    """Section 4.2 defines regret by the first, its code by the second; it charges for states that are not bad."""
    task = LinearTask(PROBLEMS["knapsack"]())
    samples = samples_of(task, 2_000, 1)[:, 0]
    best = task.decision.decide(samples[:, None], 0.1)[0]
    other = task.decision.decide(samples[:, None], 1.0)[0]
    cost = task.problem.cost
    printed = float(cvar(cost(other, samples) - cost(best, samples), 0.1))
    regret = float(cvar(cost(other, samples), 0.1) - cvar(cost(best, samples), 0.1))
    assert 0.0 < regret < 0.8 * printed


def test_paper__the_indicator_of_algorithm_1_is_no_solver() -> None:
    """Minimising the mean over the tail at the current plan, again and again, goes round: the tail follows the plan."""
    task = LinearTask(PROBLEMS["knapsack"]())
    samples = samples_of(task, 200, 1)
    prices = task.problem.sense * samples[:, 0]
    exact = cvar_plan(prices, task.problem.polytope, alpha=0.1).value
    plan, values = task.problem.oracle(prices.mean(axis=0)[None])[0], []
    for _ in range(50):
        costs = prices @ plan
        tail = costs >= np.sort(costs)[::-1][19]
        plan = task.problem.oracle(prices[tail].mean(axis=0)[None])[0]
        values.append(float(cvar(prices @ plan, 0.1)))
    assert min(values) > exact + 0.01 * abs(exact)
    assert max(values[-10:]) - min(values[-10:]) > 0.01 * abs(exact)  # it has not settled


def test_paper__distance_of_cvars_needs_one_over_alpha() -> None:
    """A.1: |CVaR_p - CVaR_q| <= W1 fails; with 1 / alpha it holds with equality here."""
    alpha = 0.1
    p, q = np.zeros(100), np.r_[np.ones(10), np.zeros(90)]
    distance = float(np.abs(np.sort(p) - np.sort(q)).mean())  # W1 of equally many atoms
    gap = abs(float(cvar(p, alpha) - cvar(q, alpha)))
    assert gap > distance
    assert gap == pytest.approx(distance / alpha)


def test_paper__theorem_5_4_compares_two_functionals() -> None:
    """Definition 5.3: the same plan has two regrets, a mean at one point and a CVaR, so that their gap is no gain."""
    task = LinearTask(PROBLEMS["knapsack"]())
    samples = samples_of(task, 2_000, 1)[:, 0]
    cost = task.problem.cost
    best, plan = (task.decision.decide(samples[:, None], risk)[0] for risk in (0.1, 1.0))
    costs = cost(best, samples)
    at_one_point = samples[costs >= np.quantile(costs, 0.9)].mean(axis=0)
    of_point = float(cost(plan, at_one_point) - cost(best, at_one_point))
    of_cvar = float(cvar(cost(plan, samples) - cost(best, samples), 0.1))
    assert abs(of_point - of_cvar) > 0.1 * of_cvar  # one plan against itself


def test_paper__without_conservation_of_flow_the_best_path_is_none() -> None:
    """B.3 prints w in [0, 1]^n alone."""
    task = LinearTask(PROBLEMS["path"]())
    costs = samples_of(task)[:, 0]
    assert (costs > 0).all()
    from stormgym.agents.dfl.risk import Polytope

    assert not cvar_plan(costs, Polytope(0.0, 1.0), alpha=0.5).plan.any()
    assert task.decision.decide(costs[:, None], 0.5).sum() > 1.0


def test_paper__variance_has_two_norms() -> None:
    """Remark A.10 takes the Frobenius norm sigma^2 sqrt d of a covariance sigma^2 I, A.3 needs the operator norm."""
    covariance = 4.0 * np.eye(9)
    assert np.linalg.norm(covariance) == pytest.approx(4.0 * 3.0)
    assert np.linalg.norm(covariance, 2) == pytest.approx(4.0)


def test_paper__a_share_of_a_cost_that_passes_zero_is_no_scale() -> None:
    """Regret in percent of the best CVaR at the same risk: for some portfolios nothing can be gained in the tail."""
    problem = PortfolioProblem(n_test=40)
    cases = problem.cases("test")
    least = {risk: problem.true_risk(problem.true_plans(cases, risk), cases, risk) for risk in (0.02, 1.0)}
    assert (least[1.0] < -0.05).all()
    assert np.abs(least[0.02]).min() < 1e-6
