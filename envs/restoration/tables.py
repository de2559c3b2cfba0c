"""Static tables of a city, shared read-only by every environment over it, and the draw of an episode's records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data import City
from stormgym.envs.equity import pair_matrix
from stormgym.envs.restoration.forecasts import city_forecasts
from stormgym.envs.restoration.layout import MAX_HOURS

SHOCKS = ("none", "common", "group")
MAX_SHOCK_SD = 4.0


@dataclass(frozen=True, eq=False)
class CityMap:
    """Arrays of a city that the dynamics read: N regions, G groups, P pairs of groups. Nothing of its log."""

    city: City
    travel_h: Floats  # [N+1, N+1] from row to column; last is the depot
    distance_km: NDArray[np.float32]  # [N+1, N] road km from row to region
    group: Ints  # [N]
    group_size: Floats  # [G, 1]
    member: Floats  # [G, N] 1 where the region is of the group
    pairs: Floats  # [P, G] turns shares [G, B] into differences F_a - F_b [P, B]
    xy_km: Floats  # [2, N+1]; last is the depot

    def __deepcopy__(self, memo: dict[int, Any]) -> CityMap:
        """Tables never change, so a copy of an environment keeps the same ones."""
        return self

    @property
    def n_regions(self) -> int:
        """N."""
        return self.group.size

    @property
    def n_groups(self) -> int:
        """G."""
        return self.group_size.size


@dataclass(frozen=True, eq=False)
class CityTables(CityMap):
    """The map, and the M records of the log that episodes draw from, sorted by region, with their forecasts."""

    first: Ints  # [N] first record of a region
    count: Ints  # [N] number of its records
    record: Ints  # [M] row of the city's log
    repair_h: Floats  # [M]
    lower_h: Floats  # [M]
    upper_h: Floats  # [M]
    point_h: Floats  # [M]
    quantile_levels: Floats  # [Q]
    quantile_h: Floats  # [M, Q]


SPLITS = ("all", "train", "test")
"""Which records of the log are drawn: all, or one half of each region's."""


def records_of(region: Ints, split: str) -> Ints:
    """Rows of the log that a split draws, sorted by region, in the log's order within it.

    Every second record of a region is for testing, the first one for training; a single record is in both.

    Args:
        region: `[M]` region of each record.
        split: one of `SPLITS`.
    """
    record = np.argsort(region, kind="stable")
    if split == "all":
        return record
    count = np.bincount(region)
    number = np.arange(record.size) - np.repeat(np.cumsum(count) - count, count)
    alone = np.repeat(count, count) == 1
    return record[alone | (number % 2 == SPLITS.index(split) - 1)]


@lru_cache(maxsize=256)
def city_map(city: City) -> CityMap:
    """Build (or find) the map of a city."""
    member = np.eye(city.n_groups)[:, city.group]
    return CityMap(
        city=city,
        travel_h=np.ascontiguousarray(city.travel_h, dtype=np.float64),
        distance_km=np.ascontiguousarray(city.distance_km[:, :-1], dtype=np.float32),
        group=city.group,
        group_size=member.sum(axis=1, keepdims=True),
        member=member,
        pairs=np.ascontiguousarray(pair_matrix(city.n_groups).T),
        xy_km=np.ascontiguousarray(np.vstack([city.xy_km, city.depot_km]).T),
    )


@lru_cache(maxsize=256)
def city_tables(city: City, predictor: str, confidence_level: float, split: str = "all") -> CityTables:
    """Build (or find) the tables of a city under one predictor, level and split; forecasts are those of all records."""
    forecast = city_forecasts(city, predictor, confidence_level)
    log = city.log
    record = records_of(log.region, split)
    count = np.bincount(log.region[record], minlength=city.n_regions)
    return CityTables(
        **vars(city_map(city)),
        first=np.concatenate([[0], np.cumsum(count)[:-1]]),
        count=count,
        record=record,
        repair_h=log.repair_h[record],
        lower_h=np.clip(forecast.lower_h[record], 0.0, MAX_HOURS),
        upper_h=np.clip(forecast.upper_h[record], 0.0, MAX_HOURS),
        point_h=np.clip(forecast.point_h[record], 1e-6, MAX_HOURS),
        quantile_levels=forecast.quantile_levels,
        quantile_h=forecast.quantile_h[record],
    )


@dataclass
class Jobs:
    """The drawn records of B episodes: what each region needs, and what is forecast of it."""

    duration_h: Floats  # [B, N] true repair hours; hidden from the agent
    lower_h: Floats  # [B, N]
    upper_h: Floats  # [B, N]
    point_h: Floats  # [B, N]
    row: Ints | None = None  # [B, N] row of the tables' sorted records; None for given jobs
    quantile_h: Floats | None = None  # [B, N, Q] only for given jobs

    @classmethod
    def draw(cls, tables: CityTables, rngs: list[np.random.Generator], shock: str, shock_log_sd: float) -> Jobs:
        """Draw one record per region for each generator, all regions at once (common random numbers).

        A shock is drawn after the records, so it never changes which records are drawn. It is lognormal with mean one;
        its normal score is cut at four standard deviations.
        """
        uniform = np.empty((len(rngs), tables.n_regions))
        for i, rng in enumerate(rngs):
            rng.random(out=uniform[i])
        row = tables.first + (uniform * tables.count).astype(np.int64)
        duration = tables.repair_h[row]
        if shock != "none":
            width = 1 if shock == "common" else tables.n_groups
            score = np.stack([rng.standard_normal(width) for rng in rngs]).clip(-MAX_SHOCK_SD, MAX_SHOCK_SD)
            factor = np.exp(shock_log_sd * score - 0.5 * shock_log_sd**2)  # [B, 1 or G]
            duration = duration * (factor if shock == "common" else factor[:, tables.group])
        return cls(
            np.minimum(duration, MAX_HOURS),
            tables.lower_h[row],
            tables.upper_h[row],
            tables.point_h[row],
            row,
        )

    @classmethod
    def from_arrays(cls, n_regions: int, jobs: dict[str, Any]) -> Jobs:
        """Take one episode's jobs from arrays `[N]`, N = `n_regions`.

        Keys: `duration_h, lower_h, upper_h, point_h` and optionally `quantile_h` `[N, Q]`.

        Raises:
            ValueError: a missing or unknown key, a wrong shape, a NaN or an hour outside [0, 1e4].
        """
        needed = ("duration_h", "lower_h", "upper_h", "point_h")
        unknown = set(jobs) - {*needed, "quantile_h"}
        missing = set(needed) - set(jobs)
        if unknown or missing:
            raise ValueError(
                f"jobs must hold {', '.join(needed)} (and optionally quantile_h); "
                f"missing {sorted(missing)}, unknown {sorted(unknown)}"
            )
        arrays = {name: np.array(jobs[name], dtype=np.float64) for name in jobs}
        for name, value in arrays.items():
            if value.shape[:1] != (n_regions,) or value.ndim != (2 if name == "quantile_h" else 1):
                raise ValueError(f"jobs[{name!r}] must have N = {n_regions} rows; got shape {value.shape}")
            if not ((value >= 0) & (value <= MAX_HOURS)).all():
                raise ValueError(f"jobs[{name!r}] must hold hours in [0, {MAX_HOURS:g}] without NaN")
        if not (arrays["point_h"] > 0).all():
            raise ValueError("jobs['point_h'] must be above 0; give the mean forecast of each job in hours")
        crossed = arrays["lower_h"] > arrays["upper_h"]
        if crossed.any():
            raise ValueError(f"jobs['lower_h'] must not exceed jobs['upper_h']; it does at row {int(crossed.argmax())}")
        one = {name: value[None] for name, value in arrays.items()}
        return cls(row=None, **one)
