"""Rules of thumb for Restoration-v0, without planning or training. They choose among what the mask leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.restoration.situation import city_of
from stormgym.agents.rules import RulePolicy
from stormgym.envs.arrays import Ints, Observation


def _column(observation: Observation, name: str) -> NDArray[Any]:
    if name not in observation:
        raise ValueError(f"this rule reads Restoration-v0's observation ({name}, ...); got {sorted(observation)}")
    return observation[name]


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

    Idea: crews follow requests, and requests come mostly from populous areas that are used to filing them. Follows
    the city's own status-quo order where it has one (`city.orders["status_quo"]`), else the number of requests,
    largest first.
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
        """Place in the order, 0 first."""
        n = observation["action_mask"].shape[1]
        if n != self._rank.size:
            raise ValueError(
                f"the order has {self._rank.size} regions but the observation {n}; "
                "bind the policy to the environment that it plays, with for_env(env)"
            )
        return self._rank
