"""What planners of Restoration-v0 may know beside the observation, and what only privileged policies may."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats
from stormgym.envs.cities.noise import ForecastNoise
from stormgym.envs.data import City
from stormgym.envs.risk_measure import RiskMeasure


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
    """Limit on the gap; the middle of the range where each episode draws its own (then the observation has the
    episode's)."""
    cost_limit_range_h: tuple[float, float] | None
    risk_measure: RiskMeasure
    """The statistic of the gaps of episodes that the limit bounds."""
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
