"""What planners of Undergrounding-v0 may know beside the observation, and what only privileged policies may."""

from __future__ import annotations

from dataclasses import dataclass

from stormgym.envs.arrays import Floats
from stormgym.envs.undergrounding.forecasts import SeasonForecast
from stormgym.envs.undergrounding.regions import UndergroundingProfile


@dataclass(frozen=True, eq=False)
class UndergroundingAnnounced:
    """What any planner may know now. Arrays are read-only copies; read the record again after a reset."""

    profile: UndergroundingProfile
    """Regions, costs and crews; `profile.seasons` gives storms to reason with, none of which is an episode's."""
    adversarial: bool
    """Whether the worst storm of the set will come, instead of one that chance has drawn."""
    cost_limit_h: float
    """Limit on the expected gap."""
    forecast: SeasonForecast
    """Forecast and set of storms of the current seasons, B in front; in full precision, while agents see float32."""
    covariates: Floats
    """`[B, K, F]` weather of the current seasons, see `stormgym.envs.storms.COVARIATES`."""


@dataclass(frozen=True, eq=False)
class UndergroundingTruth:
    """What only policies with `privileged = True` may read."""

    outage_h: Floats
    """`[B, K]` the storms that chance has drawn for the current seasons (h, if nothing is buried and no crew comes)."""
