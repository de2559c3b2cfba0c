"""Today's open jobs: which regions wait, what is known of each, and how long it is forecast to take."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.cities.open_jobs import JobForecast, forecast_jobs
from stormgym.envs.data import City
from stormgym.envs.data.jobs_file import jobs_file_of, read_reported_jobs

__all__ = ["JobForecast", "OpenJobs", "forecast_jobs", "sub_city", "todays_jobs"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OpenJobs:
    """J regions that are without power now, with the features of each job; the order is the city's."""

    region: NDArray[np.int64]
    """Index of each region in the city `[J]`."""
    features: Floats
    """`[J, F]`, columns as in the city's log."""
    source: str
    """Where they come from, in words."""


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
    if file is None and folder is not None:
        file = jobs_file_of(folder)
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
    jobs = read_reported_jobs(city, path, one_a_region=True)
    order = np.argsort(jobs.region, kind="stable")
    source = jobs.source.replace(" job", " open job", 1)
    return OpenJobs(region=jobs.region[order], features=jobs.features[order], source=source)


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
        parent=None,  # lines are no part of the restoration of regions
        orders={name: rank[order][rank[order] >= 0] for name, order in city.orders.items()},
    )
