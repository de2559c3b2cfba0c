"""Policies that act in environments over many cities, city by city."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.lineup import make_policy
from stormgym.agents.policy import Policy
from stormgym.envs.adapters.sb3_mixed import MixedVecEnv


class MixedPolicy:
    """One policy a city; each observes the rows of its own city, without padding.

    Args:
        policies: one for each city, in the order of `venv.venvs`.
        venv: the mixed environments that it plays.
    """

    name = "mixed"

    def __init__(self, policies: Sequence[Policy], venv: MixedVecEnv) -> None:
        if len(policies) != len(venv.parts):
            raise ValueError(f"need one policy for each of {len(venv.parts)} cities; got {len(policies)}")
        self.policies = list(policies)
        self.parts = venv.parts
        self.num_envs = venv.num_envs
        self.privileged = any(getattr(policy, "privileged", False) for policy in policies)

    @classmethod
    def for_env(cls, venv: MixedVecEnv, name: str, **kwargs: Any) -> MixedPolicy:
        """The rule or planner of that name for every city, each bound to the environments of its own."""
        return cls([make_policy(name, one, **kwargs) for one in venv.venvs], venv)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Actions `[B]` and the states of the cities' policies by city, as Stable-Baselines3's `predict`.

        A city none of whose rows has begun since `state` was None is left alone: its rows take the first open region.

        Raises:
            ValueError: the observation is not one of all rows.
        """
        shape = np.shape(observation["action_mask"])
        if len(shape) != 2 or shape[0] != self.num_envs:
            raise ValueError(
                f"the policy is bound to {self.num_envs} environments; got action_mask of shape {shape}. "
                "Give it the observation of all of them"
            )
        actions = np.zeros(self.num_envs, dtype=np.int64)
        states: dict[int, Any] = {} if state is None else dict(state)  # of the cities that have begun
        for i, (part, policy) in enumerate(zip(self.parts, self.policies, strict=True)):
            start = None if episode_start is None else np.asarray(episode_start)[part.rows]
            if i not in states and start is not None and not start.any():
                actions[part.rows] = np.asarray(observation["action_mask"])[part.rows].argmax(axis=1)
                continue
            own = part.of(observation)  # without padding
            actions[part.rows], states[i] = policy.predict(own, states.get(i), start, deterministic)
        return actions, states


def policy_for(name: str, venv: VecEnv, **kwargs: Any) -> Policy:
    """The rule or planner of that name, bound to environments over one city or many."""
    inner = venv.unwrapped
    if isinstance(inner, MixedVecEnv):
        return MixedPolicy.for_env(inner, name, **kwargs)
    return make_policy(name, venv, **kwargs)
