"""What to bury: one agent's plan for a season of Undergrounding-v0, region by region, and the loss it leaves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from stormgym.agents.domain import PlanReport, PlanRequest
from stormgym.agents.episodes import play_episode
from stormgym.agents.files import csv_for_people, write_atomically
from stormgym.agents.policy import Entrant
from stormgym.agents.terminal import simple_table
from stormgym.agents.undergrounding.case import left_h
from stormgym.agents.undergrounding.planners import N_SAMPLES, sampled_storms
from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.data.assemble import default_group_names
from stormgym.envs.undergrounding.env import UndergroundingEnv
from stormgym.envs.undergrounding.forecasts import SeasonForecast
from stormgym.envs.undergrounding.regions import UndergroundingProfile, send_crews
from stormgym.envs.undergrounding.worst import worst_storms

MOST_ROWS = 40
"""Regions, at most, of the printed table; the CSV holds all."""


@dataclass(frozen=True)
class RegionPlan:
    """One region; hours are those of a mean customer."""

    region: str
    group: str
    customers: float
    protect_cost: float
    bury: bool
    mean_h: float
    """Forecast, if nothing is done."""
    lower_h: float
    upper_h: float
    worst_storm_h: float
    """In the worst storm of the set for this plan, if nothing is done."""
    crew: bool
    """Whether a crew goes there after it."""


@dataclass(frozen=True)
class Worth:
    """The loss that a plan leaves: hours without power of a mean customer of all regions, crews responding at best."""

    mean_h: float
    """Mean over sampled storms."""
    gap_h: float
    """Mean over these of the largest W1 distance between income groups."""
    worst_h: float
    """In the worst storm of the set."""


@dataclass(frozen=True)
class HardeningPlan:
    """Which regions to bury, and what that is worth beside burying nothing."""

    profile: str
    agent: str
    regions: tuple[RegionPlan, ...]
    """All regions, those to bury first, in order of forecast loss."""
    spent: float
    budget: float
    n_crews: int
    worth: Worth
    nothing: Worth
    cost_limit_h: float
    basis: str
    """Where the sampled storms come from, in words."""


def plan_season(name: str, entrant: Entrant, request: PlanRequest) -> PlanReport:
    """The plan of one agent for a season: what `evaluate.py --plan` prints.

    Raises:
        ValueError: an option without a use here, an argument that the environment does not take, or as
            `make_hardening_plan`.
    """
    useless = [name for name, value in (("jobs", request.jobs_file), ("start", request.start)) if value is not None]
    if useless:
        raise ValueError(f"--plan of {request.env_id} has no use for {', '.join(f'--{name}' for name in useless)}")
    plan = make_hardening_plan(name, entrant, env_kwargs=request.env_kwargs, seed=request.seed)
    return PlanReport(render_hardening_plan(plan), lambda file: write_hardening_csv(plan, file))


def make_hardening_plan(
    agent_name: str, agent: Entrant, *, env_kwargs: Mapping[str, Any], seed: int = 0
) -> HardeningPlan:
    """Let an agent plan the season of a seed.

    Args:
        agent_name: for the title.
        agent: the agent that plans.
        env_kwargs: arguments of the environment.
        seed: of the season, whose forecast the agent observes; seasons of a folder share one forecast.

    Raises:
        ValueError: a privileged agent, since nobody knows the storm before it comes.
    """
    env = UndergroundingEnv(**env_kwargs)
    policy = agent.make(env)
    if agent.privileged or getattr(policy, "privileged", False):
        raise ValueError(f"agent {agent_name!r} looks at the storm to come, which nobody can before it; take tri-level")
    profile = env.profile
    protected, spent = np.zeros(profile.n_counties, dtype=np.bool_), 0.0
    for step in play_episode(env, policy, seed=seed):
        new = (step.following["protected"] > 0) & ~protected
        protected |= new
        spent += float(profile.protect_cost[new].sum())
    announced = env.announced
    storms = sampled_storms(profile, announced.covariates[0])
    plans = np.stack([protected, np.zeros_like(protected)])
    left = left_h(plans, storms, profile.population, profile.n_crews)  # [2, S, K]
    mean, gap = profile.loss_h(left).mean(axis=1), profile.gap_h(left).mean(axis=1)
    known = announced.forecast
    sets = known.sets()
    worst = [worst_storms(plan[None], profile.population, sets, profile.n_crews) for plan in plans]  # [1, K] each
    at_worst = [
        float(profile.loss_h(left_h(plan[None], storm, profile.population, profile.n_crews))[0, 0])
        for plan, storm in zip(plans, worst, strict=True)
    ]
    worth, nothing = (Worth(float(mean[i]), float(gap[i]), at_worst[i]) for i in range(2))
    recorded = getattr(profile, "n_known", None)
    return HardeningPlan(
        profile=profile.name,
        agent=agent_name,
        regions=_region_plans(profile, known, protected, worst[0]),
        spent=spent,
        budget=profile.budget,
        n_crews=profile.n_crews,
        worth=worth,
        nothing=nothing,
        cost_limit_h=profile.cost_limit,
        basis=f"{N_SAMPLES} simulated storms of this weather"
        if recorded is None
        else f"the first {recorded} storms of the record (n_known)",
    )


def _region_plans(
    profile: UndergroundingProfile, forecast: SeasonForecast, protected: Bools, storm: Floats
) -> tuple[RegionPlan, ...]:
    """All regions, those to bury `[K]` first, with the crews that answer a storm `[1, K]` (h)."""
    crews = send_crews(profile.population * (storm * ~protected), profile.n_crews)
    order = np.lexsort((-profile.population * forecast.mean[0], ~protected))
    names = default_group_names(int(profile.group.max()) + 1)
    return tuple(
        RegionPlan(
            region=profile.label[k],
            group=names[int(profile.group[k])],
            customers=float(profile.population[k]),
            protect_cost=float(profile.protect_cost[k]),
            bury=bool(protected[k]),
            mean_h=float(forecast.mean[0, k]),
            lower_h=float(forecast.lower[0, k]),
            upper_h=float(forecast.upper[0, k]),
            worst_storm_h=float(storm[0, k]),
            crew=bool(crews[0, k] > 0),
        )
        for k in order.tolist()
    )


def render_hardening_plan(plan: HardeningPlan) -> RenderableType:
    """The plan as a table with what its numbers mean."""
    heads = ["group", "customers", "cost", "bury", "forecast h\n(set)", "worst\nstorm h", "crew"]
    table = simple_table(None, heads, first="region")
    for row in plan.regions[:MOST_ROWS]:
        table.add_row(
            row.region,
            row.group,
            f"{row.customers:,.0f}",
            f"{row.protect_cost:,.6g}",
            "yes" if row.bury else "",
            f"{row.mean_h:.1f} ({row.lower_h:.1f}-{row.upper_h:.1f})",
            f"{row.worst_storm_h:.1f}",
            "yes" if row.crew else "",
        )
    n = sum(row.bury for row in plan.regions)
    over = " (over the limit)" if plan.worth.gap_h > plan.cost_limit_h else ""
    notes = [
        f"Spent {plan.spent:,.6g} of {plan.budget:,.6g}. Hours without power of a mean customer, crews at their best:",
        f"  mean {plan.worth.mean_h:.2f} h ({plan.nothing.mean_h:.2f} if nothing is buried), over {plan.basis};",
        f"  worst storm of the set {plan.worth.worst_h:.2f} h ({plan.nothing.worst_h:.2f} if nothing is buried);",
        f"  mean gap between income groups {plan.worth.gap_h:.2f} h ({plan.nothing.gap_h:.2f}), limit "
        f"{plan.cost_limit_h:g} h{over}.",
        f"The worst storm is the worst for this very plan, and {plan.n_crews} crew{'s' if plan.n_crews != 1 else ''} "
        f"answer{'' if plan.n_crews != 1 else 's'} it.",
    ]
    if len(plan.regions) > MOST_ROWS:
        notes.insert(0, f"and {len(plan.regions) - MOST_ROWS} regions more (--csv FILE writes all)")
    title = f"Plan of {plan.agent} for {plan.profile}: {n} of {len(plan.regions)} regions to bury"
    return Group(Text(title, style="bold"), Text(""), table, Text(""), *(Text(note, style="dim") for note in notes))


def write_hardening_csv(plan: HardeningPlan, file: str | os.PathLike[str]) -> Path:
    """Write the plan, one row a region, those to bury first; yes and no are 1 and 0."""
    rows: list[list[Any]] = [[f.name for f in fields(RegionPlan)]]
    for row in plan.regions:
        rows.append(
            [int(v) if isinstance(v, bool) else f"{v:.4f}" if isinstance(v, float) else v for v in astuple(row)]
        )
    return write_atomically(file, csv_for_people(rows))
