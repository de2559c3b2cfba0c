"""Policies that plan for the tail: what they play, that risk 1 is the mean, and their errors."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.dfl.risk import cvar
from stormgym.agents.dispatch.decision import WEATHER, DispatchProblem, simulated_events
from stormgym.agents.dispatch.forecasters import N_PLANNED, AdaptiveDispatch
from stormgym.agents.dispatch.planners import DispatchPolicy, risk_plan
from stormgym.agents.dispatch.risk_averse import AdaptiveRiskDispatch, RiskDispatch
from stormgym.envs.arrays import Ints
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.predictors.outage_ode import OutageODE

PROFILE = resolve_profile("A")


def played(policy: DispatchPolicy, seed: int) -> Ints:
    """Stocks `[T, K]` that a policy asks for in a storm."""
    env = gym.make("stormgym:GeneratorDispatch-v0", profile="A")
    obs, _ = env.reset(seed=seed)
    state, stocks, done = None, [], False
    while not done:
        action, state = policy.predict(obs, state)
        obs, _, done, _, _ = env.step(action)
        stocks.append(action)
    return np.stack(stocks)


def test_risk_dispatch__plays_the_plan_of_least_risk_for_its_samples(odes: dict[str, OutageODE]) -> None:
    policy = RiskDispatch(PROFILE, odes["crps"], alpha=0.2, mean_weight=0.25)
    obs, _ = gym.make("stormgym:GeneratorDispatch-v0", profile="A").reset(seed=3)
    X = np.stack([obs[name] for name in WEATHER], axis=-1)[None]
    samples = odes["crps"].sample(X, obs["onset"][None], n_samples=N_PLANNED)[:, 0, 1:]
    expected = risk_plan(PROFILE, samples, alpha=0.2, mean_weight=0.25).stock
    np.testing.assert_array_equal(played(policy, 3), np.minimum(expected, PROFILE.most_useful))


@pytest.mark.parametrize("keywords", [{"alpha": 1.0}, {"mean_weight": 1.0}])
def test_risk_dispatch__without_risk_costs_what_the_sampled_plan_does(
    odes: dict[str, OutageODE], keywords: dict[str, float]
) -> None:
    """Several plans may be best in the mean, so their mean costs are compared, over the samples planned for."""
    events, problem = simulated_events(PROFILE, 4, 12), DispatchProblem(PROFILE)
    samples = odes["crps"].sample(events.X, events.onset, n_samples=N_PLANNED)[:, :, 1:]
    least = problem.cost(problem.decide(samples), samples).mean(axis=0)
    for kind in (RiskDispatch, AdaptiveRiskDispatch):
        policy = kind(PROFILE, odes["crps"], **keywords)
        plans = np.stack([policy.plan_for(samples[:, i]) for i in range(4)])
        np.testing.assert_allclose(problem.cost(plans, samples).mean(axis=0), least, rtol=1e-6)


def test_adaptive_risk__plans_from_what_is_there(odes: dict[str, OutageODE]) -> None:
    """The first day it plans for particles alike, of which each counts; later it goes on from the stock."""
    risky, mean = AdaptiveRiskDispatch(PROFILE, odes["crps"]), AdaptiveDispatch(PROFILE, odes["crps"])
    ours, theirs = played(risky, 5), played(mean, 5)
    assert ours.shape == theirs.shape == (15, 3)
    assert (ours.sum(axis=1) <= PROFILE.generators).all()
    assert (ours != theirs).any()
    np.testing.assert_array_equal(played(AdaptiveRiskDispatch(PROFILE, odes["crps"]), 5), ours)
    stock0, waves = np.array([4, 1, 0]), simulated_events(PROFILE, 30, 6).outcomes[:, 5:]
    expected = risk_plan(PROFILE, waves, alpha=0.1, mean_weight=0.5, stock0=stock0).stock
    np.testing.assert_array_equal(risky.plan_for(waves, stock0=stock0), expected)


def test_problem__decides_for_the_worst_share(odes: dict[str, OutageODE]) -> None:
    events, problem = simulated_events(PROFILE, 3, 7), DispatchProblem(PROFILE)
    samples = odes["crps"].sample(events.X, events.onset, n_samples=40)[:, :, 1:]
    mean, tail = problem.decide(samples), problem.decide(samples, risk=0.1)
    assert tail.shape == mean.shape == (3, 15, 3)
    costs = {name: problem.cost(plans, samples) for name, plans in (("mean", mean), ("tail", tail))}  # [S, B]
    assert (cvar(costs["tail"].T, 0.1) <= cvar(costs["mean"].T, 0.1) * (1 + 1e-4)).all()
    assert (costs["mean"].mean(axis=0) <= costs["tail"].mean(axis=0) + 1e-6).all()
    with pytest.raises(ValueError, match=r"risk must be in \(0, 1\]"):
        problem.decide(samples, risk=0.0)


def test_policies__wrong_use_is_named(odes: dict[str, OutageODE]) -> None:
    for policy in (RiskDispatch, AdaptiveRiskDispatch):
        with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\], .* got 10. Did you mean 0.1?"):
            policy(PROFILE, odes["crps"], alpha=10)
        with pytest.raises(ValueError, match=r"mean_weight must be in \[0, 1\], .* got -0.5"):
            policy(PROFILE, odes["crps"], mean_weight=-0.5)
        with pytest.raises(ValueError, match='needs a forecaster fitted with loss="crps"'):
            policy(PROFILE, odes["mse"])
