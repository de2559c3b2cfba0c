"""What the observation of CrewDispatch-v0 holds, column by column, and how it is made from the process."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats, Ints, Observation
from stormgym.envs.cities.bounds import MAX_ELAPSED_HOURS, MAX_KM
from stormgym.envs.crews.process import CrewProcess
from stormgym.envs.equity import group_pairs

JOB_COLUMNS: tuple[str, ...] = (
    "x_km",
    "y_km",
    "group",
    "weight",
    "customers",
    "known",
    "open",
    "sent",
    "repaired",
    "dark",
    "age_h",
    "lower_h",
    "upper_h",
    "point_h",
    "assessed",
    "realised_h",
    "need",
    "parent",
    "upstream_open",
    "below_dark",
    "distance_km",
    "travel_h",
)
"""Keys of the observation that hold one number a job, `[N]` each; 0 for slots that are not known."""
CREW_COLUMNS: tuple[str, ...] = (
    "crew_x_km",
    "crew_y_km",
    "crew_speed_kmh",
    "crew_asked",
    "crew_busy",
    "crew_waiting",
    "crew_way_left_h",
    "crew_on_site_h",
    "crew_point_left_h",
    "crew_duty_left_h",
    "crew_rest_left_h",
    "crew_overtime_h",
    "crew_assessor",
    "crew_job",
)
"""Keys that hold one number a crew, `[K]` each; `crew_skill_z` for each skill follow."""
NONE = -1.0
"""Group and parent of a slot that is not known, and the job of a crew that has none."""


def storm_columns(n_groups: int) -> tuple[str, ...]:
    """Names of the columns of `obs["storm"]` for G groups."""
    groups = range(n_groups)
    return (
        "elapsed_h",
        "arrival_left_h",
        "cost_limit_h",
        "gap_h",
        "n_known",
        *(f"log_ratio_{g}" for g in groups),
        *(f"running_mean_h_{g}" for g in groups),
        *(f"share_restored_{g}" for g in groups),
        *(f"pair_gap_h_{a}_{b}" for a, b in group_pairs(n_groups)),
    )


def crew_columns(n_skills: int) -> tuple[str, ...]:
    """Names of the crew columns for Z skills."""
    return (*CREW_COLUMNS, *(f"crew_skill_{z}" for z in range(n_skills)))


def jobs_of(observation: Observation) -> Floats:
    """The job columns side by side, `[..., N, F]`, ordered as `JOB_COLUMNS`."""
    return np.stack([observation[name] for name in JOB_COLUMNS], axis=-1)


def crews_of(observation: Observation) -> Floats:
    """The crew columns side by side, `[..., K, F']`, ordered as `crew_columns`."""
    names = [*CREW_COLUMNS, *sorted(name for name in observation if name.startswith("crew_skill_"))]
    return np.stack([observation[name] for name in names], axis=-1)


def observation_space(n_jobs: int, n_crews: int, n_skills: int, n_groups: int) -> spaces.Dict:
    """The observation space of one environment."""
    signed = {"x_km", "y_km", "group", "parent", "crew_x_km", "crew_y_km", "crew_job"}
    most = MAX_ELAPSED_HOURS

    def box(name: str, size: int) -> spaces.Box:
        low = -MAX_KM if name in signed else 0.0
        return spaces.Box(low, 1e9 if name == "customers" else most, shape=(size,), dtype=np.float32)

    columns = storm_columns(n_groups)
    low = np.array([-30.0 if name.startswith("log_ratio") else 0.0 for name in columns], dtype=np.float32)
    parts: dict[str, spaces.Space[Any]] = {"action_mask": spaces.MultiBinary(n_jobs + 1)}
    parts["storm"] = spaces.Box(low, np.full(len(columns), most, dtype=np.float32), dtype=np.float32)
    parts |= {name: box(name, n_jobs) for name in JOB_COLUMNS}
    parts |= {name: box(name, n_crews) for name in crew_columns(n_skills)}
    return spaces.Dict(parts)


def observe(process: CrewProcess, places_km: Floats, limit_h: Floats, row: int | None = None) -> Observation:
    """What the dispatcher sees now, as fresh float32 arrays: of B storms, or of one without the leading axis.

    Args:
        process: the storms.
        places_km: `[V, 2]` coordinates of sites and depots.
        limit_h: `[B]` limits of the episodes.
        row: which storm.
    """
    if row is not None:
        one = observe(process.part(np.array([row])), places_km, limit_h[[row]])
        return {name: values[0] for name, values in one.items()}
    jobs, now = process.jobs, process.t[:, None]
    known = jobs.arrival_h <= now
    columns = _job_columns(process, known, places_km) | _crew_columns(process, places_km)
    columns["storm"] = _storm(process, known, limit_h)
    result: dict[str, NDArray[Any]] = {
        name: v if v.dtype == np.float32 else np.array(v, dtype=np.float32) for name, v in columns.items()
    }
    return {"action_mask": process.mask.astype(np.int8), **result}


def _job_columns(process: CrewProcess, known: NDArray[np.bool_], places_km: Floats) -> dict[str, NDArray[Any]]:
    jobs, now = process.jobs, process.t[:, None]
    rows = np.arange(process.batch)
    sent = np.isfinite(process.repaired_h)
    repaired = process.repaired_h <= now
    dark = known & (process.power_h > now)
    seen = process.seen_h <= now
    way = process.distance_km[process.loc[rows, process.asked]]  # [B, V] from the asked crew
    distance = np.take_along_axis(way, jobs.site, axis=1)
    open_above, below = _along_feeders(process, ~repaired, np.where(dark, jobs.weight, 0.0))
    columns: dict[str, NDArray[Any]] = {
        "x_km": places_km[:, 0].take(jobs.site),
        "y_km": places_km[:, 1].take(jobs.site),
        "group": jobs.group,
        "weight": jobs.weight,
        "customers": jobs.customers,
        "known": known,
        "open": known & ~sent,
        "sent": sent,
        "repaired": repaired,
        "dark": dark,
        "age_h": np.minimum(process.power_h, now) - np.minimum(jobs.arrival_h, now),
        "lower_h": np.where(seen, jobs.lower_h, jobs.wide_h[..., 1]),
        "upper_h": np.where(seen, jobs.upper_h, jobs.wide_h[..., 2]),
        "point_h": np.where(seen, jobs.point_h, jobs.wide_h[..., 0]),
        "assessed": seen,
        "realised_h": np.where(repaired, jobs.duration_h, 0.0),
        "need": jobs.need,
        "parent": jobs.parent,
        "upstream_open": open_above,
        "below_dark": below,
        "distance_km": distance,
        "travel_h": distance / process.roster.speed_kmh[process.asked][:, None],
    }
    # what is not known is blotted out in the bits: a factor of 0 would leave the sign
    mask = -known.astype(np.int32)
    shown: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        bits = values.astype(np.float32).view(np.int32)
        bits &= mask
        shown[name] = bits.view(np.float32)
    for name in ("group", "parent"):
        shown[name][~known] = NONE
    return shown


def _along_feeders(process: CrewProcess, unrepaired: NDArray[np.bool_], weight: Floats) -> tuple[Ints, Floats]:
    """How many jobs above each are unrepaired, and the weight on each and all below it, `[B, N]` both.

    A loop over depth: sums over a short last axis would be slow.
    """
    own = np.arange(process.n_jobs)
    first = (np.arange(process.batch) * process.n_jobs)[:, None]
    count, total = np.zeros(weight.shape, dtype=np.int64), weight.ravel().copy()
    for depth in range(1, process.chain.shape[2]):
        chain = process.chain[:, :, depth]
        above = chain != own  # the padding is the job itself
        flat = first + chain
        count += unrepaired.ravel().take(flat) & above
        total += np.bincount(flat[above], weights=weight[above], minlength=total.size)
    return count, total.reshape(weight.shape)


def _crew_columns(process: CrewProcess, places_km: Floats) -> dict[str, NDArray[Any]]:
    jobs, roster, now = process.jobs, process.roster, process.t[:, None]
    k, shape = roster.n_crews, (process.batch, roster.n_crews)
    busy = process.finish_h > now
    # what has begun before the first job is -inf, of which no time is taken
    begin = np.where(busy, process.begin_h, now)
    on_site = np.maximum(now - begin, 0.0)
    has_job = busy & (process.target >= 0)
    target = np.maximum(process.target, 0)
    seen = np.take_along_axis(process.seen_h, target, axis=1) <= now
    narrow = np.take_along_axis(jobs.point_h, target, axis=1)
    wide = np.take_along_axis(jobs.wide_h[..., 0], target, axis=1)
    point = np.where(roster.assessor, process.assess_h, np.where(seen, narrow, wide))
    period = roster.on_h + roster.off_h
    since = now - roster.start_h
    within = since - np.floor(since / period) * period
    on_duty = (since >= 0) & (within < roster.on_h)
    columns: dict[str, NDArray[Any]] = {
        "crew_x_km": places_km[process.loc, 0],
        "crew_y_km": places_km[process.loc, 1],
        "crew_speed_kmh": np.broadcast_to(roster.speed_kmh, shape),
        "crew_asked": np.arange(k) == process.asked[:, None],
        "crew_busy": busy,
        "crew_waiting": process.waiting,
        "crew_way_left_h": np.maximum(begin - now, 0.0),
        "crew_on_site_h": np.where(busy, on_site, 0.0),
        "crew_point_left_h": np.where(has_job, np.maximum(point - on_site, 0.0), 0.0),
        "crew_duty_left_h": np.where(on_duty, roster.on_h - within, 0.0),
        "crew_rest_left_h": roster.next_on(np.broadcast_to(now, shape)) - now,
        "crew_overtime_h": process.overtime_h - process.overtime_due_h,  # of what has ended: the rest is not known
        "crew_assessor": np.broadcast_to(roster.assessor, shape),
        "crew_job": np.where(has_job, process.target, NONE),
    }
    return columns | {f"crew_skill_{z}": np.broadcast_to(roster.skills[:, z], shape) for z in range(roster.n_skills)}


def _storm(process: CrewProcess, known: NDArray[np.bool_], limit_h: Floats) -> Floats:
    jobs, now = process.jobs, process.t[:, None]
    repaired, back = process.repaired_h <= now, process.power_h <= now
    age = np.minimum(process.power_h, now) - np.minimum(jobs.arrival_h, now)
    log_ratio = np.where(repaired, np.log(jobs.duration_h / jobs.point_h), 0.0)
    per_group: list[list[Floats]] = [[], [], []]
    for g in range(process.n_groups):
        own = known & (jobs.group == g)
        mended, there = np.maximum((own & repaired).sum(axis=1), 1), np.maximum(own.sum(axis=1), 1)
        per_group[0].append((log_ratio * own).sum(axis=1) / mended)
        per_group[1].append((age * own).sum(axis=1) / there)
        per_group[2].append((own & back).sum(axis=1) / there)
    left = np.maximum(process.arrival_end_h - process.t, 0.0)
    first = [process.t, left, limit_h, process.gap_h, known.sum(axis=1)]
    return np.stack([*first, *(v for part in per_group for v in part), *process.pair_gap_h.T], axis=1)
