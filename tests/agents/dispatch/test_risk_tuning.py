"""A generator tuned on its plans of least risk: the score is proper, the loss its subgradient, the best epoch stays."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.dfl.learner import FineTuning, fine_tune
from stormgym.agents.dfl.risk import mean_cvar
from stormgym.agents.dispatch.decision import DispatchProblem, WaveModel, simulated_events
from stormgym.agents.dispatch.risk_tuning import RiskProblem, TailLoss, risk_tuning
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.predictors.outage_ode import OutageODE

PROFILE = resolve_profile("A")
PROBLEM = RiskProblem(PROFILE, alpha=0.2, mean_weight=0.5)
PLAIN = DispatchProblem(PROFILE)


@pytest.fixture(scope="module")
def waves() -> np.ndarray:
    """Thirty storms that one could have become, `[S, 1, T, K]`."""
    event = simulated_events(PROFILE, 1, 21)
    covariates = np.concatenate([event.X, event.onset[..., None]], axis=-1)
    return PROFILE.simulate_given(covariates, 30, seed=2)[:, :, 1:]


def test_score__of_the_samples_themselves_is_the_plan_s_mean_and_tail(waves: np.ndarray) -> None:
    plans = PROBLEM.decide(waves)
    costs = PLAIN.cost(plans.stock, waves)[:, 0]
    scores = [PROBLEM.cost(plans, wave)[0] for wave in waves]
    assert np.mean(scores) == pytest.approx(mean_cvar(costs, 0.2, 0.5))
    assert plans.weight.sum(axis=0) == pytest.approx(1.0)
    assert (plans.weight[:, 0] * costs).sum() == pytest.approx(mean_cvar(costs, 0.2, 0.5))


def test_score__is_proper(waves: np.ndarray) -> None:
    """No other samples get plan and threshold of a better mean score over the storms that could come."""
    own = np.mean([PROBLEM.cost(PROBLEM.decide(waves), wave) for wave in waves])
    for factor in (0.5, 0.8, 1.25, 2.0):
        other = PROBLEM.decide(np.minimum(factor * waves, PROFILE.population))
        assert own <= np.mean([PROBLEM.cost(other, wave) for wave in waves]) + 1e-6


def test_score__of_a_wave_known_beforehand_is_what_it_costs(waves: np.ndarray) -> None:
    plans = PROBLEM.decide(waves[:1])
    np.testing.assert_allclose(PROBLEM.cost(plans, waves[0]), PLAIN.cost(plans.stock, waves[0]))


def test_event_weight__is_the_derivative_of_the_score_in_the_cost(waves: np.ndarray) -> None:
    plans = PROBLEM.decide(waves)
    for wave in waves[:8]:
        cost = PLAIN.cost(plans.stock, wave)
        weight = TailLoss.event_weight(PROBLEM, plans, wave)
        over = cost > plans.threshold
        assert weight[0] == pytest.approx(0.5 + 0.5 / 0.2 * over[0])
    mean = np.mean([TailLoss.event_weight(PROBLEM, plans, wave) for wave in waves])
    assert mean == pytest.approx(1.0, abs=0.1)  # the threshold's own wave is not above it


@pytest.mark.parametrize("kind", ["qp", "spo+"])
def test_loss__is_least_for_the_wave_that_came_and_pulls_towards_it(kind: Any, waves: np.ndarray) -> None:
    loss, truth = TailLoss(0.0, kind, rho=1.0), torch.as_tensor(waves[3])
    targets = loss.targets(PROBLEM, truth)
    noise = torch.Generator()
    right = loss(PROBLEM, torch.as_tensor(waves[3:4]), truth, targets, noise).value
    far = torch.as_tensor(0.4 * waves[3:4]).requires_grad_()
    wrong = loss(PROBLEM, far, truth, targets, noise).value
    assert right.item() < wrong.item()
    wrong.sum().backward()
    gradient = far.grad
    assert gradient is not None
    assert bool(gradient.isfinite().all())
    assert float((gradient * (truth - far.detach()[0])).sum()) < 0  # along the way to what came the loss falls


@pytest.mark.slow
def test_fine_tune__with_the_tail_s_loss_keeps_the_best_epoch(odes: dict[str, OutageODE]) -> None:
    fit, validation = simulated_events(PROFILE, 12, 31), simulated_events(PROFILE, 8, 32)
    for kind in ("qp", "spo+", None):
        found = []
        for _ in range(2):
            ode = copy.deepcopy(odes["crps"])
            settings, loss = risk_tuning(kind)  # type: ignore[arg-type]
            settings = FineTuning(settings.loss, fit_weight=settings.fit_weight, n_epochs=1)
            tuned = fine_tune(WaveModel(ode, 12), PROBLEM, fit, validation, settings, loss=loss)
            assert tuned.regret.shape == (2,)
            assert np.isfinite(tuned.regret).all()
            assert tuned.best_epoch == 0 or tuned.regret[1] < tuned.regret[0]
            found.append(ode.sample(fit.X, fit.onset, n_samples=3))
        np.testing.assert_array_equal(found[0], found[1])


def test_tuning__of_no_kind_is_the_forecaster_s_own_loss() -> None:
    settings, loss = risk_tuning(None)
    assert loss is None
    assert (settings.loss, settings.fit_weight) == ("none", 1.0)
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\]"):
        RiskProblem(PROFILE, alpha=0.0, mean_weight=0.5)
    with pytest.raises(ValueError, match=r"mean_weight must be in \[0, 1\]"):
        RiskProblem(PROFILE, alpha=0.1, mean_weight=2.0)
