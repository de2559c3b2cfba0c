"""What intervals are worth to a plan: coverage and width of each predictor, and what a planner does with them.

    python -m benchmarks.restoration.coverage_price --docs docs

One planner plans on scenarios of repair hours; what differs is where their spread comes from: the ends of a
predictor's interval (lognormals through mean and upper end), the quantiles of a forest, or nowhere (`point`). Mean
forecasts are the same, so that only the limit on the gap has a use for the spread. All play the same storms of records
that no training drew. An interval is *neutral* where hardly a storm is planned otherwise than on points, *free* where
the outage is not higher than on points, *costly* where it is; and it is worth something where it holds a limit that
points do not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from benchmarks.kit.cells import Cell, Cells
from benchmarks.kit.pages import Page
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import markdown, number, show
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.policy import Entrant
from stormgym.agents.restoration.planners import EquityPlanner
from stormgym.agents.restoration.situation import city_of
from stormgym.agents.statistics import paired_difference
from stormgym.envs.data import resolve_city
from stormgym.envs.restoration.layout import COLUMN
from stormgym.envs.risk_measure import RiskMeasure

ENV_ID = "Restoration-v0"
BENCHMARK = "restoration/coverage_price"
PAGE = Page("restoration-coverage-price", "What intervals are worth to a plan", "restoration")
FOREST, POINT = "forest quantiles", "point"
SOURCES = (POINT, "cp", "cqr", "ecqr", FOREST)
"""Where scenarios get their spread: a predictor's interval, the forest's quantiles, or nowhere."""
KINDS = ("mean", "cvar", "chance")
HEADS = (
    "limit on the gap",
    "spread from",
    "coverage %",
    "of the group worst off %",
    "width h",
    "planned otherwise %",
    "mean outage h",
    "against points h",
    "limited figure h",
    "held",
    "interval",
)
FEW = 0.02
"""Share of storms planned otherwise below which an interval is neutral."""


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """What intervals are worth to a plan."""

    cities: tuple[str, ...] = ("default", "synthetic:30:3", "synthetic:20:5")
    """Names."""
    kinds: tuple[str, ...] = KINDS
    """What of the gap over storms is limited: mean, cvar, chance."""
    sources: tuple[str, ...] = SOURCES
    """Where scenarios get their spread."""
    limit_share: float = 0.5
    """Limit, as a share of what the figure is for a plan without a limit: so that it binds everywhere."""
    episodes: int = 300
    """Storms."""
    seed: int = 2026
    """Decides the storms."""


@dataclass(frozen=True, kw_only=True)
class Plan(Cell):
    """The planner with one source of spread, on the storms of one city, under one limit."""

    FORMAT = 1
    city: str
    """Its name."""
    fingerprint: str
    kind: str
    source: str
    limit_share: float
    episodes: int
    seed: int

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{self.city}/{self.kind}-{self.source.replace(' ', '-')}"


def plans_of(settings: Settings) -> list[Plan]:
    """All cells, city by city.

    Raises:
        ValueError: an unknown kind or source, too few storms, or a share out of range.
    """
    for name, given, known in (("kinds", settings.kinds, KINDS), ("sources", settings.sources, SOURCES)):
        for one in given:
            if one not in known:
                raise ValueError(f"--{name} must be among {', '.join(known)}; got {one!r}")
    if settings.episodes < 2:
        raise ValueError(f"--episodes must be at least 2, for intervals; got {settings.episodes}")
    if not 0 < settings.limit_share <= 1:
        raise ValueError(f"--limit-share must be in (0, 1]; got {settings.limit_share}")
    sources = tuple(dict.fromkeys((POINT, *settings.sources)))
    return [
        Plan(
            city=city,
            fingerprint=resolve_city(city).fingerprint(),
            kind=kind,
            source=source,
            limit_share=settings.limit_share,
            episodes=settings.episodes,
            seed=settings.seed,
        )
        for city in settings.cities
        for kind in settings.kinds
        for source in sources
    ]


def predictor_of(source: str) -> str:
    """The environment's predictor behind a source of spread."""
    return "ecqr" if source == FOREST else source


def planner(env: Any, source: str, measure: RiskMeasure) -> EquityPlanner:
    """The equity planner whose scenarios have the spread of a source, with no margin to hide behind."""
    kind = {"cost_limit_kind": measure.kind, "cost_limit_level": measure.level, "margin": 0.0}
    # without an environment its scenarios are lognormals through the ends of the interval that it observes
    return EquityPlanner(city_of(env), env=env if source == FOREST else None, **kind)


def covered(city: str, source: str, episodes: int, seed: int) -> dict[str, float]:
    """Coverage, that of the group with the least, and mean width (h) over jobs of storms."""
    env: Any = gym.make_vec(
        f"stormgym:{ENV_ID}",
        episodes,
        vectorization_mode="vector_entry_point",
        city=city,
        split="test",
        predictor=predictor_of(source),
    )
    env.reset(seed=seed)
    process, group = env.process, env.city.group
    low, high = (process.regions[:, COLUMN[name]].astype(np.float64) for name in ("lower_h", "upper_h"))
    inside = (process.duration_h >= low - 1e-4) & (process.duration_h <= high + 1e-4)
    by_group = [float(inside[:, group == g].mean()) for g in range(env.city.n_groups)]
    env.close()
    return {"coverage": float(inside.mean()), "worst_group": min(by_group), "width_h": float((high - low).mean())}


def play(plan: Plan, limit: float) -> dict[str, Any]:
    """Outage and gap of every storm."""
    measure = RiskMeasure.of(plan.kind)
    make = partial(planner, source=plan.source, measure=measure)
    env = {"city": plan.city, "split": "test", "predictor": predictor_of(plan.source), "cost_limit": limit}
    found = evaluate(
        ENV_ID,
        {plan.source: Entrant(make)},
        episodes=plan.episodes,
        seed=plan.seed,
        env_kwargs=env,
        latency_episodes=1,
    )
    metrics = found.agents[plan.source].metrics
    hours = {"outage_h": metrics["mean_outage_h"], "gap_h": metrics["gap_h"]}
    return {**{key: np.round(values, 6) for key, values in hours.items()}, "limit_h": limit}


def limit_of(plan: Plan) -> float:
    """The limit (h) of a city and kind: a share of what the plan without a limit leaves, on other storms."""
    env = {"city": plan.city, "split": "train", "predictor": "point"}
    found = evaluate(ENV_ID, {"free": Entrant(_free)}, episodes=200, seed=plan.seed + 1, env_kwargs=env)
    gap = found.agents["free"].metrics["gap_h"]
    return round(plan.limit_share * float(RiskMeasure.of(plan.kind).statistic(gap)), 2)


def _free(env: Any) -> Any:
    from stormgym.agents.restoration.planners import RepairmanPolicy

    return RepairmanPolicy.for_env(env)


def rows_of(cells: Cells, keys: Sequence[str]) -> dict[str, list[tuple[str, ...]]]:
    """City -> the table's cells of what is kept."""
    kept = [cells.need(key) for key in keys]
    points = {(one.cell["city"], one.cell["kind"]): one.result for one in kept if one.cell["source"] == POINT}
    tables: dict[str, list[tuple[str, ...]]] = {}
    for one in kept:
        city, kind, source = (one.cell[name] for name in ("city", "kind", "source"))
        point, found, measure = points[city, kind], one.result, RiskMeasure.of(kind)
        limit, figure = found["limit_h"], float(measure.statistic(found["gap_h"]))
        difference = paired_difference(found["outage_h"], point["outage_h"])
        otherwise = float((np.abs(np.subtract(found["outage_h"], point["outage_h"])) > 1e-5).mean())
        tables.setdefault(city, []).append(
            (
                f"{measure.name} at most {limit:g} h",
                source,
                *(_share(found, key) for key in ("coverage", "worst_group")),
                f"{found['width_h']:.2f}" if source not in (POINT, FOREST) else "",
                "" if source == POINT else f"{100 * otherwise:.0f}",
                f"{np.mean(found['outage_h']):.2f}",
                "" if source == POINT else number(difference, "+", 2),
                f"{figure:.2f}",
                "yes" if figure <= limit else "no",
                "" if source == POINT else verdict(otherwise, difference.low),
            )
        )
    return tables


def verdict(otherwise: float, least_h: float) -> str:
    """What an interval is to a plan: neutral, free or costly.

    Args:
        otherwise: share of storms planned otherwise than on points.
        least_h: lower end of the interval of the outage's paired difference to points.
    """
    if otherwise < FEW:
        return "neutral"
    return "costly" if least_h > 0 else "free"


def _share(found: dict[str, Any], key: str) -> str:
    return "" if found.get(key) is None else f"{100 * found[key]:.1f}"


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page, as it was last asked for."""
    page = cells.page()
    if page is not None:
        storms = f"{page['episodes']:,} storms of seed {page['seed']} each"
        made = f"Made by `{page['command']}`: {storms}; ± are 95 % intervals over storms, differences are paired."
        tables = [f"## City `{city}`\n{markdown(HEADS, rows)}" for city, rows in rows_of(cells, page["keys"]).items()]
        PAGE.write(docs, "\n\n".join([made, *tables]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name or number)."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    cells = settings.kept(BENCHMARK)
    try:
        plans = plans_of(settings)
        err = Console(stderr=True, emoji=False)
        limits: dict[tuple[str, str], float] = {}
        for plan in track(plans, "planning", console=err, transient=True):
            if cells.find(plan.key) is not None:
                continue
            place = plan.city, plan.kind
            if place not in limits:
                limits[place] = limit_of(plan)
            told: dict[str, Any] = {}
            if plan.source not in (POINT, FOREST):
                told = covered(plan.city, plan.source, plan.episodes, plan.seed)
            cells.keep(plan.key, asdict(plan), {**told, **play(plan, limits[place])})
    except (KeyError, ValueError, OSError) as error:
        print(f"restoration.coverage_price: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    keys = [plan.key for plan in plans]
    cells.collect(keys)
    for city, rows in rows_of(cells, keys).items():
        print(city)
        show(HEADS, rows)
    if settings.docs is not None:
        page = {"command": command_of("restoration.coverage_price", settings, Settings())}
        cells.keep_page({**page, "episodes": settings.episodes, "seed": settings.seed, "keys": keys})
        write_pages(cells, settings.docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
