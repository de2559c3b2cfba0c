"""Environments from an id and arguments (a specification, a batch), and the seed of every scenario."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv

from stormgym.envs.doors import check_num_envs


def episode_seeds(seed: int, episodes: int) -> tuple[int, ...]:
    """Seed of each episode: a function of `seed` and its index, so that no batch size changes it."""
    return tuple(
        int(
            np.random.SeedSequence([seed, i]).generate_state(1, np.uint64)[0] >> np.uint64(11)
        )  # 53 bits: exact in JSON
        for i in range(episodes)
    )


def spec_of(env_id: str) -> EnvSpec:
    """Return the specification of a registered id; a prefix `module:` is imported first, as `gym.make` does.

    Raises:
        gymnasium.error.Error: no such id.
        ImportError: no such module.
    """
    module, _, name = env_id.rpartition(":")
    import_module(module or "stormgym")
    return gym.spec(name)


def make_batch(env_id: str, num_envs: int, env_kwargs: Mapping[str, Any] | None = None) -> VectorEnv[Any, Any, Any]:
    """Make the native vector form (a `SyncVectorEnv` where there is none), with NEXT_STEP autoreset.

    Raises:
        TypeError: `num_envs` is no whole number.
        ValueError: it is below 1 or above `MOST_ENVS`, or the arguments ask for another autoreset.
    """
    num_envs = check_num_envs(num_envs)
    spec = spec_of(env_id)
    native = spec.vector_entry_point is not None
    env: VectorEnv[Any, Any, Any] = gym.make_vec(
        spec.id,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point" if native else "sync",
        **dict(env_kwargs or {}),
    )
    mode = env.metadata.get("autoreset_mode")
    if mode != AutoresetMode.NEXT_STEP:
        env.close()
        raise ValueError(f"evaluation needs autoreset_mode NEXT_STEP; {env_id} was made with {mode}. Leave it out.")
    return env
