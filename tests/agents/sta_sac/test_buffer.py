"""The buffer of whole episodes."""

from __future__ import annotations

import numpy as np
import pytest

from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.restoration.layout import regions_of

CITY = "synthetic:7:1"


def test_buffer__gives_back_whole_episodes_as_they_were_played() -> None:
    env = make_vec_env("Restoration-v0", 2, seed=0, city=CITY)
    buffer = EpisodeReplayBuffer(140, env.observation_space, env.action_space, device="cpu", n_envs=2)
    obs = env.reset()
    first, costs, totals = obs, [], []
    for step in range(7):
        action = np.array([step, 6 - step])
        nxt, reward, done, infos = env.step(action)
        buffer.add(obs, nxt, action, reward, done, infos)
        costs.append([info["cost"] for info in infos])
        totals.append(reward)
        obs = nxt
    batch = buffer.episodes(np.array([0, 1]))
    assert batch.valid.all()
    np.testing.assert_allclose(batch.costs.numpy(), np.array(costs).T, rtol=1e-6)
    np.testing.assert_allclose(batch.rewards.numpy(), np.array(totals).T, rtol=1e-6)
    np.testing.assert_array_equal(batch.actions.numpy(), [np.arange(7), np.arange(6, -1, -1)])
    np.testing.assert_array_equal(batch.regions.numpy(), regions_of(first))
    np.testing.assert_array_equal(batch.is_open.sum(-1).numpy(), np.tile(np.arange(7, 0, -1), (2, 1)))


def test_buffer__overwrites_the_oldest_and_grows_for_longer_episodes() -> None:
    env = make_vec_env("Restoration-v0", 1, seed=0, city=CITY)
    buffer = EpisodeReplayBuffer(21, env.observation_space, env.action_space, device="cpu")
    assert buffer.capacity == 3
    for episode in range(4):
        obs, step, done = env.reset(), 0, np.array([False])
        while not done[0]:
            action = np.array([0 if step < episode else step - episode])  # wasted trips first
            nxt, reward, done, infos = env.step(action)
            buffer.add(obs, nxt, action, reward, done, infos)
            obs, step = nxt, step + 1
    assert buffer.full
    assert sorted(buffer.lengths.tolist()) == [8, 9, 10]
    batch = buffer.episodes(np.arange(3))
    assert sorted(batch.valid.sum(1).tolist()) == [8, 9, 10]


def test_buffer__a_missing_cost_is_an_error() -> None:
    env = make_vec_env("Restoration-v0", 1, seed=0, city=CITY)
    buffer = EpisodeReplayBuffer(70, env.observation_space, env.action_space, device="cpu")
    obs = env.reset()
    with pytest.raises(KeyError, match="has no key 'cost'"):
        buffer.add(obs, obs, np.array([0]), np.array([0.0]), np.array([False]), [{}])


def test_buffer__sampling_nothing_is_an_error() -> None:
    env = make_vec_env("Restoration-v0", 1, seed=0, city=CITY)
    buffer = EpisodeReplayBuffer(70, env.observation_space, env.action_space, device="cpu")
    with pytest.raises(ValueError, match="no finished episode"):
        buffer.sample(4)


def test_buffer__keeps_one_episode_of_each_row_in_a_round() -> None:
    env = make_vec_env("Restoration-v0", 2, seed=0, city=CITY)
    buffer = EpisodeReplayBuffer(140, env.observation_space, env.action_space, device="cpu", n_envs=2)

    def play_rows(steps: int) -> None:
        obs = env.reset()
        for step in range(steps):
            action = np.array([step % 7, 6 - step % 7])
            nxt, reward, done, infos = env.step(action)
            buffer.add(obs, nxt, action, reward, done, infos)
            obs = nxt

    play_rows(3)  # left unfinished
    buffer.begin_round()
    play_rows(14)
    assert buffer.size() == 2
    np.testing.assert_array_equal(buffer.round, [0, 1])
    np.testing.assert_array_equal(buffer.episodes(buffer.round).actions.numpy(), [np.arange(7), np.arange(6, -1, -1)])
    buffer.begin_round()
    assert buffer.round.tolist() == [-1, -1]
