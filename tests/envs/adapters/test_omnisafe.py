"""OmniSafe's form of our environments.

Its pins exclude our dependencies, so where it cannot be imported a stand-in of the interface that it documents
(`omnisafe.envs.core`) is used; docs/libraries.md says how the library itself was run.
"""

import importlib
import sys
import types
from abc import ABC

import gymnasium as gym
import numpy as np
import pytest
import torch


@pytest.fixture
def omnisafe(monkeypatch):
    """The adapter, over the library or its interface."""
    try:
        importlib.import_module("omnisafe.envs.core")
    except Exception:  # its own imports fail in their own ways
        core = types.ModuleType("omnisafe.envs.core")
        core.CMDP = type("CMDP", (ABC,), {"__init__": lambda self, env_id, **kwargs: None})
        core.env_register = lambda cls: cls
        for name, module in {
            "omnisafe": types.ModuleType("omnisafe"),
            "omnisafe.envs": types.ModuleType("omnisafe.envs"),
            "omnisafe.envs.core": core,
        }.items():
            monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "stormgym.envs.adapters.omnisafe", raising=False)
    yield importlib.import_module("stormgym.envs.adapters.omnisafe")
    sys.modules.pop("stormgym.envs.adapters.omnisafe", None)


SMALL = {"city": "synthetic:8:1", "predictor": "none", "on_invalid": "raise"}


def test_cmdp__scores_keep_masks_and_costs_are_those_of_a_hand_loop(omnisafe):
    kind = omnisafe.register_cmdp("stormgym:Restoration-v0", **SMALL)
    env = kind("Restoration-v0")
    assert kind._support_envs == ["Restoration-v0"]
    obs, _ = env.reset(seed=2)
    hand = gym.make("Restoration-v0", **SMALL)
    hand.reset(seed=2)
    torch.manual_seed(0)
    total, by_hand, ended = 0.0, 0.0, False
    while not ended:
        assert obs.dtype == torch.float32
        obs, reward, cost, terminated, truncated, info = env.step(torch.rand(8))
        _, hand_reward, _, _, hand_info = hand.step(info["choice"])
        assert float(reward) == pytest.approx(hand_reward, rel=1e-6)
        total, by_hand, ended = total + float(cost), by_hand + hand_info["cost"], bool(terminated or truncated)
    assert total == pytest.approx(by_hand, rel=1e-6)
    assert torch.equal(info["final_observation"], obs)


def test_cmdp__boxes_are_taken_as_they_are(omnisafe):
    env = omnisafe.register_cmdp("GeneratorDispatch-v0", action="box")("GeneratorDispatch-v0")
    env.set_seed(3)
    env.reset()
    _, reward, cost, *_ = env.step(torch.as_tensor(env._action_space.low))
    assert np.isfinite([float(reward), float(cost)]).all()


def test_cmdp__other_actions_and_batches_are_errors(omnisafe):
    with pytest.raises(ValueError, match="OmniSafe knows Box actions, and scores for Discrete ones"):
        omnisafe.register_cmdp("GeneratorDispatch-v0")("GeneratorDispatch-v0")
    with pytest.raises(ValueError, match="num_envs must be 1"):
        omnisafe.register_cmdp("Restoration-v0", **SMALL)("Restoration-v0", num_envs=4)
