"""What a city is made of, before it is one: fields by name, defaults, and the rules that readers check early.

Readers and the generator return `CityFields`; `City` takes and checks them. So `City` knows its sources (`City.load`,
`City.synthetic`, `City.from_log`), and no source needs to know `City`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.names import check_names, shown
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.data.sizes import MAX_FEATURE, MAX_RECORDS, REPAIR_RANGE_H
from stormgym.envs.data.tables import DataError, first_in_circle
from stormgym.envs.equity import MAX_GROUPS

DEFAULT_SEED = 76
"""Seed of the default city: chosen, of the first few hundred, because its city is near EPOPR's figures."""

DEFAULT_SPEED_KMH = 34.3
DEFAULT_DETOUR = 1.3
DEFAULT_COST_LIMIT_H = 8.0

OF_THE_FILES = frozenset({"record", "region", "request_time"})
"""Columns of a city's files that hold something else than a feature."""
OF_REGIONS = frozenset({"region", "x_km", "y_km", "depot_km", "group", "customers", "requests", "parent"})
"""Columns of `regions.csv` that hold something else than context."""
AFTERWARDS = frozenset(
    {"repair_start", "repair_end", "duration", "end_time"}
    | {f"{what}_{unit}" for what in ("repair", "outage", "duration") for unit in ("h", "hours", "min", "minutes", "s")}
)
"""What is known only when a job is done, which no feature may be."""
_MANY = 10
"""Different repair times, of which a feature that is in proportion to them all is one under another name."""


class CityFields(TypedDict):
    """The fields of a `City`, which documents them."""

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
    orders: Mapping[str, Ints]
    cost_limit_h: float
    parent: NotRequired[Ints | None]
    crews: NotRequired[tuple[Any, ...]]
    origin: NotRequired[tuple[float, float] | None]


def straight_km(a: Floats, b: Floats) -> Floats:
    """Return straight-line distances (km) between points `[..., 2]`."""
    return np.sqrt(((a - b) ** 2).sum(axis=-1))


def check_forest(parent: Ints, name: str) -> None:
    """Raise a `DataError` unless `parent` `[N]` holds indices of others, -1 for none, without a circle."""
    n = parent.size
    outside = (parent < -1) | (parent >= n)
    if outside.any():
        raise DataError(f"{name} must be an index 0 to {n - 1}, or -1 for none; got {parent[outside][0]}.")
    circle = first_in_circle(parent)
    if circle is not None:
        raise DataError(f"{name} must have no circle; got one through index {circle}. Every chain must end at -1.")


def check_feature_names(names: Iterable[str], where: str) -> None:
    """Raise a `DataError` for a name that no feature may have.

    Args:
        names: of features.
        where: they stand, for the message.
    """
    names = tuple(names)
    check_names(names, where)
    for name in names:
        if name in AFTERWARDS:
            raise DataError(
                f"{where}: a feature must be known before the repair, and {name!r} is known only afterwards. Leave it "
                "out (or rename it, if it is something else)."
            )
        if name in OF_THE_FILES:
            raise DataError(
                f"{where}: a feature must not be called {name!r}, under which a city's files keep something else. "
                "Rename the column, or leave it out of the features."
            )


def check_log(log: RepairLog, where: str) -> None:
    """Raise a `DataError` unless a city's log can be learnt from: its features are no targets, its numbers in range.

    Args:
        log: the records.
        where: they stand, for the message.
    """
    if len(log) > MAX_RECORDS:
        raise DataError(f"{where} must have at most {MAX_RECORDS:,} records; got {len(log):,}. Take some of them.")
    check_feature_names(log.feature_names, f"{where}.feature_names")
    low, high = REPAIR_RANGE_H
    wrong = (log.repair_h < low) | (log.repair_h > high)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{where}.repair_h must be from {low:g} to {high:g} h; record {row} (region "
            f"{log.region_ids[log.region[row]]!r}) has {log.repair_h[row]:g}. Correct or remove the record."
        )
    many = np.unique(log.repair_h).size >= _MANY
    for f, name in enumerate(log.feature_names):
        values = log.features[:, f]
        if values.size and np.abs(values).max() > MAX_FEATURE:
            row = int(np.abs(values).argmax())
            raise DataError(
                f"{where}: feature {name!r} must be from -{MAX_FEATURE:g} to {MAX_FEATURE:g}; record {row} has "
                f"{values[row]:g}. Correct it."
            )
        if many and values[0] > 0 and _in_proportion(values / np.abs(values).max(), log.repair_h):
            raise DataError(
                f"{where}: feature {name!r} is in proportion to the repair time in all {len(log)} records, so that it "
                "must be the repair time itself, which nobody knows before the repair. Leave it out."
            )


def _in_proportion(a: Floats, b: Floats) -> bool:
    """Whether a / b is the same for all; without the quotient, which overflows where b is nearly 0."""
    return bool(np.allclose(a * b[0], b * a[0], 1e-6, 0.0))


def check_groups_have_members(group: Ints, n_groups: int) -> None:
    """Raise a `DataError` unless ids are 0..G-1 and each group has a region."""
    if n_groups > MAX_GROUPS:
        raise DataError(
            f"there must be at most {MAX_GROUPS} groups; got {n_groups:,}. Number the groups from 0 without holes, or "
            "make fewer."
        )
    if set(group.tolist()) != set(range(n_groups)):
        raise DataError(
            f"group ids must be 0..{n_groups - 1} and each group needs a region; got "
            f"{shown(sorted(set(group.tolist())))}. Number the groups from 0 without holes (0 = low income)."
        )
