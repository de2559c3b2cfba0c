"""What a city is made of, before it is one: fields by name, defaults, and the rules that readers check early.

Readers and the generator return `CityFields`; `City` takes and checks them. So `City` knows its sources (`City.load`,
`City.synthetic`, `City.from_log`), and no source needs to know `City`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.data.tables import DataError

DEFAULT_SEED = 76
"""Seed of the default city: chosen, of the first few hundred, because its city is near EPOPR's figures."""

DEFAULT_SPEED_KMH = 34.3
DEFAULT_DETOUR = 1.3
DEFAULT_COST_LIMIT_H = 8.0


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


def straight_km(a: Floats, b: Floats) -> Floats:
    """Return straight-line distances (km) between points `[..., 2]`."""
    return np.sqrt(((a - b) ** 2).sum(axis=-1))


def check_groups_have_members(group: Ints, n_groups: int) -> None:
    """Raise a `DataError` unless ids are 0..G-1 and each group has a region."""
    if set(group.tolist()) != set(range(n_groups)):
        raise DataError(
            f"group ids must be 0..{n_groups - 1} and each group needs a region; got "
            f"{sorted(set(group.tolist()))}. Number the groups from 0 without holes (0 = low income)."
        )
