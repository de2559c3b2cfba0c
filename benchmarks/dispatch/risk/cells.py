"""What is measured at once: plans for storms of known law, and agents with fitted forecasters on storms of a seed."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.dispatch.forecasts.cells import WITHHELD, ForecastCell, events, fitted, played
from benchmarks.kit.cells import Cell
from stormgym.agents.dfl.learner import FineTuning, fine_tune
from stormgym.agents.dfl.risk import cvar
from stormgym.agents.dispatch.decision import WEATHER, DispatchProblem, Events, WaveModel, simulated_events
from stormgym.agents.dispatch.forecasters import AdaptiveDispatch
from stormgym.agents.dispatch.planners import risk_plan
from stormgym.agents.dispatch.risk_averse import ALPHA, MEAN_WEIGHT, AdaptiveRiskDispatch
from stormgym.agents.dispatch.risk_tuning import N_RISK_SAMPLES, Kind, RiskProblem, risk_tuning
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.predictors.outage_ode import OutageODE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LEVELS = (0.5, 0.1, 0.02)
"""Shares of the worst cases that tables show."""
RISKS: dict[str, tuple[float, float]] = {
    "mean": (1.0, 0.0),
    "half": (ALPHA, MEAN_WEIGHT),
    "CVaR 0.1": (0.1, 0.0),
    "CVaR 0.5": (0.5, 0.0),
    "quarter": (0.1, 0.25),
    "three quarters": (0.1, 0.75),
    "half, 0.02": (0.02, 0.5),
    "half, 0.3": (0.3, 0.5),
}
"""Plans over samples by name: alpha and the weight of the mean."""
MEAN_WAVE = "mean wave"
CHOSEN = ("mean", "half")
N_PLANNED = 100

OPEN_LOOP = ("two-stage", "gdf", "mean", "half", "CVaR 0.1", "floor, mean", "floor, half")
"""Plans that are made once: of a forecast wave, over samples of a forecast, over samples of the true law."""
DAY_BY_DAY = ("adaptive", "adaptive, half")
KINDS: dict[str, Kind | None] = {
    "half, more CRPS": None,
    "half, gen-dfl (QP)": "qp",
    "half, gen-dfl (SPO+)": "spo+",
}
TUNED = ("half", *KINDS, "floor, half")
"""The plan over samples of the fitted generator, and of it after as many epochs more of each loss."""


@dataclass(frozen=True, kw_only=True)
class ConditionalCell(Cell):
    """Some storms, each planned for on samples of its true law and judged on other ones."""

    block: int
    profile: str = "B"
    transport_cost: float = 100.0
    n_storms: int = 10
    n_plan: int = 60
    n_judge: int = 1_000
    plans: tuple[str, ...] = (*RISKS, MEAN_WAVE)

    @property
    def place(self) -> StormProfile:
        """The profile with the cell's transport cost."""
        return replace(resolve_profile(self.profile), transport_cost=self.transport_cost)

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"law-{self.profile}-{self.n_plan}-{self.block}"


def measure_conditional(cell: ConditionalCell) -> dict[str, Any]:
    """Mean and CVaRs of each plan's cost in each storm, `{plan: {figure: [E]}}`."""
    profile = cell.place
    problem, storms = DispatchProblem(profile), simulated_events(profile, cell.n_storms, 6_000 + cell.block)
    waves = true_law(profile, storms, cell.n_plan + cell.n_judge, cell.block)
    samples, judge = waves[: cell.n_plan], waves[cell.n_plan :]
    found = {}
    for name in cell.plans:
        mean_wave = name == MEAN_WAVE
        plans = problem.decide(samples.mean(axis=0)[None]) if mean_wave else plans_of(profile, samples, name)
        found[name] = figures(problem.cost(plans, judge))
    return {"plans": found}


def true_law(profile: StormProfile, storms: Events, n_samples: int, seed: int) -> Floats:
    """Waves `[S, E, T, K]` that the storms could have become, given all that is known before them."""
    covariates = np.concatenate([storms.X, storms.onset[..., None]], axis=-1)
    return profile.simulate_given(covariates, n_samples, seed=seed)[:, :, 1:]


def plans_of(profile: StormProfile, samples: Floats, name: str) -> Ints:
    """Plans `[E, T, K]` over samples `[S, E, T, K]`, of a name in `RISKS`."""
    alpha, weight = RISKS[name]
    if alpha == 1.0:
        return DispatchProblem(profile).decide(samples)
    cases = range(samples.shape[1])
    return np.stack([risk_plan(profile, samples[:, i], alpha=alpha, mean_weight=weight).stock for i in cases])


def figures(costs: Floats) -> dict[str, list[float]]:
    """Mean and CVaRs over S of costs `[S, E]`."""
    found = {"mean": costs.mean(axis=0)} | {f"cvar_{level:g}": cvar(costs.T, level) for level in LEVELS}
    return {name: [round(float(value), 2) for value in values] for name, values in found.items()}


@dataclass(frozen=True, kw_only=True)
class StormCell(Cell):
    """One seed: forecasters fitted on its storms, agents on other ones of it."""

    seed: int
    profile: str = "B"
    transport_cost: float = 100.0
    agents: tuple[str, ...] = OPEN_LOOP
    features: tuple[str, ...] = WEATHER
    """What forecasters see; the true law knows all."""
    n_fit: int = 160
    n_validation: int = 100
    n_test: int = 300
    n_truth: int = 400
    """Waves of the true law on which open-loop plans are judged as well; 0: none."""
    n_steps: int = 100
    n_epochs: int = 5

    @property
    def place(self) -> StormProfile:
        """The profile with the cell's transport cost."""
        return replace(resolve_profile(self.profile), transport_cost=self.transport_cost)

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"storms-{self.profile}-{self.seed}"

    @property
    def forecast(self) -> ForecastCell:
        """Storms and forecasters, those of the benchmark of forecasts with as many of each."""
        names = ("seed", "profile", "transport_cost", "features", "n_fit", "n_validation", "n_test", "n_steps")
        return ForecastCell(**{name: getattr(self, name) for name in names})


def measure_storms(cell: StormCell) -> dict[str, Any]:
    """Cost of each agent in each storm, what its plan costs under the storm's true law, and epochs kept."""
    profile = cell.place
    problem, test = DispatchProblem(profile), events(cell.forecast, "test")
    known = events(cell.forecast, "test", WEATHER)
    law = true_law(profile, known, cell.n_truth + N_PLANNED, cell.seed)
    cost: dict[str, list[float]] = {}
    risk: dict[str, dict[str, list[float]]] = {}
    epochs: dict[str, int] = {}
    for agent in cell.agents:
        plans = agent_plans(cell, agent, test, law[:N_PLANNED], epochs)
        cost[agent] = [round(float(value), 2) for value in problem.cost(plans, test.outcomes)]
        if cell.n_truth and agent not in DAY_BY_DAY:
            risk[agent] = figures(problem.cost(plans, law[N_PLANNED:]))
    return {"cost": cost, "risk": risk, "best_epoch": epochs}


def agent_plans(cell: StormCell, agent: str, test: Events, law: Floats, epochs: dict[str, int]) -> Ints:
    """Stocks `[E, T, K]` of an agent on the test storms; `law` are samples of their true law."""
    profile, known = cell.place, cell.forecast
    if agent in ("two-stage", "gdf"):
        return wave_plans(cell, agent, test, epochs)
    if agent == "adaptive":
        return played(AdaptiveDispatch(profile, fitted(known, "crps")), test)
    if agent == "adaptive, half":
        return played(AdaptiveRiskDispatch(profile, fitted(known, "crps")), test)
    what, _, how = agent.partition(", ")
    if what == "floor":
        return plans_of(profile, law, how)
    if agent in RISKS:
        return plans_of(profile, samples_of(fitted(known, "crps"), test), agent)
    if agent in TUNED:
        return plans_of(profile, samples_of(tuned(cell, agent, epochs), test), what)
    raise ValueError(f"no agent {agent!r}; there are {', '.join((*OPEN_LOOP, *DAY_BY_DAY, *TUNED))}")


def samples_of(ode: OutageODE, test: Events) -> Floats:
    """Waves `[S, E, T, K]` of the forecast."""
    return ode.sample(test.X, test.onset, n_samples=N_PLANNED)[:, :, 1:]


def wave_plans(cell: StormCell, agent: str, test: Events, epochs: dict[str, int]) -> Ints:
    """Plans for one forecast wave a storm: of the fit, or of the fit tuned on plans' cost (GDF)."""
    known, problem = cell.forecast, DispatchProblem(cell.place)
    ode = fitted(known, "mse")
    if agent == "gdf":
        ode = copy.deepcopy(ode)
        settings = FineTuning("qp", n_epochs=cell.n_epochs, random_state=cell.seed)
        result = fine_tune(WaveModel(ode), problem, events(known, "fit"), events(known, "validation"), settings)
        epochs[agent] = result.best_epoch
    return problem.decide(ode.predict(test.X, test.onset)[None, :, 1:])


def tuned(cell: StormCell, agent: str, epochs: dict[str, int]) -> OutageODE:
    """The fitted generator after more epochs, the best of them by the proper score of its plans."""
    known, ode = cell.forecast, copy.deepcopy(fitted(cell.forecast, "crps"))
    if agent == "half":
        return ode
    problem = RiskProblem(cell.place, ALPHA, MEAN_WEIGHT)
    settings, loss = risk_tuning(KINDS[agent])
    settings = replace(settings, n_epochs=cell.n_epochs, random_state=cell.seed)
    fit, validation = events(known, "fit"), events(known, "validation")
    epochs[agent] = fine_tune(WaveModel(ode, N_RISK_SAMPLES), problem, fit, validation, settings, loss=loss).best_epoch
    return ode


def conditional_cells(profile: str, blocks: int, **others: Any) -> list[ConditionalCell]:
    """Sixty storms of known law, ten a block."""
    return [ConditionalCell(block=block, profile=profile, **others) for block in range(blocks)]


def sample_cells(profile: str, blocks: int, **others: Any) -> list[ConditionalCell]:
    """The same for other numbers of samples that plans are made for."""
    return [
        ConditionalCell(block=block, profile=profile, plans=CHOSEN, **{**others, "n_plan": n_plan})
        for n_plan in (20, 60, 100, 200)
        for block in range(blocks)
    ]


def storm_cells(profile: str, seeds: int, **others: Any) -> list[StormCell]:
    """Plans that are made once."""
    return [StormCell(seed=seed, profile=profile, **others) for seed in range(seeds)]


def day_cells(profile: str, seeds: int, **others: Any) -> list[StormCell]:
    """Plans that are made again each day, on the first half of the same storms."""
    own: dict[str, Any] = {"agents": DAY_BY_DAY, "n_test": 150, "n_truth": 0, **others}
    return [StormCell(seed=seed, profile=profile, **own) for seed in range(seeds)]


def tuned_cells(profile: str, seeds: int, **others: Any) -> list[StormCell]:
    """The generator tuned on what its plans cost, beside its start and the control; covariates known or withheld."""
    own: dict[str, Any] = {"agents": TUNED, "n_validation": 150, "n_test": 150, **others}
    known = (WEATHER, WITHHELD)
    return [StormCell(seed=seed, profile=profile, features=f, **own) for f in known for seed in range(seeds)]
