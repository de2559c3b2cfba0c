"""Tianshou: the names of observation and mask that its policies read, many environments, and costs of what was played.

envs = make_envs("stormgym:Restoration-v0", num_envs=16)
policy = DiscreteQLearningPolicy(model=net, action_space=envs.action_space[0], observation_space=...)
"""

from __future__ import annotations

from stormgym.predictors.extras import require

require("stormgym.envs.adapters.tianshou", ("torch", "tianshou"), "tianshou")

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from tianshou.data import ReplayBuffer
from tianshou.env import BaseVectorEnv, DummyVectorEnv, SubprocVectorEnv

from stormgym.envs.adapters.masked import MaskedObservation
from stormgym.envs.arrays import Floats
from stormgym.envs.doors import check_num_envs
from stormgym.envs.making import spec_of
from stormgym.envs.plain_info import PlainInfo


def make_env(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """An environment whose observation is `{"obs": float32 vector, "mask": bool}` and whose infos are plain scalars.

    Args:
        env_id: a registered id.
        **kwargs: arguments of the environment.
    """
    env = gym.make(spec_of(env_id).id, **kwargs)
    return PlainInfo(MaskedObservation(env, observation="obs", mask="mask"))


def make_envs(env_id: str, num_envs: int, *, workers: bool = False, **kwargs: Any) -> BaseVectorEnv:
    """B of them side by side, in processes of their own where `workers` says so."""
    kind = SubprocVectorEnv if workers else DummyVectorEnv
    return kind([partial(make_env, env_id, **kwargs)] * check_num_envs(num_envs))


def episode_costs(buffer: ReplayBuffer) -> Floats:
    """Costs `[E]` of the episodes that ended in a buffer which a collector filled, in the order of its rows."""
    batch: Any = buffer[buffer.sample_indices(0)]  # all, in order
    costs: Floats = np.asarray(batch.info["episode_cost"], dtype=np.float64)[np.asarray(batch.done, dtype=bool)]
    return costs
