"""`City`: everything about the place where a crew works. Immutable, so environments share one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.city_fields import (
    DEFAULT_COST_LIMIT_H,
    DEFAULT_DETOUR,
    DEFAULT_SEED,
    DEFAULT_SPEED_KMH,
    OF_REGIONS,
    CityFields,
    check_forest,
    check_groups_have_members,
    check_log,
    straight_km,
)
from stormgym.envs.data.crews_file import CrewRecord, check_near
from stormgym.envs.data.names import check_names, printable, shown
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.data.sizes import (
    MAX_COORDINATE_KM,
    MAX_CUSTOMERS,
    MAX_DETOUR,
    MAX_REGIONS,
    MAX_REQUESTS,
    SPEED_RANGE_KMH,
)
from stormgym.envs.data.tables import DataError, frozen_array, set_frozen


@dataclass(frozen=True, eq=False)
class City:
    """A city of N regions in G groups with the log of its past repairs. Arrays are read-only.

    Attributes:
        name: for tables and messages.
        region_ids: N names.
        xy_km: `[N, 2]` planar coordinates (km).
        depot_km: `[2]` where the crew starts.
        group: `[N]` group of each region, 0..G-1 (0 = low income).
        group_names: G names.
        speed_kmh: crew speed on the road.
        detour: road distance / straight-line distance, at least 1.
        log: past repairs; its regions are the city's, each with at least one record.
        context: further figures of each region by name, each `[N]` (NaN where unknown and unused).
        customers: `[N]` customers of each region, or None.
        requests: `[N]` volume of repair requests of each region.
        orders: reference orders by name ("status_quo", "nearest", "tsp_open"), each a permutation `[N]` of
            region indices.
        cost_limit_h: the limit on the gap between groups (h) that an environment takes by default.
        parent: `[N]` region whose line each region hangs on, -1 for none: a forest; None where it is not known.
        crews: crews of the utility, where they are known; environments with one crew do not read them.
        origin: latitude and longitude (degrees) from which `xy_km` counts, where they are known; None else.

    Raises:
        DataError: a record breaks one of these rules.
    """

    name: str
    region_ids: tuple[str, ...]
    xy_km: Floats
    depot_km: Floats
    group: Ints
    group_names: tuple[str, ...]
    speed_kmh: float
    detour: float
    log: RepairLog
    context: Mapping[str, Floats]
    customers: Floats | None
    requests: Floats
    orders: Mapping[str, Ints] = field(default_factory=dict)
    cost_limit_h: float = DEFAULT_COST_LIMIT_H
    parent: Ints | None = None
    crews: tuple[CrewRecord, ...] = ()
    origin: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        set_frozen(self, region_ids=tuple(str(r) for r in self.region_ids))
        set_frozen(self, group_names=tuple(str(g) for g in self.group_names))
        self._check_names()
        n = len(self.region_ids)
        self._keep_places(n)
        self._keep_counts(n)
        set_frozen(self, group=frozen_array(self.group, np.int64, (n,), "City.group"))
        set_frozen(self, context=MappingProxyType({k: _context(v, n, k) for k, v in self.context.items()}))
        set_frozen(self, orders=MappingProxyType({k: _permutation(v, n, k) for k, v in self.orders.items()}))
        check_groups_have_members(self.group, len(self.group_names))
        for name, (low, high, rule) in _RANGES.items():
            set_frozen(self, **{name: _in_range(getattr(self, name), f"City.{name}", low, high, rule)})
        if self.parent is not None:
            set_frozen(self, parent=frozen_array(self.parent, np.int64, (n,), "City.parent"))
            check_forest(self.parent, "City.parent")
        set_frozen(self, crews=tuple(self.crews))
        if self.log.region_ids != self.region_ids:
            raise DataError("City.log must have the city's region_ids in the same order. Use log.select(region_ids).")
        empty = np.flatnonzero(self.log.counts() == 0)
        if empty.size:
            raise DataError(
                f"each region needs at least one record in the log; {self.region_ids[empty[0]]!r} has none "
                f"({empty.size} of {n} regions). Add records or leave the region out."
            )
        check_log(self.log, "City.log")

    def _check_names(self) -> None:
        n = len(self.region_ids)
        if n > MAX_REGIONS:
            raise DataError(
                f"a city must have at most {MAX_REGIONS:,} regions; got {n:,}. Take some, or join small ones."
            )
        if len(set(self.region_ids)) != n or n == 0:
            raise DataError(f"City.region_ids must be at least one name, all different; got {shown(self.region_ids)}.")
        if not isinstance(self.name, str) or printable(self.name) != self.name:
            raise DataError(f"City.name must be a text without control characters; got {self.name!r}. Correct it.")
        for what in ("region_ids", "group_names", "orders"):
            check_names(getattr(self, what), f"City.{what}")

    def _keep_places(self, n: int) -> None:
        set_frozen(self, xy_km=frozen_array(self.xy_km, np.float64, (n, 2), "City.xy_km"))
        set_frozen(self, depot_km=frozen_array(self.depot_km, np.float64, (2,), "City.depot_km"))
        for what in ("xy_km", "depot_km"):
            farthest = np.abs(getattr(self, what)).max()
            if farthest > MAX_COORDINATE_KM:
                raise DataError(
                    f"City.{what} must be from -{MAX_COORDINATE_KM:g} to {MAX_COORDINATE_KM:g} km; got {farthest:g}. "
                    "Correct it (is it in metres?)."
                )
        check_near(self.depot_km, self.xy_km, "City.depot_km")
        if self.origin is not None:
            set_frozen(self, origin=_origin(self.origin))
            for name in ("lat", "lon"):
                if name in self.context:
                    raise DataError(f"City.context must not have {name!r} beside City.origin. Give it another name.")

    def _keep_counts(self, n: int) -> None:
        if self.customers is not None:
            set_frozen(self, customers=frozen_array(self.customers, np.float64, (n,), "City.customers"))
            if (self.customers < 0).any() or self.customers.sum() == 0:
                raise DataError("City.customers must be 0 or more, and not all 0. Correct them or leave them out.")
        set_frozen(self, requests=frozen_array(self.requests, np.float64, (n,), "City.requests"))
        for name, most in (("customers", MAX_CUSTOMERS), ("requests", MAX_REQUESTS)):
            counts = getattr(self, name)
            if counts is not None and (counts.min() < 0 or counts.max() > most):
                wrong = counts[(counts < 0) | (counts > most)][0]
                raise DataError(f"City.{name} of a region must be 0 to {most:g}; got {wrong:g}. Correct it.")

    def __reduce__(self) -> tuple[Any, ...]:
        values = (getattr(self, f.name) for f in fields(self))
        return City, tuple(dict(v) if isinstance(v, MappingProxyType) else v for v in values)

    def __deepcopy__(self, memo: dict[int, Any]) -> City:
        return self

    def __repr__(self) -> str:
        return f"City({self.name!r}, {self.n_regions} regions, {self.n_groups} groups, {len(self.log)} records)"

    @property
    def n_regions(self) -> int:
        """N."""
        return len(self.region_ids)

    @property
    def n_groups(self) -> int:
        """G."""
        return len(self.group_names)

    @cached_property
    def distance_km(self) -> Floats:
        """Road distances `[N+1, N+1]` (km): `detour` times straight line; the depot is last."""
        points = np.vstack([self.xy_km, self.depot_km])
        out = self.detour * straight_km(points[:, None], points[None, :])
        out.setflags(write=False)
        return out

    @cached_property
    def travel_h(self) -> Floats:
        """Travel times `[N+1, N+1]` (h); the depot is last."""
        out = self.distance_km / self.speed_kmh
        out.setflags(write=False)
        return out

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        parts: list[Any] = [self.xy_km, self.depot_km, self.group, np.array([self.speed_kmh, self.detour])]
        parts += [self.log.region, self.log.repair_h, self.log.features]
        parts += [self.customers if self.customers is not None else np.empty(0), self.requests]
        if self.parent is not None:
            parts.append(self.parent)
        for part in parts:
            digest.update(str(part.shape).encode())
            digest.update(np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<")).tobytes())
        digest.update("\0".join((*self.group_names, "", *self.log.feature_names)).encode())
        if self.crews:
            digest.update(repr([{**vars(crew), "name": ""} for crew in self.crews]).encode())
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """Return a hash (64 hex digits) of all that decides dynamics, metrics and forecasts.

        Names, context that is no feature, times, orders and the limit do not count.
        """
        return self._fingerprint

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> City:
        """Read `regions.csv`, `log.csv`, `city.json` and, where there is one, `crews.json` of a folder (docs/data.md).

        Raises:
            DataError: a file is missing or breaks a rule; the message names file, line, value and cure.
        """
        from stormgym.envs.data.folder import read_city

        return cls._of(read_city(Path(folder)), os.fspath(folder))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the files that `City.load` reads, `crews.json` among them if crews are known.

        Loading gives the same fingerprint. Where `origin` is known, `regions.csv` has `lat` and `lon` too, and depots
        in `crews.json` may be in degrees.

        Raises:
            DataError: the folder has a `crews.json`, and this city has no crews; or a city that no files can hold (no
                features, crews that `crews.json` cannot have). Nothing is written.
            OSError: a file cannot be written; the folder's files are as they were.
        """
        from stormgym.envs.data.folder import write_city

        own = {f.name: getattr(self, f.name) for f in fields(self)}
        write_city(Path(folder), cast(CityFields, own))

    @classmethod
    def synthetic(cls, seed: int = DEFAULT_SEED, n_regions: int = 55, income_effect: float = 1.0) -> City:
        """Generate a city and a one-year log that resemble what EPOPR publishes about Tallahassee.

        Args:
            seed: at least 0.
            n_regions: 3 to 200.
            income_effect: size of the link from income to mean repair time: 1 as calibrated, 0 none.

        Raises:
            ValueError: an argument is out of range.
        """
        from stormgym.envs.data.synthetic import synthetic_city

        return cls(**synthetic_city(seed, n_regions, income_effect))

    @classmethod
    def from_log(
        cls,
        log: RepairLog,
        regions: str | os.PathLike[str],
        *,
        name: str = "city",
        region_column: str = "region",
        income_column: str | None = "income_usd",
        customers_column: str = "customers",
        features: Sequence[str] | None = None,
        depot: tuple[float, float] | None = None,
        speed_kmh: float = DEFAULT_SPEED_KMH,
        detour: float = DEFAULT_DETOUR,
        cost_limit_h: float = DEFAULT_COST_LIMIT_H,
    ) -> City:
        """Make a city from a log and a CSV file with a row of attributes for each region.

        The city's regions are those of the log; further rows of the file are left out. Coordinates are the
        columns `x_km` and `y_km`, or `lat` and `lon` (degrees, projected to local km). Groups are the column
        `group`, else terciles of income.

        Args:
            log: records, e.g. from `RepairLog.read_outage_log(...).busiest(55)`.
            regions: path of the attributes, `.csv` or `.csv.gz`.
            name: name of the city.
            region_column: column with the names that the log uses.
            income_column: column with incomes; needed if there is no column `group`, else not read.
            customers_column: column with customers; customers are unknown if there is none.
            features: features of a record, each a column of `regions`, one of the log's features, or `x_km`,
                `y_km`, `depot_km`. None takes these three, every numeric column but income, group and request
                counts, and the log's features.
            depot: depot in the coordinates of the file, (x_km, y_km) or (lat, lon). None takes the centre of
                the customers, or of the records if customers are unknown.
            speed_kmh: crew speed on the road.
            detour: road distance / straight-line distance.
            cost_limit_h: limit on the gap between groups.

        Raises:
            DataError: the file breaks a rule, or a region of the log is missing from it.

        Warns:
            UserWarning: a region is doubtfully far from the others; latitude and longitude seem exchanged; there is no
                `customers_column`, and another column seems to be it.
        """
        from stormgym.envs.data.assemble import Settings, city_from_log, warn_of_customers
        from stormgym.envs.data.tables import read_table

        settings = Settings(
            name=name,
            region_column=region_column,
            income_column=income_column,
            customers_column=customers_column,
            features=None if features is None else tuple(features),
            depot=depot,
            speed_kmh=speed_kmh,
            detour=detour,
            cost_limit_h=cost_limit_h,
        )
        table = read_table(regions)
        warn_of_customers(table, customers_column)
        return cls._of(city_from_log(log, table, settings), os.fspath(regions))

    @classmethod
    def _of(cls, own: CityFields, source: str) -> City:
        """A city of these fields; an error names where they come from."""
        try:
            return cls(**own)
        except DataError as error:
            raise DataError(f"{source}: {error}") from None


_RANGES = {
    "speed_kmh": (*SPEED_RANGE_KMH, "above 0"),
    "detour": (1.0, MAX_DETOUR, "at least 1"),
    "cost_limit_h": (0.0, np.inf, "above 0"),
}
"""Least, most, and the rule of the least in words."""


def _in_range(value: Any, name: str, low: float, high: float, rule: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not (np.isfinite(number) and number > 0 and number >= low):
        more = f" (at least {low:g})" if 0 < number < low < 1 else ""
        raise DataError(f"{name} must be {rule}{more}; got {shown(value)}.")
    if number > high:
        raise DataError(f"{name} must be at most {high:g}; got {number:g}. Correct it.")
    return number


def _origin(value: Any) -> tuple[float, float]:
    pair = frozen_array(value, np.float64, (2,), "City.origin")
    if abs(pair[0]) >= 90 or abs(pair[1]) > 360:
        raise DataError(
            "City.origin must be (latitude, longitude) in degrees, below 90 and up to 360 in size; got "
            f"{shown(value)}. Correct it (are they exchanged?)."
        )
    return float(pair[0]), float(pair[1])


def _context(values: Floats, n: int, name: str) -> Floats:
    check_names((name,), "City.context")
    if name in OF_REGIONS:
        raise DataError(f"City.context must not have {name!r}, which is a column of its own. Give it another name.")
    out = np.array(values, dtype=np.float64)
    if out.shape != (n,):
        raise DataError(f"City.context[{name!r}] must have shape [{n}]; got {list(out.shape)}.")
    if np.isinf(out).any():
        raise DataError(f"City.context[{name!r}] must be finite, or NaN where unknown; got {out[np.isinf(out)][0]}.")
    out.setflags(write=False)
    return out


def _permutation(values: Ints, n: int, name: str) -> Ints:
    out = frozen_array(values, np.int64, (None,), f"City.orders[{name!r}]")
    if not np.array_equal(np.sort(out), np.arange(n)):
        raise DataError(f"City.orders[{name!r}] must hold each region index 0..{n - 1} once; got {out.tolist()}.")
    return out
