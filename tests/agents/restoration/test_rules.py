"""Rules of thumb: what they choose, that they keep to the mask, and what they say when misused."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.lineup import make_policy
from stormgym.agents.restoration.rules import NearestPolicy, RequestVolumePolicy, ShortestRepairPolicy
from stormgym.envs.data import City
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

CITY = "synthetic:12:3"
RULES = ("random", "request-volume", "nearest", "shortest-repair")


def seen(mask: list[int], **columns: list[float]) -> dict[str, Any]:
    """One observation with the given columns."""
    return {"action_mask": np.array(mask, np.int8), **{k: np.array(v, np.float32) for k, v in columns.items()}}


def act(policy: Any, observation: Any) -> int:
    return int(policy.predict(observation)[0])


def test_nearest__takes_the_least_distance_that_is_open() -> None:
    assert act(NearestPolicy(), seen([1, 1, 1], distance_km=[3, 1, 2])) == 1
    assert act(NearestPolicy(), seen([1, 0, 1], distance_km=[3, 1, 2])) == 2


def test_shortest_repair__takes_the_least_mean_forecast_that_is_open() -> None:
    assert act(ShortestRepairPolicy(), seen([1, 1, 1], point_h=[2, 0.5, 0.4])) == 2
    assert act(ShortestRepairPolicy(), seen([1, 1, 0], point_h=[2, 0.5, 0.4])) == 1


def test_request_volume__follows_its_order_and_skips_what_is_closed() -> None:
    policy = RequestVolumePolicy(np.array([2, 0, 1]))
    assert act(policy, seen([1, 1, 1])) == 2
    assert act(policy, seen([1, 1, 0])) == 0
    assert act(policy, seen([0, 1, 0])) == 1


def test_request_volume__takes_the_citys_order_else_the_most_requests() -> None:
    city = City.synthetic(3, 12)
    given = np.arange(12)[::-1]
    for orders, expected in (({"status_quo": given}, given), ({}, np.argsort(-city.requests, kind="stable"))):
        changed = City(**{**{f: getattr(city, f) for f in city.__dataclass_fields__}, "orders": orders})
        env = RestorationEnv(changed, predictor="none")
        assert played(env, make_policy("request-volume", env)) == expected.tolist()


def played(env: Any, policy: Any) -> list[int]:
    """The order in which one episode is restored."""
    observation, _ = env.reset(seed=4)
    state, start, order, over = None, np.ones(1, bool), [], False
    while not over:
        action, state = policy.predict(observation, state=state, episode_start=start)
        order.append(int(action))
        observation, _, terminated, truncated, _ = env.step(action)
        start, over = np.zeros(1, bool), terminated or truncated
    return order


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("max_travel_km", [None, 2.0])
def test_rule__plays_an_episode_without_a_masked_action(name: str, max_travel_km: float | None) -> None:
    env = RestorationEnv(CITY, predictor="none", max_travel_km=max_travel_km, on_invalid="raise")
    assert sorted(played(env, make_policy(name, env))) == list(range(12))


@pytest.mark.parametrize("name", ["request-volume", "nearest", "shortest-repair"])
def test_rule__acts_alike_alone_and_in_a_batch(name: str) -> None:
    env = RestorationVectorEnv(4, city=CITY, predictor="none")
    policy = make_policy(name, env)
    batch, _ = env.reset(seed=0)
    for _ in range(5):
        actions, _ = policy.predict(batch)
        alone = [int(policy.predict({k: v[i] for k, v in batch.items()})[0]) for i in range(4)]
        assert actions.tolist() == alone
        batch, *_ = env.step(actions)


def test_reference_orders__are_those_of_the_rules(shared_data: Path) -> None:
    city = City.load(shared_data / "calibrated_city")
    env = RestorationEnv(city, predictor="none")
    for name, order in (("nearest", "nearest"), ("request-volume", "status_quo")):
        assert played(env, make_policy(name, env)) == city.orders[order].tolist()


def test_rules__say_what_is_wrong_with_another_environment() -> None:
    cart = gym.make("CartPole-v1")
    with pytest.raises(TypeError, match=r"needs Restoration-v0, whose environment has a `city`.*CartPole"):
        make_policy("request-volume", cart)
    with pytest.raises(ValueError, match=r"this rule reads Restoration-v0's observation \(distance_km"):
        NearestPolicy().predict({"action_mask": np.ones(3, np.int8)})
    with pytest.raises(ValueError, match=r"the order has 3 regions but the observation 4.*for_env"):
        RequestVolumePolicy(np.arange(3)).predict({"action_mask": np.ones(4, np.int8)})
