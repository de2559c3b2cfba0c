"""Policies for generator dispatch: each does what it says, in single and batched form, and none beats the oracle."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.dispatch.flow import online_greedy, solve_dispatch
from stormgym.agents.dispatch.planners import (
    OnlineGreedy,
    ReplanningDispatch,
    kernel_weights,
    plan,
    typical_storms,
)
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import make_policy
from stormgym.agents.registry import known_agents
from stormgym.envs.dispatch.profiles import resolve_profile

ENV_ID = "GeneratorDispatch-v0"
NAMES = list(known_agents(ENV_ID, trainable=False))
pytestmark = pytest.mark.usefixtures("quick_fits")  # what forecasters cost is tested elsewhere


def vector(n: int = 4, **kwargs: Any) -> Any:
    return gym.make_vec(ENV_ID, num_envs=n, vectorization_mode="vector_entry_point", **{"profile": "B", **kwargs})


def stocks(env: Any, policy: Any, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Stocks that a policy asks for `[B, T, K]` in one episode of each row, and its return."""
    obs, _ = env.reset(seed=seed)
    state, start, asked, total = None, np.ones(env.num_envs, dtype=bool), [], np.zeros(env.num_envs)
    for _ in range(env.profile.n_periods):
        action, state = policy.predict(obs, state=state, episode_start=start, deterministic=True)
        start = np.zeros(env.num_envs, dtype=bool)
        asked.append(action)
        obs, reward, *_ = env.step(action)
        total += reward
    return np.stack(asked, axis=1), total


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_policy__acts_alone_as_in_a_batch(name: str) -> None:
    env = vector(3)
    asked, total = stocks(env, make_policy(name, env), seed=5)
    for i in range(3):
        single = gym.make(ENV_ID, profile="B")
        policy = make_policy(name, single)
        obs, _ = single.reset(seed=5 + i)
        state, done, t, reward_sum = None, False, 0, 0.0
        while not done:
            action, state = policy.predict(obs, state=state, deterministic=True)
            assert single.action_space.contains(action)
            np.testing.assert_array_equal(action, asked[i, t])
            obs, reward, done, _, _ = single.step(action)
            t, reward_sum = t + 1, reward_sum + reward
        assert reward_sum == pytest.approx(total[i])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_policy__plays_both_action_spaces_to_the_same_return(name: str) -> None:
    for seed in (1, 2):
        returns = [stocks(env, make_policy(name, env), seed)[1] for env in (vector(2), vector(2, action="box"))]
        np.testing.assert_allclose(*returns)


@pytest.mark.parametrize(("lag", "rule"), [(1, "returns"), (3, "returns"), (5, "keeps")])
def test_online_greedy__is_the_rule_on_the_whole_wave(lag: int, rule: Any) -> None:
    env = vector(5, profile="A")
    p = env.profile
    asked, _ = stocks(env, OnlineGreedy.for_env(env, lag=lag, rule=rule), seed=3)
    env.reset(seed=3)
    waves = env.process.out
    wanted = online_greedy(
        waves[:, 1:],
        waves[:, 0],
        generators=p.generators,
        customers_per_generator=p.customers_per_generator,
        lag=lag,
        rule=rule,
    )
    np.testing.assert_array_equal(asked, wanted)


@pytest.mark.slow
def test_oracle__costs_what_its_plan_says_and_nobody_is_cheaper() -> None:
    env = vector(6)
    asked, total = stocks(env, make_policy("oracle-dispatch", env), seed=8)
    env.reset(seed=8)
    for i, wave in enumerate(env.process.out):
        np.testing.assert_array_equal(asked[i], plan(env.profile, wave[1:]))
        p = env.profile
        best = solve_dispatch(
            wave[1:],
            generators=p.generators,
            customers_per_generator=p.customers_per_generator,
            transport_cost=p.transport_cost,
            interruption_cost=p.interruption_cost,
            operating_cost=p.operating_cost,
        )
        assert -total[i] == pytest.approx(best.cost)
    for name in NAMES:
        assert (stocks(env, make_policy(name, env), seed=8)[1] <= total + 1e-6).all(), name


@pytest.mark.slow
def test_plans__are_better_the_more_they_use() -> None:
    order = ["oracle-dispatch", "replanning-dispatch", "sample-average-dispatch", "static-dispatch", "do-nothing"]
    agents = {name: lambda env, name=name: make_policy(name, env) for name in (*order, "online-greedy")}
    result = evaluate(ENV_ID, agents, episodes=100, seed=0, env_kwargs={"profile": "B"})
    cost = {name: record.metrics["total_cost"].mean() for name, record in result.agents.items()}
    assert [cost[name] for name in order] == sorted(cost[name] for name in order)
    assert cost["replanning-dispatch"] < cost["online-greedy"]


def test_typical_storms__are_none_of_an_episode() -> None:
    env = vector(64, profile="A")
    env.reset(seed=0)
    waves, typical = env.process.out, typical_storms("A")
    assert not any((wave == typical).all(axis=(1, 2)).any() for wave in waves)


@pytest.mark.parametrize("effective", [1.5, 20.0, 150.0])
def test_kernel_weights__count_as_many_storms_as_asked(effective: float) -> None:
    distance = np.random.default_rng(0).gamma(2.0, 1e5, 400)
    weight = kernel_weights(distance, effective)
    assert weight.sum() == pytest.approx(1.0)
    assert 1.0 / (weight**2).sum() == pytest.approx(effective, rel=1e-3)
    assert weight.argmax() == distance.argmin()
    np.testing.assert_allclose(kernel_weights(np.zeros(400), 20.0), 1 / 400)  # nothing seen yet: all alike


def test_policies__wrong_use_is_named() -> None:
    profile = resolve_profile("A")
    with pytest.raises(ValueError, match="lag must be at least 1 day"):
        OnlineGreedy(profile, lag=0)
    with pytest.raises(ValueError, match="the printed rule ships generators that are not there"):
        OnlineGreedy(profile, rule="printed")
    with pytest.raises(ValueError, match="effective must be from 1 to 400 storms; got 0"):
        ReplanningDispatch(profile, effective=0)
    with pytest.raises(TypeError, match="this agent needs GeneratorDispatch-v0"):
        make_policy("static-dispatch", gym.make("Restoration-v0", city="synthetic:5:0", predictor="none"))
    with pytest.raises(ValueError, match="reads the observation of GeneratorDispatch-v0"):
        OnlineGreedy(profile).predict({"action_mask": np.ones(3)})


def test_kernel_weights__as_many_count_as_are_asked_for():
    from stormgym.agents.dispatch.planners import kernel_weights

    distance = np.random.default_rng(0).gamma(2.0, 50.0, 400)
    for effective in (1.5, 20.0, 200.0):
        weight = kernel_weights(distance, effective)
        assert weight.sum() == pytest.approx(1.0)
        assert 1.0 / (weight**2).sum() == pytest.approx(effective, rel=1e-6)
        assert weight.argmax() == distance.argmin()
