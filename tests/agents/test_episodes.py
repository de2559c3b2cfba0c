"""One episode, step by step."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.episodes import play_episode
from stormgym.agents.lineup import make_policy

SMALL: dict[str, dict[str, Any]] = {
    "Restoration-v0": {"city": "synthetic:6:1", "predictor": "none"},
    "GeneratorDispatch-v0": {},
    "Undergrounding-v0": {"profile": "synthetic:5:1"},
}
AGENTS = {"Restoration-v0": "nearest", "GeneratorDispatch-v0": "online-greedy", "Undergrounding-v0": "loss-per-cost"}


@pytest.mark.parametrize("env_id", SMALL)
def test_episode__is_what_a_loop_by_hand_gives(env_id: str) -> None:
    env = gym.make(f"stormgym:{env_id}", **SMALL[env_id])
    policy = make_policy(AGENTS[env_id], env)
    steps = list(play_episode(env, policy, seed=3))
    observation, _ = env.reset(seed=3)
    state: Any = None
    for step in steps:
        np.testing.assert_array_equal(step.observation["action_mask"], observation["action_mask"])
        action, state = policy.predict(observation, state, deterministic=True)
        np.testing.assert_array_equal(step.action, action)
        observation, reward, *_ = env.step(action)
        assert step.reward == reward
    assert [step.terminated or step.truncated for step in steps] == [False] * (len(steps) - 1) + [True]
    assert "metrics" in steps[-1].info


def test_episode__takes_options_of_the_reset() -> None:
    env = gym.make("stormgym:Restoration-v0", **SMALL["Restoration-v0"])
    first = next(play_episode(env, make_policy("nearest", env), seed=3, options={"cost_limit": 5.5}))
    assert first.info["cost_limit"] == 5.5
