"""Static tables of a city, shared read-only by every environment over it, and the draw of an episode's records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.cities.bounds import MAX_HOURS
from stormgym.envs.cities.forecasts import city_forecasts
from stormgym.envs.data import City
from stormgym.envs.equity import pair_matrix

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
