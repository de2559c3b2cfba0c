"""Minari: datasets with infos in them, episodes that do not depend on the batch, and the same costs as a hand loop."""

import gymnasium as gym
import minari
import numpy as np
import pytest

from stormgym.envs.adapters.minari import Scenarios, play_episodes, write_dataset
from stormgym.envs.making import episode_seeds

SMALL = {
    "Restoration-v0": {"city": "synthetic:8:1", "predictor": "none", "on_invalid": "raise"},
    "GeneratorDispatch-v0": {"profile": "B"},
    "Undergrounding-v0": {"profile": "synthetic:6:1", "on_invalid": "raise"},
    "PowerScheduling-v0": {},
}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


class FirstOpen:
    """Always the first open choice; the lowest numbers where actions have parts."""

    def __init__(self, env):
        self.space = env.single_action_space

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        n = len(observation["action_mask"])
        if isinstance(self.space, gym.spaces.Discrete):
            return observation["action_mask"].argmax(axis=1), state
        return np.repeat(np.zeros(self.space.shape, dtype=self.space.dtype)[None], n, axis=0), state


@pytest.mark.parametrize("env_id", SMALL)
def test_dataset__is_read_back_with_costs_masks_and_metrics(env_id):
    write_dataset("ours/first-v0", Scenarios(env_id, SMALL[env_id], seed=5, num_envs=2), [(FirstOpen, 5)])
    dataset = minari.load_dataset("ours/first-v0")
    assert (dataset.total_episodes, dataset.observation_space) == (
        5,
        gym.make(env_id, **SMALL[env_id]).observation_space,
    )
    assert dataset.recover_environment().spec.id == env_id
    seeds = episode_seeds(5, 5)
    for i, episode in enumerate(dataset.iterate_episodes()):
        env = gym.make(env_id, **SMALL[env_id])
        obs, info = env.reset(seed=seeds[i])
        steps = len(episode.rewards)
        assert len(episode.infos["cost"]) == len(episode.observations["action_mask"]) == steps + 1
        for t in range(steps):
            for key, value in obs.items():
                np.testing.assert_array_equal(episode.observations[key][t], value)
            obs, reward, terminated, truncated, info = env.step(episode.actions[t])
            assert episode.rewards[t] == pytest.approx(reward, rel=1e-12)
            assert episode.infos["cost"][t + 1] == pytest.approx(info["cost"], rel=1e-9, abs=1e-12)
            assert (episode.terminations[t], episode.truncations[t]) == (terminated, truncated)
        assert episode.infos["episode_cost"][-1] == pytest.approx(info["episode_cost"], rel=1e-12)
        assert episode.infos["episode_end"].tolist() == [0.0] * steps + [1.0]
        for name, value in info["metrics"].items():
            assert episode.infos[f"metric_{name}"][-1] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("num_envs", [1, 3, 64])
def test_episodes__do_not_depend_on_the_batch(num_envs):
    base = play_episodes(Scenarios("Restoration-v0", SMALL["Restoration-v0"], seed=1, num_envs=2), FirstOpen, 7)
    other = play_episodes(Scenarios("Restoration-v0", SMALL["Restoration-v0"], seed=1, num_envs=num_envs), FirstOpen, 7)
    later = play_episodes(Scenarios("Restoration-v0", SMALL["Restoration-v0"], seed=1), FirstOpen, 3, first=4)
    for a, b in [*zip(base, other, strict=True), *zip(base[4:], later, strict=True)]:
        assert (a.rewards, a.actions.tolist()) == (b.rewards, b.actions.tolist())
        for key in a.observations:
            np.testing.assert_array_equal(a.observations[key], b.observations[key])


def test_dataset__mixes_policies_on_storms_of_their_own():
    scenarios = Scenarios("Restoration-v0", SMALL["Restoration-v0"])
    dataset = write_dataset("ours/mixed-v0", scenarios, [(FirstOpen, 2), (FirstOpen, 3)])
    first = [episode.observations["lower_h"][0].tolist() for episode in dataset.iterate_episodes()]
    rewards = {float(episode.rewards.sum()) for episode in dataset.iterate_episodes()}
    assert (len(first), len(rewards)) == (5, 5)


def test_dataset__bad_arguments():
    scenarios = Scenarios("Restoration-v0", SMALL["Restoration-v0"])
    with pytest.raises(ValueError, match="episodes must be at least 1; got 0"):
        play_episodes(scenarios, FirstOpen, 0)
    write_dataset("ours/one-v0", scenarios, [(FirstOpen, 1)])
    with pytest.raises(ValueError, match="already exists"):
        write_dataset("ours/one-v0", scenarios, [(FirstOpen, 1)])
