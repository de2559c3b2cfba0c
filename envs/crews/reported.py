"""Jobs that a utility reports (`jobs.csv`) as `reset(options={"jobs": ...})` takes them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats
from stormgym.envs.cities.bounds import MAX_HOURS
from stormgym.envs.cities.open_jobs import draw_hours, forecast_jobs
from stormgym.envs.crews.jobs import upstream_first
from stormgym.envs.data import City
from stormgym.envs.data.jobs_file import ReportedJobs, jobs_file_of, read_reported_jobs


def read_jobs(
    city: str | os.PathLike[str] | City,
    file: str | os.PathLike[str] | None = None,
    *,
    start: str | None = None,
    predictor: str = "ecqr",
    confidence_level: float = 0.9,
    seed: int = 0,
) -> dict[str, NDArray[Any]]:
    """The jobs of a file as options of a reset: `env.reset(options={"jobs": read_jobs("my_city")})`.

    Jobs reported before hour 0 are known at hour 0, and a job is reported no later than what hangs on it. Forecasts
    come from models of the city's log. Hours of repairs are those of the column `repair_h`; without it they are drawn
    from the predictive quantiles.

    Args:
        city: a city's folder, or a `City` (then `file` must be given).
        file: None takes the folder's `jobs.csv`.
        start: time of hour 0, where the file has times; None takes the first arrival.
        predictor, confidence_level: of the forecasts, as for the environment.
        seed: of models and of hours that are drawn.

    Returns:
        Arrays `[J]`: `region`, `arrival_h`, `need`, `parent`, `customers`, `assessed`, `duration_h`, `point_h`,
        `lower_h`, `upper_h`, and `quantile_h` `[J, Q]`.

    Raises:
        DataError: a file breaks a rule; the message names file, line, value and cure.
        ValueError: no file, or an argument out of range.
    """
    place = city if isinstance(city, City) else City.load(city)
    if file is None:
        file = None if isinstance(city, City) else jobs_file_of(city)
        if file is None:
            raise ValueError(f"no jobs.csv in {city!r}; give the path of a file of jobs")
    jobs = read_reported_jobs(place, file, start=start)
    forecast = forecast_jobs(place, jobs, predictor=predictor, confidence_level=confidence_level, random_state=seed)
    drawn = draw_hours(forecast.quantile_h, 1, np.random.default_rng(seed))[0]
    reported = upstream_first(jobs.arrival_h[None], jobs.parent[None])[0]
    return {
        "region": jobs.region,
        "arrival_h": np.maximum(reported, 0.0),
        "need": jobs.skill,
        "parent": jobs.parent,
        "customers": customers_of(place, jobs),
        "assessed": jobs.assessed,
        "duration_h": np.clip(drawn if jobs.repair_h is None else jobs.repair_h, 1e-6, MAX_HOURS),
        "point_h": np.clip(forecast.point_h, 1e-6, MAX_HOURS),
        "lower_h": np.clip(forecast.lower_h, 0.0, MAX_HOURS),
        "upper_h": np.clip(forecast.upper_h, 0.0, MAX_HOURS),
        "quantile_h": forecast.quantile_h,
    }


def customers_of(city: City, jobs: ReportedJobs) -> Floats:
    """Customers of each job `[J]`; where the file does not say, its region's, shared evenly among the region's jobs."""
    if jobs.customers is not None:
        return jobs.customers
    of_region = np.ones(city.n_regions) if city.customers is None else city.customers
    shared: Floats = of_region[jobs.region] / np.bincount(jobs.region, minlength=city.n_regions)[jobs.region]
    return shared
