"""Losses for risk: SPO+ of the tail, the proper score as a loss, and the layer that both plans stand on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.decisions.linear import LinearCosts, LinearTask
from stormgym.agents.dfl.decision import proper_score
from stormgym.agents.dfl.losses import ProperRiskLoss, SPOPlusLoss, TailSPOPlusLoss, spo_plus
from stormgym.agents.dfl.risk import cvar, tail_weights
from stormgym.agents.dfl.risk_layer import risk_layer
from stormgym.envs.decisions.fractional_knapsack import FractionalKnapsackProblem
from stormgym.envs.decisions.shortest_path import ShortestPathProblem

INSTANCES = Path(os.environ.get("STORMGYM_DATA", "data-is-not-there")) / "instances" / "dfl"


def samples_of(task: LinearTask, n_samples: int, seed: int = 0) -> torch.Tensor:
    drawn = task.problem.true_outcomes(task.problem.cases("train"), n_samples, np.random.default_rng(seed))
    return torch.as_tensor(drawn).requires_grad_()


def outcomes_of(task: LinearTask) -> torch.Tensor:
    return torch.as_tensor(task.problem.cases("train").outcomes)


# ------------------------------------------------------------------------------------------------------------- SPO+


@pytest.mark.parametrize("name", ["spo_knapsack_1", "spo_knapsack_2", "spo_path_1", "spo_path_2"])
def test_spo_plus__has_the_values_and_gradients_of_known_instances(name: str) -> None:
    file = INSTANCES / f"{name}.json"
    if not file.is_file():
        pytest.skip("the instances are not here: set STORMGYM_DATA")
    known = json.loads(file.read_text())
    problem: Any
    if "knapsack" in name:
        problem = FractionalKnapsackProblem(len(known["weights"]), capacity=known["capacity"])
        problem.weights = np.array(known["weights"])
    else:
        side = 1 + max(max(node) for arc in known["arcs"] for node in arc)
        problem = ShortestPathProblem(side)
        assert problem.arcs.tolist() == known["arcs"] or sorted(problem.arcs.tolist()) == sorted(known["arcs"])
        order = [problem.arcs.tolist().index(arc) for arc in known["arcs"]]
        known = {
            **known,
            **{key: _reordered(known[key], order) for key in ("c", "c_hat", "w_true", "grad_c_hat")},
        }
    decision = LinearCosts(problem)
    true = decision.prices(torch.tensor(known["c"], dtype=torch.float64))
    predicted = torch.tensor(known["c_hat"], dtype=torch.float64).requires_grad_()
    plan = decision.oracle(true)
    torch.testing.assert_close(plan, torch.tensor(known["w_true"], dtype=torch.float64), atol=1e-8, rtol=0.0)
    loss = spo_plus(decision, decision.prices(predicted), true, plan)
    torch.testing.assert_close(loss, torch.tensor(known["loss"], dtype=torch.float64), atol=1e-8, rtol=0.0)
    (slope,) = torch.autograd.grad(loss.sum(), predicted)
    torch.testing.assert_close(slope, torch.tensor(known["grad_c_hat"], dtype=torch.float64), atol=1e-8, rtol=0.0)


def _reordered(rows: list[list[float]], order: list[int]) -> list[list[float]]:
    found = np.empty_like(np.array(rows))
    found[:, order] = rows
    return found.tolist()


def test_spo_plus__is_pyepos(decision: LinearCosts, task: LinearTask) -> None:
    """The gradient of SPO+ of PyEPO, by its own formula: 2 (w*(c) - w*(2 c^ - c))."""
    true, predicted = (decision.prices(values) for values in (outcomes_of(task), samples_of(task, 1)[0]))
    at = predicted.detach().requires_grad_()
    best = decision.oracle(true)
    loss = spo_plus(decision, at, true, best)
    (slope,) = torch.autograd.grad(loss.sum(), at)
    torch.testing.assert_close(slope, 2.0 * (best - decision.oracle(2.0 * at - true)))
    played = decision.oracle(at)
    regret = ((played - best) * true).sum(-1) + decision.quadratic_cost(played) - decision.quadratic_cost(best)
    assert (loss >= regret - 1e-7).all()
    assert (regret >= -1e-7).all()


def test_tail_spo_plus__at_risk_1_is_spo_plus_of_the_mean(decision: LinearCosts, task: LinearTask) -> None:
    forecast, outcomes = samples_of(task, 10), outcomes_of(task)
    ordinary, tail = SPOPlusLoss(0.0), TailSPOPlusLoss(0.0, 1.0)
    values = [
        loss(decision, forecast, outcomes, loss.targets(decision, outcomes), torch.Generator()).value
        for loss in (ordinary, tail)
    ]
    torch.testing.assert_close(*values)


@pytest.mark.parametrize("risk", [0.2, 0.5])
def test_tail_spo_plus__counts_events_of_the_tail_and_moves_its_samples_alone(
    decision: LinearCosts, task: LinearTask, risk: float
) -> None:
    forecast, outcomes = samples_of(task, 20), outcomes_of(task)
    loss, every = TailSPOPlusLoss(0.0, risk), TailSPOPlusLoss(0.0, risk, every_event=True)
    targets = loss.targets(decision, outcomes)
    value = loss(decision, forecast, outcomes, targets, torch.Generator()).value
    of_all = every(decision, forecast, outcomes, targets, torch.Generator()).value
    found = decision.tail(decision.prices(forecast.detach()), risk)
    beyond = (decision.prices(outcomes) * found.plan).sum(-1) > found.threshold
    assert 0 < int(beyond.sum()) < len(beyond)
    torch.testing.assert_close(value, torch.where(beyond, of_all / risk, torch.zeros_like(of_all)))
    (slope,) = torch.autograd.grad(of_all.sum(), forecast)
    moved = slope.abs().sum(-1) > 0
    assert (found.weight[moved] > 0).all()
    assert moved.any()


# ------------------------------------------------------------------------------------------------------ proper score


def test_tail__is_a_best_plan_for_the_mean_of_its_own_tail(decision: LinearCosts, task: LinearTask) -> None:
    """The saddle point that `TailSPOPlusLoss` rests on."""
    prices = decision.prices(samples_of(task, 50).detach())
    found = decision.tail(prices, 0.2)
    tail = (found.weight[..., None] * prices).sum(0)
    best = decision.oracle(tail)
    cost, least = ((tail * plan).sum(-1) + decision.quadratic_cost(plan) for plan in (found.plan, best))
    torch.testing.assert_close(cost, least, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("risk", [0.1, 0.5, 1.0])
def test_proper_score__is_least_for_the_true_law(task: LinearTask, risk: float) -> None:
    """On many outcomes of one context: no other law scores better than samples of the true one."""
    case = task.problem.cases("train").rows(np.zeros(1, dtype=np.int64))
    came = task.problem.true_outcomes(case, 4_000, np.random.default_rng(1))[:, 0]
    planned = task.problem.true_outcomes(case, 1_000, np.random.default_rng(2))

    def score(samples: Any) -> float:
        many = np.repeat(samples, len(came), axis=1)[:, :1]
        plan = task.decision.decide(many, risk)
        if risk == 1.0:
            return float(task.problem.cost(plan, came).mean())
        eta = np.partition(task.problem.cost(plan, many[:, 0]), -int(risk * len(many)) - 1)[-int(risk * len(many)) - 1]
        return float((eta + np.maximum(task.problem.cost(plan, came) - eta, 0.0) / risk).mean())

    true = score(planned)
    spread = planned - planned.mean(0)
    others = (planned * 1.3, planned.mean(0) + 0.3 * spread, planned[..., ::-1])
    noise = 3e-3 * float(task.problem.cost(task.decision.decide(planned, risk), came).std()) + 1e-9
    assert all(true <= score(np.ascontiguousarray(other)) + noise for other in others)
    at_best = task.decision.decide(planned, risk)
    assert true == pytest.approx(float(cvar(task.problem.cost(at_best, came), risk)), abs=30 * noise)


def test_proper_score__is_the_formula(decision: LinearCosts, task: LinearTask) -> None:
    samples, outcomes = samples_of(task, 20).detach().numpy(), outcomes_of(task).numpy()
    found = proper_score(decision, samples, outcomes, 0.25)
    plans = decision.decide(samples, 0.25)
    for event in (0, 3):
        costs = task.problem.cost(plans[event], samples[:, event])
        eta = np.sort(costs)[::-1][5]
        came = float(task.problem.cost(plans[event], outcomes[event]))
        assert found[event] == pytest.approx(eta + max(came - eta, 0.0) / 0.25)
        assert cvar(costs, 0.25) == pytest.approx(eta + np.maximum(costs - eta, 0.0).mean() / 0.25)
    np.testing.assert_array_equal(
        proper_score(decision, samples, outcomes, 1.0), task.problem.cost(decision.decide(samples), outcomes)
    )


@pytest.mark.parametrize("risk", [0.2, 1.0])
def test_proper_loss__falls_along_its_slope(decision: LinearCosts, task: LinearTask, risk: float) -> None:
    loss, outcomes, forecast = ProperRiskLoss(0.0, risk, 1.0), outcomes_of(task), samples_of(task, 20)
    targets = loss.targets(decision, outcomes)

    def value(samples: torch.Tensor) -> torch.Tensor:
        return loss(decision, samples, outcomes, targets, torch.Generator()).value.mean()

    (slope,) = torch.autograd.grad(value(forecast), forecast)
    assert slope.abs().max() > 0
    step = 0.02 * float(outcomes.abs().mean()) / float(slope.abs().max())
    assert value((forecast - step * slope).detach()) < value(forecast.detach())


@pytest.mark.parametrize("risk", [0.2, 1.0])
def test_layer__plans_are_the_decision_s_where_the_quadratic_vanishes(
    decision: LinearCosts, task: LinearTask, risk: float
) -> None:
    prices = decision.prices(samples_of(task, 30).detach())
    plan, threshold = risk_layer(decision, prices, risk, 1e-6)
    exact = decision.decide(task.problem.sense * prices.numpy(), risk)
    costs = [
        cvar(np.moveaxis((prices.numpy() * p).sum(-1), 0, -1), risk)
        + decision.quadratic_cost(torch.as_tensor(p)).numpy()
        for p in (plan.numpy(), exact)
    ]
    np.testing.assert_allclose(*costs, rtol=1e-3, atol=1e-4)
    if risk < 1.0:
        at = (prices.numpy() * plan.numpy()).sum(-1).T
        tail = (tail_weights(at, risk) * at).sum(-1)
        assert (threshold.numpy() <= tail + 1e-6).all()
