"""A city as crews meet it: depots, feeders, the roster, and the draw of a storm's jobs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.cities.bounds import MAX_HOURS
from stormgym.envs.cities.tables import MAX_SHOCK_SD, CityTables
from stormgym.envs.crews.process import StormJobs
from stormgym.envs.crews.roster import Roster
from stormgym.envs.data import City
from stormgym.envs.data.city_fields import straight_km

FEEDERS = ("radial", "none")
WIDE = ("all", "region", "group")
WEIGHTS = ("regions", "customers")
MOST_DEPTH = 2
"""A region hangs on one that is less than this deep."""


def depots_of(city: City, n_depots: int) -> Floats:
    """`[D, 2]` places of depots (km): the city's, turned by i / D of a circle about the mean of the regions."""
    centre = city.xy_km.mean(axis=0)
    arm = city.depot_km - centre
    angle = 2.0 * np.pi * np.arange(n_depots) / n_depots
    turn = np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], -2)
    places: Floats = centre + turn @ arm
    places[0] = city.depot_km  # to the bit
    return places


def distances_of(city: City, depots_km: Floats) -> Floats:
    """`[N + D, N + D]` road km between regions and depots; the regions come first."""
    points = np.vstack([city.xy_km, depots_km])
    result: Floats = city.detour * straight_km(points[:, None], points[None, :])
    return result


def radial_feeder(city: City, depots_km: Floats, depth: int = MOST_DEPTH) -> Ints:
    """`[N]` the region that each hangs on, -1 for heads: radial lines from substations at the depots.

    Each region belongs to the nearest substation (the first among equals). By their distance to it, the first eighth
    (rounded up) are heads; each other hangs on the nearest region before it of the same substation that is less than
    `depth` deep.
    """
    to_depot = straight_km(city.xy_km[:, None], depots_km[None, :])  # [N, D]
    home = to_depot.argmin(axis=1)
    between = straight_km(city.xy_km[:, None], city.xy_km[None, :])
    parent = np.full(city.n_regions, -1)
    level = np.zeros(city.n_regions, dtype=np.int64)
    for station in range(len(depots_km)):
        members = np.flatnonzero(home == station)
        members = members[np.argsort(to_depot[members, station], kind="stable")]
        n_heads = -(-len(members) // 8)
        for place, region in enumerate(members.tolist()):
            if place < n_heads:
                continue
            before = members[:place]
            before = before[level[before] < depth]
            parent[region] = before[between[region, before].argmin()]
            level[region] = level[parent[region]] + 1
    return parent


def default_roster(
    city: City,
    *,
    n_crews: int,
    n_depots: int,
    n_skills: int,
    special_crews: float,
    n_assessors: int,
    start_h: float,
    on_h: float,
    off_h: float,
) -> Roster:
    """Crew k starts at depot k mod D; the last round(special_crews K) have all skills, the others skill 0 only.

    Assessors follow the crews that repair.
    """
    k = n_crews + n_assessors
    skills = np.zeros((k, n_skills), dtype=bool)
    skills[:n_crews, 0] = True
    special = round(special_crews * n_crews)
    skills[n_crews - special : n_crews] = True
    return Roster(
        depot=city.n_regions + np.arange(k) % n_depots,
        speed_kmh=np.full(k, city.speed_kmh),
        skills=skills,
        start_h=np.full(k, float(start_h)),
        on_h=np.full(k, float(on_h)),
        off_h=np.full(k, float(off_h)),
        assessor=np.arange(k) >= n_crews,
    )


@dataclass(frozen=True)
class Arrivals:
    """When jobs become known, what they need, and how much of them is known."""

    known_share: float = 0.6
    """Share that is known at hour 0."""
    end_h: float = 24.0
    """Hour after which nothing arrives."""
    tau_h: float = 12.0
    """Hours in which the stream of arrivals falls to 1/e."""
    special_share: float = 0.25
    """Share of jobs that need skill 1, where there are two."""
    assessed_share: float = 1.0
    """Share that is assessed from the start."""


class JobSource:
    """Draws the jobs of storms: one a region.

    Args:
        tables: records and forecasts of the city.
        arrivals: see there.
        n_skills: Z.
        parent: `[N]` what hangs on what.
        weights: `"regions"`, or `"customers"` for shares of the city's customers.
        wide: log behind the forecast of a job that has not been assessed: `"all"`, `"region"` or `"group"`.
        shock, shock_log_sd: as of Restoration-v0.
    """

    def __init__(
        self,
        tables: CityTables,
        arrivals: Arrivals,
        n_skills: int,
        parent: Ints,
        *,
        weights: str = "regions",
        wide: str = "all",
        shock: str = "none",
        shock_log_sd: float = 0.35,
    ) -> None:
        self.tables, self.arrivals, self.n_skills, self.parent = tables, arrivals, n_skills, parent
        self.shock, self.shock_log_sd = shock, shock_log_sd
        city, n = tables.city, tables.n_regions
        customers = np.ones(n) if city.customers is None else np.asarray(city.customers, dtype=np.float64)
        self.customers = customers
        self.weight = np.full(n, 1.0 / n) if weights == "regions" else customers / customers.sum()
        self.wide_h = wide_forecasts(tables, wide)

    def draw(self, rngs: list[np.random.Generator]) -> StormJobs:
        """One storm a generator. The same is drawn in the same order whatever the options."""
        tables, a = self.tables, self.arrivals
        b, n = len(rngs), tables.n_regions
        uniform = np.empty((4, b, n))
        for i, rng in enumerate(rngs):
            for part in uniform:
                rng.random(out=part[i])
        record, late, special, looked_at = uniform
        row = tables.first + (record * tables.count).astype(np.int64)
        duration = tables.repair_h[row] * self._shock(rngs)
        later = (late - a.known_share) / max(1.0 - a.known_share, 1e-300)
        share = np.clip(later, 0.0, 1.0) * -np.expm1(-a.end_h / a.tau_h)
        arrival = np.where(late < a.known_share, 0.0, np.minimum(-a.tau_h * np.log1p(-share), a.end_h))
        parent = np.broadcast_to(self.parent, (b, n)).copy()
        need = (special < a.special_share).astype(np.int64) if self.n_skills > 1 else np.zeros((b, n), dtype=np.int64)
        return StormJobs(
            site=np.broadcast_to(np.arange(n), (b, n)).copy(),
            group=np.broadcast_to(tables.group, (b, n)).copy(),
            weight=np.broadcast_to(self.weight, (b, n)).copy(),
            customers=np.broadcast_to(self.customers, (b, n)).copy(),
            arrival_h=upstream_first(arrival, parent),
            need=need,
            parent=parent,
            duration_h=np.clip(duration, 1e-6, MAX_HOURS),
            point_h=tables.point_h[row],
            lower_h=tables.lower_h[row],
            upper_h=tables.upper_h[row],
            wide_h=np.broadcast_to(self.wide_h, (b, n, 3)).copy(),
            assessed=looked_at < a.assessed_share,
            quantile_h=tables.quantile_h[row],
        )

    def _shock(self, rngs: list[np.random.Generator]) -> Floats:
        """Factors on durations `[B, 1]` or `[B, N]`, lognormal with mean one; drawn last, and always."""
        g = self.tables.n_groups
        score = np.stack([rng.standard_normal(g + 1) for rng in rngs]).clip(-MAX_SHOCK_SD, MAX_SHOCK_SD)
        factor: Floats = np.exp(self.shock_log_sd * score - 0.5 * self.shock_log_sd**2)
        if self.shock == "none":
            return np.ones((len(rngs), 1))
        return factor[:, :1] if self.shock == "common" else factor[:, 1:][:, self.tables.group]


def upstream_first(arrival: Floats, parent: Ints) -> Floats:
    """Arrivals `[B, N]` moved so that what is above fails no later than what hangs on it."""
    result = arrival.copy()
    for _ in range(parent.shape[1]):
        has = parent >= 0
        above = np.where(has, parent, 0)
        before = result.copy()
        rows = np.broadcast_to(np.arange(len(result))[:, None], parent.shape)
        np.minimum.at(result, (rows[has], above[has]), before[has])
        if np.array_equal(result, before):
            break
    return result


def wide_forecasts(tables: CityTables, wide: str) -> Floats:
    """`[N, 3]` mean, 5 % and 95 % quantile of the log that stands behind a job which nobody has looked at."""
    n = tables.n_regions
    region = np.repeat(np.arange(n), tables.count)
    key = {"all": np.zeros(n, dtype=np.int64), "region": np.arange(n), "group": tables.group}[wide]
    result = np.empty((n, 3))
    for value in np.unique(key):
        hours = tables.repair_h[key[region] == value]
        result[key == value] = hours.mean(), np.quantile(hours, 0.05), np.quantile(hours, 0.95)
    return np.clip(result, [1e-6, 0.0, 0.0], MAX_HOURS)
