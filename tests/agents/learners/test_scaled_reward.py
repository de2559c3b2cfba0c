"""Rewards in units of the return, where no limit is to be held."""

from __future__ import annotations

import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env

from stormgym.agents.learners.scaled_reward import VecScaledReward


def test_reward__is_scaled_and_infos_keep_the_plain_one() -> None:
    venv = VecScaledReward(make_vec_env("CartPole-v1", n_envs=2, seed=0), 0.25)
    venv.reset()
    returns = np.zeros(2)
    for _ in range(200):
        _, reward, done, infos = venv.step(np.array([0, 1]))
        assert reward.dtype == np.float32
        np.testing.assert_array_equal(reward, 0.25)
        assert [info["reward"] for info in infos] == [1.0, 1.0]
        returns += 1.0
        for i in np.flatnonzero(done):
            assert infos[i]["episode"]["r"] == returns[i]
            returns[i] = 0.0


@pytest.mark.parametrize("bootstrap", [True, False])
def test_truncation__is_hidden_where_nothing_is_left_to_come(bootstrap: bool) -> None:
    inner = make_vec_env("Pendulum-v1", n_envs=1, env_kwargs={})
    venv = VecScaledReward(inner, 1.0, bootstrap_truncated=bootstrap)
    venv.reset()
    done, infos = np.array([False]), []
    while not done.any():
        _, _, done, infos = venv.step(np.zeros((1, 1), np.float32))
    assert infos[0]["TimeLimit.truncated"] == bootstrap


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf])
def test_scale__must_be_above_zero(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be above 0"):
        VecScaledReward(make_vec_env("CartPole-v1", n_envs=1), scale)
