"""skrl: spaces that it knows, the mask as part of its flat observation, and the costs of ended episodes in its logs.

env = make_env("stormgym:Restoration-v0", num_envs=64)
seen, mask = split_mask(env.observation_space, inputs["observations"])  # in a model of yours
logits = net(seen).masked_fill(~mask, -torch.inf)
"""

from __future__ import annotations

from stormgym.predictors.extras import require

require("stormgym.envs.adapters.skrl", ("torch", "skrl"), "skrl")

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorWrapper
from skrl.envs.wrappers.torch import Wrapper, wrap_env
from skrl.utils.spaces.torch import unflatten_tensorized_space

from stormgym.envs.adapters.masked import VectorMaskedObservation
from stormgym.envs.doors import check_num_envs
from stormgym.envs.making import spec_of
from stormgym.envs.wrappers import VectorEpisodeCost


def make_env(env_id: str, num_envs: int, *, native: bool = True, **kwargs: Any) -> Wrapper:
    """B environments in SAME_STEP autoreset (no transition is made up), wrapped for skrl's trainers and agents.

    `infos["episode"]` holds the mean cost of episodes that have just ended, which agents log.

    Args:
        env_id: a registered id.
        num_envs: B.
        native: the native vector form; False: `AsyncVectorEnv`, a process each.
        **kwargs: arguments of the environment.
    """
    mode = "vector_entry_point" if native else "async"
    reset = AutoresetMode.SAME_STEP
    modes = {"autoreset_mode": reset} if native else {"vector_kwargs": {"autoreset_mode": reset}}
    batch = gym.make_vec(spec_of(env_id).id, check_num_envs(num_envs), vectorization_mode=mode, **modes, **kwargs)
    return wrap_env(LoggedCosts(VectorMaskedObservation(VectorEpisodeCost(batch), mask_dtype=np.float32)))


def split_mask(space: spaces.Space[Any], flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What is seen `[B, n]` and the mask `[B, A]` bool, of flat observations as skrl's models get them.

    Args:
        space: of one environment's observation, with the mask.
        flat: `[B, n + A]`.
    """
    parts = unflatten_tensorized_space(space, flat)
    return parts["observation"], parts["action_mask"] > 0.5


class LoggedCosts(VectorWrapper[Any, Any, Any, Any, Any]):
    """Puts the mean cost of ended episodes where skrl's agents look for numbers to log."""

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step."""
        obs, reward, terminated, truncated, infos = self.env.step(actions)
        ended = infos["_episode_cost"]
        if ended.any():
            infos["episode"] = {"Cost / Episode cost (mean)": torch.tensor(infos["episode_cost"][ended].mean())}
        return obs, reward, terminated, truncated, infos
