"""Rows of a `JobTable` as a storm that crews can be sent into: places, hours of work, arrivals, customers, groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from stormgym.envs.arrays import Floats, Ints, read_only
from stormgym.envs.data.assemble import default_group_names
from stormgym.envs.data.city import City
from stormgym.envs.data.city_fields import DEFAULT_COST_LIMIT_H, DEFAULT_DETOUR, DEFAULT_SPEED_KMH
from stormgym.envs.data.degrees import project_km
from stormgym.envs.data.feeds.columns import hours_between
from stormgym.envs.data.feeds.faults import UNUSABLE_END, Fault
from stormgym.envs.data.feeds.sheet import moment_argument
from stormgym.envs.data.feeds.table import JobTable
from stormgym.envs.data.names import printable
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.data.tables import DataError, set_frozen

UNUSABLE = UNUSABLE_END | Fault.SWAPPED_COORDINATES | Fault.OUTSIDE_AREA | Fault.DOUBLE_ROW
"""Faults with which a row is not played."""


@dataclass(frozen=True, eq=False)
class RecordedStorm:
    """N jobs in the order of their arrival, with what was recorded of them. Arrays are read-only.

    Attributes:
        row: `[N]` row of the `JobTable`.
        job_id: N ids.
        start: hour 0, UTC.
        xy_km: `[N, 2]` km east and north of the mean place.
        arrival_h: `[N]` hours after the start.
        duration_h: `[N]` hours of work, above 0.
        customers: `[N]`.
        group: `[N]` 0..G-1, without holes.
        group_names: G names.
        begun_h: `[N]` recorded start of the work (h); NaN where it is not known.
        back_h: `[N]` recorded return of power (h); NaN where it is not known.
        left_out: rows that are not played, by the first reason that applies.
    """

    row: Ints
    job_id: tuple[str, ...]
    start: np.datetime64
    xy_km: Floats
    arrival_h: Floats
    duration_h: Floats
    customers: Floats
    group: Ints
    group_names: tuple[str, ...]
    begun_h: Floats
    back_h: Floats
    left_out: Mapping[str, int]

    def __post_init__(self) -> None:
        for name in ("row", "xy_km", "arrival_h", "duration_h", "customers", "group", "begun_h", "back_h"):
            set_frozen(self, **{name: read_only(getattr(self, name))})

    def __len__(self) -> int:
        return len(self.row)

    @property
    def outage_h(self) -> Floats:
        """Recorded hours without power `[N]`."""
        return self.back_h - self.arrival_h

    def jobs(self, point_h: ArrayLike, lower_h: ArrayLike, upper_h: ArrayLike) -> dict[str, np.ndarray]:
        """What `reset(options={"jobs": ...})` of the crews' environment takes, with forecasts `[N]` of the work (h)."""
        told = {"point_h": point_h, "lower_h": lower_h, "upper_h": upper_h}
        forecasts = {name: np.asarray(values, dtype=np.float64) for name, values in told.items()}
        return {"arrival_h": self.arrival_h.copy(), "duration_h": self.duration_h.copy(), **forecasts}

    def city(
        self,
        past_h: ArrayLike,
        *,
        name: str = "recorded storm",
        speed_kmh: float = DEFAULT_SPEED_KMH,
        detour: float = DEFAULT_DETOUR,
        cost_limit_h: float = DEFAULT_COST_LIMIT_H,
    ) -> City:
        """A city with a region for each job, and a depot in their middle (medians of both coordinates).

        Args:
            past_h: `[M]` hours of work of earlier storms, the log of every region: what is known of a job that nobody
                has looked at.
            name, speed_kmh, detour, cost_limit_h: of `City`.

        Raises:
            DataError: no past hours, or some that are not above 0.
        """
        hours = np.asarray(past_h, dtype=np.float64).ravel()
        if not hours.size:
            raise DataError("past_h must hold hours of work of earlier storms; got none.")
        n, ids = len(self), tuple(printable(name).strip() for name in self.job_id)
        if len(set(ids)) < n or "" in ids:
            ids = tuple(f"{name or 'job'} in row {row}" for name, row in zip(ids, self.row, strict=True))
        log = RepairLog(
            region=np.repeat(np.arange(n), hours.size),
            features=np.empty((n * hours.size, 0)),
            feature_names=(),
            repair_h=np.tile(hours, n),
            time=None,
            timezone=None,
            region_ids=ids,
        )
        return City(
            name=name,
            region_ids=ids,
            xy_km=self.xy_km,
            depot_km=np.median(self.xy_km, axis=0),
            group=self.group,
            group_names=self.group_names,
            speed_kmh=speed_kmh,
            detour=detour,
            log=log,
            context={},
            customers=self.customers,
            requests=np.ones(n),
            cost_limit_h=cost_limit_h,
        )


def recorded_storm(
    jobs: JobTable,
    groups: Mapping[str, int],
    *,
    group_names: tuple[str, ...] | None = None,
    hours: Literal["work", "outage"] = "work",
    start: str | np.datetime64 | None = None,
    places: Mapping[str, tuple[float, float]] | None = None,
    customers: float | None = None,
    leave_out: Fault = UNUSABLE,
) -> RecordedStorm:
    """Make a storm of rows of a table.

    Left out are planned work, rows with a fault of `leave_out`, without an arrival, a place, customers or hours, or
    with an arrival before the start; `left_out` counts them.

    Args:
        jobs: rows of one storm and one area.
        groups: income group (0 = low) of every region of the table. Groups without a job are closed up.
        group_names: names by group; None takes the usual ones.
        hours: what a crew is busy with: `"work"`, hours on site (`JobTable.work_h`), or `"outage"`, which holds the
            wait as well.
        start: hour 0 (UTC if it has no offset); None takes the first arrival.
        places: latitude and longitude by region, for rows without coordinates.
        customers: of rows where they are not known; None leaves these out.
        leave_out: faults with which a row is not played.

    Raises:
        DataError: a region has no group, or no row is left.
        ValueError: another kind of hours, or a `start` that is no time.
    """
    if hours not in ("work", "outage"):
        raise ValueError(f"hours must be 'work' or 'outage'; got {hours!r}")
    lat_lon = _places(jobs, places or {})
    taken = jobs.work_h if hours == "work" else jobs.duration_h
    served = jobs.customers if customers is None else np.where(np.isnan(jobs.customers), customers, jobs.customers)
    first = moment_argument(start, "start")
    reasons: dict[str, Any] = {
        "planned": jobs.planned == 1,
        "faults": jobs.has(leave_out),
        "no arrival": np.isnat(jobs.arrival),
        "before the start": jobs.arrival < first,
        "no place": np.isnan(lat_lon).any(axis=1),
        "no hours of work": ~(taken > 0),
        "customers unknown": np.isnan(served),
    }
    left = np.ones(len(jobs), dtype=np.bool_)
    left_out: dict[str, int] = {}
    for reason, wrong in reasons.items():
        left_out[reason] = int((left & wrong).sum())
        left &= ~wrong
    rows = np.flatnonzero(left)
    rows = rows[np.argsort(jobs.arrival[rows], kind="stable")]
    if not rows.size:
        raise DataError(f"no row of {len(jobs)} can be played: {left_out}. Check the faults of the table.")
    zero = jobs.arrival[rows[0]] if np.isnat(first) else first
    group, names = _groups(jobs.region[rows].tolist(), groups, group_names)
    since = np.full(len(jobs), zero)
    return RecordedStorm(
        row=rows,
        job_id=tuple(jobs.job_id[rows].tolist()),
        start=zero,
        xy_km=project_km(lat_lon[rows], (float(lat_lon[rows, 0].mean()), float(lat_lon[rows, 1].mean()))),
        arrival_h=hours_between(since, jobs.arrival)[rows],
        duration_h=taken[rows],
        customers=served[rows],
        group=group,
        group_names=names,
        begun_h=hours_between(since, jobs.work_start)[rows],
        back_h=hours_between(since, jobs.restored)[rows],
        left_out=left_out,
    )


def peak_open(jobs: JobTable) -> int:
    """Most outages open at once, of those whose arrival and end are known."""
    known = ~np.isnat(jobs.arrival) & ~np.isnat(jobs.restored)
    n = int(known.sum())
    times = np.concatenate([jobs.arrival[known], jobs.restored[known]])
    change = np.repeat([1, -1], n)[np.lexsort((np.repeat([1, 0], n), times))]  # an end before a start at its time
    return int(change.cumsum().max(initial=0))


def _places(jobs: JobTable, places: Mapping[str, tuple[float, float]]) -> Floats:
    """`[R, 2]` latitude and longitude, NaN where neither the row nor its region has them."""
    own = np.stack([jobs.latitude, jobs.longitude], axis=1)
    region = np.array([places.get(name, (np.nan, np.nan)) for name in jobs.region.tolist()]).reshape(-1, 2)
    return np.where(np.isnan(own).any(axis=1, keepdims=True), region, own)


def _groups(
    regions: list[str], groups: Mapping[str, int], names: tuple[str, ...] | None
) -> tuple[Ints, tuple[str, ...]]:
    missing = sorted(set(regions) - set(groups))
    if missing:
        raise DataError(
            f"region {missing[0]!r} has no group ({len(missing)} regions have none). Give groups for every region, or "
            "leave its rows out."
        )
    own = np.array([groups[name] for name in regions], dtype=np.int64)
    there, group = np.unique(own, return_inverse=True)
    if there[0] < 0:
        raise DataError(f"groups must be whole numbers from 0 (low income) up; got {int(there[0])}.")
    told = names or default_group_names(max(int(there[-1]) + 1, 3))
    if int(there[-1]) >= len(told):
        raise DataError(f"group_names must name every group; got {len(told)} names and group {int(there[-1])}.")
    return group.astype(np.int64), tuple(told[g] for g in there.tolist())
