"""Players of DefenderAttacker-v0: natures and crews, and a game between policies. Planners are Undergrounding-v0's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.policy import BasePolicy, Policy
from stormgym.agents.undergrounding.case import case_of, check_observation
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.undergrounding.adversary import CREWS, NATURE, PLANNER, action_of
from stormgym.envs.undergrounding.worst import worst_storms
from stormgym.predictors.uncertainty_set import UncertaintySet

GAME_ID = "DefenderAttacker-v0"


class Nature:
    """Chooses a storm; subclasses write `storms`. It keeps no state and has no mask."""

    name = "nature"
    privileged = False

    def storms(self, observation: Observation) -> tuple[Floats, UncertaintySet]:
        """A storm for each season `[B, K]`, and the sets they are from."""
        raise NotImplementedError(f"{type(self).__name__} must write storms()")

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Bools | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Stable-Baselines3's `predict`: takes one observation or a batch, gives `[K]` or `[B, K]` in [0, 1]."""
        del episode_start, deterministic
        check_observation(observation)
        single = np.ndim(observation["state"]) == 1
        batch = {k: np.asarray(v)[None] for k, v in observation.items()} if single else observation
        storm, sets = self.storms(batch)
        action = action_of(storm, sets.lower, sets.upper)
        return (action[0] if single else action), state


def sets_of(observation: Observation) -> UncertaintySet:
    """Uncertainty sets of B seasons, as their players observe them."""
    cases = [case_of(observation, row) for row in range(check_observation(observation))]
    lower, upper = (np.stack([getattr(case, name) for case in cases]) for name in ("lower", "upper"))
    totals = (np.array([getattr(case, name) for case in cases]) for name in ("total_lower", "total_upper"))
    return UncertaintySet(lower, upper, *totals)


class WorstStorm(Nature):
    """The worst storm of the set for the plan, against crews that respond optimally: exact.

    Idea: by duality a search over one number, the price of crews. Cost: under a millisecond.
    Source: tri-level eq. 8-12 with c = 1.
    """

    name = "worst-storm"

    def storms(self, observation: Observation) -> tuple[Floats, UncertaintySet]:
        """`worst_storms`."""
        sets = sets_of(observation)
        protected = np.asarray(observation["protected"]) > 0.5
        n_crews = case_of(observation, 0).n_crews
        people = np.asarray(observation["population"][0], dtype=np.float64)
        return worst_storms(protected, people, sets, n_crews), sets


class LargestStorm(Nature):
    """The storm of the largest loss if nothing were buried and no crew came.

    Idea: an attacker who ignores plan and crews. Cost: a sort. Source: the middle level of one-stage worst-case.
    """

    name = "largest-storm"

    def storms(self, observation: Observation) -> tuple[Floats, UncertaintySet]:
        """The linear maximum over the set."""
        sets = sets_of(observation)
        return sets.maximise(np.asarray(observation["population"], dtype=np.float64))[1], sets


class MeanStorm(Nature):
    """The forecast.

    Idea: no attacker at all. Cost: none. Source: none needed.
    """

    name = "mean-storm"

    def storms(self, observation: Observation) -> tuple[Floats, UncertaintySet]:
        """The means."""
        return np.asarray(observation["mean"], dtype=np.float64), sets_of(observation)


class RandomStorm(Nature):
    """A storm at random, between the bounds of each region.

    Idea: the least that an attacker can do. Cost: none. Source: none needed.

    Args:
        seed: of its own generator.
    """

    name = "random-storm"

    def __init__(self, *, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def storms(self, observation: Observation) -> tuple[Floats, UncertaintySet]:
        """Uniform draws, region by region; the game brings them within the bounds of the total."""
        sets = sets_of(observation)
        return sets.lower + self._rng.random(sets.lower.shape) * (sets.upper - sets.lower), sets


class BestCrews(BasePolicy):
    """Crews go one by one to the region of the largest loss, and stay home where no loss is left.

    Idea: exact, since a region needs one crew. Cost: none. Source: tri-level eq. 8 with c = 1.
    """

    name = "best-crews"

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """A region, or K to stay."""
        del episode_start, deterministic
        loss = np.asarray(observation["population"]) * observation["storm"] * observation["action_mask"][:, :-1]
        return np.where(loss.max(axis=1) > 0, loss.argmax(axis=1), loss.shape[1]), state

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Bools | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """As every policy; raises `ValueError` for another observation than that of crews."""
        if not {"storm", "action_mask"} <= set(observation):
            raise ValueError(f"this agent reads the observation of crews in {GAME_ID}; got {sorted(observation)}")
        return super().predict(observation, state, episode_start, deterministic)


NATURES: dict[str, type[Nature]] = {kind.name: kind for kind in (WorstStorm, LargestStorm, MeanStorm, RandomStorm)}
"""Natures by name."""


def play_game(game: Any, players: Mapping[str, Policy], *, seed: int | None = None) -> dict[str, float]:
    """Play one season of DefenderAttacker-v0 between three policies; return its metrics.

    Args:
        game: the environment.
        players: policies of `planner` and `nature`, and of `crews` unless they play at their best; anything with
            Stable-Baselines3's `predict`, planned, random or learnt.
        seed: of the season; None keeps the game's random stream.

    Raises:
        KeyError: no planner or no nature, or a player that the game does not have.
    """
    seats: dict[str, Policy] = {CREWS: BestCrews(), **players}
    if set(seats) != {PLANNER, NATURE, CREWS}:
        raise KeyError(f"players must be {PLANNER}, {NATURE} and, if you like, {CREWS}; got {', '.join(players)}")
    game.reset(seed=seed)
    states: dict[str, Any] = dict.fromkeys(seats)
    metrics: dict[str, float] = {}
    for agent in game.agent_iter():
        observation, _, terminated, truncated, info = game.last()
        metrics = info.get("metrics", metrics)
        if terminated or truncated:
            game.step(None)
            continue
        action, states[agent] = seats[agent].predict(observation, state=states[agent], deterministic=True)
        game.step(action)
    return metrics
