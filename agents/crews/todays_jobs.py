"""Crews and jobs as they are now: who is at work where, what is known, how long it is forecast to take."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.cities.open_jobs import JobForecast, forecast_jobs
from stormgym.envs.crews.core import CrewCore
from stormgym.envs.crews.jobs import upstream_first
from stormgym.envs.crews.profiles import PROFILES
from stormgym.envs.crews.reported import customers_of
from stormgym.envs.crews.roster import Roster
from stormgym.envs.data import City, DataError
from stormgym.envs.data.crews_file import CREWS_FILE, CrewRecord
from stormgym.envs.data.jobs_file import ReportedJobs, jobs_file_of, read_reported_jobs
from stormgym.envs.data.names import meant

N_RECORDS = 10
"""The fewest records that an environment takes (it has ten folds)."""


@dataclass(frozen=True, eq=False)
class Today:
    """J jobs without power and K crews; hours count from now, so that what has been is below 0."""

    city: City
    """Its crews are today's, each with a place for a depot."""
    jobs: ReportedJobs
    forecast: JobForecast
    customers: Floats
    """`[J]`"""
    hand: Ints
    """`[K]` job that each crew has in hand, -1 for none."""
    crews_source: str = ""
    """Where the crews come from, in words."""
    left_out: int = 0
    """Jobs of the file that will be reported later: nobody knows them now."""

    @property
    def crews(self) -> tuple[CrewRecord, ...]:
        """K crews, assessors included."""
        return self.city.crews


def todays_crews(city: City, arguments: Mapping[str, Any]) -> tuple[CrewRecord, ...]:
    """The crews that the environment would have, each with a place for a depot.

    Args:
        city: the place; its own crews unless the arguments say otherwise.
        arguments: of the environment, about crews (`n_crews`, `off_h`, ...).

    Raises:
        ValueError: arguments that make no crews.
    """
    profile = PROFILES.get(arguments.get("profile", "default"))  # the core tells of one that there is not
    quick = {} if profile is None or "predictor" in profile.idle else {"predictor": "none"}
    begun = tuple(replace(crew, start_h=max(crew.start_h, 0.0)) for crew in city.crews)  # hour 0 is the core's first
    core = CrewCore(1, city=replace(city, crews=begun), special_share=0.0, **quick, **arguments)
    roster, places = core.roster, core.places_km
    own = city.crews if {"n_crews", "crews"}.isdisjoint(arguments) else ()
    listed = [{f.name: getattr(roster, f.name)[k] for f in fields(Roster)} for k in range(roster.n_crews)]
    return tuple(
        CrewRecord(
            name=own[k].name if own else str(k),
            depot=(float(places[crew["depot"], 0]), float(places[crew["depot"], 1])),
            speed_kmh=float(crew["speed_kmh"]),
            skills=tuple(np.flatnonzero(crew["skills"]).tolist()),
            start_h=own[k].start_h if own else float(crew["start_h"]),
            on_h=float(crew["on_h"]),
            off_h=float(crew["off_h"]),
            assessor=bool(crew["assessor"]),
            at=own[k].at if own else None,
        )
        for k, crew in enumerate(listed)
    )


def crews_source(city: City, arguments: Mapping[str, Any], crews: tuple[CrewRecord, ...]) -> str:
    """Where `todays_crews` come from, in words; made-up ones with the cure."""
    n, others = len(crews), len({crew.depot for crew in crews} - {tuple(city.depot_km.tolist())})
    several = "s" if n != 1 else ""
    if arguments.get("crews") is not None:
        return f"{n} crew{several} of the option crews"
    if city.crews and "n_crews" not in arguments:
        return f"{n} crew{several} of {CREWS_FILE}"
    made = f"{n} made-up crew{several} from the city's depot"
    made += f" and {others} made-up depot{'s' if others != 1 else ''}" if others else ""
    if city.crews:
        return f"{made}, as n_crews says; {CREWS_FILE} is left aside"
    return f"no {CREWS_FILE}: {made}; write {CREWS_FILE} to plan with your own (docs/data.md#crewsjson)"


def read_today(
    city: City,
    crews: tuple[CrewRecord, ...],
    *,
    file: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    start: str | None = None,
    predictor: str = "ecqr",
    confidence_level: float = 0.9,
    seed: int = 0,
) -> Today:
    """Read what is open now.

    Args:
        city: the place.
        crews: `todays_crews`.
        file: jobs; None takes the folder's `jobs.csv`, without one the last record of every region.
        folder: of the city.
        start: the time of now, where the file has times.
        predictor, confidence_level: of the forecasts.
        seed: of their models.

    Raises:
        DataError: a file breaks a rule; the message names file, line, value and cure.
        ValueError: times without a start, no open job, or a predictor that does not fit.
    """
    if file is None and folder is not None:
        file = jobs_file_of(folder)
    jobs = _last_records(city) if file is None else read_reported_jobs(city, file, start=start)
    if jobs.start is not None and start is None:
        raise ValueError(f"{file} has times, so that a plan needs --start, the time of now")
    reported = upstream_first(jobs.arrival_h[None], jobs.parent[None])[0]
    known = np.flatnonzero(reported <= 0)
    if known.size == 0:
        raise ValueError(f"no job is open now: all {len(jobs)} of {file} are reported later than --start or hour 0")
    left_out, jobs = len(jobs) - known.size, replace(jobs, arrival_h=reported).take(known)
    return Today(
        city=replace(city, crews=crews, log=_enough(city)),
        jobs=jobs,
        forecast=forecast_jobs(city, jobs, predictor=predictor, confidence_level=confidence_level, random_state=seed),
        customers=customers_of(city, jobs),
        hand=_in_hand(jobs, crews),
        left_out=left_out,
    )


def _enough(city: City) -> Any:
    """The log, repeated where it has too few records for an environment; no plan uses it."""
    return city.log if len(city.log) >= N_RECORDS else city.log.take(np.arange(N_RECORDS) % len(city.log))


def _last_records(city: City) -> ReportedJobs:
    """A job in every region, with the features of its last record."""
    log, n = city.log, city.n_regions
    order = np.arange(len(log)) if log.time is None else np.argsort(log.time, kind="stable")
    last = np.full(n, -1)
    last[log.region[order]] = order  # the last assignment stands
    return ReportedJobs(
        ids=city.region_ids,
        region=np.arange(n),
        features=log.features[last],
        arrival_h=np.zeros(n),
        skill=np.zeros(n, dtype=np.int64),
        parent=np.full(n, -1) if city.parent is None else city.parent,
        customers=None,
        assessed=np.ones(n, dtype=bool),
        repair_h=None,
        crew=("",) * n,
        begun_h=np.full(n, np.nan),
        repaired=np.zeros(n, dtype=bool),
        start=None,
        source="no file of open jobs: the last record of every region stands in for today's",
    )


def _in_hand(jobs: ReportedJobs, crews: tuple[CrewRecord, ...]) -> Ints:
    names = [crew.name for crew in crews]
    hand = np.full(len(crews), -1)
    for job, name in enumerate(jobs.crew):
        if not name:
            continue
        where = f"{jobs.source}: job {jobs.ids[job]!r}"
        if name not in names:
            hint = meant(name, names)
            raise DataError(f"{where}: crew {name!r} is none of {', '.join(names)}. {hint}Correct it or drop it.")
        crew = crews[names.index(name)]
        if crew.assessor or jobs.skill[job] not in crew.skills:
            raise DataError(f"{where}: crew {name!r} has not the skill {jobs.skill[job]} that it needs. Correct one.")
        hand[names.index(name)] = job
    return hand
