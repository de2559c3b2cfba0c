"""Choices as scores, for libraries of continuous actions: the open choice with the largest score is taken."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from stormgym.envs.adapters.masked import MASK


class ScoreActions(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """`Discrete(A)` with a mask as `Box(-1, 1, [A])`: a score each choice, of which the largest that is open counts.

    Args:
        env: an environment with a `Discrete` action space and `action_mask` in its observation.

    Raises:
        ValueError: another environment.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        observation = env.observation_space
        if not (isinstance(observation, spaces.Dict) and MASK in observation.spaces):
            raise ValueError(f"the observation must be a Dict with the part {MASK!r}; got {observation}")
        if not isinstance(env.action_space, spaces.Discrete):
            raise ValueError(f"ScoreActions takes environments of Discrete actions; got {env.action_space}")
        self.action_space = spaces.Box(-1.0, 1.0, (int(env.action_space.n),), dtype=np.float32)
        self._open = np.ones(int(env.action_space.n), dtype=bool)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset."""
        obs, info = self.env.reset(**kwargs)
        self._open = obs[MASK].astype(bool)
        return obs, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take the open choice with the largest score, of equal ones the first; `info["choice"]` says which.

        Raises:
            ValueError: not A finite scores.
        """
        scores = np.asarray(action, dtype=np.float64)
        if scores.shape != self._open.shape or not np.isfinite(scores).all():
            raise ValueError(f"action must be {self._open.size} finite scores; got {action!r}")
        choice = int(np.where(self._open, scores, -np.inf).argmax())
        obs, reward, terminated, truncated, info = self.env.step(choice)
        self._open = obs[MASK].astype(bool)
        return obs, reward, terminated, truncated, {**info, "choice": choice}
