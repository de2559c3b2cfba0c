"""skrl: PPO with masks trains, costs are logged, two workers, an agent saved and loaded."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.memories.torch import RandomMemory
from skrl.models.torch import CategoricalMixin, DeterministicMixin, Model
from skrl.trainers.torch import SequentialTrainer

from stormgym.envs.adapters.skrl import make_env, split_mask

RESTORATION = "stormgym:Restoration-v0"
SMALL = {"city": "synthetic:8:1", "predictor": "none", "on_invalid": "raise"}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


class Actor(CategoricalMixin, Model):
    def __init__(self, observation_space, action_space):
        Model.__init__(self, observation_space=observation_space, action_space=action_space)
        CategoricalMixin.__init__(self)
        self.net = torch.nn.Linear(observation_space["observation"].shape[0], int(action_space.n))

    def compute(self, inputs, role=""):
        seen, mask = split_mask(self.observation_space, inputs["observations"])
        return self.net(seen).masked_fill(~mask, -torch.inf), {}


class Critic(DeterministicMixin, Model):
    def __init__(self, observation_space, action_space):
        Model.__init__(self, observation_space=observation_space, action_space=action_space)
        DeterministicMixin.__init__(self)
        self.net = torch.nn.Linear(observation_space["observation"].shape[0], 1)

    def compute(self, inputs, role=""):
        return self.net(split_mask(self.observation_space, inputs["observations"])[0]), {}


def agent(env, folder):
    o, a = env.observation_space, env.action_space
    torch.manual_seed(0)
    cfg = PPO_CFG(rollouts=16, learning_epochs=1, mini_batches=1)
    cfg.experiment.directory, cfg.experiment.write_interval, cfg.experiment.checkpoint_interval = str(folder), 8, 0
    memory = RandomMemory(memory_size=16, num_envs=env.num_envs)
    return PPO(
        models={"policy": Actor(o, a), "value": Critic(o, a)},
        memory=memory,
        observation_space=o,
        action_space=a,
        cfg=cfg,
    )


@pytest.mark.parametrize("native", [True, False])
def test_ppo__trains_with_masks_and_logs_costs(tmp_path, native):
    env = make_env(RESTORATION, 2, native=native, **SMALL)
    learner = agent(env, tmp_path)
    logged = []
    track = learner.track_data
    learner.track_data = lambda name, value: (logged.append((name, float(value))), track(name, value))[1]
    quiet = {"timesteps": 32, "headless": True, "disable_progressbar": True, "close_environment_at_exit": False}
    trainer = SequentialTrainer(env=env, agents=learner, cfg=quiet)
    before = learner.policy.net.weight.detach().clone()
    trainer.train()
    assert not torch.equal(before, learner.policy.net.weight)
    costs = [value for name, value in logged if name.startswith("Cost")]
    assert costs
    assert all(value > 0 for value in costs)
    env.close()


def test_costs__are_those_of_a_hand_loop():
    env = make_env(RESTORATION, 1, **SMALL)
    env._seed = 4
    states, _ = env.reset()
    hand = gym.make(RESTORATION, **SMALL)
    hand.reset(seed=4)
    total, terminated = 0.0, torch.zeros(1, 1, dtype=torch.bool)
    while not terminated.any():
        _, mask = split_mask(env.observation_space, states)
        choice = int(np.flatnonzero(mask[0].numpy())[-1])
        total += hand.step(choice)[4]["cost"]
        states, _, terminated, _, infos = env.step(torch.tensor([[choice]]))
    assert float(infos["episode"]["Cost / Episode cost (mean)"]) == pytest.approx(total)


def test_agent__saved_and_loaded_chooses_the_same(tmp_path):
    env = make_env(RESTORATION, 2, **SMALL)
    first, other = agent(env, tmp_path), agent(env, tmp_path)
    other.policy.net.weight.data += 1.0
    first.save(str(tmp_path / "agent.pt"))
    other.load(str(tmp_path / "agent.pt"))
    states, _ = env.reset()
    with torch.no_grad():
        a, b = (m.policy.compute({"observations": states})[0] for m in (first, other))
    torch.testing.assert_close(a, b)
