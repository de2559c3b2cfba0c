"""The policies that follow plans in Restoration-v0."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from numpy.testing import assert_array_equal
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

from stormgym.agents.lineup import make_policy
from stormgym.agents.restoration.planners import ClairvoyantFairPolicy, EquityPlanner, RepairmanPolicy
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.data import City
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

CITY = "synthetic:12:3"
PLANNERS = ("tsp", "repairman", "equity-planner", "equity-replanner", "clairvoyant", "clairvoyant-fair")
SHORT = {"iterations": 40}
"""A short search, where it matters what a plan is made of and not how good it is."""


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANNERS)
@pytest.mark.parametrize("max_travel_km", [None, 2.0])
def test_planner__plays_episodes_without_a_masked_action(
    name: str, max_travel_km: float | None, play: Callable[..., Any]
) -> None:
    env = RestorationVectorEnv(3, city=CITY, max_travel_km=max_travel_km, on_invalid="raise")
    _, _, metrics = play(env, make_policy(name, env, **SHORT))
    assert (metrics["completed"] == 1.0).all()
    assert (metrics["wasted_trips"] == 0.0).all()


@pytest.mark.slow
def test_planners__come_in_the_order_of_what_they_know(play: Callable[..., Any]) -> None:
    env = RestorationVectorEnv(32, city=CITY, cost_limit=3.0)
    metrics = {name: play(env, make_policy(name, env))[2] for name in PLANNERS}
    mean = {name: m["mean_outage_h"] for name, m in metrics.items()}
    assert (mean["clairvoyant"] <= mean["clairvoyant-fair"] + 0.02).all()
    for name in ("tsp", "repairman", "equity-planner"):
        assert (mean["clairvoyant"] <= mean[name] + 0.02).all()
    assert mean["repairman"].mean() < mean["equity-planner"].mean() < mean["tsp"].mean()
    assert metrics["equity-planner"]["gap_h"].mean() < 3.0 < metrics["repairman"]["gap_h"].mean()
    assert (metrics["clairvoyant-fair"]["gap_h"] <= 3.0 + 1e-9).all()


@pytest.mark.parametrize("name", PLANNERS)
def test_planner__plans_alike_in_every_form(name: str) -> None:
    native = RestorationVectorEnv(3, city=CITY)
    first, _ = native.reset(seed=5)
    _, orders = make_policy(name, native, **SHORT).predict(first)
    sync = gym.make_vec("Restoration-v0", 3, vectorization_mode="sync", city=CITY)
    seen, _ = sync.reset(seed=5)
    assert_array_equal(make_policy(name, sync, **SHORT).predict(seen)[1], orders)
    for row in range(3):
        env = gym.make("Restoration-v0", city=CITY)
        alone, _ = env.reset(seed=5 + row)
        action, state = make_policy(name, env, **SHORT).predict(alone)
        assert_array_equal(state, orders[row : row + 1])
        assert action == orders[row, 0]


@pytest.mark.parametrize("name", PLANNERS)
def test_planner__meets_an_episode_in_its_middle(name: str, play: Callable[..., Any]) -> None:
    env = RestorationVectorEnv(4, city=CITY)
    policy = make_policy(name, env, **SHORT)
    observation, _, _ = play(env, make_policy("nearest", env), steps=5)
    _, orders = policy.predict(observation)
    is_open = observation["open"] > 0
    for row in range(4):
        assert sorted(orders[row]) == list(range(12))
        assert is_open[row, orders[row, :7]].all()
    state, start = None, np.ones(4, bool)
    for _ in range(7):
        action, state = policy.predict(observation, state=state, episode_start=start)
        start = np.zeros(4, bool)
        observation, _, terminated, _, info = env.step(action)
    assert terminated.all()
    assert (info["metrics"]["wasted_trips"] == 0).all()


def test_clairvoyant_fair__counts_what_had_accrued_before_its_plan(play: Callable[..., Any]) -> None:
    env = RestorationVectorEnv(8, city=CITY, cost_limit=3.0)
    policy = make_policy("clairvoyant-fair", env)
    observation, _, _ = play(env, make_policy("nearest", env), steps=3)
    state, start = None, np.ones(8, bool)
    for _ in range(9):
        action, state = policy.predict(observation, state=state, episode_start=start)
        start = np.zeros(8, bool)
        observation, _, _, _, info = env.step(action)
    assert (info["metrics"]["gap_h"] <= 3.0 + 1e-4).all()


def test_planner__renews_only_the_rows_that_begin() -> None:
    env = RestorationVectorEnv(2, city=CITY)
    policy = make_policy("repairman", env)
    first, _ = env.reset(seed=0)
    _, state = policy.predict(first)
    kept = state.copy()
    second, _ = env.reset(seed=9)
    _, renewed = policy.predict(second, state=state, episode_start=np.array([False, True]))
    assert_array_equal(renewed[0], kept[0])
    assert (renewed[1] != kept[1]).any()
    assert_array_equal(state, kept)


def test_equity_planner__never_looks_at_true_durations() -> None:
    env = RestorationVectorEnv(4, city=CITY)
    policy = make_policy("equity-planner", env, **SHORT)
    observation, _ = env.reset(seed=0)
    _, orders = policy.predict(observation)
    env.process.duration_h[:] = 99.0
    assert_array_equal(policy.predict(observation)[1], orders)


def test_equity_planner__names_a_bad_argument() -> None:
    with pytest.raises(ValueError, match=r"need 0 <= margin < 1 and n_scenarios >= 1; got 1\.0 and 128"):
        EquityPlanner(City.synthetic(3, 12), margin=1.0)


def test_equity_planner__plans_without_an_environment() -> None:
    env = RestorationVectorEnv(4, city=CITY, cost_limit=3.0)
    observation, _ = env.reset(seed=0)
    _, orders = EquityPlanner(env.city, **SHORT).predict(observation)
    assert_array_equal(np.sort(orders), np.tile(np.arange(12), (4, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["common", "group"])
def test_equity_planner__keeps_the_limit_under_shocks(kind: str, play: Callable[..., Any]) -> None:
    env = RestorationVectorEnv(32, city=CITY, cost_limit=3.0, shock=kind)
    _, _, metrics = play(env, make_policy("equity-planner", env))
    gap = metrics["gap_h"]
    assert gap.mean() - 3 * gap.std() / np.sqrt(gap.size) < 3.0


def test_planners__work_with_one_region_and_with_one_group(play: Callable[..., Any]) -> None:
    city = City.synthetic(3, 12)
    fields = {name: getattr(city, name) for name in city.__dataclass_fields__}
    one_group = City(**{**fields, "group": np.zeros(12, int), "group_names": ("all",)})
    some = {k: v[:1] for k, v in city.context.items()}
    one_region = City(
        **{
            **fields,
            "region_ids": city.region_ids[:1],
            "xy_km": city.xy_km[:1],
            "group": np.zeros(1, int),
            "group_names": ("all",),
            "log": city.log.select(city.region_ids[:1]),
            "context": some,
            "customers": None,
            "requests": city.requests[:1],
            "orders": {},
        }
    )
    for changed in (one_group, one_region):
        env = RestorationVectorEnv(2, city=changed, predictor="none")
        for name in PLANNERS:
            assert (play(env, make_policy(name, env, **SHORT))[2]["completed"] == 1.0).all()


def test_planners__fit_stable_baselines() -> None:
    for env in (make_vec_env("Restoration-v0", 2, city=CITY), DummyVecEnv([lambda: RestorationEnv(CITY)] * 2)):
        env.seed(0)
        for name in ("equity-planner", "clairvoyant"):
            mean, _ = evaluate_policy(make_policy(name, env, **SHORT), env, n_eval_episodes=2, warn=False)  # type: ignore[arg-type]
            assert -20 < mean < -5


def test_planners__say_what_is_wrong_with_the_environment() -> None:
    env = RestorationVectorEnv(2, city=CITY)
    other = RestorationVectorEnv(3, city=CITY)
    policy, observation = make_policy("clairvoyant", env), other.reset(seed=0)[0]
    for name in PLANNERS:
        with pytest.raises(TypeError, match=r"needs Restoration-v0.*cannot read other processes"):
            make_policy(name, gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match=r"bound to 2 episodes but the observation has 3.*for_env"):
        policy.predict(observation)
    with pytest.raises(ValueError, match=r"shows other jobs than the environment that the policy is bound to"):
        policy.predict({k: v[:2] for k, v in observation.items()})
    with pytest.raises(ValueError, match=r"reads the observation of Restoration-v0; got \['action_mask'\]"):
        policy.predict({"action_mask": np.ones((2, 12), np.int8)})
    larger = RestorationVectorEnv(2, city="synthetic:13:3", predictor="none").reset(seed=0)[0]
    with pytest.raises(ValueError, match=r"bound to City.*12 regions.*observations have shapes"):
        policy.predict(larger)
    with pytest.raises(ValueError, match=r"state holds orders of shape \(1, 12\) but the observation has \(3, 12\)"):
        RepairmanPolicy.for_env(other).predict(observation, state=np.zeros((1, 12), int))


FULL = os.environ.get("STORMGYM_FULL") == "1"
REFERENCE = {  # mean outage (h), its tolerance upwards, gap (h): published and measured figures of this city
    "request-volume": (57.1, 0.3, 17.5),
    "nearest": (52.8, 0.3, 17.4),
    "tsp": (49.2, 0.3, 10.4),
    "repairman": (43.0, 0.4, None),
    "equity-planner": (43.8, 0.4, 8.0),
    "clairvoyant-fair": (37.7, 0.4, 8.0),
}


@pytest.mark.slow
def test_reference_city__agents_land_on_the_table(shared_data: Path, play: Callable[..., Any]) -> None:
    episodes, batch = (4000, 250) if FULL else (64, 64)
    env = RestorationVectorEnv(
        batch, city=City.load(shared_data / "calibrated_city"), autoreset_mode=AutoresetMode.DISABLED
    )
    metrics: dict[str, dict[str, list[np.ndarray]]] = {}
    for name in REFERENCE:
        policy, found = make_policy(name, env), metrics.setdefault(name, {"mean_outage_h": [], "gap_h": []})
        for first in range(0, episodes, batch):
            result = play(env, policy, seed=10_000 + first)[2]
            for key, values in found.items():
                values.append(result[key])
    fixed = ("request-volume", "nearest", "tsp")
    for name, (mean, tolerance, gap) in REFERENCE.items():
        outage, inequity = (np.concatenate(metrics[name][key]) for key in ("mean_outage_h", "gap_h"))
        error = 3 * outage.std() / np.sqrt(episodes)
        assert outage.mean() <= mean + tolerance + error, name
        if name in fixed:
            assert outage.mean() >= mean - tolerance - error
            assert abs(inequity.mean() - gap) < 0.3 + 3 * inequity.std() / np.sqrt(episodes)
        elif gap is not None:
            assert inequity.mean() <= gap + 3 * inequity.std() / np.sqrt(episodes)
    assert np.concatenate(metrics["clairvoyant-fair"]["gap_h"]).max() <= 8.0


@pytest.mark.slow
@pytest.mark.parametrize("planner", [EquityPlanner, ClairvoyantFairPolicy])
def test_planner__keeps_the_limit_of_each_episode(planner: Any) -> None:
    env = RestorationVectorEnv(40, city=CITY, cost_limit=(1.0, 9.0))
    same = RestorationVectorEnv(40, city=CITY, cost_limit=5.0)
    obs, infos = env.reset(seed=0)
    limit = infos["cost_limit"]
    other, _ = same.reset(seed=0, options={"cost_limit": limit})
    plan = planner.for_env(env).predict(obs)[1]
    again = planner.for_env(same).predict(other)[1]
    np.testing.assert_array_equal(plan, again)  # what counts is the episode's limit, whichever way it came
    for k in range(plan.shape[1]):
        infos = env.step(plan[:, k])[4]
    gap = infos["metrics"]["gap_h"]
    assert gap[limit < 3].mean() < 0.9 * gap[limit > 6].mean()
    if planner is ClairvoyantFairPolicy:
        assert (gap <= limit + 1e-6).mean() > 0.8  # with few regions a tight limit cannot always be kept
