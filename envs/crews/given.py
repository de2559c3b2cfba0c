"""Jobs of one storm as arrays that a reset is given, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.core import numbers_of
from stormgym.envs.crews.jobs import JobSource
from stormgym.envs.crews.process import StormJobs, chains_of
from stormgym.envs.data.sizes import MAX_CUSTOMERS, REPAIR_RANGE_H

GIVEN = ("duration_h", "point_h", "lower_h", "upper_h")
"""Arrays that must be there."""
KINDS: dict[str, type[Any]] = {
    **dict.fromkeys(GIVEN, np.float64),
    "arrival_h": np.float64,
    "need": np.int64,
    "parent": np.int64,
    "weight": np.float64,
    "assessed": np.bool_,
    "region": np.int64,
    "customers": np.float64,
}


def given_jobs(given: Mapping[str, Any], source: JobSource, arrival_end_h: float) -> StormJobs:
    """One storm `[1, N]` from arrays `[J]`, J at most N; slots behind them are empty.

    Those left out: known from the start, assessed, of skill 0, hanging on nothing; weights as `weights` says; where J
    is the number of regions, job j is in region j; customers of the region.

    Args:
        given: arrays by name (`KINDS`), and `quantile_h` `[J, Q]`.
        source: what storms of the environment are drawn from.
        arrival_end_h: hour after which nothing arrives.

    Raises:
        ValueError: a name, shape or value that breaks a rule.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"options['jobs'] must be a dict of arrays by name; got {given!r}")
    unknown, missing = set(given) - {*KINDS, "quantile_h"}, set(GIVEN) - set(given)
    if unknown or missing:
        raise ValueError(
            f"jobs must hold {', '.join(GIVEN)} and may hold {', '.join(n for n in KINDS if n not in GIVEN)}, "
            f"quantile_h; missing {sorted(missing)}, unknown {sorted(unknown)}"
        )
    n, regions = source.n_jobs, source.tables.n_regions
    j = numbers_of("jobs['duration_h']", given["duration_h"]).size
    if not 1 <= j <= n:
        raise ValueError(f"jobs['duration_h'] must be 1 to {n} numbers, as there are slots; got {j}")
    if "region" not in given and j != regions:
        raise ValueError(f"jobs['region'] is missing; without it jobs are one a region, {regions}; got {j}")
    arrays = _checked({"region": np.arange(j), **given}, j)
    region = arrays["region"].astype(np.int64)
    if ((region < 0) | (region >= regions)).any():
        raise ValueError(
            f"jobs['region'] must be 0 to {regions - 1}; got {region[(region < 0) | (region >= regions)][0]}"
        )
    arrays = {
        "arrival_h": np.zeros(j),
        "need": np.zeros(j, dtype=np.int64),
        "parent": np.full(j, -1),
        "assessed": np.ones(j, dtype=bool),
        "customers": source.customers[region],
        **arrays,
    }
    arrays.setdefault("weight", source.weight(np.asarray(arrays["customers"], dtype=np.float64)))
    _check_ranges(arrays, arrival_end_h)
    one = {name: arrays[name].astype(kind) for name, kind in KINDS.items()}
    one["site"] = one.pop("region")
    one["group"] = source.tables.group[region]
    one["wide_h"], wide_quantile = source.class_forecast(region, one["need"])
    if wide_quantile is not None:
        one["wide_quantile_h"] = wide_quantile
    levels = source.quantile_levels
    quantile = given.get("quantile_h")
    if quantile is None:
        quantile = between_ends(one["point_h"], one["lower_h"], one["upper_h"], levels)
    one["quantile_h"] = numbers_of("jobs['quantile_h']", quantile)
    if one["quantile_h"].shape != (j, levels.size) or not np.isfinite(one["quantile_h"]).all():
        raise ValueError(
            f"jobs['quantile_h'] must be {j} rows of {levels.size} finite numbers; got shape {one['quantile_h'].shape}"
        )
    return StormJobs(**{name: _padded(name, value, n)[None] for name, value in one.items()})


def between_ends(point_h: Floats, lower_h: Floats, upper_h: Floats, levels: Floats) -> Floats:
    """`[..., Q]` quantiles, linear between 5 % (`lower_h`), 50 % (`point_h`) and 95 % (`upper_h`)."""
    point, low, high = point_h[..., None], lower_h[..., None], upper_h[..., None]
    below = low + (point - low) * np.clip(levels / 0.5, 0.0, 1.0)
    result: Floats = np.where(levels <= 0.5, below, point + (high - point) * np.clip((levels - 0.5) / 0.45, 0.0, 1.0))
    return result


def _checked(given: Mapping[str, Any], j: int) -> dict[str, Any]:
    """The arrays, each `[J]` of finite numbers."""
    own = {name: value for name, value in given.items() if name != "quantile_h"}
    for name, value in own.items():
        numbers_of(f"jobs[{name!r}]", value)
    arrays = {name: np.asarray(value) for name, value in own.items()}
    for name, value in arrays.items():
        if value.shape != (j,) or value.dtype.kind not in "biuf":
            raise ValueError(f"jobs[{name!r}] must be {j} numbers; got shape {value.shape}, dtype {value.dtype}")
        if name != "arrival_h" and not np.isfinite(value).all():
            raise ValueError(f"jobs[{name!r}] must be finite; got {value[~np.isfinite(value)][0]}")
        if KINDS[name] is np.int64 and (value != np.rint(value)).any():
            raise ValueError(f"jobs[{name!r}] must be whole numbers; got {value[value != np.rint(value)][0]}")
    return arrays


def _check_ranges(arrays: Mapping[str, Any], arrival_end_h: float) -> None:
    if not (arrays["duration_h"] > 0).all() or not (arrays["point_h"] > 0).all():
        raise ValueError("jobs['duration_h'] and jobs['point_h'] must be above 0 hours")
    if not (arrays["customers"] >= 0).all():
        raise ValueError(f"jobs['customers'] must be at least 0; got {arrays['customers'].min():g}")
    least, most = REPAIR_RANGE_H
    for name, (low, high) in {
        **dict.fromkeys(("duration_h", "point_h"), (least, most)),
        **dict.fromkeys(("lower_h", "upper_h"), (-most, most)),
        "customers": (0.0, MAX_CUSTOMERS),
        "weight": (0.0, MAX_CUSTOMERS),
    }.items():
        wrong = (arrays[name] < low) | (arrays[name] > high)
        if wrong.any():
            raise ValueError(f"jobs[{name!r}] must be from {low:g} to {high:g}; got {arrays[name][wrong][0]:g}")
    if not (arrays["arrival_h"] >= 0).all():  # NaN is not
        raise ValueError("jobs['arrival_h'] must be at least 0 hours, inf for an empty slot")
    late = np.isfinite(arrays["arrival_h"]) & (arrays["arrival_h"] > arrival_end_h)
    if late.any():
        raise ValueError(
            f"jobs['arrival_h'] must not be after arrival_end_h ({arrival_end_h:g} h); "
            f"got {arrays['arrival_h'][late][0]:g}"
        )
    parent, arrival = arrays["parent"].astype(np.int64), arrays["arrival_h"]
    chains_of(parent[None])  # raises where it is no forest
    first = np.where(parent >= 0, arrival[np.maximum(parent, 0)], 0.0) > arrival
    if first.any():
        job = int(first.argmax())
        raise ValueError(
            f"jobs['arrival_h'] of job {job} ({arrival[job]:g} h) must not be before that of its parent "
            f"{parent[job]} ({arrival[parent[job]]:g} h): what is upstream fails first"
        )


_EMPTY: dict[str, Any] = {"arrival_h": np.inf, "parent": -1, "weight": 0.0, "customers": 0.0, "assessed": True}


def _padded(name: str, values: Any, n: int) -> Any:
    """`[N, ...]` with empty slots behind; their other columns are those of the first job, which nothing shows."""
    if len(values) == n:
        return values
    empty = np.full((n - len(values), *values.shape[1:]), _EMPTY.get(name, values[0]), dtype=values.dtype)
    return np.concatenate([values, empty])
