"""How forecasts of repair hours miss in a city's log: what is left when a shock is told from noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stormgym.envs.arrays import Floats, read_only
from stormgym.envs.cities.tables import CityTables


@dataclass(frozen=True, eq=False)
class ForecastNoise:
    """How forecasts miss in a city's log without a shock, over the records that episodes draw from."""

    bias: Floats
    """`[G]` mean of log(realised / forecast) in each group."""
    variance: Floats
    """`[G]` its variance, at least 1e-6."""


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
