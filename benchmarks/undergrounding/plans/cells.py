"""What one seed measures: cities, costs and storms of its own; every method's plans, and what they cost."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from benchmarks.kit.cells import Cell
from benchmarks.undergrounding.plans.methods import (
    KNOWN,
    METHODS,
    OURS,
    SWEPT,
    Outlook,
    forecasters,
    plan_known,
    plans_of,
)
from benchmarks.undergrounding.plans.scores import loss, score, worst_loss
from stormgym.envs.undergrounding.profiles import APPENDIX_G, synthetic_profile
from stormgym.envs.undergrounding.regions import Seasons, UndergroundingProfile
from stormgym.predictors.uncertainty import ConformalPolytope

Floats = NDArray[np.float64]
PROFILES = ("appendix-g", "ten")
_STREAM = 9_001


@dataclass(frozen=True, kw_only=True)
class PlanCell(Cell):
    """One seed of one setting; 200 storms, of which 160 are known, as in tri-level Table II."""

    seed: int
    profile: str = "appendix-g"
    n_regions: int = 10
    noise: float | None = None
    budget: float | None = None
    n_crews: int | None = None
    methods: tuple[str, ...] = METHODS
    n_fit: int = 60
    n_calibration: int = 100
    n_test: int = 40
    n_coverage: int = 1000
    """More storms, on which coverage alone is counted; 0 leaves it out."""
    level: float = 0.99
    total_level: float = 0.5
    joint_level: float = 0.9

    @property
    def place(self) -> UndergroundingProfile:
        """Cities and costs of the seed; B is 100 a city and C one in ten cities, unless the cell says otherwise."""
        if self.profile not in PROFILES:
            raise ValueError(f"profile must be one of {PROFILES}; got {self.profile!r}")
        changes: dict[str, Any] = {"cost_limit": 1.0, **(APPENDIX_G if self.profile == "appendix-g" else {})}
        own = {name: value for name in ("noise", "budget", "n_crews") if (value := getattr(self, name)) is not None}
        return synthetic_profile(self.n_regions, self.seed, name=self.profile, **changes | own)

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{self.profile}-{self.n_regions}-{self.seed}"


@dataclass(frozen=True)
class Result:
    """What a cell gave."""

    loss: dict[str, dict[str, float]]
    """Mean loss of each method in each column, customer-hours; of the storms known before, in the realised ones."""
    margin: float
    """Least of (V of another method - V of tri-level) / V of tri-level in the whole set, over methods and storms."""
    promise: dict[str, dict[str, float]]
    """Of the robust plans: V in their own set over the loss that came (`ratio`), share of storms above V (`broken`)."""
    coverage: dict[str, dict[str, float]]
    """Of each forecaster: shares of storms held, widths and squared errors."""

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Result:
        """A result as it is kept."""
        return cls(**kept)


def storms(cell: PlanCell, profile: UndergroundingProfile) -> Seasons:
    """All storms of a cell: known ones, test ones, then those of coverage; each has a stream of its own."""
    n = cell.n_fit + cell.n_calibration + cell.n_test + cell.n_coverage
    return profile.seasons([np.random.default_rng([_STREAM, cell.seed, i]) for i in range(n)])


def part(seasons: Seasons, rows: slice) -> Seasons:
    """Some of the storms."""
    return Seasons(*(array[rows] for array in seasons))


@dataclass(frozen=True)
class Prepared:
    """A cell's storms, forecasters and outlooks on the test storms."""

    profile: UndergroundingProfile
    past: Seasons
    test: Seasons
    more: Seasons
    models: dict[str, ConformalPolytope]
    outlooks: dict[str, Outlook]


def prepare(cell: PlanCell) -> Prepared:
    """Draw a cell's storms and fit its forecasters, without planning anything."""
    profile = cell.place
    all_storms = storms(cell, profile)
    known = cell.n_fit + cell.n_calibration
    past, test = part(all_storms, slice(known)), part(all_storms, slice(known, known + cell.n_test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # networks that stop at their last iteration
        models = forecasters(
            profile,
            past,
            cell.n_fit,
            level=cell.level,
            total_level=cell.total_level,
            joint_level=cell.joint_level,
            seed=cell.seed,
        )
    X = profile.known_before(test.covariates)
    outlooks = {name: Outlook(model.predict(X), model.predict_set(X)) for name, model in models.items()}
    return Prepared(profile, past, test, part(all_storms, slice(known + cell.n_test, None)), models, outlooks)


def measure(cell: PlanCell) -> dict[str, Any]:
    """Losses, promises and coverage of a cell's methods."""
    ready = prepare(cell)
    profile, outage_h, past_h = ready.profile, ready.test.outage_h, ready.past.outage_h
    h, crews, sets = profile.population, profile.n_crews, ready.outlooks["ncp"].sets
    plans = plans_of(cell.methods, ready.outlooks, profile)
    columns = {name: score(own, outage_h, past_h, h, sets, crews) for name, own in plans.items()}
    means = {name: {column: float(values.mean()) for column, values in own.items()} for name, own in columns.items()}
    centre, sd = past_h.mean(axis=0), past_h.std(axis=0, ddof=1)
    known = loss(plan_known(outage_h, profile), outage_h, h, crews)
    means[KNOWN] = {"mean": float(known.mean()), "tenth": float(np.sort(known)[-max(len(known) // 10, 1) :].mean())}
    for k in (1, 2):
        up = (centre + k * sd)[None]
        means[KNOWN][f"{k} sd"] = float(loss(plan_known(up, profile), up, h, crews)[0])
    ours = columns[OURS]["both"]
    others = [own["both"] for name, own in columns.items() if name != OURS]
    margin = float(min(((other - ours) / np.maximum(ours, 1e-9)).min() for other in others))
    promise = {}
    for name, own_plan in plans.items():
        kind, _, forecast = name.partition(" ")
        if kind == "tri-level":
            value = worst_loss(own_plan, h, ready.outlooks[forecast].sets, crews)
            came = columns[name]["mean"]
            promise[name] = {"ratio": float(value.mean() / came.mean()), "broken": float((came > value).mean())}
    covered = {name: coverage(model, ready.more, profile) for name, model in ready.models.items() if cell.n_coverage}
    found = {"loss": means, "margin": margin, "promise": promise, "coverage": covered}
    return {name: _rounded(value) for name, value in found.items()}


def coverage(model: ConformalPolytope, seasons: Seasons, profile: UndergroundingProfile) -> dict[str, float]:
    """Shares of new storms that sets hold, widths, and squared errors of the forecast (tri-level Table IV)."""
    X, y = profile.known_before(seasons.covariates), seasons.outage_h
    found, error = model.coverage(X, y), model.predict(X) - y
    return {
        "region": found.marginal,
        "box": found.box,
        "sum": found.total,
        "set": found.joint,
        "width": found.mean_width,
        "sum_width": found.mean_total_width,
        "mse": float((error**2).mean()),
        "sum_mse": float((error.sum(axis=1) ** 2).mean()),
    }


def _rounded(content: Any) -> Any:
    """Floats to nine digits, so that files stay small."""
    if isinstance(content, dict):
        return {name: _rounded(value) for name, value in content.items()}
    return float(f"{content:.9g}") if isinstance(content, float) else content


def table_cells(seeds: int, **others: Any) -> list[PlanCell]:
    """Both profiles (tri-level Tables II and IV)."""
    return [PlanCell(seed=seed, profile=profile, **others) for profile in PROFILES for seed in range(seeds)]


SWEEPS: dict[str, tuple[float, ...]] = {
    "noise": (0.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0),
    "budget": (0.0, 500.0, 1_000.0, 1_500.0, 2_000.0),
    "n_crews": (0, 1, 2, 4),
    "n_regions": (5, 10, 15, 20, 40),
}
"""sigma, B, C and n of tri-level Fig. 3."""


def swept(seeds: int, **others: Any) -> list[tuple[tuple[str, str, float], PlanCell]]:
    """One number after the other on both profiles, around the table's: (profile, number, value) and the cell.

    The usual value is left out of a cell, so that all sweeps share it. 20 storms are planned for, 8 where there are
    more than 20 cities.
    """
    found = []
    for profile in PROFILES:
        noise = APPENDIX_G["noise"] if profile == "appendix-g" else 0.0
        usual = {"noise": noise, "budget": 1_000.0, "n_crews": 1, "n_regions": 10}
        for name, values in SWEEPS.items():
            for value in values:
                n_test = 8 if name == "n_regions" and value > 20 else 20
                changes: dict[str, Any] = {"methods": SWEPT, "n_coverage": 0, "n_test": n_test, **others}
                changes |= {} if value == usual[name] else {name: value}
                found += [
                    ((profile, name, value), PlanCell(seed=seed, profile=profile, **changes)) for seed in range(seeds)
                ]
    return found
