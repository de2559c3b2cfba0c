"""Today's open jobs: which regions wait, what is known of each, and how long it is forecast to take."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.data import City
from stormgym.envs.data.tables import DataError, read_table

Floats = NDArray[np.float64]
JOBS_FILE = "jobs.csv"
_MIN_REPAIR_H = 1e-6


@dataclass(frozen=True)
class OpenJobs:
    """J regions that are without power now, with the features of each job; the order is the city's."""

    region: NDArray[np.int64]
    """Index of each region in the city `[J]`."""
    features: Floats
    """`[J, F]`, columns as in the city's log."""
    source: str
    """Where they come from, in words."""


@dataclass(frozen=True)
class JobForecast:
    """Forecast repair hours of J jobs."""

    lower_h: Floats
    upper_h: Floats
    """Ends of the prediction interval `[J]`."""
    point_h: Floats
    """Mean forecast `[J]`."""
    quantile_levels: Floats
    """`[Q]`, the middles of equally likely slices."""
    quantile_h: Floats
    """Predictive quantiles `[J, Q]`; their average over Q is `point_h`."""
    confidence_level: float


def todays_jobs(
    city: City, file: str | os.PathLike[str] | None = None, folder: str | os.PathLike[str] | None = None
) -> OpenJobs:
    """Find the open jobs of today.

    Args:
        city: whose regions they are.
        file: CSV with a column `region` and the features of each job. A feature that never differs between
            the records of a region (its coordinates, say) may be left out. Only the regions in the file are
            open.
        folder: the city's folder; its `jobs.csv` is read when `file` is None.

    Returns:
        The jobs; without a file, every region with its most recent record, and `source` says so.

    Raises:
        DataError: the file breaks a rule; the message names file, line, value and cure.
    """
    if file is None and folder is not None and (Path(folder) / JOBS_FILE).is_file():
        file = Path(folder) / JOBS_FILE
    if file is not None:
        return _read_jobs(city, Path(file))
    log = city.log
    order = np.arange(len(log)) if log.time is None else np.argsort(log.time, kind="stable")
    last = np.full(city.n_regions, -1, dtype=np.int64)
    last[log.region[order]] = order  # the last assignment stands
    return OpenJobs(
        region=np.arange(city.n_regions),
        features=log.features[last],
        source="no file of open jobs: the most recent record of every region stands in for today's",
    )


def _read_jobs(city: City, path: Path) -> OpenJobs:
    table = read_table(path)
    log = city.log
    region = table.index(
        "region",
        city.region_ids,
        what="the region is not one of the city",
        cure="Correct it or remove the row.",
    )
    table.unique_ids("region")  # one job a region
    columns: list[Any] = []
    for f, name in enumerate(log.feature_names):
        if name in table.columns:
            columns.append(table.numbers(name))
            continue
        first = np.zeros(city.n_regions)
        first[log.region[::-1]] = log.features[::-1, f]
        if not np.array_equal(first[log.region], log.features[:, f]):
            raise DataError(
                f"{path}: column '{name}' is missing; it differs between the jobs of a region, so each open "
                f"job needs it. Add the column; the log's features are {', '.join(log.feature_names)}."
            )
        columns.append(first[region])
    order = np.argsort(region, kind="stable")
    unused = [c for c in table.columns if c != "region" and c not in log.feature_names]
    source = f"{len(region)} open job{'s' if len(region) != 1 else ''} of {path}"
    if unused:
        source += f" (columns that are no features: {', '.join(unused)})"
    return OpenJobs(region=region[order], features=np.column_stack(columns)[order], source=source)


def forecast_jobs(
    city: City,
    jobs: OpenJobs,
    *,
    predictor: str = "ecqr",
    confidence_level: float = 0.9,
    random_state: int = 0,
) -> JobForecast:
    """Forecast the jobs from models fitted on the city's whole log.

    As in `cross_fit`, the interval's model is fitted on 60 % of the log and calibrated on the rest, split at
    random within each group; mean and quantiles come from a forest on all of it.

    Raises:
        ValueError: an unknown predictor, a bad level, or too few records for finite intervals.
    """
    from stormgym.predictors import CQR, ECQR, SplitConformal
    from stormgym.predictors.cross_fit import CALIBRATION_SHARE, N_LEVELS
    from stormgym.predictors.quantile_models import default_forest, predict_mean

    log = city.log
    group = city.group[log.region]
    levels = (np.arange(N_LEVELS) + 0.5) / N_LEVELS
    n = jobs.region.size
    if predictor == "none":
        point = np.full(n, log.repair_h.mean())
    elif predictor in ("ecqr", "cqr", "cp", "point"):
        forest = default_forest(random_state).fit(log.features, log.repair_h)
        point = np.maximum(predict_mean(forest, jobs.features), _MIN_REPAIR_H)
    else:
        raise ValueError(f"predictor must be one of ecqr, cqr, cp, point, none; got {predictor!r}")
    if predictor in ("none", "point"):
        quantile = np.repeat(point[:, None], N_LEVELS, axis=1)
        return JobForecast(point, point, point, levels, quantile, confidence_level)
    quantile = np.asarray(forest.predict(jobs.features, quantiles=levels.tolist()), dtype=np.float64).reshape(n, -1)
    quantile *= (point / quantile.mean(axis=1))[:, None]
    common: dict[str, Any] = {
        "confidence_level": confidence_level,
        "random_state": random_state,
        "lower_bound": 0.0,
    }
    if predictor == "ecqr":
        model: Any = ECQR(unseen_group="marginal", small_group="marginal", **common)
    else:
        model = {"cqr": CQR, "cp": SplitConformal}[predictor](**common)
    calibrate = _share_of_each_group(group, CALIBRATION_SHARE, np.random.default_rng(random_state))
    model.fit(log.features[~calibrate], log.repair_h[~calibrate])
    model.conformalize(log.features[calibrate], log.repair_h[calibrate], group[calibrate])
    ends = model.predict_interval(jobs.features, city.group[jobs.region])
    if not np.isfinite(ends).all():
        raise ValueError(
            f"{len(log)} records are too few for finite intervals at confidence_level {confidence_level:g}. "
            'Give more records, lower confidence_level, or use predictor="point".'
        )
    return JobForecast(ends[:, 0], ends[:, 1], point, levels, quantile, confidence_level)


def _share_of_each_group(group: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    chosen = np.zeros(group.size, dtype=bool)
    for g in np.unique(group):
        members = rng.permutation(np.flatnonzero(group == g))
        chosen[members[: round(share * members.size)]] = True
    return chosen


def sub_city(city: City, region: NDArray[np.int64]) -> City:
    """Return the city with the given regions only; groups without any drop out of the numbering."""
    if np.array_equal(region, np.arange(city.n_regions)):
        return city
    ids = tuple(city.region_ids[i] for i in region)
    present, group = np.unique(city.group[region], return_inverse=True)
    customers = None if city.customers is None else city.customers[region]
    rank = np.full(city.n_regions, -1)
    rank[region] = np.arange(region.size)
    return replace(
        city,
        region_ids=ids,
        xy_km=city.xy_km[region],
        group=group,
        group_names=tuple(city.group_names[g] for g in present),
        log=city.log.select(ids),
        context={name: values[region] for name, values in city.context.items()},
        customers=customers if customers is not None and customers.sum() > 0 else None,
        requests=city.requests[region],
        orders={name: rank[order][rank[order] >= 0] for name, order in city.orders.items()},
    )
