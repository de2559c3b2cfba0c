"""Policies for Undergrounding-v0: plans that are the best of their kind, on every season."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest

from stormgym.agents.lineup import make_policy
from stormgym.agents.registry import AGENTS, known_agents
from stormgym.agents.undergrounding.planners import (
    FairHardening,
    OracleHardening,
    SampledHardening,
    TriLevel,
)
from stormgym.agents.undergrounding.players import BestCrews, WorstStorm
from stormgym.envs.undergrounding.profiles import resolve_profile

PLANNERS = [name for name in known_agents("Undergrounding-v0", trainable=False)]


def totals(name, n_envs=8, keys=("saidi_h", "worst_saidi_h"), **kwargs):
    """Two metrics of a policy, mean loss and worst loss unless others are named, on seasons 0 to n - 1."""
    env = gym.make_vec("Undergrounding-v0", n_envs, vectorization_mode="vector_entry_point", **kwargs)
    policy = make_policy(name, env)
    obs, _ = env.reset(seed=0)
    state, start, loss = None, np.ones(n_envs, dtype=bool), np.full((2, n_envs), np.nan)
    while np.isnan(loss).any():
        action, state = policy.predict(obs, state, start, deterministic=True)
        obs, _, ended, _, infos = env.step(action)
        start = ended
        new = ended & np.isnan(loss[0])
        if new.any():
            for i, key in enumerate(keys):
                loss[i, new] = infos["metrics"][key][new]
    return loss


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANNERS)
def test_policy__plays_within_the_budget_and_the_same_alone_and_in_batches(name):
    if name == "random":
        pytest.skip("draws anew for each batch")
    many = totals(name, n_envs=3)
    for seed in range(3):
        env = gym.make("Undergrounding-v0", on_invalid="raise").unwrapped
        policy = make_policy(name, env)
        obs, _ = env.reset(seed=seed)
        state, ended = None, False
        while not ended:
            action, state = policy.predict(obs, state, deterministic=True)
            obs, _, ended, _, info = env.step(action)
        assert info["metrics"]["saidi_h"] == many[0, seed]
        assert info["metrics"]["spent"] <= env.profile.budget


def test_tri_level__is_the_least_in_the_worst_storm_on_every_season():
    tri = totals("tri-level", storm="adversarial")
    np.testing.assert_allclose(tri[0], tri[1], rtol=1e-9)
    for name in PLANNERS:
        if name != "random":
            assert (tri[1] <= totals(name)[1] * (1 + 1e-6)).all(), name


def test_tri_level__plans_to_the_last_cent_of_the_budget(monkeypatch):
    cost = np.array([345.75, 111.35, 387.69, 106.4, 403.18])
    profile = replace(resolve_profile("synthetic:5:0"), protect_cost=cost, budget=844.79)  # 0, 1 and 2 to the cent
    monkeypatch.setattr("stormgym.envs.undergrounding.core.resolve_profile", lambda name: profile)
    env = gym.make("Undergrounding-v0", storm="adversarial").unwrapped
    plans = np.array([plan for plan in np.ndindex(*(2,) * 5) if np.array(plan) @ cost < 844.79 + 1e-6])
    assert [1, 1, 1, 0, 0] in plans.tolist()
    for seed in range(20, 24):
        values = []
        for plan in plans:
            env.reset(seed=seed)
            for k in [*np.flatnonzero(plan), 5]:
                _, _, ended, _, info = env.step(int(k))
                if ended:
                    break
            values.append(info["metrics"]["worst_saidi_h"])
        obs, _ = env.reset(seed=seed)
        policy, state, ended = TriLevel(profile), None, False
        while not ended:
            action, state = policy.predict(obs, state=state)
            obs, _, ended, _, info = env.step(action)
        assert info["metrics"]["worst_saidi_h"] == pytest.approx(min(values), rel=1e-6)


def test_tri_level__oracle_against_the_worst_is_the_tri_level_plan():
    np.testing.assert_array_equal(
        totals("oracle-hardening", storm="adversarial"), totals("tri-level", storm="adversarial")
    )


def test_oracle__is_the_least_in_the_storm_that_comes_on_every_season():
    oracle = totals("oracle-hardening")[0]
    for name in PLANNERS:
        if name != "random":
            assert (oracle <= totals(name)[0] + 1e-12).all(), name


def test_policy__asked_in_mid_season_plans_for_what_is_left():
    env = gym.make("Undergrounding-v0", on_invalid="raise").unwrapped
    for name in ("tri-level", "sampled-hardening", "one-stage-mean", "loss-per-cost"):
        env.reset(seed=5)
        obs = env.step(8)[0]  # a dear region that nobody would take
        policy, state, ended = make_policy(name, env), None, False
        while not ended:
            action, state = policy.predict(obs, state, deterministic=True)
            obs, _, ended, _, info = env.step(action)
        assert env.process.protected[0, 8]
        assert info["metrics"]["n_protected"] >= 2


@pytest.mark.slow
def test_fair_hardening__keeps_the_limit_on_new_seasons_and_costs_more_than_without():
    n = 400
    kwargs = {"n_envs": n}
    env = gym.make("Undergrounding-v0").unwrapped
    fair, free = FairHardening.for_env(env), SampledHardening.for_env(env)
    assert fair.gap_weight > 0
    assert free.gap_weight == 0
    loss, gap = totals("fair-hardening", keys=("saidi_h", "gap_h"), **kwargs)
    assert loss.mean() > totals("sampled-hardening", **kwargs)[0].mean()
    assert gap.mean() <= env.cost_limit * 1.05  # a mean of 400, sd of the mean some 3 %


def test_policy__another_observation_is_an_error():
    env = gym.make("Undergrounding-v0").unwrapped
    other = gym.make("Restoration-v0", city="synthetic:8:1").unwrapped
    obs, _ = other.reset(seed=0)
    with pytest.raises(ValueError, match="this agent reads the observation of Undergrounding-v0"):
        TriLevel.for_env(env).predict(obs)
    with pytest.raises(TypeError, match="this agent needs Undergrounding-v0"):
        TriLevel.for_env(other)
    with pytest.raises(ValueError, match="gap_weight must be at least 0"):
        SampledHardening(env.profile, gap_weight=-1.0)
    with pytest.raises(ValueError, match="gap_weight must be at least 0 and finite; got inf"):
        SampledHardening(env.profile, gap_weight=np.inf)
    with pytest.raises(ValueError, match=r"margin must be in \[0, 1\)"):
        FairHardening(env.profile, margin=1.0)
    with pytest.raises(ValueError, match="this agent reads the observation of Undergrounding-v0"):
        WorstStorm().predict(obs)
    with pytest.raises(ValueError, match="this agent reads the observation of crews in DefenderAttacker-v0"):
        BestCrews().predict(obs)
    five = gym.make("Undergrounding-v0", profile="synthetic:5:0").unwrapped
    obs, _ = five.reset(seed=0)
    with pytest.raises(ValueError, match="tri-level plans for the 10 regions of profile 'ten'; the observation has 5"):
        TriLevel.for_env(env).predict(obs)


def test_oracle__of_other_seasons_is_an_error():
    env, other = (gym.make("Undergrounding-v0").unwrapped for _ in range(2))
    env.reset(seed=0)
    obs, _ = other.reset(seed=1)
    with pytest.raises(ValueError, match="bound to other seasons; bind it to the environment that it plays"):
        OracleHardening.for_env(env).predict(obs)
    with pytest.raises(TypeError, match="this agent needs Undergrounding-v0"):
        OracleHardening.for_env(game())


def test_policy__of_another_profile_of_as_many_regions_is_an_error():
    obs, _ = gym.make("Undergrounding-v0", profile="synthetic:10:3").unwrapped.reset(seed=0)
    with pytest.raises(ValueError, match=r"tri-level plans for profile 'ten'; .* another population"):
        TriLevel(resolve_profile("ten")).predict(obs)


def test_fair_hardening__says_where_no_price_keeps_the_limit():
    profile = replace(resolve_profile("synthetic:4:0"), cost_limit=0.01)
    with pytest.warns(UserWarning, match=r"no price of the gap keeps the limit 0\.01 h .* Raise cost_limit"):
        FairHardening(profile)


def game(**kwargs):
    return pettingzoo.make("aec", "DefenderAttacker-v0", **kwargs)


def test_registry__every_policy_of_undergrounding_tells_what_it_is():
    for name in PLANNERS:
        assert AGENTS[name].summary
        assert "Source:" in (AGENTS[name].load().__doc__ or "")
