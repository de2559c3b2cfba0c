"""What one seed measures: a profile, its costs, what forecasters see; every agent's cost on 200 storms of its own."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.kit.cells import Cell
from stormgym.agents.dfl.learner import FineTuning, fine_tune
from stormgym.agents.dispatch.decision import WEATHER, DispatchProblem, Events, WaveModel, simulated_events
from stormgym.agents.dispatch.flow import online_greedy
from stormgym.agents.dispatch.forecasters import AdaptiveDispatch, tuning_of
from stormgym.envs.dispatch.core import STATE
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.dispatch.process import DispatchProcess
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.envs.storms import COVARIATES
from stormgym.predictors.outage_ode import Loss, OutageODE

Floats = NDArray[np.float64]
N_FIT, N_VALIDATION, N_TEST = 160, 100, 200
N_PLANNED = 100
N_FLOOR = 200

OPEN_LOOP = ("two-stage", "gdf", "spo+", "sampled", "floor")
"""Plans that are made once, the last one with the true distribution of the wave."""
ALL = ("do-nothing", "static", "online lag 1", "online lag 3", "online lag 5", *OPEN_LOOP, "adaptive")
SHORT = ("online lag 1", "two-stage", "gdf", "sampled")
ENERGY = ("sampled", "so-ebm")
"""The energy-based model, in cells of its own, and where it starts."""


@dataclass(frozen=True, kw_only=True)
class ForecastCell(Cell):
    """One seed of one setting."""

    seed: int
    profile: str = "B"
    transport_cost: float | None = None
    interruption_cost: float | None = None
    operating_cost: float | None = None
    generators: int | None = None
    features: tuple[str, ...] = WEATHER
    fit_weight: float = FineTuning.fit_weight
    rho: float = FineTuning.rho
    agents: tuple[str, ...] = ALL
    n_fit: int = N_FIT
    n_validation: int = N_VALIDATION
    n_test: int = N_TEST
    n_steps: int = 100
    n_epochs: int = FineTuning.n_epochs

    @property
    def place(self) -> StormProfile:
        """The profile with the cell's own costs."""
        names = ("transport_cost", "interruption_cost", "operating_cost", "generators")
        own = {name: value for name in names if (value := getattr(self, name)) is not None}
        return replace(resolve_profile(self.profile), **own)

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{self.profile}-{self.seed}"


def measure(cell: ForecastCell) -> dict[str, Any]:
    """Costs of the cell's agents on its test storms."""
    profile = cell.place
    problem, test = DispatchProblem(profile), events(cell, "test")
    optimum = problem.cost(problem.decide(test.outcomes[None]), test.outcomes)
    cost: dict[str, float] = {}
    epochs: dict[str, int] = {}
    for agent in cell.agents:
        plans = _plans(cell, agent, problem, test, epochs)
        cost[agent] = float(problem.cost(plans, test.outcomes).mean())
    return {"optimum": float(optimum.mean()), "cost": cost, "best_epoch": epochs}


def _plans(cell: ForecastCell, agent: str, problem: DispatchProblem, test: Events, epochs: dict[str, int]) -> Any:
    """Stocks `[E, T, K]` that an agent has on the test storms."""
    profile = problem.profile
    if agent == "do-nothing":
        return np.zeros(test.outcomes.shape, dtype=np.int64)
    if agent.startswith("online"):
        return online_greedy(
            test.outcomes,
            test.out[:, 0],
            generators=profile.generators,
            customers_per_generator=profile.customers_per_generator,
            lag=int(agent.split()[-1]),
        )
    if agent == "static":
        mean = events(cell, "fit").outcomes.mean(axis=0)
        return np.broadcast_to(problem.decide(mean[None, None]), test.outcomes.shape)
    if agent == "floor":
        covariates = np.concatenate([events(cell, "test", WEATHER).X, test.onset[..., None]], axis=-1)
        return problem.decide(profile.simulate_given(covariates, N_FLOOR, seed=cell.seed)[:, :, 1:])
    if agent == "adaptive":
        return played(AdaptiveDispatch(profile, fitted(cell, "crps")), test)
    if agent in ENERGY:
        ode = fitted(cell, "crps")
        if agent == "so-ebm":
            ode, fit = copy.deepcopy(ode), events(cell, "fit")
            settings = replace(tuning_of("so-ebm", problem, fit), n_epochs=cell.n_epochs, random_state=cell.seed)
            epochs[agent] = fine_tune(WaveModel(ode), problem, fit, events(cell, "validation"), settings).best_epoch
        return problem.decide(ode.sample(test.X, test.onset, n_samples=N_PLANNED)[:, :, 1:])
    ode = fitted(cell, "mse")
    if agent in ("gdf", "spo+"):
        ode = copy.deepcopy(ode)
        settings = FineTuning(
            "qp" if agent == "gdf" else "spo+",
            rho=cell.rho,
            fit_weight=cell.fit_weight,
            n_epochs=cell.n_epochs,
            random_state=cell.seed,
        )
        tuned = fine_tune(WaveModel(ode), problem, events(cell, "fit"), events(cell, "validation"), settings)
        epochs[agent] = tuned.best_epoch
    elif agent != "two-stage":
        raise ValueError(f"no agent {agent!r}; there are {', '.join((*ALL, 'so-ebm'))}")
    return problem.decide(ode.predict(test.X, test.onset)[None, :, 1:])


def events(cell: ForecastCell, part: str, features: tuple[str, ...] | None = None) -> Events:
    """Storms of a cell: `fit`, `validation` or `test`, each seed's own."""
    first = {"fit": 1_000, "validation": 2_000, "test": 3_000}[part]
    number = {"fit": cell.n_fit, "validation": cell.n_validation, "test": cell.n_test}[part]
    return simulated_events(cell.place, number, first + cell.seed, names=features or cell.features)


def fitted(cell: ForecastCell, loss: Loss) -> OutageODE:
    """The forecaster before any plan is looked at: the same for all costs, so that cells share it."""
    cause = replace(cell, agents=(), fit_weight=0.0, rho=1.0, n_epochs=1)
    names = ("transport_cost", "interruption_cost", "operating_cost", "generators")
    return _fitted(replace(cause, **dict.fromkeys(names)), loss)


@lru_cache(maxsize=64)
def _fitted(cell: ForecastCell, loss: Loss) -> OutageODE:
    profile, train = cell.place, events(cell, "fit")
    ode = OutageODE(
        profile.population,
        profile.n_periods,
        feature_names=cell.features,
        loss=loss,
        steps_per_period=10,
        n_steps=cell.n_steps,
        random_state=cell.seed,
    )
    return ode.fit(train.X, train.out, train.onset)


def played(policy: AdaptiveDispatch, test: Events) -> NDArray[np.int64]:
    """Stocks `[E, T, K]` that a policy has when it sees each storm day by day."""
    profile = policy.profile
    process = DispatchProcess(profile, len(test))
    process.reset(test.out)
    known = {name: test.X[..., WEATHER.index(name)] for name in WEATHER}
    state, stocks = None, []
    status = np.zeros((len(test), len(STATE)))
    for day in range(profile.n_periods):
        status[:, STATE.index("day")] = day
        seen = {**known, "onset": test.onset, "state": status, "stock": process.stock, "out": process.observed}
        wanted, state = policy.targets(seen, state, np.full(len(test), day == 0))
        process.step(np.minimum(wanted, profile.most_useful))
        stocks.append(np.minimum(wanted, profile.most_useful))
    return np.stack(stocks, axis=1)


def table_cells(profile: str, seeds: int, **others: Any) -> list[ForecastCell]:
    """Transport costs of 100, 500 and 1,000 (GDF Table I)."""
    return [
        ForecastCell(seed=seed, profile=profile, transport_cost=cost, **others)
        for cost in (100.0, 500.0, 1000.0)
        for seed in range(seeds)
    ]


WITHHELD = tuple(name for name in COVARIATES if name == "humidity")
"""What forecasters see where temperature and wind, which matter most, are withheld."""
FIT_WEIGHTS = (0.0, 0.01, 0.1, 1.0, 10.0)


def withheld_cells(profile: str, seeds: int, **others: Any) -> list[ForecastCell]:
    """The same with temperature and wind withheld."""
    return table_cells(profile, seeds, features=WITHHELD, **{"agents": ("online lag 1", *OPEN_LOOP), **others})


def energy_cells(profile: str, seeds: int, **others: Any) -> list[ForecastCell]:
    """The energy-based model beside its start: all covariates known, and temperature and wind withheld."""
    own: dict[str, Any] = {"agents": ENERGY, **others}
    return [*table_cells(profile, seeds, **own), *withheld_cells(profile, seeds, **own)]


def weight_cells(profile: str, seeds: int, **others: Any) -> list[ForecastCell]:
    """Weights of the fit beside the decision (GDF Table III and Fig. 5), temperature and wind withheld."""
    agents = ("two-stage", "gdf", "spo+")
    return [
        ForecastCell(
            seed=seed,
            profile=profile,
            transport_cost=100.0,
            features=WITHHELD,
            fit_weight=weight,
            **{"agents": agents, **others},
        )
        for weight in FIT_WEIGHTS
        for seed in range(seeds)
    ]


SWEEPS: dict[str, tuple[float, ...]] = {
    "interruption_cost": (1.0, 2.0, 4.0, 8.0),
    "transport_cost": (50.0, 200.0, 400.0, 800.0),
    "operating_cost": (0.0, 20.0, 50.0, 100.0),
    "generators": (3, 5, 8, 12),
}
"""tau, c, gamma and Q of GDF Fig. 4, around those of profile B."""


def sweep_cells(profile: str, seeds: int, **others: Any) -> list[ForecastCell]:
    """One cost after the other."""
    base: dict[str, Any] = {"transport_cost": 100.0}
    return [
        ForecastCell(seed=seed, profile=profile, **{**base, name: value}, **{"agents": SHORT, **others})
        for name, values in SWEEPS.items()
        for value in values
        for seed in range(seeds)
    ]


def storms_of(cell: ForecastCell) -> ForecastCell:
    """What cells share whose agents met the same storms and knew as much of them."""
    return replace(cell, agents=())


def order(cell: ForecastCell) -> tuple[Any, ...]:
    """Sorts cells so that those of one forecaster are in a row."""
    return cell.profile, cell.features, cell.seed
