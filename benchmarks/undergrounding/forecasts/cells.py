"""What one seed measures: regions, costs, what forecasters see; every plan's SAIDI."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.kit.cells import Cell
from stormgym.agents.dfl.learner import DecisionLoss, fine_tune
from stormgym.agents.undergrounding.decision import (
    KnapsackProblem,
    SAIDIModel,
    SeasonEvents,
    simulated_seasons,
    tuning_of,
)
from stormgym.envs.undergrounding.profiles import resolve_profile
from stormgym.envs.undergrounding.regions import FEATURE_NAMES, UndergroundingProfile

Floats = NDArray[np.float64]
N_FIT, N_VALIDATION, N_TEST = 200, 100, 500
N_FLOOR = 200
N_BURIED = 3
"""C of ten regions, at equal costs."""
LITTLE_NOISE = 0.02
"""Log-sd of the restoration rate, a tenth of the usual."""
WITHHELD = ("", "temperature_c", "wind_ms")
"""What forecasters do not see; temperature moves the outage most and wind next."""
FIT_WEIGHTS = (0.0, 0.01, 0.1, 1.0, 10.0)

TUNED: dict[str, DecisionLoss] = {"gdf": "qp", "spo+": "spo+"}
ALL = ("static", "two-stage", *TUNED, "floor")
RANKED: dict[str, DecisionLoss] = {"so-ebm": "so-ebm", "listwise": "listwise"}
"""Energy-based models, in cells of their own."""


@dataclass(frozen=True, kw_only=True)
class ForecastCell(Cell):
    """One seed of one setting."""

    FORMAT: ClassVar[int] = 1
    """Raise it when what is measured changes, `TUNING` included."""

    seed: int
    profile: str = "ten"
    little_noise: bool = False
    """Restoration hardly varies by chance, so that covariates tell nearly all."""
    costed: bool = False
    """The profile's costs and budget; else each region costs 1 and the budget is 3 (GDF eq. 15)."""
    withheld: str = ""
    """A covariate that forecasters do not see."""
    fit_weight: float | None = None
    """lambda; None: as tried out."""
    agents: tuple[str, ...] = ALL
    n_fit: int = N_FIT
    n_validation: int = N_VALIDATION
    n_test: int = N_TEST
    n_steps: int = 300
    n_epochs: int = 60

    @property
    def place(self) -> UndergroundingProfile:
        """The profile with the cell's own noise."""
        return _place(self.profile, self.little_noise)

    @property
    def problem(self) -> KnapsackProblem:
        """The decision; regions weigh the same (GDF eq. 16)."""
        place = self.place
        if self.costed:
            return KnapsackProblem(place.protect_cost, place.budget)
        return KnapsackProblem(np.ones(place.n_counties), N_BURIED)

    @property
    def features(self) -> tuple[str, ...]:
        """What forecasters see."""
        return tuple(name for name in FEATURE_NAMES if name != self.withheld)

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{self.profile}-{self.seed}"


@lru_cache(maxsize=8)
def _place(name: str, little_noise: bool) -> UndergroundingProfile:
    profile = resolve_profile(name)
    return replace(profile, restoration_noise=LITTLE_NOISE) if little_noise else profile


def measure(cell: ForecastCell) -> dict[str, Any]:
    """Mean SAIDI that the cell's agents leave on its test seasons, and the errors of their forecasts."""
    problem, test = cell.problem, events(cell, "test")
    optimum = problem.cost(problem.decide(test.outcomes[None]), test.outcomes)
    cost: dict[str, float] = {}
    error: dict[str, float] = {}
    epochs: dict[str, int] = {}
    for agent in cell.agents:
        hours = _forecasts(cell, agent, problem, test, epochs)
        cost[agent] = float(problem.cost(problem.decide(hours[None]), test.outcomes).mean())
        error[agent] = float(((hours - test.outcomes) ** 2).mean())
    return {"optimum": float(optimum.mean()), "cost": cost, "best_epoch": epochs, "error": error}


def _forecasts(
    cell: ForecastCell, agent: str, problem: KnapsackProblem, test: SeasonEvents, epochs: dict[str, int]
) -> Floats:
    """Hours `[E, K]` that an agent plans on."""
    if agent == "static":
        return np.repeat(events(cell, "fit").outcomes.mean(axis=0)[None], len(test), axis=0)
    if agent == "floor":
        return _mean_given(cell.place, cell.n_test, _first("test") + cell.seed)
    model = fitted(cell)
    loss = (TUNED | RANKED).get(agent)
    if loss is not None:
        model, fit = copy.deepcopy(model), events(cell, "fit")
        settings = replace(tuning_of(loss, problem, fit), n_epochs=cell.n_epochs, random_state=cell.seed)
        if cell.fit_weight is not None:
            settings = replace(settings, fit_weight=cell.fit_weight)
        tuned = fine_tune(model, problem, fit, events(cell, "validation"), settings)
        epochs[agent] = tuned.best_epoch
    elif agent != "two-stage":
        raise ValueError(f"no agent {agent!r}; there are {', '.join((*ALL, *RANKED))}")
    return model.predict(test.X)


def _first(part: str) -> int:
    return {"fit": 1_000, "validation": 2_000, "test": 3_000}[part]


def events(cell: ForecastCell, part: str) -> SeasonEvents:
    """Seasons of a cell: `fit`, `validation` or `test`, each seed's own."""
    number = {"fit": cell.n_fit, "validation": cell.n_validation, "test": cell.n_test}[part]
    return _events(cell.place, number, _first(part) + cell.seed, cell.features)


@lru_cache(maxsize=8)
def _events(profile: UndergroundingProfile, number: int, seed: int, names: tuple[str, ...]) -> SeasonEvents:
    return simulated_seasons(profile, number, seed, names=names)


@lru_cache(maxsize=2)
def _mean_given(profile: UndergroundingProfile, number: int, seed: int) -> Floats:
    """Mean hours `[E, K]` of 200 seasons drawn given all covariates: prices are linear, so none plans better.

    A profile's noise in customer-hours is left out; those that are measured have none.
    """
    seasons = profile.seasons([np.random.default_rng([seed, i]) for i in range(number)])
    total = np.zeros(seasons.outage_h.shape)
    for part in range(0, number, 50):  # of all at once, the waves would take gigabytes
        waves = profile.simulate_given(seasons.covariates[part : part + 50], N_FLOOR, seed)
        total[part : part + 50] = waves[:, :, 1:].sum(axis=2).mean(axis=0)
    return profile.period_h * total / profile.population


def fitted(cell: ForecastCell) -> SAIDIModel:
    """The forecaster before any plan is looked at: the same for all costs."""
    return _fitted(replace(cell, costed=False, fit_weight=None, agents=(), n_epochs=1, n_test=1, n_validation=1))


@lru_cache(maxsize=8)
def _fitted(cell: ForecastCell) -> SAIDIModel:
    train = events(cell, "fit")
    model = SAIDIModel(cell.features, n_steps=cell.n_steps, random_state=cell.seed)
    return model.fit(train.X, train.outage_h)


def setting_cells(profiles: tuple[str, ...], seeds: int, **others: Any) -> list[ForecastCell]:
    """Every covariate known or one withheld, much noise and little, equal costs and the profile's."""
    return [
        ForecastCell(seed=seed, profile=profile, little_noise=little, costed=costed, withheld=withheld, **others)
        for profile in profiles
        for little in (False, True)
        for costed in (False, True)
        for withheld in WITHHELD
        for seed in range(seeds)
    ]


def ranking_cells(profiles: tuple[str, ...], seeds: int, **others: Any) -> list[ForecastCell]:
    """Energy-based models beside their start, in the same settings."""
    return setting_cells(profiles, seeds, **{"agents": ("two-stage", *RANKED), **others})


def weight_cells(profile: str, seeds: int, **others: Any) -> list[ForecastCell]:
    """Weights of the fit beside the decision, where there is most to gain."""
    base: dict[str, Any] = {"profile": profile, "little_noise": True, "withheld": "temperature_c"}
    agents = ("two-stage", *TUNED)
    return [
        ForecastCell(seed=seed, fit_weight=weight, **{**base, "agents": agents, **others})
        for weight in FIT_WEIGHTS
        for seed in range(seeds)
    ]


def seasons_of(cell: ForecastCell) -> ForecastCell:
    """What cells share whose agents met the same seasons and knew as much of them."""
    return replace(cell, agents=())


def order(cell: ForecastCell) -> tuple[Any, ...]:
    """Sorts cells so that those of the same seasons, and then of one forecaster, are in a row."""
    return cell.profile, cell.little_noise, cell.seed, cell.withheld
