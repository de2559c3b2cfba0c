"""From a log and a table of region attributes to the fields of a `City`: coordinates, groups, depot, features."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.city_fields import (
    AFTERWARDS,
    DEFAULT_COST_LIMIT_H,
    DEFAULT_DETOUR,
    DEFAULT_SPEED_KMH,
    OF_REGIONS,
    OF_THE_FILES,
    CityFields,
    check_feature_names,
    check_groups_have_members,
    straight_km,
)
from stormgym.envs.data.incomes import warn_of_ties
from stormgym.envs.data.names import check_names, meant, shown
from stormgym.envs.data.positions import has_km, read_positions
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.data.sizes import MAX_CUSTOMERS, MAX_REGIONS, MAX_REQUESTS
from stormgym.envs.data.tables import DataError, Table, is_odd_number, is_text
from stormgym.envs.equity import MAX_GROUPS

REQUEST_COLUMNS = ("quiet_requests", "storm_requests")
POSITION_FEATURES = ("x_km", "y_km", "depot_km")
_MOST_MISSING = 5


@dataclass(frozen=True)
class Settings:
    """What a city needs beyond its two tables; `City.from_log` explains each."""

    name: str
    region_column: str = "region"
    income_column: str | None = "income_usd"
    customers_column: str = "customers"
    features: tuple[str, ...] | None = None
    depot: tuple[float, float] | None = None
    depot_from: str = "depot"  # where it stands, for messages
    features_from: str = "features"
    origin: tuple[float, float] | None = None
    """Latitude and longitude of x_km = y_km = 0, where they are known; the depot is then in km."""
    speed_kmh: float = DEFAULT_SPEED_KMH
    detour: float = DEFAULT_DETOUR
    cost_limit_h: float = DEFAULT_COST_LIMIT_H
    group_names: tuple[str, ...] | None = None
    orders: Mapping[str, Ints] = field(default_factory=dict)


def city_from_log(log: RepairLog, table: Table, settings: Settings) -> CityFields:
    """Make the fields of a city of the log's regions; rows of `table` for other regions are left out.

    Raises:
        DataError: see `City.from_log`.
    """
    check_feature_names(settings.features or (), settings.features_from)
    table.require(settings.region_column, cure="Name the column with the log's regions by region_column.")
    ids = table.unique_ids(settings.region_column)
    position = {name: row for row, name in enumerate(ids)}
    missing = [r for r in log.region_ids if r not in position]
    if missing:
        first = missing[:_MOST_MISSING]
        spare = [name for name in ids if name not in log.region_ids]
        hints = [meant(name, spare).strip() for name in first]
        names = [
            f"{name!r} ({hint[0].lower()}{hint[1:]})" if hint else f"{name!r}"
            for name, hint in zip(first, hints, strict=True)
        ]
        raise DataError(
            f"{table.source}, column '{settings.region_column}': {len(missing)} region(s) of the log have no "
            f"row, the first {'is' if len(names) == 1 else 'are'} {', '.join(names)}. Add the row, or leave the region "
            "out by log.select(...)."
        )
    if len(log.region_ids) > MAX_REGIONS:
        raise DataError(
            f"{table.source}: a city must have at most {MAX_REGIONS:,} regions; the log has {len(log.region_ids):,}. "
            "Take some by log.busiest(...), or join small ones."
        )
    table = table.take(position[r] for r in log.region_ids)
    no_records = np.flatnonzero(log.counts() == 0)
    if no_records.size:
        row = int(no_records[0])
        table.fail(
            row,
            settings.region_column,
            "each region needs at least one record in the log",
            "Add records of the region or remove its row.",
        )
    xy_km, depot_km, origin = read_positions(
        table, depot=settings.depot, depot_from=settings.depot_from, origin=settings.origin
    )
    parent = _parents(table, settings)
    context = _context(table, settings, log.feature_names)
    customers = None
    if settings.customers_column in table.columns:
        customers = _counts(table, settings.customers_column, "customers must be 0 or more", MAX_CUSTOMERS)
    if depot_km is None:
        weight = log.counts().astype(np.float64) if customers is None else customers
        if weight.sum() == 0:
            table.fail(0, settings.customers_column, "some region must have customers", "Correct or drop the column.")
        depot_km = weight @ xy_km / weight.sum()
    group = _groups(table, settings)
    n_groups = int(group.max()) + 1
    region_values = {
        "x_km": xy_km[:, 0],
        "y_km": xy_km[:, 1],
        "depot_km": settings.detour * straight_km(xy_km, depot_km),
        **context,
    }
    if customers is not None:
        region_values[settings.customers_column] = customers
    default_names = _default_features(table, region_values, settings)
    return CityFields(
        name=settings.name,
        region_ids=log.region_ids,
        xy_km=xy_km,
        depot_km=depot_km,
        group=group,
        group_names=settings.group_names or default_group_names(n_groups),
        speed_kmh=settings.speed_kmh,
        detour=settings.detour,
        log=_with_features(log, region_values, default_names, settings.features, table.source),
        context=context,
        customers=customers,
        requests=_requests(table, log),
        orders=settings.orders,
        cost_limit_h=settings.cost_limit_h,
        parent=parent,
        origin=origin,
    )


def _counts(table: Table, column: str, rule: str, most: float) -> Floats:
    """A column of numbers from 0 to `most`."""
    table.numbers(column, rule=rule, valid=lambda v: v >= 0)
    return table.numbers(column, rule=f"{rule}, at most {most:g}", valid=lambda v: 0 <= v <= most)


def _parents(table: Table, settings: Settings) -> Ints | None:
    """Index of the region that each hangs on, -1 where the cell is blank; None without a column `parent`."""
    if "parent" not in table.columns:
        return None
    ids = table.unique_ids(settings.region_column)
    parent = table.parents("parent", ids, "region")
    return parent


def warn_of_customers(table: Table, column: str) -> None:
    """Warn where a table lacks the column of customers and has another one that seems to be it."""
    if column in table.columns:
        return
    likely = next((c for c in table.columns if "customer" in c.lower() and table.is_numeric(c, throughout=True)), None)
    if likely is not None:
        warnings.warn(
            f"{table.source}: customers are not known, as there is no column {column!r}; pass "
            f"customers_column={likely!r} if that is it. Metrics weighted by customers, such as SAIDI, need them.",
            stacklevel=3,
        )


def default_group_names(n_groups: int) -> tuple[str, ...]:
    """Return ("low", "middle", "high") for three groups, else "group 0", "group 1", ..."""
    return ("low", "middle", "high") if n_groups == 3 else tuple(f"group {g}" for g in range(n_groups))


def terciles(income: Floats) -> Ints:
    """Return the income tercile of each region, 0 = low; outer groups of round(N / 3); ties go by position.

    55 regions give 18, 19, 18.
    """
    n = len(income)
    outer = round(n / 3)
    group = np.ones(n, dtype=np.int64)
    order = np.argsort(income, kind="stable")
    group[order[:outer]], group[order[n - outer :]] = 0, 2
    return group


_NO_INCOMES = (
    "Groups need a column 'group' (0..G-1, 0 = low income), or incomes, of which terciles are taken: name their "
    "column by income_column. Without incomes, number in 'group' any parts of the city between which a gap matters, "
    "such as town and country; or write 0 in every row, for one group and no gap."
)


def _groups(table: Table, settings: Settings) -> Ints:
    if "group" in table.columns:
        values = table.numbers(
            "group",
            rule=f"a group id must be a whole number 0, 1, ... {MAX_GROUPS - 1}",
            valid=lambda v: 0 <= v < MAX_GROUPS and v == int(v),
            cure="Number the groups from 0 without holes (0 = low income).",
        ).astype(np.int64)
        n_groups = len(settings.group_names) if settings.group_names else int(values.max()) + 1
        try:
            check_groups_have_members(values, n_groups)
        except DataError as error:
            raise DataError(f"{table.source}, column 'group': {error}") from None
        return values
    if settings.income_column is None:
        raise DataError(f"{table.source}: no column 'group', and income_column is None. {_NO_INCOMES}")
    table.require(settings.income_column, cure=_NO_INCOMES)
    income = table.numbers(
        settings.income_column,
        rule="an income must be a number of at least 0 (a negative one often stands for 'not known')",
        valid=lambda v: v >= 0,
        cure="Fill or correct the cell, leave the region out, or give a column 'group'.",
    )
    if len(income) < 3:
        raise DataError(f"{table.source}: terciles need at least 3 regions; got {len(income)}. Give a column 'group'.")
    group = terciles(income)
    warn_of_ties(income, group, f"{table.source}, column '{settings.income_column}'", "regions")
    return group


def _context(table: Table, settings: Settings, of_records: tuple[str, ...]) -> dict[str, Floats]:
    """Every further numeric column; blanks are NaN where no feature is made of it, else an error.

    Args:
        table: of the regions.
        settings: say which features are wanted.
        of_records: features of the log, which go before columns of the same name.
    """
    taken = {settings.region_column, settings.customers_column, *POSITION_FEATURES, "group", "requests", "parent"}
    if not has_km(table) or settings.origin is not None:
        taken |= {"lat", "lon"}
    out = {}
    for name in table.columns:
        if name in taken or not may_be_numeric(table, name) or (name in OF_REGIONS and _no_feature(table, name)):
            continue
        used = (settings.features is None or name in settings.features) and name not in of_records
        if not used and not table.is_numeric(name, throughout=True):
            row = table.first(name, is_text)
            assert row is not None
            warnings.warn(
                f"{table.source}, line {table.lines[row]}, column '{name}': {shown(table.columns[name][row])} among "
                "numbers; the column is left out. Correct it, or remove the column.",
                stacklevel=2,
            )
            continue
        check_names((name,), f"{table.source}, line 1")
        out[name] = table.numbers(
            name,
            blank=None if used else math.nan,
            cure="Correct or fill the cell, or leave the column out by naming the features to use.",
        )
    return out


def may_be_numeric(table: Table, name: str) -> bool:
    """Whether a column has a name and holds numbers.

    Warns:
        UserWarning: it holds numbers and has no name, or holds what looks like numbers and is taken for text.
    """
    if table.is_numeric(name):
        if not name:
            warnings.warn(
                f"{table.source}: a column of numbers without a name, which is left out. Name it or remove it.",
                stacklevel=2,
            )
        return bool(name)
    row = table.first(name, is_odd_number)
    if row is not None:
        warnings.warn(
            f"{table.source}, line {table.lines[row]}, column '{name}': {shown(table.columns[name][row])} is no number "
            "here, and the column is taken for text. Write digits 0 to 9 without marks between thousands.",
            stacklevel=2,
        )
    return False


def _no_feature(table: Table, name: str) -> bool:
    warnings.warn(
        f"{table.source}: column '{name}' is left out, as a city keeps something else under this name, or it is known "
        "only after the repair. Rename it to use it, or remove it.",
        stacklevel=2,
    )
    return True


def _default_features(table: Table, region_values: Mapping[str, Floats], settings: Settings) -> list[str]:
    never = {settings.income_column, *REQUEST_COLUMNS}
    rest = [name for name in table.columns if name in region_values and name not in POSITION_FEATURES]
    names = [name for name in rest if name not in never]
    hidden = [name for name in names if name in AFTERWARDS | OF_THE_FILES]
    if hidden and settings.features is None:
        _no_feature(table, hidden[0])
    return [*POSITION_FEATURES, *(name for name in names if name not in hidden)]


def _with_features(
    log: RepairLog,
    region_values: Mapping[str, Floats],
    default_names: list[str],
    chosen: tuple[str, ...] | None,
    source: str,
) -> RepairLog:
    """Return the log with region features spread over its records; a name in both is the record's."""
    own = {name: log.features[:, i] for i, name in enumerate(log.feature_names)}
    names = chosen if chosen is not None else tuple(dict.fromkeys([*default_names, *own]))
    columns: list[Any] = []
    for name in names:
        if name not in own and name not in region_values:
            raise DataError(
                f"{source}: feature {name!r} is no numeric column of the regions or of the log; known are "
                f"{sorted({*own, *region_values})}. Correct 'features'."
            )
        columns.append(own[name] if name in own else region_values[name][log.region])
    if not columns:
        raise DataError(f"{source}: 'features' must name at least one column; got none.")
    return RepairLog(
        region=log.region,
        features=np.stack(columns, axis=1),
        feature_names=tuple(names),
        repair_h=log.repair_h,
        time=log.time,
        timezone=log.timezone,
        region_ids=log.region_ids,
    )


def _requests(table: Table, log: RepairLog) -> Floats:
    present = [name for name in REQUEST_COLUMNS if name in table.columns]
    names = ["requests"] if "requests" in table.columns else present
    if not names:
        return log.counts().astype(np.float64)
    rule = "a number of requests must be 0 or more"
    total: Floats = sum((_counts(table, name, rule, MAX_REQUESTS / len(names)) for name in names), np.zeros(len(table)))
    return total
