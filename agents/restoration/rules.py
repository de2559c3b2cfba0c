"""Rules of thumb that need neither planning nor training. They choose among what the mask leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.policy import BasePolicy
from stormgym.agents.restoration.situation import city_of
from stormgym.envs.arrays import Bools, Ints, Observation


class RulePolicy(BasePolicy):
    """Sends the crew where a key is least; ties go to the lower region number. Subclasses write `key`."""

    def key(self, observation: Observation) -> NDArray[Any]:
        """Return what is minimised, `[B, N]` or `[N]`."""
        raise NotImplementedError(f"{type(self).__name__} must write key()")

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """Return the open region of least key in each row; rules keep no state."""
        mask = np.asarray(observation["action_mask"]) > 0
        return np.where(mask, self.key(observation), np.inf).argmin(axis=1), state


def _column(observation: Observation, name: str) -> NDArray[Any]:
    if name not in observation:
        raise ValueError(f"this rule reads Restoration-v0's observation ({name}, ...); got {sorted(observation)}")
    return observation[name]


class RandomPolicy(RulePolicy):
    """An open region at random, all equally likely.

    Idea: the floor that any method should beat. Cost: none. Source: none needed.

    Args:
        seed: of its own generator. The same sequence of calls gives the same actions; `deterministic`
            changes nothing.
    """

    name = "random"

    def __init__(self, *, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def key(self, observation: Observation) -> NDArray[Any]:
        """Random numbers."""
        return self._rng.random(observation["action_mask"].shape)


class NearestPolicy(RulePolicy):
    """The nearest open region first (road km from the crew).

    Idea: greedy routing; blind to repair times and groups. Cost: none. Source: EPOPR's baseline.
    """

    name = "nearest"

    def key(self, observation: Observation) -> NDArray[Any]:
        """Distance from the crew."""
        return _column(observation, "distance_km")


class ShortestRepairPolicy(RulePolicy):
    """The shortest expected repair first (mean forecast).

    Idea: short jobs first shorten waiting (Smith's rule without travel), and hurt groups with longer
    repairs. Cost: none.
    Source: Smith (1956).
    """

    name = "shortest-repair"

    def key(self, observation: Observation) -> NDArray[Any]:
        """Mean forecast."""
        return _column(observation, "point_h")


class RequestVolumePolicy(RulePolicy):
    """Most repair requests first: the status quo.

    Idea: crews follow the calls, and calls come from where people are many and used to being heard. Follows
    the city's own status-quo order where it has one (`city.orders["status_quo"]`), else the volume of
    requests, larger first.
    Cost: none. Source: EPOPR's status quo.

    Args:
        order: regions `[N]`, first to last.
    """

    name = "request-volume"

    def __init__(self, order: Ints) -> None:
        self._rank = np.empty(len(order))
        self._rank[np.asarray(order)] = np.arange(len(order))

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> RequestVolumePolicy:
        """Take the order from the city of `env`."""
        city = city_of(env)
        order = city.orders.get("status_quo")
        return cls(np.argsort(-city.requests, kind="stable") if order is None else order, **kwargs)

    def key(self, observation: Observation) -> NDArray[Any]:
        """Place in the order."""
        n = observation["action_mask"].shape[1]
        if n != self._rank.size:
            raise ValueError(
                f"the order has {self._rank.size} regions but the observation {n}; "
                "bind the policy to the environment that it plays, with for_env(env)"
            )
        return self._rank
