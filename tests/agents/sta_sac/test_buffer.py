"""The buffer of whole episodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.agents.storage.buffers import KIND, read_buffer, write_buffer
from stormgym.agents.storage.container import UnreadableFile, write_file
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.restoration.layout import regions_of

CITY = "synthetic:7:1"


@pytest.mark.slow
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


def played(steps: int, capacity: int = 21) -> EpisodeReplayBuffer:
    """A buffer of three episodes and two environments, one of which wastes trips and is taught."""
    env = make_vec_env("Restoration-v0", 2, seed=0, city=CITY)
    buffer = EpisodeReplayBuffer(
        capacity, env.observation_space, env.action_space, device="cpu", n_envs=2, demonstration_size=14
    )
    obs = env.reset()
    buffer.begin_round()
    rng = np.random.default_rng(0)
    for _ in range(steps):
        mask = env.action_masks()
        action = (rng.random(mask.shape) * mask).argmax(axis=1)
        action[1] = 0 if rng.random() < 0.5 else action[1]
        nxt, reward, done, infos = env.step(action)
        infos[1]["taught"] = True
        buffer.add(obs, nxt, action, reward, done, infos)
        obs = nxt
        if done.all():
            buffer.round = None
    return buffer


@pytest.mark.parametrize("steps", [0, 5, 30, 90])
def test_buffer__taken_up_from_a_file_holds_the_same_and_goes_on_the_same(steps: int, tmp_path: Path) -> None:
    buffer, again = played(steps), played(0)
    read_buffer(again, write_buffer(buffer, tmp_path / "buffer.safetensors"))
    assert (again.size(), again.n_demonstrations) == (buffer.size(), buffer.n_demonstrations)
    np.testing.assert_array_equal(again.lengths, buffer.lengths)
    np.testing.assert_array_equal(again._at, buffer._at)
    assert (again.round is None) == (buffer.round is None)
    for one, two in ((buffer._store, again._store), (buffer._demonstrations, again._demonstrations)):
        if one.size():
            for a, b in zip(
                one.episodes(np.arange(one.size()), buffer.device),
                two.episodes(np.arange(two.size()), again.device),
                strict=True,
            ):
                np.testing.assert_array_equal(a.numpy(), b.numpy())
    for name, stage in buffer._stage.items():
        for row, at in enumerate(buffer._at):
            np.testing.assert_array_equal(again._stage[name][row, :at], stage[row, :at])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s["episodes"].update(pos=99),
        lambda s: s["episodes"].update(steps=10**6),
        lambda s: s["episodes"].update(full=1),
        lambda s: s["episodes"]["rows"].update(lengths=s["episodes"]["rows"]["lengths"] + 1000),
        lambda s: s["episodes"]["rows"].update(n_regions=s["episodes"]["rows"]["n_regions"] + 1),
        lambda s: s["episodes"]["rows"].update(actions=s["episodes"]["rows"]["actions"] + 7),
        lambda s: s["episodes"]["rows"].pop("crew"),
        lambda s: s["demonstrations"]["rows"].update(costs=np.zeros(3)),
        lambda s: s["under_way"].update(at=s["under_way"]["at"] + 1000),
        lambda s: s["under_way"].update(actions=s["under_way"]["actions"] - 1),
        lambda s: s["under_way"].update(actions=np.zeros((2, 10**4), dtype=np.int64)),
        lambda s: s.update(round=np.array([0, 3])),
        lambda s: s.update(round=[0, 1, 2]),
        lambda s: s.pop("under_way"),
    ],
)
def test_buffer__of_a_file_that_does_not_fit_is_one_sentence(spoil: Callable[[Any], Any], tmp_path: Path) -> None:
    state: Any = played(30).state_dict()
    state = {
        key: {**part, "rows": dict(part["rows"])} if isinstance(part, dict) and "rows" in part else part
        for key, part in state.items()
    }
    spoil(state)
    file = write_file(tmp_path / "buffer.safetensors", KIND, {"state": state})
    with pytest.raises(UnreadableFile, match=r"buffer\.safetensors (cannot be read|does not fit)"):
        read_buffer(played(0), file)


def test_buffer__of_another_size_is_one_sentence(tmp_path: Path) -> None:
    file = write_buffer(played(90), tmp_path / "buffer.safetensors")
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read_buffer(played(0, capacity=14), file)


def test_any_episodes__are_own_ones_and_demonstrations_by_their_numbers() -> None:
    buffer = played(40)
    own, taught = buffer.size(), buffer.n_demonstrations
    assert own > 0
    assert taught > 0
    np.random.seed(0)
    n_taught = sum(bool(buffer.any_episodes(2).taught.any(-1).all()) for _ in range(300))
    of_own = np.mean([bool(buffer.sample(2).taught.any(-1).all()) for _ in range(300)])
    wanted = taught / (own + taught) + own / (own + taught) * of_own
    assert n_taught / 300 == pytest.approx(wanted, abs=0.1)
