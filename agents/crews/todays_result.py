"""What a plan for today holds: sequences of crews, times of regions, and when customers are back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Estimate:
    """When power is back (h from now): the median of simulated times and the ends of their middle part."""

    ert_h: float
    lower_h: float
    upper_h: float


@dataclass(frozen=True)
class Stop:
    """One job of a crew's sequence; hours count from now."""

    order: int
    job: str
    region: str
    group: str
    work: str
    """"repair", or "look" of an assessor."""
    travel_h: float | None
    """None where the crew was on its way or at work already."""
    start_h: float
    """On site: the median of simulated times, as `back`; where it is at work or on its way the time that is known, and
    of a look where all work takes its mean forecast."""
    back: Estimate
    """Power at the job, with what is upstream."""


@dataclass(frozen=True)
class CrewPlan:
    """The sequence of one crew."""

    crew: str
    stops: tuple[Stop, ...]


@dataclass(frozen=True)
class RegionPlan:
    """A region with open jobs: power is back with the last of them."""

    region: str
    group: str
    jobs: int
    customers: float
    back: Estimate


@dataclass(frozen=True)
class CurvePoint:
    """When a share of the customers without power has it again (h from now)."""

    share: float
    p50_h: float
    p90_h: float


@dataclass(frozen=True)
class Plan:
    """The plan of one agent, and what it adds up to."""

    name: str
    """"as it is", or the change of --what-if."""
    city: str
    agent: str
    crews: tuple[CrewPlan, ...]
    regions: tuple[RegionPlan, ...]
    curve: tuple[CurvePoint, ...]
    mean_outage_h: float
    """Mean over jobs from report to power, over the simulations."""
    gap_h: float
    """Mean over the simulations of the largest gap between two groups."""
    overtime_h: float
    """Crew-hours of what is planned, where all work takes its mean forecast."""
    cost_limit_h: float
    limit_source: str
    """Why the limit is what it is, in words."""
    confidence_level: float
    source: str
    crews_source: str
    """Where the crews come from, in words."""
    left_out: int
    """Jobs of the file that are reported later than now."""
    start: datetime | None = None
    warnings: tuple[str, ...] = ()
    """What is doubtful, a sentence each."""
