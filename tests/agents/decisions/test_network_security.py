"""The network security game as a decision: gradients, plans and their derivative, networks and what they are worth."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stormgym.agents.decisions.network_security import (
    GCNModel,
    GCNPolicyNet,
    NetworkSecurity,
    NetworkSecurityTask,
    inverse_on_plane,
)
from stormgym.agents.dfl.learner import fine_tune
from stormgym.envs.decisions.network_security import NetworkSecurityProblem
from stormgym.envs.decisions.problem import Cases
from stormgym.envs.decisions.security_game import FULL as WHOLE_BUDGET
from stormgym.envs.decisions.security_game import SecurityGame

FULL = os.environ.get("STORMGYM_FULL") == "1"
SMALL: dict[str, Any] = {"n_nodes": 20, "radius": 0.4}
NOISE = torch.Generator()


@pytest.fixture(scope="module")
def problem() -> NetworkSecurityProblem:
    return NetworkSecurityProblem(**SMALL)


@pytest.fixture(scope="module")
def decision(problem: NetworkSecurityProblem) -> NetworkSecurity:
    return NetworkSecurity(problem)


def phis(problem: NetworkSecurityProblem, *index: int) -> Tensor:
    return torch.tensor(problem.cases("train").outcomes[list(index)])


# ------------------------------------------------------------------------------------------------ the decision


@pytest.mark.parametrize("number", [1, 2])
def test_gradients__agree_with_the_reference_games(number: int, shared_data: Path) -> None:
    read = json.loads((shared_data / f"instances/dfl/nsg_{number}.json").read_text())
    names = ("sources", "targets", "utility", "omega", "delta")
    game = SecurityGame(read["edges"], len(read["phi"]), **{name: read[name] for name in names})
    cover, phi = (torch.tensor(read[name], dtype=torch.float64).requires_grad_() for name in ("coverage", "phi"))
    loss = game.cost(cover, phi)
    loss.backward()
    assert loss.item() == pytest.approx(read["loss"], abs=1e-8)
    np.testing.assert_allclose(cover.grad, read["grad_coverage"], atol=1e-8)
    np.testing.assert_allclose(phi.grad, read["grad_phi"], atol=1e-8)


def test_cost__tensors_and_arrays_agree(problem: NetworkSecurityProblem, decision: NetworkSecurity) -> None:
    covers = problem.project(np.random.default_rng(0).random((4, problem.n)))
    phi = problem.cases("train").outcomes[:3]
    arrays = decision.cost(covers[:, None], phi)
    tensors = decision.cost(torch.tensor(covers)[:, None], torch.tensor(phi))
    np.testing.assert_allclose(tensors.numpy(), arrays, rtol=1e-12)


def test_cost__second_derivative_is_sound(problem: NetworkSecurityProblem) -> None:
    game = SecurityGame([[0, 1], [1, 2], [0, 2], [2, 3]], 4, [0], [3], [6.0])
    cover = torch.tensor([0.2, 0.3, 0.1, 0.4], dtype=torch.float64, requires_grad=True)
    phi = torch.tensor([0.1, -0.4, 0.3, 0.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(game.cost, (cover, phi))


def test_cost__covers_are_clipped_first(problem: NetworkSecurityProblem, decision: NetworkSecurity) -> None:
    cover, phi = torch.full((problem.n,), -0.1, dtype=torch.float64), phis(problem, 0)[0]
    assert decision.cost(cover, phi) == decision.cost(torch.zeros_like(cover), phi)
    assert decision.cost(cover.numpy(), phi.numpy()) == decision.cost(0 * cover.numpy(), phi.numpy())


def test_energy__is_the_mean_cost_over_samples(problem: NetworkSecurityProblem, decision: NetworkSecurity) -> None:
    forecast = torch.stack([phis(problem, 0, 1), phis(problem, 2, 3), phis(problem, 4, 5)])  # [S = 3, B = 2, N]
    plans = torch.rand((5, 2, problem.n), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    energy = decision.energy(forecast, plans)
    assert energy.shape == (5, 2)
    for m, b in np.ndindex(5, 2):
        by_sample = [float(decision.cost(plans[m, b], forecast[s, b])) for s in range(3)]
        assert energy[m, b].item() == pytest.approx(np.mean(by_sample))


def test_decide__one_sample_is_the_best_in_hindsight(
    problem: NetworkSecurityProblem, decision: NetworkSecurity
) -> None:
    phi = phis(problem, 0, 1).numpy()
    assert (decision.decide(phi[None]) == problem.best(phi)).all()


def test_decide__samples_are_better_than_their_mean(problem: NetworkSecurityProblem, decision: NetworkSecurity) -> None:
    samples = 2 * problem.cases("train").outcomes[:12, None]  # [S, 1, N]
    on_samples, on_mean = decision.decide(samples), decision.decide(samples.mean(axis=0, keepdims=True))
    assert decision.cost(on_samples, samples).mean() < decision.cost(on_mean, samples).mean()


def test_decide__another_shape_is_refused(decision: NetworkSecurity) -> None:
    with pytest.raises(ValueError, match=r"forecast must be samples \[S, B, 20\]; got shape \(1, 20\)"):
        decision.decide(np.zeros((1, 20)))


def test_project__is_that_of_the_problem_without_gradient(
    problem: NetworkSecurityProblem, decision: NetworkSecurity
) -> None:
    plans = torch.rand((2, 3, problem.n), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    nearest = decision.project(plans.requires_grad_())
    assert not nearest.requires_grad
    assert (nearest.numpy() == problem.project(plans.detach().numpy())).all()
    assert (nearest.sum(dim=-1) <= problem.budget * WHOLE_BUDGET).all()


# ------------------------------------------------------------------------------------------------ the plan's derivative


def test_plan__value_is_that_of_decide(problem: NetworkSecurityProblem, decision: NetworkSecurity) -> None:
    forecast = phis(problem, 0, 1)[None]
    without = decision.plan(forecast)
    assert not without.requires_grad
    plan = decision.plan(forecast.requires_grad_())
    assert plan.requires_grad
    assert (plan.detach() == without).all()
    assert (without.numpy() == decision.decide(forecast.detach().numpy())).all()


@pytest.mark.parametrize("n_samples", [1, 3])
def test_plan__derivative_agrees_with_finite_differences_where_the_optimum_is_stable(n_samples: int) -> None:
    problem = NetworkSecurityProblem(instance=1)
    decision, b, step = NetworkSecurity(problem), 6 // n_samples, 3e-3
    forecast = phis(problem, *range(b * n_samples)).reshape(n_samples, b, -1).requires_grad_()
    true = phis(problem, *range(20, 20 + b))
    plan = decision.plan(forecast)
    decision.cost(plan, true).sum().backward()
    assert forecast.grad is not None
    towards = np.random.default_rng(0).standard_normal(forecast.shape)
    derivative = (forecast.grad.numpy() * towards).sum(axis=(0, 2))
    sides = [decision.decide(forecast.detach().numpy() + sign * step * towards) for sign in (1, -1)]
    by_steps = (decision.cost(sides[0], true.numpy()) - decision.cost(sides[1], true.numpy())) / (2 * step)
    used = plan.detach().numpy() > 1e-6
    stable = ((sides[0] > 1e-6) == used).all(axis=1) & ((sides[1] > 1e-6) == used).all(axis=1)
    assert stable.sum() >= b / 2
    np.testing.assert_allclose(derivative[stable], by_steps[stable], rtol=2e-3, atol=2e-4)


def test_plan__derivative_keeps_a_spent_budget(problem: NetworkSecurityProblem, decision: NetworkSecurity) -> None:
    forecast = phis(problem, 0)[None].requires_grad_()
    (slope,) = torch.autograd.grad(decision.plan(forecast).sum(), forecast)
    assert slope.abs().max() < 1e-9


def test_plan__held_at_its_bounds_does_not_move() -> None:
    problem = NetworkSecurityProblem(**SMALL, budget=500.0)  # all can be covered, and is
    forecast = torch.tensor(problem.cases("train").outcomes[None, :2]).requires_grad_()
    plan = NetworkSecurity(problem).plan(forecast)
    assert (plan == 1).all()
    (slope,) = torch.autograd.grad(plan.sum(), forecast)
    assert (slope == 0).all()


def test_inverse_on_plane__by_hand() -> None:
    hessian = torch.diag(torch.tensor([2.0, 4.0, -3.0], dtype=torch.float64)).expand(3, 3, 3)
    free = torch.tensor([[True, True, False], [True, True, False], [True, True, True]])
    inverse = inverse_on_plane(hessian, free, torch.tensor([False, True, False]))
    np.testing.assert_allclose(inverse[0], np.diag([1 / 2, 1 / 4, 0]), atol=1e-12)
    # along (1, -1) / sqrt 2 the curvature is 3
    np.testing.assert_allclose(inverse[1], np.array([[1, -1, 0], [-1, 1, 0], [0, 0, 0]]) / 6, atol=1e-12)
    np.testing.assert_allclose(inverse[2], np.diag([1 / 2, 1 / 4, 1 / 0.05]), atol=1e-9)  # clipped


# ------------------------------------------------------------------------------------------------ the networks


def fitted(problem: NetworkSecurityProblem, seed: int = 0, **settings: Any) -> GCNModel:
    return GCNModel(problem, seed, max_epochs=5, **settings).fit(problem.cases("train"), problem.cases("validation"))


def test_model__fit_lowers_the_loss_and_the_same_seed_gives_the_same(problem: NetworkSecurityProblem) -> None:
    held = problem.cases("validation")
    one, two, other = fitted(problem), fitted(problem), fitted(problem, seed=1)
    assert float(one.loss(held).detach()) < float(GCNModel(problem).loss(held).detach())
    assert torch.equal(one.phi(held), two.phi(held))
    assert not torch.equal(one.phi(held), other.phi(held))


def test_model__does_not_touch_global_random_state(problem: NetworkSecurityProblem) -> None:
    before = torch.random.get_rng_state()
    fitted(problem)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_model__loss_is_least_for_the_true_phi_and_ignores_its_level(problem: NetworkSecurityProblem) -> None:
    class Known(GCNModel):
        shift = 0.0
        factor = 1.0

        def phi(self, cases: Cases) -> Tensor:
            return self.factor * torch.as_tensor(cases.outcomes) + self.shift

    model, cases = Known(problem), problem.cases("train")
    least = float(model.loss(cases))
    assert np.isfinite(least)
    model.shift = 5.0
    assert float(model.loss(cases)) == pytest.approx(least, rel=1e-12)
    for factor in (0.7, 1.4):
        model.factor = factor
        assert float(model.loss(cases)) > least + 1e-3


def test_model__is_one_sample_times_its_factor(problem: NetworkSecurityProblem) -> None:
    model, cases = fitted(problem), problem.cases("validation")
    plain = model.outcomes(cases, NOISE)
    assert plain.shape == (1, 30, 20)
    loss = model.fit_loss(cases, NOISE)
    model.scale_ = 1.5
    np.testing.assert_allclose(model.outcomes(cases, NOISE).detach(), 1.5 * plain.detach())
    assert model.fit_loss(cases, NOISE) == loss


def test_model__stops_at_the_best_epoch_of_the_validation_cases(problem: NetworkSecurityProblem) -> None:
    train, held = problem.cases("train").rows(slice(0, 4)), problem.cases("validation")
    seen: list[float] = []

    class Watched(GCNModel):
        def loss(self, cases: Cases) -> Tensor:
            loss = super().loss(cases)
            if cases is held:
                seen.append(float(loss.detach()))
            return loss

    model = Watched(problem, max_epochs=200, patience=5, learning_rate=0.03).fit(train, held)
    assert len(seen) < 200
    assert int(np.argmin(seen)) == len(seen) - 6
    assert float(model.loss(held).detach()) == pytest.approx(min(seen))


@pytest.mark.parametrize("kind", [GCNModel, GCNPolicyNet])
def test_state__goes_through_a_file_without_pickles(kind: Any, problem: NetworkSecurityProblem, tmp_path: Path) -> None:
    cases, held = problem.cases("train"), problem.cases("validation")
    one = kind(problem, 0, max_epochs=2).fit(cases, held, 0)
    if kind is GCNModel:
        one.scale_ = 0.85
    np.savez(tmp_path / "state.npz", **one.state())
    other = kind(problem, 1)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as arrays:
        other.restore(dict(arrays))
    if kind is GCNModel:
        assert other.scale_ == 0.85
        assert torch.equal(one.outcomes(held, NOISE), other.outcomes(held, NOISE))
    else:
        assert (one.plans(held) == other.plans(held)).all()


def test_state__of_another_shape_is_refused(problem: NetworkSecurityProblem) -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        GCNModel(problem, width=8).restore(GCNModel(problem).state())
    with pytest.raises(KeyError):
        GCNModel(problem).restore({})


def test_policy_net__covers_are_feasible_and_learn(problem: NetworkSecurityProblem) -> None:
    cases, held = problem.cases("train"), problem.cases("validation")
    start = GCNPolicyNet(problem)
    net = GCNPolicyNet(problem, max_epochs=20).fit(cases, held)
    plans = net.plans(held)
    assert plans.shape == (30, problem.n)
    assert plans.min() >= 0
    assert plans.max() <= 1
    assert (plans.sum(axis=1) <= problem.budget * WHOLE_BUDGET).all()
    assert problem.cost(plans, held.outcomes).mean() < problem.cost(start.plans(held), held.outcomes).mean() - 0.1


def test_task__gathers_what_belongs_together(problem: NetworkSecurityProblem) -> None:
    task = NetworkSecurityTask(problem)
    assert task.decision.problem is problem
    assert 1.0 in task.calibrations
    assert isinstance(task.new_model(0), GCNModel)
    assert isinstance(task.new_policy_net(0), GCNPolicyNet)
    cases = problem.cases("train")
    assert torch.equal(task.new_model(3).phi(cases), task.new_model(3).phi(cases))


# ------------------------------------------------------------------------------------------------ what it is worth


def two_stage(problem: NetworkSecurityProblem) -> tuple[NetworkSecurity, GCNModel]:
    return NetworkSecurity(problem), GCNModel(problem).fit(problem.cases("train"), problem.cases("validation"))


def mean_cost(decision: NetworkSecurity, model: GCNModel, cases: Cases) -> float:
    with torch.no_grad():
        plans = decision.decide(model.outcomes(cases, NOISE).numpy())
    return float(decision.cost(plans, cases.outcomes).mean())


@pytest.mark.slow
def test_two_stage__takes_45_percent_of_a_fixed_covers_regret() -> None:
    shares = []
    for instance in range(3) if FULL else (1,):
        problem = NetworkSecurityProblem(instance=instance)
        train, test = problem.cases("train").outcomes, problem.cases("test")
        optimum = problem.best_costs("test").mean()
        fixed = problem.cost(problem.best_mean(train[:, None]), test.outcomes).mean() - optimum
        planned = mean_cost(*two_stage(problem), test) - optimum
        shares.append(1 - planned / fixed)
    assert np.mean(shares) >= 0.45  # measured 0.55, 0.82, 0.72


@pytest.mark.slow
def test_two_stage__clear_features_leave_next_to_nothing() -> None:
    for instance in range(3) if FULL else (0,):
        problem = NetworkSecurityProblem(instance=instance, noise=0.2, **({} if FULL else SMALL))
        cost = mean_cost(*two_stage(problem), problem.cases("test"))
        assert cost - problem.best_costs("test").mean() <= 0.03, instance  # measured 0.004, 0.006, 0.008


@pytest.fixture(scope="module")
def begun() -> tuple[NetworkSecurityProblem, GCNModel, float]:
    """A problem, its two-stage model, and the mean cost of its plans."""
    problem = NetworkSecurityProblem(instance=2, **({} if FULL else SMALL))
    decision, model = two_stage(problem)
    return problem, model, mean_cost(decision, model, problem.cases("test"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dfl", "so-ebm"])
def test_fine_tuning__is_not_worse_than_its_start(
    method: str, begun: tuple[NetworkSecurityProblem, GCNModel, float]
) -> None:
    problem, start, before = begun
    decision, model = NetworkSecurity(problem), copy.deepcopy(start)
    tuning = replace(NetworkSecurityTask.tuning[method], n_epochs=5 if FULL else 1)
    fine_tune(model, decision, problem.cases("train"), problem.cases("validation"), tuning)
    assert mean_cost(decision, model, problem.cases("test")) <= before + 0.02
