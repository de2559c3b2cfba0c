"""A plan for today: the order in which an agent restores the open regions, and when each has power again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stormgym.agents.domain import PlanReport, PlanRequest
from stormgym.agents.episodes import play_episode
from stormgym.agents.files import csv_for_people, write_atomically
from stormgym.agents.plan_times import PlanClock, read_start
from stormgym.agents.policy import Entrant
from stormgym.agents.restoration.todays_jobs import JobForecast, forecast_jobs, sub_city, todays_jobs
from stormgym.agents.terminal import simple_table
from stormgym.envs import equity
from stormgym.envs.cities.open_jobs import draw_hours, unseen_features
from stormgym.envs.data import City, resolve_city
from stormgym.envs.risk_measure import MEAN, RiskMeasure

Floats = NDArray[np.float64]
FAIREST = "equity-planner"
"""The agent that plans within the limit, where a plan can be."""
N_DRAWS = 4000
N_RECORDS = 10
"""The fewest records that an environment takes (it has ten folds)."""
OPTIONS = frozenset(
    {
        "city",
        "predictor",
        "confidence_level",
        "cost_limit",
        "cost_limit_kind",
        "cost_limit_level",
        "max_travel_km",
        "income_effect",
    }
)
"""Arguments of the environment that a plan for today has a use for."""


@dataclass(frozen=True)
class Stop:
    """One region of the plan; hours count from the moment the crew leaves the depot."""

    position: int
    region: str
    group: str
    travel_h: float
    repair_h: float
    """Mean forecast of the repair, with the ends of its prediction interval."""
    repair_lower_h: float
    repair_upper_h: float
    expected_h: float
    """Expected time of restoration, with the ends of its simulated interval."""
    lower_h: float
    upper_h: float


@dataclass(frozen=True)
class Plan:
    """The stops in order, and what they add up to."""

    city: str
    agent: str
    stops: tuple[Stop, ...]
    mean_outage_h: float
    """Expected mean over the regions."""
    gap_h: float
    """Mean over the simulated days of the largest gap between two groups (EPOPR eq. 14); where the limit is on its
    tail, its CVaR or quantile."""
    cost_limit_h: float
    confidence_level: float
    source: str
    """Where the open jobs come from."""
    start: datetime | None = None
    measure: RiskMeasure = MEAN
    """What of the gap the limit bounds."""
    limit_source: str = ""
    """Why the limit is what it is, in words."""
    warnings: tuple[str, ...] = ()
    """What is doubtful, a sentence each."""


def plan_today(name: str, entrant: Entrant, request: PlanRequest) -> PlanReport:
    """The plan of one agent for the open jobs of today: what `evaluate.py --plan` prints.

    Raises:
        ValueError: an option without a use here, a range of limits, a start that is no time, or as `make_plan`.
    """
    kwargs = dict(request.env_kwargs)
    useless = sorted(set(kwargs) - OPTIONS)
    if useless:
        raise ValueError(f"--plan has no use for {', '.join(useless)}; it takes {', '.join(sorted(OPTIONS))}")
    if isinstance(kwargs.get("cost_limit"), tuple | list):
        raise ValueError(f"--plan takes one limit; got the range {kwargs['cost_limit']}")
    place = kwargs.pop("city", "default")
    city = resolve_city(place, income_effect=kwargs.pop("income_effect", 1.0))
    plan = make_plan(
        city,
        name,
        entrant,
        jobs_file=request.jobs_file,
        city_folder=place if Path(place).is_dir() else None,
        seed=request.seed,
        start=read_start(request.start),
        **kwargs,
    )
    plan = replace(plan, warnings=(*request.warnings, *plan.warnings))
    return PlanReport(render_plan(plan), lambda file: write_plan_csv(plan, file))


def make_plan(
    city: City,
    agent_name: str,
    agent: Entrant,
    *,
    jobs_file: str | os.PathLike[str] | None = None,
    city_folder: str | os.PathLike[str] | None = None,
    predictor: str = "ecqr",
    confidence_level: float = 0.9,
    cost_limit: float | None = None,
    cost_limit_kind: str = MEAN.kind,
    cost_limit_level: float | None = None,
    max_travel_km: float | None = None,
    seed: int = 0,
    start: datetime | None = None,
) -> Plan:
    """Let an agent order today's open jobs.

    The agent acts in an environment of the open regions in which every repair takes its mean forecast, so it
    observes nothing new on the way, as a real crew would. A region's expected time of restoration is the travel so
    far plus the mean forecasts of the repairs so far. Its interval comes from simulation: repair hours drawn
    independently from each job's predictive quantiles, `N_DRAWS` days, the middle `confidence_level` of the
    times; travel and order stay fixed.

    Raises:
        ValueError: a privileged agent, since nobody knows true durations today; it cannot act on this number of
            regions or groups; or it leaves regions unrestored.
        DataError: the file of jobs breaks a rule.
    """
    if agent.privileged:
        raise ValueError(_refuse(agent_name))
    jobs = todays_jobs(city, jobs_file, city_folder)
    forecast = forecast_jobs(city, jobs, predictor=predictor, confidence_level=confidence_level, random_state=seed)
    open_city = sub_city(city, jobs.region)
    measure = RiskMeasure.of(cost_limit_kind, cost_limit_level)
    rules = {
        "cost_limit": cost_limit,
        "cost_limit_kind": measure.kind,
        "cost_limit_level": measure.level,
        "max_travel_km": max_travel_km,
    }
    try:
        order, elapsed_h, limit = _play(open_city, agent_name, agent, forecast, rules, seed)
    except ValueError as error:
        idle = [name for name in city.group_names if name not in open_city.group_names]
        if not idle or not agent.learned:
            raise
        raise ValueError(
            f"agent {agent_name!r} cannot plan today, when no job is open in group {' and '.join(idle)}; plan with "
            f"equity-planner. ({error})"
        ) from error
    stops, draws_h = _stops(open_city, order, elapsed_h, forecast, confidence_level, seed)
    gap = equity.gap(draws_h, open_city.group[order], open_city.n_groups)
    return Plan(
        city=city.name,
        agent=agent_name,
        stops=stops,
        mean_outage_h=float(elapsed_h.mean()),
        gap_h=float(measure.statistic(gap)),
        cost_limit_h=limit,
        confidence_level=confidence_level,
        source=jobs.source,
        start=start,
        measure=measure,
        limit_source="the city's" if cost_limit is None else "as cost_limit says",
        warnings=unseen_features(city, jobs, [city.region_ids[i] for i in jobs.region]),
    )


def _stops(
    city: City, order: NDArray[np.int64], elapsed_h: Floats, forecast: JobForecast, confidence_level: float, seed: int
) -> tuple[tuple[Stop, ...], Floats]:
    """The stops of an order `[J]` whose restorations end at `elapsed_h` `[J]`, and simulated ends `[S, J]` (h)."""
    repair = forecast.point_h[order]
    fixed = elapsed_h - np.cumsum(repair)  # travel (and trips in vain) before each restoration
    draws = draw_hours(forecast.quantile_h[order], N_DRAWS, np.random.default_rng(seed))  # [S, J]
    times = fixed + np.cumsum(draws, axis=1)
    tail = (1.0 - confidence_level) / 2.0
    low, high = np.quantile(times, [tail, 1.0 - tail], axis=0)
    travel = np.diff(fixed, prepend=0.0)
    stops = tuple(
        Stop(
            position=k + 1,
            region=city.region_ids[i],
            group=city.group_names[city.group[i]],
            travel_h=float(travel[k]),
            repair_h=float(repair[k]),
            repair_lower_h=float(forecast.lower_h[i]),
            repair_upper_h=float(forecast.upper_h[i]),
            expected_h=float(elapsed_h[k]),
            lower_h=float(low[k]),
            upper_h=float(high[k]),
        )
        for k, i in enumerate(order)
    )
    return stops, times


def _refuse(agent_name: str) -> str:
    return (
        f"agent {agent_name!r} looks at true repair durations, which nobody has for today's jobs; "
        "choose one that does not, such as equity-planner or a trained run folder"
    )


def _play(
    city: City,
    name: str,
    agent: Entrant,
    forecast: JobForecast,
    rules: dict[str, Any],
    seed: int,
) -> tuple[NDArray[np.int64], Floats, float]:
    """Return the order `[J]`, the hours at which each restoration ends `[J]`, and the limit on the gap.

    `rules` are arguments of the environment.
    """
    from stormgym.envs.restoration.env import RestorationEnv

    if len(city.log) < N_RECORDS:  # the environment cross-fits its log, which no plan uses: a short one is repeated
        city = replace(city, log=city.log.take(np.arange(N_RECORDS) % len(city.log)))
    env = RestorationEnv(city, predictor="none", **rules)
    policy = agent.make(env)
    if getattr(policy, "privileged", False):
        raise ValueError(_refuse(name))
    jobs = {
        "duration_h": forecast.point_h,
        "point_h": forecast.point_h,
        "lower_h": forecast.lower_h,
        "upper_h": forecast.upper_h,
        "quantile_h": forecast.quantile_h,
    }
    order: list[int] = []
    for step in play_episode(env, policy, seed=seed, options={"jobs": jobs}):
        if step.observation["action_mask"][step.action] > 0:  # else a trip in vain
            order.append(int(step.action))
    if len(order) < city.n_regions:
        raise ValueError(
            f"agent {name!r} left {city.n_regions - len(order)} of {city.n_regions} regions unrestored; "
            "use another agent"
        )
    visited, times = np.asarray(order, dtype=np.int64), env.times_h()
    assert times is not None, "a restoration environment knows its times"
    return visited, times[0, visited], env.cost_limit


def _what(measure: RiskMeasure) -> str:
    """What of the gap the limit bounds, in words."""
    return f"{measure.name} gap" if measure.is_mean else f"{measure.name} of the gap"


def render_plan(plan: Plan) -> RenderableType:
    """The plan as a table with what its numbers mean."""
    share = f"{100 * plan.confidence_level:g} %"
    clock = PlanClock(plan.start)
    unit = "h" if plan.start is None else ""
    table: Table = simple_table(
        None,
        [
            "region",
            "group",
            "travel\nh",
            f"repair h\n({share} interval)",
            f"power back\nexpected {unit}".rstrip(),
            f"{share}\nbetween {unit}".rstrip(),
        ],
        first="order",
    )
    for stop in plan.stops:
        table.add_row(
            str(stop.position),
            stop.region,
            stop.group,
            f"{stop.travel_h:.2f}",
            f"{stop.repair_h:.1f} ({stop.repair_lower_h:.1f}-{stop.repair_upper_h:.1f})",
            clock.text(stop.expected_h),
            clock.between(stop.lower_h, stop.upper_h),
        )
    over = ""
    if plan.gap_h > plan.cost_limit_h:
        over = ": over the limit"
        over += "" if plan.agent == FAIREST else f". Try --agents {FAIREST}, which keeps to it where it can"
    limit = f"{plan.cost_limit_h:g} h ({plan.limit_source})"
    notes = [
        f"Jobs: {plan.source}.",
        f"Expected mean outage {plan.mean_outage_h:.1f} h; {_what(plan.measure)} between groups {plan.gap_h:.1f} h, "
        f"limit {limit}{over}.",
        "Expected: travel plus mean forecasts so far. Interval: simulated, repairs drawn independently from "
        "their predictive quantiles, order fixed; delays that hit all jobs alike would widen it.",
    ]
    title = f"Plan of {plan.agent} for {plan.city}: {len(plan.stops)} open region{'s' if len(plan.stops) != 1 else ''}"
    title += ", hours from the crew's departure" if plan.start is None else f", crew leaves {clock.text(0.0)}"
    doubts = [Text(f"Warning: {line}", style="yellow") for line in plan.warnings]
    return Group(Text(title, style="bold"), Text(""), table, Text(""), *doubts, *(Text(n, style="dim") for n in notes))


CSV_COLUMNS = (
    "order",
    "region",
    "group",
    "travel_h",
    "repair_h",
    "repair_lower_h",
    "repair_upper_h",
    "expected_restoration_h",
    "restoration_lower_h",
    "restoration_upper_h",
)
CLOCK_COLUMNS = ("expected_restoration", "restoration_lower", "restoration_upper")


def write_plan_csv(plan: Plan, file: str | os.PathLike[str]) -> Path:
    """Write the plan, one row a stop; with a start, three more columns hold times of day (ISO 8601)."""
    rows: list[Sequence[Any]] = [CSV_COLUMNS + (CLOCK_COLUMNS if plan.start is not None else ())]
    for stop in plan.stops:
        times = (stop.expected_h, stop.lower_h, stop.upper_h)
        hours = (stop.travel_h, stop.repair_h, stop.repair_lower_h, stop.repair_upper_h, *times)
        row: list[Any] = [stop.position, stop.region, stop.group, *(f"{h:.4f}" for h in hours)]
        if plan.start is not None:
            row += [PlanClock(plan.start).iso(h) for h in times]
        rows.append(row)
    return write_atomically(file, csv_for_people(rows))
