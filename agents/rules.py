"""`RulePolicy`, the base of greedy rules for any environment with an action mask, and the random policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.policy import BasePolicy
from stormgym.envs.arrays import Observation

_LARGEST = np.finfo(np.float64).max
"""What an open choice counts whose key is infinite, so that one that is closed is never taken in its place."""


def checked_key(policy: BasePolicy, key: Any, shape: tuple[int, ...], choices: str) -> NDArray[Any]:
    """The keys of a rule as an array `[B, A]`; `[A]` are keys that do not depend on the row.

    Args:
        policy: whose keys they are.
        key: what its `key` returned.
        shape: (B, A), that of the choices.
        choices: what they are, for the message.

    Raises:
        ValueError: another shape.
    """
    keys = np.asarray(key)
    if keys.shape not in (shape, shape[1:]):
        cure = "Compute it from parts of the observation along all axes"
        if keys.shape[-1:] == (shape[1] - 1,):
            cure = "One choice has none: where the last is to wait, add a column with its key"
        raise ValueError(
            f"{type(policy).__name__}.key() must give a number for every choice, {choices}, here {shape}; got shape "
            f"{keys.shape}. {cure}"
        )
    return keys


class RulePolicy(BasePolicy):
    """Takes the open choice where a key is least; ties go to the lower number. Subclasses write `key`."""

    def key(self, observation: Observation) -> NDArray[Any]:
        """Return the key of every choice, `[B, A]` as `observation["action_mask"]` (or `[A]`, the same in every row).

        The least one that is open is taken. A is not always the number of regions or jobs: where crews may wait, the
        last choice is to wait, and has a key too.
        """
        raise NotImplementedError(f"{type(self).__name__} must write key()")

    def act(
        self, observation: Observation, state: Any, episode_start: NDArray[np.bool_], deterministic: bool
    ) -> tuple[NDArray[np.int64], Any]:
        """Return the open choice of least key in each row; rules keep no state."""
        mask = np.asarray(observation["action_mask"]) > 0
        key = checked_key(self, self.key(observation), mask.shape, "[B, A] as the action mask")
        return np.where(mask, np.minimum(key, _LARGEST), np.inf).argmin(axis=1), state


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
