"""Forecasts of jobs that are open now, from models of a city's whole log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.cities.forecasts import check_predictor
from stormgym.envs.data import City

_MIN_REPAIR_H = 1e-6


class HasFeatures(Protocol):
    """J jobs with what is known of each."""

    @property
    def region(self) -> Ints:
        """`[J]` index in the city."""

    @property
    def features(self) -> Floats:
        """`[J, F]`, columns as in the city's log."""


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


def forecast_jobs(
    city: City,
    jobs: HasFeatures,
    *,
    predictor: str = "ecqr",
    confidence_level: float = 0.9,
    random_state: int = 0,
) -> JobForecast:
    """Forecast the jobs from models fitted on the city's whole log.

    As in `cross_fit`, the interval's model is fitted on 60 % of the log and calibrated on the rest, split at
    random within each group; mean and quantiles come from a forest on all of it.

    Args:
        city: whose log it is.
        jobs: regions `[J]` and features `[J, F]`.
        predictor: "ecqr", "cqr", "cp", "point" or "none".
        confidence_level: of the intervals.
        random_state: of models and split.

    Raises:
        ValueError: an unknown predictor, a bad level, or too few records for finite intervals.
    """
    check_predictor(predictor, confidence_level)
    from stormgym.predictors import CQR, ECQR, SplitConformal
    from stormgym.predictors.cross_fit import CALIBRATION_SHARE, N_LEVELS
    from stormgym.predictors.quantile_models import default_forest, predict_mean

    log = city.log
    group = city.group[log.region]
    levels = (np.arange(N_LEVELS) + 0.5) / N_LEVELS
    n = jobs.region.size
    if predictor == "none":
        point = np.full(n, log.repair_h.mean())
    else:
        forest = default_forest(random_state).fit(log.features, log.repair_h)
        point = np.maximum(predict_mean(forest, jobs.features), _MIN_REPAIR_H)
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


def unseen_features(city: City, jobs: HasFeatures, names: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each feature of which a job has less or more than all records of the log.

    Args:
        city: whose log it is.
        jobs: features `[J, F]`.
        names: of the J jobs.
    """
    told = []
    for feature, seen, values in zip(city.log.feature_names, city.log.features.T, jobs.features.T, strict=True):
        low, high = float(seen.min()), float(seen.max())
        outside = [(job, value) for job, value in zip(names, values.tolist(), strict=True) if not low <= value <= high]
        if outside:
            (job, value), more = outside[0], len(outside) - 1
            others = f" ({more} more {'is' if more == 1 else 'are'} outside)" if more else ""
            told.append(
                f"{feature} of job {job} is {value:g}{others}; in the city's log it is {low:g} to {high:g}. "
                "The forecast takes the nearest of these; correct the value if it is an error."
            )
    return tuple(told)


def _share_of_each_group(group: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    chosen = np.zeros(group.size, dtype=bool)
    for g in np.unique(group):
        members = rng.permutation(np.flatnonzero(group == g))
        chosen[members[: round(share * members.size)]] = True
    return chosen


def draw_hours(quantile_h: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Repair hours `[n, J]` drawn from predictive quantiles `[J, Q]` joined by lines; the mean stays the forecast's."""
    jobs, n_levels = quantile_h.shape
    place = np.clip(rng.random((n, jobs)) * n_levels - 0.5, 0.0, n_levels - 1)
    below = np.minimum(place.astype(np.int64), max(n_levels - 2, 0))
    above = np.minimum(below + 1, n_levels - 1)
    columns = np.arange(jobs)
    low: Floats = quantile_h[columns, below]
    return low + (place - below) * (quantile_h[columns, above] - low)
