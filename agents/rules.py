"""`RulePolicy`, the base of greedy rules for any environment with an action mask, and the random policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.policy import BasePolicy
from stormgym.envs.arrays import Observation


class RulePolicy(BasePolicy):
    """Takes the open choice where a key is least; ties go to the lower number. Subclasses write `key`."""

    def key(self, observation: Observation) -> NDArray[Any]:
        """Return the key of every choice, `[B, N]` or `[N]`; the least one that is open is taken."""
        raise NotImplementedError(f"{type(self).__name__} must write key()")

    def act(
        self, observation: Observation, state: Any, episode_start: NDArray[np.bool_], deterministic: bool
    ) -> tuple[NDArray[np.int64], Any]:
        """Return the open choice of least key in each row; rules keep no state."""
        mask = np.asarray(observation["action_mask"]) > 0
        return np.where(mask, self.key(observation), np.inf).argmin(axis=1), state


class RandomPolicy(RulePolicy):
    """An open choice, uniformly at random.

    Idea: the baseline that any method should beat. Cost: none. Source: none needed.

    Args:
        seed: of its own generator. The same sequence of calls gives the same actions; `deterministic`
            changes nothing.
    """

    name = "random"

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self._rng = np.random.default_rng(seed)
        self._rows: list[np.random.Generator] = []

    def seed_episodes(self, seeds: Sequence[int]) -> None:
        """Let the draws of each row be those of its scenario, whatever other rows there are: one seed a row."""
        self._rows = [np.random.default_rng([self.seed, seed]) for seed in seeds]

    def key(self, observation: Observation) -> NDArray[Any]:
        """Random numbers."""
        shape = np.shape(observation["action_mask"])
        if len(self._rows) == shape[0]:
            return np.stack([rng.random(shape[1:]) for rng in self._rows])
        return self._rng.random(shape)
