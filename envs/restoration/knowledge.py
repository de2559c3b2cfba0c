"""What planners of Restoration-v0 may know beside the observation, and what only privileged policies may."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats, read_only
from stormgym.envs.cities.tables import CityTables
from stormgym.envs.data import City


@dataclass(frozen=True, eq=False)
class ForecastNoise:
    """How forecasts miss in a city's log without a shock, over the records that episodes draw from."""

    bias: Floats
    """`[G]` mean of log(realised / forecast) in each group."""
    variance: Floats
    """`[G]` its variance, at least 1e-6."""


@dataclass(frozen=True, eq=False)
class RestorationAnnounced:
    """What any planner may know now. Arrays are read-only copies; read the record again after a reset.

    Nothing here depends on repairs to come. Which record of the log a job is, is left out: the log would tell how long
    its repair takes.
    """

    city: City
    shock: str
    """`none`, `common` or `group`: what the drawn factor of the durations is shared by."""
    shock_log_sd: float
    """Log standard deviation of that factor: its strength, not its value."""
    max_travel_km: float | None
    """Regions farther than this (road km) are closed while a nearer one is open; None for no rule."""
    cost_limit_h: float
    """Limit on the expected gap; the middle of the range where each episode draws its own (then the observation has
    the episode's)."""
    cost_limit_range_h: tuple[float, float] | None
    noise: ForecastNoise
    point_h: NDArray[np.float32]
    """`[B, N]` mean forecasts of the jobs of the current episodes, as the observation shows them."""
    quantile_levels: Floats
    """`[Q]`"""
    quantile_h: Floats | None
    """`[B, N, Q]` predictive quantiles of these jobs; None for given jobs without them."""


@dataclass(frozen=True, eq=False)
class RestorationTruth:
    """What only policies with `privileged = True` may read."""

    duration_h: Floats
    """`[B, N]` repair hours of the current episodes, those to come included."""


def forecast_noise(tables: CityTables) -> ForecastNoise:
    """Mean and variance of log(realised / forecast) in each group's records."""
    log = np.log(np.maximum(tables.repair_h, 1e-9) / tables.point_h)
    by_region = np.repeat(np.arange(tables.n_regions), tables.count)
    weight = 1.0 / tables.count[by_region]  # every region draws one of its records
    group = tables.group[by_region]
    total = np.bincount(group, weights=weight)
    bias = np.bincount(group, weights=weight * log) / total
    spread = np.bincount(group, weights=weight * (log - bias[group]) ** 2) / total
    return ForecastNoise(read_only(bias), read_only(np.maximum(spread, 1e-6)))
