"""What plays the sides of DefenderAttacker that nobody has taken: rules that see the game itself, without a solver."""

from __future__ import annotations

from typing import Any

import numpy as np

from stormgym.envs.undergrounding.adversary import CREWS, NATURE, PLANNER, DefenderAttackerEnv, action_of
from stormgym.envs.undergrounding.forecasts import SeasonForecast

_NOW = slice(None)


class Opponent:
    """A rule for one side. It chooses from the game itself, where a `Player` chooses from an observation."""

    def __init__(self, seed: int) -> None:
        """`seed` decides what is drawn in a season, for rules that draw."""
        self.rng = np.random.default_rng(seed)

    def act(self, game: DefenderAttackerEnv) -> Any:
        """The action of the side whose turn it is."""
        raise NotImplementedError(f"{type(self).__name__} must write act()")


class GreedyPlanner(Opponent):
    """Buries the region in which a unit of money saves most of the forecast's loss, until nothing more can be paid."""

    def act(self, game: DefenderAttackerEnv) -> int:
        """A region, or K to stop."""
        open_ = game.process.affordable()[0]
        profile = game.profile
        saved = profile.population * game.process.forecast.mean[0] / profile.protect_cost
        return int(np.where(open_, saved, -1.0).argmax()) if open_.any() else game.n_regions


class RandomPlanner(Opponent):
    """Buries regions at random until nothing more can be paid."""

    def act(self, game: DefenderAttackerEnv) -> int:
        """A region, or K to stop."""
        open_ = np.flatnonzero(game.process.affordable()[0])
        return int(self.rng.choice(open_)) if open_.size else game.n_regions


class WorstNature(Opponent):
    """The worst storm of the set for the plan, when crews answer it at their best: exact (tri-level eq. 8-12)."""

    def act(self, game: DefenderAttackerEnv) -> Any:
        """Where each region is between its bounds `[K]`."""
        return nature_action(game, game.process.worst_h(_NOW)[0])


class MeanNature(Opponent):
    """The forecast comes."""

    def act(self, game: DefenderAttackerEnv) -> Any:
        """Where each region is between its bounds `[K]`."""
        return nature_action(game, game.process.forecast.mean[0])


class RandomNature(Opponent):
    """Each region anywhere between its bounds."""

    def act(self, game: DefenderAttackerEnv) -> Any:
        """Where each region is between its bounds `[K]`."""
        return self.rng.random(game.n_regions)


class BestCrews(Opponent):
    """Crews go one by one where most is lost, and stay where nothing is: exact, since a region needs one crew."""

    def act(self, game: DefenderAttackerEnv) -> int:
        """A region, or K to stay."""
        return game.best_crew()


class RandomCrews(Opponent):
    """Crews go one by one to regions without power at random."""

    def act(self, game: DefenderAttackerEnv) -> int:
        """A region, or K to stay."""
        open_ = np.flatnonzero(game.needed())
        return int(self.rng.choice(open_)) if open_.size else game.n_regions


def nature_action(game: DefenderAttackerEnv, storm: Any) -> Any:
    """Nature's action `[K]` for a storm `[K]` (h) of the season's set."""
    known: SeasonForecast = game.process.forecast
    return action_of(np.clip(storm, known.lower[0], known.upper[0]), known.lower[0], known.upper[0])


OPPONENTS: dict[str, dict[str, type[Opponent]]] = {
    PLANNER: {"greedy": GreedyPlanner, "random": RandomPlanner},
    NATURE: {"worst": WorstNature, "mean": MeanNature, "random": RandomNature},
    CREWS: {"best": BestCrews, "random": RandomCrews},
}
"""Rules by side and name; the first of a side plays it where nothing is said."""
