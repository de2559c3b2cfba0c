"""A plan for today with crews: who goes where, and when the light is back; what `evaluate.py --plan` prints."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from stormgym.agents.crews.ert.simulation import Draws, begin_and_power_times
from stormgym.agents.crews.todays_jobs import Today, crews_source, read_today, todays_crews
from stormgym.agents.crews.todays_play import Sent, TodaysPlay
from stormgym.agents.crews.todays_report import render_plans, write_plans_csv, write_plans_json
from stormgym.agents.crews.todays_result import CrewPlan, CurvePoint, Estimate, Plan, RegionPlan, Stop
from stormgym.agents.crews.what_if import changed, read_change
from stormgym.agents.domain import PlanReport, PlanRequest
from stormgym.agents.plan_times import read_start
from stormgym.agents.policy import Entrant
from stormgym.envs.arrays import Floats
from stormgym.envs.cities.open_jobs import unseen_features
from stormgym.envs.data import City, resolve_city
from stormgym.envs.equity import running_gap

AS_IT_IS = "as it is"
"""Name of the plan with the crews as they are."""
N_DRAWS = 400
SHARES = (0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""Of customers, whose times the curve holds."""
OF_CREWS = frozenset(
    {"n_crews", "n_depots", "crews", "n_skills", "special_crews", "n_assessors", "start_h", "on_h", "off_h"}
    | {"night_share", "profile"}
)
OF_PLAY = frozenset({"assess_h", "overtime_price", "weights", "cost_limit"})
OF_FORECASTS = frozenset({"predictor", "confidence_level"})
OPTIONS = OF_CREWS | OF_PLAY | OF_FORECASTS | {"city", "income_effect"}
"""Arguments of the environment that a plan for today has a use for."""


def plan_today(name: str, entrant: Entrant, request: PlanRequest) -> PlanReport:
    """The plan of one agent for what is open now, and one for each change of --what-if: what `--plan` prints.

    Raises:
        ValueError: an option without a use here, a range of limits, a start that is no time, or as `make_plans`.
    """
    kwargs = dict(request.env_kwargs)
    useless = sorted(set(kwargs) - OPTIONS)
    if useless:
        raise ValueError(f"--plan has no use for {', '.join(useless)}; it takes {', '.join(sorted(OPTIONS))}")
    if isinstance(kwargs.get("cost_limit"), tuple | list):
        raise ValueError(f"--plan takes one limit; got the range {kwargs['cost_limit']}")
    place = kwargs.pop("city", "default")
    plans = make_plans(
        resolve_city(place, income_effect=kwargs.pop("income_effect", 1.0)),
        name,
        entrant,
        arguments=kwargs,
        jobs_file=request.jobs_file,
        city_folder=place if Path(place).is_dir() else None,
        what_if=request.what_if,
        seed=request.seed,
        start=request.start,
    )
    plans = tuple(replace(plan, warnings=(*request.warnings, *plan.warnings)) for plan in plans)
    return PlanReport(
        render_plans(plans),
        lambda file: write_plans_csv(plans, file),
        lambda file: write_plans_json(plans, file),
    )


def make_plans(
    city: City,
    agent_name: str,
    agent: Entrant,
    *,
    arguments: Mapping[str, Any] | None = None,
    jobs_file: str | os.PathLike[str] | None = None,
    city_folder: str | os.PathLike[str] | None = None,
    what_if: Sequence[str] = (),
    seed: int = 0,
    start: str | None = None,
) -> tuple[Plan, ...]:
    """Let an agent plan what is open now, with the crews as they are and with each change of them.

    The agent acts in an environment that stands as today does, in which every repair takes its mean forecast and
    nothing new is reported. Its sequences are then carried out with hours drawn from the predictive quantiles, those of
    work in hand given the hours on site; the same draws for every plan, so that plans differ by what is planned.

    Args:
        city: the place; its crews unless `arguments` say otherwise.
        agent_name, agent: who plans.
        arguments: of the environment (`OPTIONS` without the city).
        jobs_file, city_folder: where open jobs are read.
        what_if: changes such as "n_crews=6,off_h=0".
        seed: of forecasts and draws.
        start: the time of now.

    Raises:
        ValueError: a privileged agent, one that leaves jobs, arguments that do not fit, or a change that does not.
        DataError: a file breaks a rule.
    """
    if agent.privileged:
        raise ValueError(_refuse(agent_name))
    moment, changes = read_start(start), {text: read_change(text) for text in what_if}
    given = dict(arguments or {})
    of_forecasts = {key: value for key, value in given.items() if key in OF_FORECASTS}
    of_play = {key: value for key, value in given.items() if key in OF_PLAY}
    of_crews = {key: value for key, value in given.items() if key in OF_CREWS}
    crews = todays_crews(city, of_crews)
    today = read_today(city, crews, file=jobs_file, folder=city_folder, start=start, seed=seed, **of_forecasts)
    today = replace(today, crews_source=crews_source(city, of_crews, crews))
    doubts = unseen_features(city, today.jobs, today.jobs.ids)
    level = of_forecasts.get("confidence_level", 0.9)
    versions = {AS_IT_IS: today, **{text: changed(today, change) for text, change in changes.items()}}
    plans = (
        _plan(text, version, agent_name, agent, of_play, level, seed, moment) for text, version in versions.items()
    )
    return tuple(replace(plan, warnings=doubts) for plan in plans)


def _refuse(agent_name: str) -> str:
    return (
        f"agent {agent_name!r} looks at true repair durations, which nobody has for today's jobs; "
        "choose one that does not, such as rolling-planner or a trained run folder"
    )


def _plan(
    name: str,
    today: Today,
    agent_name: str,
    agent: Entrant,
    settings: Mapping[str, Any],
    level: float,
    seed: int,
    start: datetime | None,
) -> Plan:
    """The plan for one version of today."""
    play = TodaysPlay(today, **settings)
    policy = agent.make(play.env)
    if getattr(policy, "privileged", False):
        raise ValueError(_refuse(agent_name))
    sent = play.carry_out(policy, agent_name)
    draws = Draws.of(len(today.jobs), N_DRAWS, seed)
    begin, back = (x[0] - play.now_h for x in begin_and_power_times(play.situation, play.plans(sent), draws))  # [S, J]
    back = np.maximum(back, 0.0)
    outage = back - today.jobs.arrival_h
    group = np.broadcast_to(today.city.group[today.jobs.region], back.shape)
    gap = running_gap(outage, np.ones(back.shape, dtype=bool), group, today.city.n_groups)
    return Plan(
        name=name,
        city=today.city.name,
        agent=agent_name,
        crews=_crew_plans(today, sent, begin, back, level),
        regions=_region_plans(today, back, level),
        curve=_curve(back, today.customers),
        mean_outage_h=float(outage.mean()),
        gap_h=float(gap.mean()),
        overtime_h=float(play.process.overtime_h.sum()),
        cost_limit_h=float(play.env.cost_limit),
        limit_source=_limit_source(today, settings),
        confidence_level=level,
        source=today.jobs.source,
        crews_source=today.crews_source,
        left_out=today.left_out,
        start=start,
    )


def _limit_source(today: Today, settings: Mapping[str, Any]) -> str:
    """Why the limit is what it is."""
    if settings.get("cost_limit") is not None:
        return "as cost_limit says"
    n = sum(not crew.assessor for crew in today.crews)
    return f"the city's {today.city.cost_limit_h:g} h / {n} crew{'s' if n != 1 else ''} that repair"


def _estimate(hours: Floats, level: float) -> Estimate:
    """Of simulated times `[S]`."""
    tail = (1.0 - level) / 2.0
    low, middle, high = np.quantile(hours, [tail, 0.5, 1.0 - tail])
    return Estimate(float(middle), float(low), float(high))


def _crew_plans(today: Today, sent: Sequence[Sent], begin: Floats, back: Floats, level: float) -> tuple[CrewPlan, ...]:
    city, jobs = today.city, today.jobs
    stops: list[list[Stop]] = [[] for _ in today.crews]
    for one in sent:
        region = int(jobs.region[one.job])
        planned = one.travel_h is not None and not one.looks
        stops[one.crew].append(
            Stop(
                order=len(stops[one.crew]) + 1,
                job=jobs.ids[one.job],
                region=city.region_ids[region],
                group=city.group_names[city.group[region]],
                work="look" if one.looks else "repair",
                travel_h=one.travel_h,
                start_h=float(np.median(begin[:, one.job])) if planned else one.begin_h,
                back=_estimate(back[:, one.job], level),
            )
        )
    return tuple(CrewPlan(crew.name, tuple(own)) for crew, own in zip(today.crews, stops, strict=True))


def _region_plans(today: Today, back: Floats, level: float) -> tuple[RegionPlan, ...]:
    """Regions in the order in which they are expected back."""
    city, jobs = today.city, today.jobs
    found = []
    for region in np.unique(jobs.region).tolist():
        own = jobs.region == region
        last = _estimate(back[:, own].max(axis=1), level)
        name, customers = city.group_names[city.group[region]], float(today.customers[own].sum())
        found.append(RegionPlan(city.region_ids[region], name, int(own.sum()), customers, last))
    return tuple(sorted(found, key=lambda region: region.back.ert_h))


def _curve(back: Floats, customers: Floats) -> tuple[CurvePoint, ...]:
    """When shares of the customers have power again: median and 90 % point over the simulations.

    Args:
        back: `[S, J]` simulated times.
        customers: `[J]`; where none of them has any, jobs count.
    """
    weight = customers if customers.sum() > 0 else np.ones(customers.size)
    order = np.argsort(back, axis=1, kind="stable")
    time = np.take_along_axis(back, order, axis=1)
    share = np.cumsum(weight[order], axis=1) / weight.sum()
    points = []
    for level in SHARES:
        reached = (share >= level - 1e-9).argmax(axis=1)
        median, late = np.quantile(time[np.arange(len(time)), reached], [0.5, 0.9])
        points.append(CurvePoint(level, float(median), float(late)))
    return tuple(points)
