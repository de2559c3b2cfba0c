"""Learning where to bury: the knapsack is exact, gradients right, and learners find what a fit does not."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp
from sklearn.exceptions import NotFittedError
from torch import Tensor

from stormgym.agents.dfl.learner import FineTuning, fine_tune
from stormgym.agents.dfl.losses import relaxed_cost, relaxed_plan, spo_plus
from stormgym.agents.dfl.problem import regret
from stormgym.agents.dfl.qp_layer import qp_layer
from stormgym.agents.undergrounding.decision import (
    TUNING,
    KnapsackProblem,
    SAIDIModel,
    SeasonEvents,
    fit_saidi_forecaster,
    simulated_seasons,
    tuning_of,
)
from stormgym.envs.risk import cvar
from stormgym.envs.undergrounding.profiles import resolve_profile

TEN = resolve_profile("ten")


def problem_of(seed: int, k: int = 8, *, equal: bool = False) -> KnapsackProblem:
    rng = np.random.default_rng(seed)
    cost = np.ones(k) if equal else rng.uniform(1.0, 5.0, k).round(1)
    return KnapsackProblem(cost, 3.0 if equal else 0.4 * float(cost.sum()), rng.uniform(0.5, 2.0, k))


def capped_simplex(gain: Tensor, cost: Tensor, budget: float, curvature: float) -> Tensor:
    """(gain - nu cost) / curvature, of which clip(., 0, 1) is argmin -gain.x + curvature x^2 / 2 over cost.x <= budget.

    nu >= 0 by bisection, then one differentiable step with active bounds held, which is exact.
    """
    with torch.no_grad():
        low, high = torch.zeros(len(gain), 1).double(), (gain / cost).amax(-1, keepdim=True).clamp_min(0.0)
        within = ((gain / curvature).clamp(0.0, 1.0) * cost).sum(-1, keepdim=True) <= budget
        for _ in range(60):
            nu = 0.5 * (low + high)
            over = (((gain - nu * cost) / curvature).clamp(0.0, 1.0) * cost).sum(-1, keepdim=True) > budget
            low, high = torch.where(over, nu, low), torch.where(over, high, nu)
        x = (gain - 0.5 * (low + high) * cost) / curvature
        free, full = ((x > 0.0) & (x < 1.0)).double(), (x >= 1.0).double()
        weight = (free * cost**2).sum(-1, keepdim=True)
        held = within | (weight == 0.0)
    spent = (free * cost * gain).sum(-1, keepdim=True) + curvature * (full * cost).sum(-1, keepdim=True)
    exact = (spent - curvature * budget) / torch.where(held, 1.0, weight)
    nu = torch.where(within, 0.0, torch.where(held, 0.5 * (low + high), exact))
    return (gain - nu * cost) / curvature


# the decision


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_decide__is_the_best_of_all_plans(seed: int, equal: bool) -> None:
    problem, rng = problem_of(seed, equal=equal), np.random.default_rng([seed, 1])
    hours = rng.gamma(2.0, 3.0, (3, 20, 8)) * rng.integers(0, 2, (3, 20, 8))  # some lose nothing
    every = np.array(list(product((0.0, 1.0), repeat=8)))
    every = every[every @ problem.protect_cost <= problem.budget * (1 + 1e-9)]
    plans = problem.decide(hours)
    assert plans.shape == (20, 8)
    assert (plans @ problem.protect_cost <= problem.budget * (1 + 1e-9)).all()
    mean = hours.mean(axis=0)
    best = np.array([problem.cost(every, np.repeat(row[None], len(every), axis=0)).min() for row in mean])
    np.testing.assert_allclose(problem.cost(plans, mean), best, rtol=1e-12)


def test_decide__agrees_with_a_solver_on_the_profile() -> None:
    problem, hours = KnapsackProblem.of(TEN), simulated_seasons(TEN, 25, 3).outcomes
    for plan, row in zip(problem.decide(hours[None]), hours, strict=True):
        rows = LinearConstraint(TEN.protect_cost[None], ub=TEN.budget)
        answer: Any = milp(-problem.weights * row, integrality=np.ones(10), bounds=Bounds(0, 1), constraints=rows)
        assert (problem.weights * row) @ plan == pytest.approx(-answer.fun, rel=1e-9)


def test_cost__is_the_saidi_of_what_is_not_buried() -> None:
    hours = np.array([[1.0, 4.0, 7.0]])
    problem = KnapsackProblem(np.ones(3), 1)
    plan = problem.decide(hours[None])
    np.testing.assert_array_equal(plan, [[0.0, 0.0, 1.0]])
    assert problem.cost(plan, hours)[0] == pytest.approx(5.0 / 3.0)  # GDF eq. 16
    own = KnapsackProblem.of(TEN)
    season = simulated_seasons(TEN, 4, 0).outcomes
    np.testing.assert_allclose(own.cost(np.zeros((4, 10)), season), TEN.loss_h(season))


def test_prices__of_a_plan_add_up_to_its_cost() -> None:
    problem, hours = problem_of(5), np.random.default_rng(0).gamma(2.0, 3.0, (6, 8))
    plans = problem.decide(hours[None])
    left = 1.0 - plans @ problem.protect_cost / problem.budget
    x = torch.as_tensor(np.column_stack([plans, left]))
    prices = problem.prices(torch.as_tensor(hours))
    torch.testing.assert_close(problem.constraints.times(x), torch.ones(6, 1).double())
    saved = problem.cost(np.zeros_like(plans), hours) - problem.cost(plans, hours)
    np.testing.assert_allclose((prices * x).sum(-1), -saved)


def test_constraints__a_region_above_the_budget_is_never_buried() -> None:
    problem, hours = KnapsackProblem([2.0, 9.0, 2.0], 4.0), np.array([[1.0, 50.0, 1.0]])
    np.testing.assert_array_equal(problem.decide(hours[None]), [[1.0, 0.0, 1.0]])
    x = relaxed_plan(problem, problem.prices(torch.as_tensor(hours)))
    torch.testing.assert_close(x[0], torch.tensor([1.0, 0.0, 1.0, 0.0]).double(), atol=1e-3, rtol=0.0)


# gradients


@given(seed=st.integers(0, 10_000), rho=st.floats(0.3, 30.0))
@settings(max_examples=25, deadline=None)
def test_qp_route__is_the_projection_in_closed_form(seed: int, rho: float) -> None:
    """To the curvature that what is left of the budget has in the QP."""
    problem = problem_of(seed, equal=seed % 2 == 0)
    rng = np.random.default_rng([seed, 2])
    hours = torch.as_tensor(rng.gamma(2.0, 3.0, (5, 8))).requires_grad_()
    to = torch.as_tensor(rng.standard_normal((5, 8)))
    x = qp_layer(problem.prices(hours), problem.curvature(rho), problem.constraints, tolerance=1e-12)[:, :-1]
    h, b = torch.as_tensor(problem.weights), torch.as_tensor(problem.protect_cost)
    unclipped = capped_simplex(h * hours, b, problem.budget, rho * float(problem.weights.mean()))
    peer = unclipped.clamp(0.0, 1.0)
    torch.testing.assert_close(x, peer, atol=1e-3, rtol=0.0)
    (ours,) = torch.autograd.grad((x * to).sum(), hours)
    (theirs,) = torch.autograd.grad((peer * to).sum(), hours)
    smooth = ~((unclipped.abs() < 2e-3) | ((unclipped - 1.0).abs() < 2e-3)).any(-1)  # at a kink there is no gradient
    torch.testing.assert_close(ours[smooth], theirs[smooth], atol=2e-2 / rho, rtol=1e-2)


def test_relaxed_cost__gradient_agrees_with_finite_differences() -> None:
    problem, rng = problem_of(1), np.random.default_rng(3)
    true = problem.prices(torch.as_tensor(rng.gamma(2.0, 3.0, (4, 8))))
    hours = torch.as_tensor(rng.gamma(2.0, 3.0, (4, 8))).requires_grad_()

    def cost(at: Tensor) -> Tensor:
        return relaxed_cost(problem, problem.prices(at), true, 8.0).sum()

    (gradient,) = torch.autograd.grad(cost(hours), hours)
    assert gradient.abs().max() > 0.1
    for place in gradient.abs().flatten().argsort(descending=True)[:6].tolist():
        step = torch.zeros(hours.numel(), dtype=torch.float64)
        step[place] = 1e-3
        with torch.no_grad():
            change = cost(hours + step.view_as(hours)) - cost(hours - step.view_as(hours))
        assert gradient.flatten()[place].item() == pytest.approx(change.item() / 2e-3, rel=2e-2)


@pytest.mark.parametrize("equal", [True, False])
def test_spo_plus__bounds_the_regret_and_is_zero_at_the_truth(equal: bool) -> None:
    problem, rng = problem_of(2, equal=equal), np.random.default_rng(4)
    true = rng.gamma(2.0, 3.0, (30, 8))
    predicted = true + rng.normal(0.0, 4.0, (30, 8))
    prices, others = (problem.prices(torch.as_tensor(hours)) for hours in (true, predicted))
    best = relaxed_plan(problem, prices)
    loss = spo_plus(problem, others, prices, best)
    played = relaxed_plan(problem, others)
    assert (loss >= ((played - best) * prices).sum(-1) - 1e-2).all()
    torch.testing.assert_close(spo_plus(problem, prices, prices, best), torch.zeros(30).double(), atol=1e-2, rtol=0.0)
    if equal:  # the relaxation is whole, so it bounds the regret of whole plans too
        assert (loss.numpy() >= regret(problem, predicted[None], true) - 1e-2).all()


# the forecaster


def seasons_with_a_hidden_storm(seed: int, n: int, k: int = 6) -> SeasonEvents:
    """A storm's strength z, which nobody sees, raises x and the hours of all regions; within a season x lowers them.

    The nearest fit rises in x, as x tells of z. A plan compares regions of one season, and there it must fall.
    """
    rng = np.random.default_rng(seed)
    z, own = rng.standard_normal((n, 1)), 0.5 * rng.standard_normal((n, k))
    return SeasonEvents((z + own)[..., None], np.maximum(12.0 + 3.0 * z - 2.0 * own, 0.0))


@pytest.mark.parametrize("loss", ["qp", "spo+", "listwise"])
def test_fine_tune__finds_what_a_fit_without_the_storm_does_not(loss: Any) -> None:
    train, validation, test = (seasons_with_a_hidden_storm(seed, n) for seed, n in ((0, 150), (1, 80), (2, 200)))
    problem = KnapsackProblem(np.ones(6), 2)
    model = SAIDIModel(("x",), n_steps=100).fit(train.X, train.outage_h)
    before = regret(problem, model.predict(test.X)[None], test.outcomes).mean()
    settings = replace(tuning_of(loss, problem, train), n_epochs=8, fit_weight=0.0)
    tuned = fine_tune(model, problem, train, validation, settings)
    assert tuned.best_epoch > 0
    assert regret(problem, model.predict(test.X)[None], test.outcomes).mean() < 0.2 * before


def test_tuning_of__a_temperature_is_in_mean_gains_of_a_region() -> None:
    problem, events = problem_of(3), SeasonEvents(np.zeros((2, 8, 1)), np.array([[1.0] * 8, [3.0] * 8]))
    found = tuning_of("listwise", problem, events)
    assert found.temperature == pytest.approx(TUNING["listwise"].temperature * 2.0 * problem.weights.mean())
    calm = SeasonEvents(events.X, np.zeros((2, 8)))
    assert tuning_of("so-ebm", problem, calm).temperature > 0
    assert replace(tuning_of("qp", problem, events), temperature=1.0) == TUNING["qp"]


def test_model__fits_keeps_zero_and_is_the_same_to_the_bit() -> None:
    events, other = simulated_seasons(TEN, 60, 1), simulated_seasons(TEN, 60, 2)
    models = [SAIDIModel(n_steps=80, random_state=3).fit(events.X, events.outage_h) for _ in range(2)]
    first, second = (model.predict(other.X) for model in models)
    np.testing.assert_array_equal(first, second)
    assert (first >= 0).all()
    assert ((first - other.outcomes) ** 2).mean() < 0.7 * other.outcomes.var()
    tuned = [fine_tune(model, KnapsackProblem.of(TEN), events, other, FineTuning("qp", n_epochs=2)) for model in models]
    np.testing.assert_array_equal(tuned[0].regret, tuned[1].regret)
    np.testing.assert_array_equal(models[0].predict(other.X), models[1].predict(other.X))
    np.testing.assert_array_equal(
        SAIDIModel(n_steps=1).fit(events.X, np.zeros((60, 10))).predict(events.X) < 1e-8, True
    )


def test_seasons__are_those_of_the_profile_and_its_features() -> None:
    streams = [np.random.default_rng([4, i]) for i in range(3)]
    seasons = TEN.seasons(streams)
    events = simulated_seasons(TEN, 3, 4)
    np.testing.assert_array_equal(events.outcomes, seasons.outage_h)
    np.testing.assert_array_equal(events.X, TEN.known_before(seasons.covariates))
    assert simulated_seasons(TEN, 3, 4, names=("wind_ms",)).X.shape == (3, 10, 1)
    assert len(events.rows(np.array([2]))) == 1


def test_fit_saidi_forecaster__is_shared_by_costs_and_storms(monkeypatch: pytest.MonkeyPatch) -> None:
    from stormgym.agents.undergrounding import decision as undergrounding

    monkeypatch.setattr(undergrounding, "TUNING", {k: replace(v, n_epochs=1, margin=0.0) for k, v in TUNING.items()})
    small = resolve_profile("synthetic:4:3")
    start = fit_saidi_forecaster(small)
    assert start.feature_names == TEN.feature_names
    assert fit_saidi_forecaster(replace(small, budget=1.0), "qp") is start  # nothing to decide
    tuned = fit_saidi_forecaster(small, "spo+")
    assert fit_saidi_forecaster(replace(small, name="another", n_crews=2), "spo+") is tuned
    assert fit_saidi_forecaster(replace(small, budget=small.budget + 1.0), "spo+") is not tuned
    ranked = [fit_saidi_forecaster(small, loss) for loss in ("so-ebm", "listwise")]
    assert len({id(model) for model in (start, tuned, *ranked)}) == 4
    again = copy.deepcopy(start)
    assert all(torch.equal(a, b) for a, b in zip(start.parameters(), again.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"loss must be one of mse, qp, spo\+, so-ebm, listwise; got 'crps'"):
        fit_saidi_forecaster(small, "crps")  # type: ignore[arg-type]


# what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0]], 1.0), r"cost must be \[K\], one a region; got shape \(1, 1\)"),
        (([1.0, 0.0], 1.0), r"cost must be above 0 and finite; got 0\.0 as the least"),
        (([1.0, 2.0], 0.0), r"budget must be above 0 and finite, or there is nothing to decide; got 0\.0"),
        (([1.0, 2.0], 1.0, [1.0]), r"weights must be \[2\] as cost"),
        (([1.0, 2.0], 1.0, [0.0, 0.0]), "weights must not all be 0"),
    ],
)
def test_problem__bad_numbers_are_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KnapsackProblem(*arguments)


def test_model__bad_numbers_are_named() -> None:
    events = simulated_seasons(TEN, 4, 0)
    with pytest.raises(ValueError, match=r"n_steps must be at least 1 and learning_rate above 0; got 0 and 0\.003"):
        SAIDIModel(n_steps=0)
    with pytest.raises(ValueError, match="feature_names must name at least one covariate"):
        SAIDIModel(())
    model = SAIDIModel(n_steps=1)
    with pytest.raises(NotFittedError, match="call fit"):
        model.predict(events.X)
    with pytest.raises(ValueError, match=r"X must be \[E, K, 4\], of temperature_c, .*; got shape \(4, 10, 2\)"):
        model.fit(events.X[..., :2], events.outage_h)
    with pytest.raises(ValueError, match=r"y must be \[E, K\] = \(4, 10\) as X"):
        model.fit(events.X, events.outage_h[:, :3])
    with pytest.raises(ValueError, match="y must be hours of at least 0"):
        model.fit(events.X, -events.outage_h)
    with pytest.raises(ValueError, match="X must be finite; got nan"):
        model.fit(events.X * np.nan, events.outage_h)


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("risk", [0.1, 0.33, 0.5])
def test_decide__at_risk_is_the_best_of_all_plans_on_correlated_hours(risk: float, equal: bool) -> None:
    problem, rng = problem_of(3, equal=equal), np.random.default_rng(8)
    hours = rng.gamma(1.0, 2.0, (20, 2, 8)) + rng.gamma(0.5, 4.0, (20, 2, 1)) * (np.arange(8) % 2)  # [S, B, K]
    plans = np.array(list(product([0.0, 1.0], repeat=8)))
    plans = plans[plans @ problem.protect_cost <= problem.budget * (1 + 1e-9)]
    found = problem.decide(hours, risk)
    for b in range(2):
        values = cvar(problem.cost(plans[:, None], hours[None, :, b]), risk)  # [P]
        assert cvar(problem.cost(found[b], hours[:, b]), risk) == pytest.approx(values.min(), rel=1e-6)
        assert found[b] @ problem.protect_cost <= problem.budget * (1 + 1e-9)


def test_decide__risk_of_one_is_the_mean_and_of_nothing_an_error() -> None:
    problem, hours = problem_of(4), np.random.default_rng(9).gamma(1.0, 2.0, (20, 3, 8))
    np.testing.assert_array_equal(problem.decide(hours, 1.0), problem.decide(hours.mean(axis=0)[None]))
    with pytest.raises(ValueError, match=r"risk must be in \(0, 1\].*got 0"):
        problem.decide(hours, 0.0)
