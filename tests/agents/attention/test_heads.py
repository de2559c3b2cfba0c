"""Heads over choices, on an environment and an extractor of no domain of ours."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from stormgym.agents.attention.heads import RegionActorCriticPolicy, RegionDQNPolicy, RegionScores, SummaryValue

N, WIDTH = 5, 4


class Pick(gym.Env[Any, Any]):
    """Pick the largest of N numbers."""

    observation_space = spaces.Box(0.0, 1.0, (N,), np.float32)
    action_space = spaces.Discrete(N)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.numbers = self.np_random.random(N).astype(np.float32)
        return self.numbers, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.numbers, float(self.numbers[action]), True, False, {}


class PerNumber(BaseFeaturesExtractor):
    """Encodes each number by itself; the summary is their mean encoding."""

    encodes_choices: ClassVar[bool] = True

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, features_dim=(N + 1) * WIDTH)
        self.width = WIDTH
        self.embed = torch.nn.Linear(1, WIDTH)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.embed(observations.unsqueeze(-1)))
        return torch.cat([h.flatten(1), h.mean(1)], dim=1)


def test_heads__take_any_extractor_that_says_it_encodes_choices() -> None:
    kwargs: dict[str, Any] = {"features_extractor_class": PerNumber, "net_arch": []}
    model = PPO(RegionActorCriticPolicy, Pick(), n_steps=64, seed=0, device="cpu", policy_kwargs=kwargs)
    assert isinstance(model.policy.action_net, RegionScores)
    assert isinstance(model.policy.value_net, SummaryValue)
    model.learn(128)
    order = torch.tensor([3, 0, 4, 1, 2])
    numbers = torch.rand(6, N)
    with torch.no_grad():
        plain, moved = (model.policy.get_distribution(x).distribution.probs for x in (numbers, numbers[:, order]))
    torch.testing.assert_close(moved, plain[:, order])
    q = DQN(RegionDQNPolicy, Pick(), seed=0, device="cpu", buffer_size=100, policy_kwargs=kwargs).policy.q_net
    torch.testing.assert_close(q(numbers[:, order]), q(numbers)[:, order])


@pytest.mark.parametrize("change", [{"features_extractor_class": None}, {"net_arch": [8]}])
def test_heads__refuse_features_that_mix_the_choices(change: dict[str, Any]) -> None:
    kwargs = {"features_extractor_class": PerNumber, "net_arch": [], **change}
    kwargs = {key: value for key, value in kwargs.items() if value is not None}
    with pytest.raises(ValueError, match=r"encodes_choices = True and width\), and net_arch=\[\]; got "):
        PPO(RegionActorCriticPolicy, Pick(), device="cpu", policy_kwargs=kwargs)


def test_heads__of_dqn_refuse_an_extractor_that_encodes_no_choices() -> None:
    with pytest.raises(ValueError, match="encodes_choices = True"):
        DQN(RegionDQNPolicy, Pick(), device="cpu", buffer_size=100)
