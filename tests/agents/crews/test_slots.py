"""Agents of crew dispatch where jobs are slots in regions, not one a region."""

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.lineup import make_policy

SLOTS = {"profile": "utility", "city": "synthetic:7:1", "n_jobs": 18, "n_crews": 4, "n_assessors": 1}
RULES = ("request-volume", "nearest", "smith", "customers", "list-rho", "shortest-repair")


@pytest.mark.parametrize("name", RULES)
def test_rule__plays_slots(name):
    env = gym.make("stormgym:CrewDispatch-v0", **SLOTS, on_invalid="raise").unwrapped
    policy = make_policy(name, env)
    obs, info = env.reset(seed=0)
    while "metrics" not in info:
        obs, *_, info = env.step(int(policy.predict(obs)[0]))
    assert info["metrics"]["completed"] == 1.0


@pytest.mark.parametrize("name", ["static-plan", "rolling-planner"])
def test_planner__plays_slots(name):
    env = gym.make("stormgym:CrewDispatch-v0", **SLOTS, on_invalid="raise").unwrapped
    policy, state, start = make_policy(name, env), None, np.ones(1, dtype=bool)
    obs, info = env.reset(seed=0)
    while "metrics" not in info:
        action, state = policy.predict(obs, state=state, episode_start=start)
        obs, *_, info = env.step(int(action))
        start = np.zeros(1, dtype=bool)
    assert info["metrics"]["completed"] == 1.0


def test_request_volume__of_slots_goes_by_the_requests_of_their_regions():
    env = gym.make("stormgym:CrewDispatch-v0", **SLOTS, known_share=1.0).unwrapped
    obs, _ = env.reset(seed=0)
    chosen = int(make_policy("request-volume", env).predict(obs)[0])
    asked = env.city.requests[env.announced.site[0]]
    assert asked[chosen] == asked[obs["action_mask"][:-1] > 0].max()
