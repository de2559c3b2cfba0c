"""The data sets as files, written by the package's own generators: what a card's fields are read from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import stormgym  # noqa: F401  # registers the environments
from stormgym.envs.arrays import Floats
from stormgym.envs.data import City, resolve_city
from stormgym.envs.data.tables import write_table
from stormgym.envs.decisions.problem import DecisionProblem, Split
from stormgym.envs.dispatch.profiles import resolve_profile as dispatch_profile
from stormgym.envs.shipped import FOLDER as SHIPPED
from stormgym.envs.storms import COVARIATES, StormModel
from stormgym.envs.undergrounding.profiles import resolve_profile as undergrounding_profile

N_STORMS = 100
"""Simulated storms of a data set."""
DECIMALS = 6
"""Of what is simulated: more differ between processors."""

OPEN: tuple[Split, ...] = ("train", "validation")
"""Splits of a decision problem whose cases anybody may see."""
DECISIONS = {
    "hospital-beds": "HospitalBeds-v0",
    "power-scheduling": "PowerScheduling-v0",
    "energy-scheduling": "EnergyScheduling-v0",
    "network-security": "NetworkSecurity-v0",
    "portfolio": "Portfolio-v0",
    "fractional-knapsack": "FractionalKnapsack-v0",
    "shortest-path": "ShortestPath-v0",
}
"""One-step environments by the name of their problem."""

Export = Callable[[Path, int], None]
"""Writes the files of a data set into a folder; the number is that of simulated storms."""


def default_city(folder: Path, n_storms: int) -> None:
    """`City.synthetic()`: regions and a year of repairs. No storms are simulated."""
    City.synthetic().save(folder)


def varied_city(folder: Path, n_storms: int) -> None:
    """One of the cities that differ. No storms are simulated."""
    resolve_city("varied:30:6").save(folder)


def dispatch_storms(profile: str, income: str, folder: Path, n_storms: int) -> None:
    """Counties of a profile of GeneratorDispatch-v0 and simulated storms: what is known before, and customers out."""
    model = dispatch_profile(profile)
    write_table(folder / "counties.csv", _places(model, "county", income))
    storms = model.simulate(_streams(n_storms))
    out = _rounded(storms.out)  # [B, T + 1, K]
    b, t, k = (axis.ravel() for axis in np.indices(out.shape))
    write_table(folder / "storms.csv", {"storm": b, "period": t, "county": k, "customers_out": out.ravel()})
    write_table(folder / "weather.csv", _weather(storms.covariates, "county"))


def undergrounding_seasons(profile: str, folder: Path, n_storms: int) -> None:
    """Regions of a profile of Undergrounding-v0 and simulated seasons: what is known before, hours without power."""
    model = undergrounding_profile(profile)
    regions = {**_places(model, "region", income="income_usd"), "protect_cost": model.protect_cost}
    write_table(folder / "regions.csv", regions)
    seasons = model.seasons(_streams(n_storms))
    hours = _rounded(seasons.outage_h)  # [B, K]
    b, k = (axis.ravel() for axis in np.indices(hours.shape))
    write_table(folder / "storms.csv", {"storm": b, "region": k, "hours": hours.ravel()})
    write_table(folder / "weather.csv", _weather(seasons.covariates, "region"))


def crew_jobs(profile: str, folder: Path, n_storms: int) -> None:
    """Jobs of storms of CrewDispatch-v0 as they are drawn at `reset`, with forecasts and what they will take."""
    core = gym.make("CrewDispatch-v0", profile=profile).unwrapped.core  # type: ignore[attr-defined]
    jobs = core.source.draw(_streams(n_storms))
    b, n = np.nonzero(np.isfinite(jobs.arrival_h))  # other slots are empty
    columns: dict[str, Any] = {"storm": b, "job": n}
    for column, field in {"region": "site", "group": "group", "skill": "need", "parent": "parent"}.items():
        columns[column] = getattr(jobs, field)[b, n]
    for column, field in {
        "customers": "customers",
        "arrival_h": "arrival_h",
        "repair_h": "duration_h",
        "point_h": "point_h",
        "lower_h": "lower_h",
        "upper_h": "upper_h",
    }.items():
        columns[column] = _rounded(getattr(jobs, field)[b, n])
    write_table(folder / "jobs.csv", columns)


def shipped(file: str, folder: Path, n_storms: int) -> None:
    """A file of arrays that comes with the package, as it is."""
    shutil.copyfile(SHIPPED / file, folder / file)


def decision_cases(env_id: str, folder: Path, n_storms: int) -> None:
    """The open cases of a one-step decision problem: what is known before, and what came. No storms are simulated."""
    env = gym.make(env_id)
    problem: DecisionProblem = env.unwrapped.problem  # type: ignore[attr-defined]
    parts = [problem.cases(split) for split in OPEN]
    arrays: dict[str, NDArray[Any]] = {"split": np.repeat(np.arange(len(OPEN)), [len(part) for part in parts])}
    for name in problem.context_shapes:
        arrays[name] = _rounded(np.concatenate([part.context[name] for part in parts]))
    arrays["outcomes"] = _rounded(np.concatenate([part.outcomes for part in parts]))
    np.savez_compressed(folder / "cases.npz", allow_pickle=False, **arrays)


EXPORTS: dict[str, Export] = {
    "default-city": default_city,
    "varied-cities": varied_city,
    "dispatch-a": partial(dispatch_storms, "A", "income_rank"),
    "dispatch-b": partial(dispatch_storms, "B", "income_rank"),
    "dispatch-ten": partial(dispatch_storms, "ten", "income_usd"),
    "undergrounding-ten": partial(undergrounding_seasons, "ten"),
    "undergrounding-appendix-g": partial(undergrounding_seasons, "appendix-g"),
    "crews-default": partial(crew_jobs, "default"),
    "crews-utility": partial(crew_jobs, "utility"),
    "restoration-forecasts": partial(shipped, "restoration.npz"),
    "undergrounding-forecaster": partial(shipped, "undergrounding.npz"),
    **{f"decisions-{name}": partial(decision_cases, env_id) for name, env_id in DECISIONS.items()},
}
"""Data sets by the name of their card."""


def export(name: str, folder: Path, n_storms: int = N_STORMS) -> Path:
    """Write the files of a data set into FOLDER/NAME and return that folder."""
    here = folder / name
    here.mkdir(parents=True, exist_ok=True)
    EXPORTS[name](here, n_storms)
    return here


def _streams(n: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(n)]


def _rounded(values: Floats) -> Floats:
    return np.round(np.asarray(values, dtype=np.float64), DECIMALS) + 0.0  # no minus zero


def _places(model: StormModel, place: str, income: str) -> dict[str, Any]:
    x, y = model.place.T
    columns = {place: np.arange(model.n_counties), "customers": model.population, "x": x, "y": y}
    return {**columns, income: model.income, "group": model.group}


def _weather(covariates: Floats, place: str) -> dict[str, Any]:
    b, k = (axis.ravel() for axis in np.indices(covariates.shape[:2]))
    columns = _rounded(covariates.reshape(-1, covariates.shape[-1])).T
    return {"storm": b, place: k, **dict(zip(COVARIATES, columns, strict=True))}
