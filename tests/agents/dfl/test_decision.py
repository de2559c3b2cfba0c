"""Decisions keep one contract, and regret is what planning on a forecast costs more than planning on what came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import Tensor

from stormgym.agents.dfl.decision import Gaussian, as_arrays, planned_cost, regret
from stormgym.agents.dfl.losses.energy import log_normaliser, posterior_energy
from stormgym.agents.dfl.risk import cvar
from stormgym.agents.dispatch.decision import DispatchProblem
from stormgym.agents.undergrounding.decision import KnapsackProblem
from stormgym.envs.dispatch.profiles import resolve_profile


class Cheapest:
    """Take the one of three things that is forecast cheapest on the mean of the samples; a plan is its number."""

    def decide(self, outcomes: Any) -> Any:
        return outcomes.mean(axis=0).argmin(axis=-1)

    def cost(self, plans: Any, outcomes: Any) -> Any:
        return np.take_along_axis(outcomes, plans[:, None], axis=1)[:, 0]


PROBLEM: Any = Cheapest()
CAME = np.array([[3.0, 1.0, 2.0], [5.0, 9.0, 4.0]])


def test_regret__of_what_came_is_zero() -> None:
    assert_array_equal(regret(PROBLEM, CAME[None], CAME), [0.0, 0.0])
    assert_array_equal(regret(PROBLEM, CAME[None] + 7.0, CAME), [0.0, 0.0])  # the same choice


def test_regret__is_by_hand_what_the_wrong_choice_costs() -> None:
    forecast = np.array([[[0.0, 1.0, 2.0], [9.0, 0.0, 9.0]]])  # takes the first, and the second
    assert_array_equal(regret(PROBLEM, forecast, CAME), [3.0 - 1.0, 9.0 - 4.0])


def test_regret__plans_on_all_samples_together() -> None:
    late = np.array([[0.0, 9.0, 0.0], [0.0, 0.0, 0.0]])  # the mean of the first row favours the third
    samples = np.stack([CAME, CAME + late])
    assert_array_equal(regret(PROBLEM, samples, CAME), [2.0 - 1.0, 0.0])


def test_as_arrays__samples_and_gaussians_lose_their_gradient() -> None:
    samples = torch.ones(2, 3, requires_grad=True)
    assert_array_equal(as_arrays(samples), np.ones((2, 3)))
    gaussian = as_arrays(Gaussian(samples, 2.0 * samples))
    assert_array_equal(gaussian.sd, 2.0 * np.ones((2, 3)))


# what every decision of ours keeps


@dataclass(frozen=True)
class Kind:
    """A decision that is small enough to try all plans."""

    problem: Any
    shape: tuple[int, ...]
    """Of an outcome and of a plan."""
    levels: int
    """Whole plans have 0 to levels - 1 in each place."""
    feasible: Callable[[Any], Any]
    """Which plans `[..., *]` are within the constraint."""

    def outcomes(self, seed: int, *lead: int) -> Tensor:
        """Outcomes of the size that the decision is about."""
        scale = 900.0 if isinstance(self.problem, DispatchProblem) else 6.0
        return torch.as_tensor(np.random.default_rng(seed).gamma(2.0, 0.5 * scale, (*lead, *self.shape)))

    def every(self) -> Tensor:
        """All whole plans `[P, *]`, with those outside the constraint."""
        plans = list(product(range(self.levels), repeat=int(np.prod(self.shape))))
        return torch.tensor(plans, dtype=torch.float64).reshape(-1, *self.shape)

    def fractions(self, seed: int, *lead: int) -> Tensor:
        """Plans between whole ones."""
        draws = np.random.default_rng([seed, 1]).uniform(0.05, 0.95, (*lead, *self.shape))
        return (self.levels - 1) * torch.as_tensor(draws)


TINY = replace(resolve_profile("A"), n_periods=3, generators=2, customers_per_generator=500.0, transport_cost=150.0)
BURY = KnapsackProblem([1.0, 2.0, 1.5, 9.0, 2.5], 4.0, [1.0, 2.0, 0.5, 3.0, 1.0])
KINDS = {
    "dispatch": Kind(DispatchProblem(TINY), (3, 3), 3, lambda q: (q >= 0).all((-2, -1)) & (q.sum(-1) <= 2.0).all(-1)),
    "undergrounding": Kind(
        BURY, (5,), 2, lambda x: (x >= 0).all(-1) & (x <= 1).all(-1) & (x @ BURY.protect_cost <= 4.0) & (x[..., 3] == 0)
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@every_kind
def test_cost__of_tensors_is_that_of_arrays_and_has_its_gradient_between_whole_plans(kind: Kind) -> None:
    plans, outcomes = kind.fractions(0, 4), kind.outcomes(1, 4)
    cost = kind.problem.cost(plans.requires_grad_(), outcomes)
    np.testing.assert_allclose(cost.detach(), kind.problem.cost(plans.detach().numpy(), outcomes.numpy()), rtol=1e-12)
    (gradient,) = torch.autograd.grad(cost.sum(), plans)
    for place in range(0, plans.numel(), 3):
        step = torch.zeros(plans.numel()).double()
        step[place] = 1e-6
        step = step.view_as(plans)
        change = kind.problem.cost(plans + step, outcomes).sum() - kind.problem.cost(plans - step, outcomes).sum()
        assert gradient.flatten()[place].item() == pytest.approx(change.item() / 2e-6, rel=1e-4, abs=1e-4)


@every_kind
def test_decide__is_the_best_of_all_plans_within_the_constraint_for_the_mean_cost_of_samples(kind: Kind) -> None:
    forecast, every = kind.outcomes(2, 5, 4), kind.every()
    within = every[torch.as_tensor(kind.feasible(every.numpy()))]
    energy = kind.problem.energy(forecast, within[:, None].expand(-1, 4, *kind.shape))  # [P, B]
    plans = kind.problem.decide(forecast.numpy())
    assert kind.feasible(plans).all()
    got = kind.problem.energy(forecast, torch.as_tensor(plans))
    torch.testing.assert_close(got, energy.min(dim=0).values, rtol=1e-9, atol=1e-9)
    assert_array_equal(kind.problem.decide(forecast.numpy(), risk=1.0), plans)
    averse = kind.problem.decide(forecast.numpy(), risk=0.5)
    assert kind.feasible(averse).all()
    cost = kind.problem.cost
    tails = [cvar(np.asarray(cost(p.numpy(), forecast.numpy())).T, 0.5) for p in within[:, None, None]]  # [P][B]
    own = cvar(np.asarray(cost(averse[None], forecast.numpy())).T, 0.5)
    np.testing.assert_allclose(own, np.min(tails, axis=0), rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match=r"must be in \(0, 1\]"):
        kind.problem.decide(forecast.numpy(), risk=1.5)
    came = kind.outcomes(3, 4).numpy()
    assert (regret(kind.problem, forecast.numpy(), came) >= 0).all()
    np.testing.assert_allclose(planned_cost(kind.problem, forecast.numpy(), came), kind.problem.cost(plans, came))


@every_kind
def test_energy__is_the_mean_cost_over_samples_for_any_leading_axes(kind: Kind) -> None:
    forecast, plans = kind.outcomes(4, 6, 2), kind.fractions(5, 3, 2)
    energy = kind.problem.energy(forecast, plans)
    assert energy.shape == (3, 2)
    costs = torch.stack([kind.problem.cost(plans, sample) for sample in forecast])
    torch.testing.assert_close(energy, costs.mean(0))
    if kind.problem.separable:
        torch.testing.assert_close(kind.problem.coordinate_energy(forecast, plans).sum(-1), energy)
        at_mode = kind.problem.coordinate_energy(forecast, kind.problem.coordinate_mode(forecast))
        assert (at_mode <= kind.problem.coordinate_energy(forecast, plans)).all()


@every_kind
def test_project__gives_the_nearest_plan_within_the_constraint(kind: Kind) -> None:
    """No other feasible plan lies on the side from which the nearest came; one that is feasible does not move."""
    wanted = 3.0 * torch.as_tensor(np.random.default_rng(6).standard_normal((200, *kind.shape)))
    found = kind.problem.project(wanted)
    loose = (found - 1e-9).clamp_min(0.0)  # rounding
    assert kind.feasible(loose.numpy()).all()
    whole = kind.every()[torch.as_tensor(kind.feasible(kind.every().numpy()))]
    others = torch.cat([whole, found[:50]])
    inward = ((wanted - found)[:, None] * (others[None] - found[:, None])).flatten(2).sum(-1)
    assert (inward <= 1e-6).all()
    torch.testing.assert_close(kind.problem.project(others), others, atol=1e-9, rtol=0.0)
    assert not kind.problem.project(wanted.requires_grad_()).requires_grad


@every_kind
@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_log_normaliser__is_the_sum_over_all_whole_plans(kind: Kind, temperature: float) -> None:
    """So is the mean over p(a | y), and both have the gradient of finite differences; T is in mean costs."""
    forecast, outcomes, every = kind.outcomes(7, 3, 2), kind.outcomes(8, 2), kind.every()
    unit = temperature * float(kind.problem.cost(np.zeros(kind.shape), outcomes.numpy()).mean())
    spread = every[:, None].expand(-1, 2, *kind.shape)
    energy = kind.problem.energy(forecast, spread)  # [P, B]
    law = torch.softmax(-kind.problem.cost(spread, outcomes) / unit, dim=0)
    parts = {
        "log Z": (lambda at: log_normaliser(kind.problem, at, unit), torch.logsumexp(-energy / unit, dim=0)),
        "posterior": (lambda at: posterior_energy(kind.problem, at, outcomes, unit), (law * energy).sum(0)),
    }
    for name, (ours, expected) in parts.items():
        torch.testing.assert_close(ours(forecast), expected, rtol=1e-9, atol=1e-9, msg=lambda text, n=name: n + text)
        at = forecast.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(ours(at).sum(), at)
        size = float(gradient.abs().max())
        for place in range(0, at.numel(), 7):
            step = torch.zeros(at.numel()).double()
            step[place] = 1e-4
            step = step.view_as(at)
            change = (ours(forecast + step).sum() - ours(forecast - step).sum()) / 2e-4
            assert gradient.flatten()[place].item() == pytest.approx(change.item(), rel=1e-4, abs=1e-5 * size)
