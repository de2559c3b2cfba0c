"""The jobs of storms over a city: when they become known, what they need, take and are forecast to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.cities.bounds import MAX_HOURS
from stormgym.envs.cities.noise import ForecastNoise, forecast_noise
from stormgym.envs.cities.tables import MAX_SHOCK_SD, CityTables
from stormgym.envs.crews.process import StormJobs

WIDE = ("all", "region", "group")
WEIGHTS = ("regions", "customers")


@dataclass(frozen=True)
class Arrivals:
    """When jobs become known, what they need, and how much of them is known."""

    known_share: float = 0.6
    """Share that is known at hour 0."""
    end_h: float = 24.0
    """Hour after which nothing arrives."""
    tau_h: float = 12.0
    """Hours in which the stream of arrivals falls to 1/e; of the default profile alone."""
    special_share: float = 0.25
    """Share of jobs that need skill 1, where there are two."""
    assessed_share: float = 1.0
    """Share that is assessed from the start."""

    def falling_h(self, share: Floats) -> Floats:
        """Arrivals after hour 0 from uniform numbers `share`: a stream that falls with `tau_h` and stops at `end_h`."""
        gone = share * -np.expm1(-self.end_h / self.tau_h)
        return np.minimum(-self.tau_h * np.log1p(-gone), self.end_h)


class Work(NamedTuple):
    """What the jobs of B storms take and how it is forecast; fields as of `StormJobs`."""

    duration_h: Floats
    point_h: Floats
    lower_h: Floats
    upper_h: Floats
    quantile_h: Floats
    wide_h: Floats
    customers: Floats
    wide_quantile_h: Floats | None = None


class JobSource:
    """Draws the jobs of storms: one a region, or N slots in regions that are drawn.

    Per episode `draw` takes from its generator, whatever the options: four uniform numbers a slot (record of the log,
    arrival, skill, whether it has been looked at), then the normal scores of the shock, then `n_more` uniform numbers a
    slot, the first of which is the region where there are N slots.

    Args:
        tables: records and forecasts of the city.
        arrivals: see there.
        n_skills: Z.
        parent: `[R]` region that each region hangs on, -1 for none.
        n_jobs: N slots in regions drawn with replacement; None: one slot a region.
        weights: `"regions"` for 1/N, or `"customers"` for shares of the city's customers.
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
        n_jobs: int | None = None,
        weights: str = "regions",
        wide: str = "all",
        shock: str = "none",
        shock_log_sd: float = 0.35,
    ) -> None:
        self.tables, self.arrivals, self.n_skills, self.parent = tables, arrivals, n_skills, parent
        self.shock, self.shock_log_sd, self.weights = shock, shock_log_sd, weights
        self.one_a_region = n_jobs is None
        self.n_jobs = tables.n_regions if n_jobs is None else n_jobs
        city = tables.city
        customers = np.ones(tables.n_regions) if city.customers is None else city.customers
        self.customers = np.asarray(customers, dtype=np.float64)  # [R] of the regions
        self.wide_h = wide_forecasts(tables, wide)  # [R, 3]

    n_more: int = 0
    """Uniform numbers a slot that a subclass draws last; the region's comes first of them."""

    @property
    def quantile_levels(self) -> Floats:
        """`[Q]` of the predictive quantiles."""
        return self.tables.quantile_levels

    @property
    def n_customers(self) -> float | None:
        """Customers of the city, by which SAIDI divides; None: those of the storm's jobs."""
        return float(self.customers.sum())

    @property
    def mean_h(self) -> float:
        """Mean hours of a repair."""
        return float(self.tables.city.log.repair_h.mean())

    @property
    def noise(self) -> ForecastNoise:
        """How forecasts of assessed jobs miss without a shock."""
        return forecast_noise(self.tables)

    def draw(self, rngs: list[np.random.Generator]) -> StormJobs:
        """One storm a generator. The same is drawn in the same order whatever the options."""
        a, shape = self.arrivals, (len(rngs), self.n_jobs)
        uniform = np.empty((4, *shape))
        for i, rng in enumerate(rngs):
            for part in uniform:
                rng.random(out=part[i])
        record, late, special, looked_at = uniform
        n_scores = self.tables.n_groups + 1
        scores = np.stack([rng.standard_normal(n_scores) for rng in rngs]).clip(-MAX_SHOCK_SD, MAX_SHOCK_SD)
        n_more = max(self.n_more, 0 if self.one_a_region else 1)
        more = np.stack([rng.random((n_more, self.n_jobs)) for rng in rngs], axis=1)  # [n_more, B, N]
        site = self._sites(more, shape)
        group = self.tables.group[site]
        kind = (special < a.special_share).astype(np.int64)
        later = (late - a.known_share) / max(1.0 - a.known_share, 1e-300)
        arrival = np.where(late < a.known_share, 0.0, self.arrival_h(np.clip(later, 0.0, 1.0)))
        parent = self._parents(site)
        work = self.work(site, kind, record, more)
        duration = work.duration_h * self._shock(scores, group)
        return StormJobs(
            site=site,
            group=group,
            weight=self.weight(work.customers),
            arrival_h=upstream_first(arrival, parent),
            need=kind if self.n_skills > 1 else np.zeros_like(kind),
            parent=parent,
            assessed=looked_at < a.assessed_share,
            **work._replace(duration_h=np.clip(duration, 1e-6, MAX_HOURS))._asdict(),
        )

    def arrival_h(self, share: Floats) -> Floats:
        """Arrivals of jobs that are not known at hour 0, from uniform numbers."""
        return self.arrivals.falling_h(share)

    def work(self, site: Ints, kind: Ints, record: Floats, more: Floats) -> Work:
        """Records of the city's log, one of its region for each slot.

        Args:
            site: `[B, N]` region.
            kind: `[B, N]` class of work, 0 or 1.
            record: `[B, N]` uniform numbers.
            more: `[n_more, B, N]` further ones.
        """
        del more
        tables = self.tables
        row = tables.first[site] + (record * tables.count[site]).astype(np.int64)
        # slots of one region share its customers: as many as they are on average, for how many there will be is hidden
        share = 1.0 if self.one_a_region else min(1.0, tables.n_regions / self.n_jobs)
        return Work(
            duration_h=tables.repair_h[row],
            point_h=tables.point_h[row],
            lower_h=tables.lower_h[row],
            upper_h=tables.upper_h[row],
            quantile_h=tables.quantile_h[row],
            wide_h=self.class_forecast(site, kind)[0],
            customers=self.customers[site] * share,
        )

    def class_forecast(self, site: Ints, kind: Ints) -> tuple[Floats, Floats | None]:
        """Forecast of jobs that nobody has looked at: `[..., 3]` mean and ends, and quantiles `[..., Q]` if known.

        Args:
            site: `[...]` region.
            kind: `[...]` class of work.
        """
        del kind
        return self.wide_h[site], None

    def weight(self, customers: Floats) -> Floats:
        """Share of the reward of jobs with these customers `[..., N]`."""
        if self.weights == "customers":
            return customers / self.customers.sum()
        return np.full(customers.shape, 1.0 / customers.shape[-1])

    def _sites(self, more: Floats, shape: tuple[int, int]) -> Ints:
        if self.one_a_region:
            return np.broadcast_to(np.arange(self.n_jobs), shape).copy()
        return (more[0] * self.tables.n_regions).astype(np.int64)

    def _parents(self, site: Ints) -> Ints:
        if self.one_a_region:
            return np.broadcast_to(self.parent, site.shape).copy()
        return slot_parents(self.parent, site)

    def _shock(self, scores: Floats, group: Ints) -> Floats:
        """Factors on durations `[B, 1]` or `[B, N]`, lognormal with mean one."""
        factor: Floats = np.exp(self.shock_log_sd * scores - 0.5 * self.shock_log_sd**2)
        if self.shock == "none":
            return np.ones((len(scores), 1))
        return factor[:, :1] if self.shock == "common" else np.take_along_axis(factor[:, 1:], group, axis=1)


def slot_parents(parent: Ints, site: Ints) -> Ints:
    """`[B, N]` slot that each slot hangs on, -1 for none: the first in the nearest region above its own that has one.

    Args:
        parent: `[R]` region that each region hangs on, -1 for none.
        site: `[B, N]` region of each slot.
    """
    b, n = site.shape
    rows = np.broadcast_to(np.arange(b)[:, None], (b, n))
    first = np.full((b, parent.size), n)
    np.minimum.at(first, (rows, site), np.broadcast_to(np.arange(n), (b, n)))
    above = parent[site]
    while True:
        slot = np.where(above >= 0, first[rows, np.maximum(above, 0)], n)
        further = (above >= 0) & (slot == n)
        if not further.any():
            return np.where(slot < n, slot, -1)
        above = np.where(further, parent[np.maximum(above, 0)], above)


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
