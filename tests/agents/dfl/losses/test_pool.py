"""Losses on a pool: values as PyEPO's, CVaR in place of the mean, whom they pull where, what the pool keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.decisions.linear import LinearCosts, LinearTask
from stormgym.agents.dfl.losses import PoolLoss
from stormgym.agents.dfl.losses import pool as pool_module
from stormgym.agents.dfl.risk import cvar

KINDS: tuple[Any, ...] = ("nce", "map", "pairwise", "listwise")


@pytest.fixture(autouse=True)
def no_fresh_plans(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The pool stays what it begins with, so that values can be computed by hand."""
    if "keeps" not in request.node.name:
        monkeypatch.setattr(pool_module, "SOLVED_SHARE", 0.0)


def outcomes_of(task: LinearTask) -> torch.Tensor:
    return torch.as_tensor(task.problem.cases("train").outcomes)


def forecast_of(task: LinearTask, n_samples: int = 1) -> torch.Tensor:
    drawn = task.problem.true_outcomes(task.problem.cases("train"), n_samples, np.random.default_rng(0))
    return torch.as_tensor(drawn).requires_grad_()


def value(loss: PoolLoss, task: LinearTask, forecast: Any, noise: torch.Generator) -> torch.Tensor:
    outcomes = outcomes_of(task)
    return loss(task.decision, forecast, outcomes, loss.targets(task.decision, outcomes), noise).value


@pytest.mark.parametrize("task", ["path", "knapsack"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_value__is_that_of_pyepo(task: LinearTask, kind: Any, noise: torch.Generator) -> None:
    """PyEPO's own losses on the same pool; its costs are linear, so there is no portfolio among them."""
    pyepo = pytest.importorskip("pyepo", reason="PyEPO is not installed")
    from pyepo.data.dataset import optDataset
    from pyepo.model.opt import optModel

    class Model(optModel):  # type: ignore[misc,name-defined]
        """The problem's oracle under PyEPO's names; costs come with their sign."""

        modelSense = pyepo.EPO.MINIMIZE

        def _getModel(self) -> tuple[Any, Any]:
            return None, range(task.problem.n)

        def setObj(self, c: Any) -> None:
            self.c = np.asarray(c)

        def solve(self) -> tuple[Any, float]:
            plan = task.problem.oracle(self.c[None])[0]
            return plan, float(plan @ self.c)

    loss = PoolLoss(kind)
    outcomes = outcomes_of(task)
    true, plans = loss.targets(task.decision, outcomes)
    cases = task.problem.cases("train")
    data = optDataset(Model(), cases.context["features"], true.numpy())
    name = {"nce": "NCE", "map": "contrastiveMAP", "pairwise": "prLTR", "listwise": "lsLTR"}[kind]
    peer = getattr(pyepo.func, name)(Model(), solve_ratio=0.0, reduction="none", dataset=data)
    assert len(peer.solpool) == len(loss.pool)
    forecast = forecast_of(task)
    prices = task.decision.prices(forecast)[0]
    ours = loss(task.decision, forecast, outcomes, (true, plans), noise).value
    tau = pool_module.TEMPERATURE * loss.scale(()) if kind == "listwise" else 1.0
    peer.solpool = loss.pool
    target = plans if kind in ("nce", "map") else true / tau
    theirs = peer(prices / tau, target).double()
    if kind == "map":
        theirs = theirs.clamp_min(0.0)
    if kind == "pairwise":  # PyEPO leaves the best one out of the mean
        theirs = theirs * (len(loss.pool) - 1) / len(loss.pool)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    slopes = [torch.autograd.grad(v.sum(), forecast, retain_graph=True)[0] for v in (ours, theirs)]
    torch.testing.assert_close(*slopes, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["nce", "map"])
@pytest.mark.parametrize("risk", [0.1, 0.33, 1.0])
def test_contrastive__compares_cvar_of_samples(
    task: LinearTask, kind: Any, risk: float, noise: torch.Generator
) -> None:
    loss, forecast = PoolLoss(kind, risk), forecast_of(task, 10)
    found = value(loss, task, forecast, noise).detach().numpy()
    costs, samples = task.problem.cost, forecast.detach().numpy()
    best = task.problem.best(outcomes_of(task).numpy())
    for event in (0, 5):
        own = cvar(costs(best[event], samples[:, event]), risk)
        others = [cvar(costs(plan, samples[:, event]), risk) for plan in loss.pool.numpy()]
        gain = own - np.array(others)
        assert found[event] == pytest.approx(gain.mean() if kind == "nce" else max(gain.max(), 0.0), abs=1e-9)


def test_contrastive__pulls_the_target_down_and_the_printed_sign_pushes_it_up(task: LinearTask) -> None:
    """Gen-DFL prints f(w_s) - f(w*), whose descent makes the best plan the worst one."""
    loss, forecast = PoolLoss("nce"), forecast_of(task)
    (slope,) = torch.autograd.grad(value(loss, task, forecast, torch.Generator()).sum(), forecast)
    outcomes = outcomes_of(task)
    _, plans = loss.targets(task.decision, outcomes)

    def margin(step: float) -> float:
        """How much dearer the mean of the pool is than the target."""
        moved = (forecast - step * slope).detach()
        return -float(value(loss, task, moved, torch.Generator()).mean())

    assert margin(0.1) > margin(0.0) > margin(-0.1)
    assert len(plans) == len(outcomes)


def test_targets__are_the_plans_of_a_proxy_where_they_are_given(decision: LinearCosts, task: LinearTask) -> None:
    outcomes = outcomes_of(task)
    given = decision.oracle(decision.prices(outcomes.mean(0, keepdim=True))).expand(len(outcomes), -1)
    loss = PoolLoss("map", target_plans=given)
    _, plans = loss.targets(decision, outcomes)
    assert torch.equal(plans, given)
    assert len(loss.pool) == 1
    with pytest.raises(ValueError, match="target_plans must be"):
        PoolLoss("map", target_plans=given[:2]).targets(decision, outcomes)


def test_pool__keeps_the_latest_and_no_plan_twice(
    decision: LinearCosts, task: LinearTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "SOLVED_SHARE", 1.0)
    monkeypatch.setattr(pool_module, "MOST_PLANS", 5)
    loss, outcomes = PoolLoss("nce"), outcomes_of(task)
    targets = loss.targets(decision, outcomes)
    assert len(loss.pool) <= 5
    assert len(torch.unique(loss.pool, dim=0)) == len(loss.pool)
    forecast = 0.5 * outcomes[None] + 0.1 * torch.rand(outcomes.shape, generator=torch.Generator().manual_seed(1))
    loss(decision, forecast, outcomes, targets, torch.Generator())
    newest = decision.oracle(decision.prices(forecast[0]))[-1]
    assert (loss.pool - newest).abs().sum(-1).min() < 1e-9


def test_errors__say_what_is_wrong() -> None:
    wrong: Any = "infonce"
    with pytest.raises(ValueError, match=r"kind must be one of nce, map, pairwise, listwise; got 'infonce'"):
        PoolLoss(wrong)
    with pytest.raises(ValueError, match=r"risk must be in \(0, 1\]"):
        PoolLoss("nce", 0.0)
