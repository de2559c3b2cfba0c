"""Tianshou: a masked policy plays whole episodes, costs are those of a hand loop, workers, a policy saved and read."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.data import Batch, Collector, VectorReplayBuffer

from stormgym.envs.adapters.tianshou import episode_costs, make_env, make_envs

RESTORATION = "stormgym:Restoration-v0"
SMALL = {"city": "synthetic:8:1", "predictor": "none", "on_invalid": "raise"}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


class Values(torch.nn.Module):
    """Values of choices, linear in what is seen."""

    def __init__(self, size, choices, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = torch.nn.Linear(size, choices)

    def forward(self, obs, state=None, info=None):
        return self.layer(torch.as_tensor(np.asarray(obs), dtype=torch.float32)), state


def policy(seed=0, eps=0.5):
    env = make_env(RESTORATION, **SMALL)
    space = env.observation_space["obs"]
    net = Values(space.shape[0], int(env.action_space.n), seed)
    return DiscreteQLearningPolicy(
        model=net, action_space=env.action_space, observation_space=space, eps_training=eps, eps_inference=eps
    )


@pytest.mark.parametrize("workers", [False, True])
def test_collector__keeps_masks_and_its_costs_are_those_of_a_hand_loop(workers):
    envs = make_envs(RESTORATION, 2, workers=workers, **SMALL)
    try:
        buffer = VectorReplayBuffer(400, 2)
        collector = Collector(policy(), envs, buffer, exploration_noise=True)
        collector.reset(gym_reset_kwargs={"seed": 11})
        assert collector.collect(n_episode=4).n_collected_episodes == 4
    finally:
        envs.close()
    costs = episode_costs(buffer)
    assert costs.shape == (4,)
    batch = buffer[buffer.sample_indices(0)]
    ends = np.flatnonzero(batch.done)
    env = gym.make(RESTORATION, **SMALL)
    env.reset(seed=11)
    by_hand = sum(env.step(int(action))[4]["cost"] for action in batch.act[: ends[0] + 1])
    assert costs[0] == pytest.approx(by_hand)
    totals = [float(np.sum(part)) for part in np.split(batch.info["cost"], ends + 1)[:-1]]
    np.testing.assert_allclose(costs, totals)


def test_policy__saved_and_loaded_chooses_the_same(tmp_path):
    first, other = policy(eps=0.0), policy(seed=1, eps=0.0)
    torch.save(first.state_dict(), tmp_path / "policy.pt")
    other.load_state_dict(torch.load(tmp_path / "policy.pt", weights_only=True))

    def episode(chosen):
        env, taken = make_env(RESTORATION, **SMALL), []
        obs, _ = env.reset(seed=0)
        ended = False
        while not ended:
            seen = Batch(obs=obs["obs"][None], mask=obs["mask"][None])
            taken.append(int(chosen(Batch(obs=seen, info=Batch())).act[0]))
            obs, _, ended, _, _ = env.step(taken[-1])
        return taken

    assert episode(first) == episode(other)
    assert sorted(episode(first)) == list(range(8))
