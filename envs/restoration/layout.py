"""What the observation of Restoration-v0 holds, column by column: the one list that everything else reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.envs.cities.bounds import MAX_ELAPSED_HOURS, MAX_HOURS, MAX_KM
from stormgym.envs.equity import group_pairs

REGION_COLUMNS: tuple[str, ...] = (
    "x_km",
    "y_km",
    "lower_h",
    "upper_h",
    "point_h",
    "distance_km",
    "group",
    "open",
    "realised_h",
)
"""Keys of the observation that hold one number a region, `[N]` each."""

COLUMN: dict[str, int] = {name: i for i, name in enumerate(REGION_COLUMNS)}
"""Place of each region column where they are kept together."""

CREW_SCALARS: tuple[str, ...] = ("elapsed_h", "x_km", "y_km", "speed_kmh", "cost_limit_h", "gap_h")


def crew_columns(n_groups: int) -> tuple[str, ...]:
    """Names of the columns of `obs["crew"]` `[K]` for G groups (K = 6 + 3 G + P)."""
    groups = range(n_groups)
    return (
        *CREW_SCALARS,
        *(f"log_ratio_{g}" for g in groups),
        *(f"running_mean_h_{g}" for g in groups),
        *(f"share_restored_{g}" for g in groups),
        *(f"pair_gap_h_{a}_{b}" for a, b in group_pairs(n_groups)),
    )


def n_groups_of(n_crew_columns: int) -> int:
    """Return G for a crew vector of K columns (the inverse of `len(crew_columns(G))`)."""
    for n_groups in range(1, 100):
        if len(crew_columns(n_groups)) == n_crew_columns:
            return n_groups
    raise ValueError(f"no number of groups gives a crew vector of {n_crew_columns} columns")


def observation_space(n_regions: int, n_groups: int) -> spaces.Dict:
    """The observation space of one environment with N regions and G groups."""
    low: dict[str, float] = {"x_km": -MAX_KM, "y_km": -MAX_KM}
    high: dict[str, float] = {
        "x_km": MAX_KM,
        "y_km": MAX_KM,
        "distance_km": MAX_KM * 10,
        "group": max(n_groups - 1, 1),
        "open": 1.0,
    }

    def crew_bound(column: str, sign: int) -> float:
        if column in ("x_km", "y_km"):
            return sign * MAX_KM
        if column.startswith("log_ratio"):
            return sign * 30.0
        if column.startswith("share_restored"):
            return 1.0 if sign > 0 else 0.0
        return MAX_ELAPSED_HOURS if sign > 0 else 0.0

    columns = crew_columns(n_groups)
    crew: spaces.Space[Any] = spaces.Box(
        np.array([crew_bound(c, -1) for c in columns], dtype=np.float32),
        np.array([crew_bound(c, +1) for c in columns], dtype=np.float32),
        dtype=np.float32,
    )
    parts: dict[str, spaces.Space[Any]] = {"action_mask": spaces.MultiBinary(n_regions), "crew": crew}
    for column in REGION_COLUMNS:
        parts[column] = spaces.Box(
            low.get(column, 0.0), high.get(column, MAX_HOURS), shape=(n_regions,), dtype=np.float32
        )
    return spaces.Dict(parts)


def regions_of(observation: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The region columns of an observation (or a batch) side by side, `[..., N, 9]`, ordered as `REGION_COLUMNS`."""
    return np.stack([observation[column] for column in REGION_COLUMNS], axis=-1)
