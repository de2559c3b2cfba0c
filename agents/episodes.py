"""One episode of one environment, step by step: for plans, renderings and examples.

Many episodes on common scenarios are played by `stormgym.agents.evaluation.rollouts`, those of a training by
`stormgym.agents.training.play`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from stormgym.agents.policy import Policy, predict_in
from stormgym.envs.arrays import Observation


class Transition(NamedTuple):
    """One step of an episode."""

    observation: Observation
    """Before the action; it is what the policy chose on."""
    action: Any
    """One action, without a leading axis."""
    following: Observation
    """The observation after the action."""
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


def play_episode(
    env: Any, policy: Policy, *, seed: int | None = None, options: dict[str, Any] | None = None
) -> Iterator[Transition]:
    """Reset a single environment and let a policy play it to the end, deterministically.

    Yields each step as soon as it is made, so that a caller can inspect or render the environment in between.

    Args:
        env: a single environment (`gym.make`), not a vector.
        policy: bound to it, where it needs to be.
        seed, options: of the reset.
    """
    observation, _ = env.reset(seed=seed, options=options)
    state: Any = None
    predict = predict_in(env, policy)
    start, over = np.ones(1, dtype=bool), False
    while not over:
        action, state = predict(observation, state=state, episode_start=start, deterministic=True)
        following, reward, terminated, truncated, info = env.step(action)
        yield Transition(observation, action, following, float(reward), bool(terminated), bool(truncated), info)
        observation, start, over = following, np.zeros(1, dtype=bool), terminated or truncated
