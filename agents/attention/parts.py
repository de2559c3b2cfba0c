"""Actions of several parts, chosen one part after the other: each part is a choice of its own, and knows those before.

A joint action has the probability of its choices, pi(a) = product over parts k of pi(a_k | a_1 .. a_k-1). Where the
order of the parts follows from the observation and what is left after the parts before is masked, every action that is
allowed has exactly one row of choices, so that these probabilities add up to 1. Shapes: B states, K parts, N choices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Ints, Observation


@dataclass(frozen=True)
class Parts:
    """How a domain's actions are told as choices."""

    n_parts: Callable[[Observation], int]
    """K, from a batched observation."""
    prepare: Callable[[Observation], Observation]
    """The observation with what all parts need, which is worked out once; the other functions take either."""
    ask: Callable[[Observation, Ints], Observation]
    """The observation in which part k is chosen, from the choices of the parts before, `[B, k]`: it says which part is
    asked and what those are, and its `action_mask` `[B, N]` is that of the part."""
    join: Callable[[Observation, Ints], Ints]
    """The actions that choices `[B, K]` make."""
    split: Callable[[Observation, NDArray[Any]], Ints]
    """The choices `[B, K]` of actions: `join(observation, split(observation, action))` is the action, if each of its
    parts is open."""

    def choose(
        self, observation: Observation, one: Callable[[Observation], tuple[Ints, NDArray[np.float64]]]
    ) -> tuple[Ints, NDArray[np.float64]]:
        """Choose all parts.

        Args:
            observation: of B states.
            one: chooses one part in the observation that asks for it: choices `[B]` and their probabilities `[B]`.

        Returns:
            Choices `[B, K]` and the probability of each, given those before it.
        """
        observation = self.prepare(observation)
        b, k = len(observation["action_mask"]), self.n_parts(observation)
        choices, probabilities = np.zeros((b, k), dtype=np.int64), np.ones((b, k))
        for part in range(k):
            asked = self.ask(observation, choices[:, :part])
            is_open = asked["action_mask"] > 0
            if (is_open.sum(axis=1) == 1).all():  # nothing to choose
                choices[:, part] = is_open.argmax(axis=1)
            else:
                choices[:, part], probabilities[:, part] = one(asked)
        return choices, probabilities
