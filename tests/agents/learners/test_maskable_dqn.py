"""MaskableDQN: closed regions are never taken, explored or aimed at."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env as make_dummy_vec_env

from stormgym.agents.learners import sb3 as learners
from stormgym.agents.learners.maskable_dqn import MaskableDQN, open_only, random_open
from stormgym.envs.adapters.sb3 import StormVecEnv


def test_maskable_dqn__never_takes_a_closed_region_while_it_learns(environments: Callable[..., StormVecEnv]) -> None:
    venv = environments()
    model = MaskableDQN("MultiInputPolicy", venv, seed=0, learning_starts=60, train_freq=1, device="cpu")
    model.learn(7 * 4 * 6)
    assert model.replay_buffer is not None
    buffer: Any = model.replay_buffer
    actions, masks = buffer.actions[: buffer.pos], buffer.observations["action_mask"][: buffer.pos]
    assert np.take_along_axis(masks, actions, axis=2).all()
    assert {info["l"] for info in model.ep_info_buffer or ()} == {7}


def test_maskable_dqn__explores_open_regions_alike_row_by_row(environments: Callable[..., StormVecEnv]) -> None:
    mask = np.tile([0, 1, 1, 0, 1], (3000, 1))
    drawn = np.bincount(random_open(mask), minlength=5)
    assert drawn[[0, 3]].sum() == 0
    assert (np.abs(drawn[[1, 2, 4]] - 1000) < 150).all()  # 5.8 standard deviations
    model = MaskableDQN("MultiInputPolicy", environments(64), seed=0, device="cpu")
    model.exploration_rate = 0.5
    obs: Any = environments(64).reset()
    greedy, _ = model.predict(obs, deterministic=True)
    tried, _ = model.predict(obs)
    assert 0.2 < (greedy != tried).mean() < 0.7  # not all rows or none


def test_maskable_dqn__targets_take_the_online_networks_best_open_region(
    monkeypatch: pytest.MonkeyPatch, environments: Callable[..., StormVecEnv]
) -> None:
    venv = environments()
    model = MaskableDQN("MultiInputPolicy", venv, seed=0, device="cpu", gamma=0.5, learning_starts=0)
    online = torch.tensor([[9.0, 1, 5, 0, 0, 0, 0]])
    slow = torch.tensor([[7.0, 8, 3, 0, 0, 0, 0]])
    mask = torch.tensor([[0, 1, 1, 1, 1, 1, 1]])
    assert open_only(online, {"action_mask": mask}).argmax() == 2
    batch = SimpleNamespace(
        observations={"action_mask": mask},
        next_observations={"action_mask": mask},
        actions=torch.tensor([[1]]),
        rewards=torch.tensor([[1.0]]),
        dones=torch.tensor([[0.0]]),
        discounts=None,
    )
    weight = torch.nn.Parameter(torch.zeros(()))
    losses: dict[str, float] = {}
    monkeypatch.setattr(model, "q_net", lambda obs: online + weight)
    monkeypatch.setattr(model, "q_net_target", lambda obs: slow)
    monkeypatch.setattr(model, "replay_buffer", SimpleNamespace(sample=lambda *a, **k: batch))
    model.set_logger(SimpleNamespace(record=lambda key, value, **k: losses.__setitem__(key, value)))  # type: ignore[arg-type]
    model.train(1)
    # target 1 + 0.5 * slow[2] = 2.5, taken 1: Huber loss 1.5 - 0.5
    assert losses["train/loss"] == pytest.approx(1.0)


def test_maskable_dqn__needs_a_mask_in_the_observation() -> None:
    cartpole = make_dummy_vec_env("CartPole-v1", n_envs=2)
    with pytest.raises(ValueError, match="reads the key action_mask"):
        MaskableDQN("MlpPolicy", cartpole, device="cpu")
    with pytest.raises(ValueError, match="needs an environment with the key action_mask"):
        learners.maskable_dqn.check(cartpole)
