"""What planners of CrewDispatch-v0 may know beside the observation, and what only privileged policies may."""

from __future__ import annotations

from dataclasses import dataclass

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.cities.noise import ForecastNoise
from stormgym.envs.crews.jobs import Arrivals
from stormgym.envs.crews.roster import Roster
from stormgym.envs.data import City


@dataclass(frozen=True, eq=False)
class CrewAnnounced:
    """What any planner may know now. Arrays are read-only copies; read the record again after each decision.

    Nothing here depends on repairs or arrivals to come; of slots that are not known yet `quantile_h` is 0.
    """

    city: City
    roster: Roster
    places_km: Floats
    """`[V, 2]` coordinates of the regions, then of the depots."""
    distance_km: Floats
    """`[V, V]` road km."""
    arrivals: Arrivals
    assess_h: float
    overtime_price: float
    shock: str
    shock_log_sd: float
    noise: ForecastNoise
    """How forecasts of assessed jobs miss without a shock."""
    cost_limit_h: float
    cost_limit_range_h: tuple[float, float] | None
    now_h: Floats
    """`[B]` hours since the storm began."""
    site: Ints
    """`[B, N]` place of each known job; -1 for others."""
    loc: Ints
    """`[B, K]` place of each crew, or where it is on its way to."""
    begin_h: Floats
    """`[B, K]` when the work in hand began or will begin, -inf before the first."""
    busy: Bools
    """`[B, K]`"""
    arrival_h: Floats
    """`[B, N]` of known jobs; inf for others."""
    power_h: Floats
    """`[B, N]` when power came back; inf where it has not."""
    repaired_h: Floats
    """`[B, N]` when the repair ended; inf where it has not."""
    quantile_levels: Floats
    """`[Q]`"""
    quantile_h: Floats
    """`[B, N, Q]` predictive quantiles of known jobs that have been assessed; of others those of their wide forecast,
    linear between its ends."""


@dataclass(frozen=True, eq=False)
class CrewTruth:
    """What only policies with `privileged = True` may read."""

    duration_h: Floats
    """`[B, N]` repair hours."""
    arrival_h: Floats
    """`[B, N]` arrivals, those to come included; inf for empty slots."""
    need: Ints
    """`[B, N]`"""
    parent: Ints
    """`[B, N]` slot that must have power first; -1 for none."""
    group: Ints
    """`[B, N]`"""
    weight: Floats
    """`[B, N]` share of the reward."""
    site: Ints
    """`[B, N]` place."""
