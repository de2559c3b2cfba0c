"""Estimated restoration times of planners: simulated as they are, widened, and calibrated as they are published.

    python -m benchmarks.crews.ert --docs docs

ERTs are calibrated on past storms and scored on others: of the same records (split `all`), and of records that the past
storms were not drawn from (`test`). Storms are kept batch by batch as they are played, scores as they are found.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress

from benchmarks.crews.played import ENV_ID, played
from benchmarks.kit.cells import Cell, Cells
from benchmarks.kit.pages import Page
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import markdown, show
from stormgym.agents.crews.ert.calibration import Calibration, Kind, as_simulated, widened
from stormgym.agents.crews.ert.looks import look
from stormgym.agents.crews.ert.past_storms import PastStorms, calibrate, past_seeds
from stormgym.agents.crews.ert.published import Published, published
from stormgym.agents.crews.ert.publishing import past_kwargs
from stormgym.agents.crews.ert.report import Outcomes, ert_report
from stormgym.agents.crews.ert.simulation import Draws
from stormgym.agents.crews.planners import Plans, StaticPlan
from stormgym.agents.crews.search.annealing import Schedule
from stormgym.envs.data import resolve_city
from stormgym.envs.making import episode_seeds, make_batch

BENCHMARK = "crews/ert"
PAGE = Page("crews-ert", "Estimated restoration times", "crews")
OURS = "as published"
METHODS: dict[str, Callable[[PastStorms, int], Calibration]] = {
    "simulated plan, as it is": lambda past, groups: as_simulated(groups),
    "one Q for all": lambda past, groups: widened(_by_kind(past, groups), groups, by_group=False),
    "Q per group": lambda past, groups: widened(_by_kind(past, groups), groups),
    OURS: calibrate,
}
"""How intervals are made of simulations: from past storms and the number of groups."""
SPEED = "speed"
LARGE = {"profile": "utility"}
"""The environment whose storms ERTs are timed on: 200 jobs."""


def _by_kind(past: PastStorms, groups: int) -> Any:
    """First ERTs and those when a crew is sent: the same, however they are calibrated."""
    found = past.replay(as_simulated(groups))[1]
    return {kind: found[kind] for kind in (Kind.FIRST, Kind.SENT)}


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Estimated restoration times of planners."""

    agents: tuple[str, ...] = ("rolling-planner", "static-plan")
    """Agents that keep plans; the first is shown by all methods, the others as published."""
    city: str = "default"
    """Name or folder."""
    past: int = 200
    """Storms that ERTs are calibrated on."""
    storms: int = 200
    """Storms that they are scored on."""
    splits: tuple[str, ...] = ("all", "test")
    """Records that the latter are drawn from; in those after the first only the first agent plays, and publishes."""
    seed: int = 0
    """Decides the latter."""


@dataclass(frozen=True, kw_only=True)
class Scored(Cell):
    """One agent's ERTs by one method."""

    agent: str
    method: str
    city: str
    """Its fingerprint."""
    past: int
    storms: int
    split: str
    seed: int

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{self.agent}-{self.method.replace(' ', '-').replace(',', '')}"


def cells_of(settings: Settings) -> list[Scored]:
    """What is scored: in the first split the first agent by all methods."""
    where = {
        "city": resolve_city(settings.city).fingerprint(),
        "past": settings.past,
        "storms": settings.storms,
        "seed": settings.seed,
    }
    found = []
    (first, *agents), (split, *splits) = settings.agents, settings.splits
    what = [(first, method, split) for method in METHODS]
    what += [(first, OURS, other) for other in splits] + [(agent, OURS, split) for agent in agents]
    for agent, method, records in what:
        found.append(Scored(agent=agent, method=method, split=records, **where))  # type: ignore[arg-type]
    return found


def score(settings: Settings, todo: Sequence[Scored], cells: Cells) -> None:
    """Play what is missing, calibrate, score and keep."""
    groups = resolve_city(settings.city).n_groups
    folder = settings.cells / BENCHMARK
    with Progress(console=Console(stderr=True, emoji=False), transient=True) as bar:
        for agent, split in dict.fromkeys((cell.agent, cell.split) for cell in todo):
            task = bar.add_task(f"{agent}, {split}", total=settings.past + settings.storms)

            def advance(n: int, task: Any = task) -> None:
                bar.advance(task, n)

            env = {"split": split, **({} if settings.city == "default" else {"city": settings.city})}
            past = played(agent, past_kwargs(env), past_seeds(settings.past), folder, advance)
            test = played(agent, env, episode_seeds(settings.seed, settings.storms), folder, advance)
            for cell in todo:
                if (cell.agent, cell.split) == (agent, split):
                    state = test.replay(METHODS[cell.method](past, groups))[0]
                    told = Outcomes(state, test.power_h, test.arrival_h, test.group, groups)
                    cells.keep(cell.key, asdict(cell), asdict(ert_report(told)))


def speed(repeats: int = 20) -> dict[str, float]:
    """Seconds in which the ERTs of all jobs of one storm of 200 are published, and the jobs that they are for."""
    env = make_batch(ENV_ID, 1, {**LARGE, "known_share": 1.0})
    observation, _ = env.reset(seed=0)
    policy = StaticPlan(env, first=Schedule(5))
    action, plans = policy.predict(observation)
    assert isinstance(plans, Plans)
    n_jobs = plans.crew.shape[1]
    draws, calibration = Draws.of(n_jobs), as_simulated(3)
    seconds = []
    for _ in range(repeats):
        begin = time.process_time()
        seen = look(policy.situation(observation), plans, action, draws)
        board, _ = published(Published.none(1, n_jobs), seen, calibration)
        seconds.append(time.process_time() - begin)
    told = int(np.isfinite(board.now_h[..., 0]).sum())
    return {"seconds": float(np.median(seconds)), "jobs": float(told), "draws": float(len(draws.uniform))}


KINDS = {"first": "First ERT of a job", "sent": "ERT when its crew is sent"}
HEADS = (
    "intervals",
    "covers",
    "low",
    "middle",
    "high",
    "later / earlier",
    "width h",
    "interval score h",
    "signed error h",
    "storms below 80 %",
)


def _row(name: str, part: dict[str, Any]) -> tuple[str, ...]:
    def share(estimate: dict[str, Any]) -> str:
        if estimate["value"] is None:  # no job of the group
            return ""
        return f"{100 * estimate['value']:.1f} [{100 * estimate['low']:.1f}, {100 * estimate['high']:.1f}]"

    return (
        name,
        *(share(estimate) for estimate in (part["coverage"], *part["coverage_by_group"])),
        f"{100 * part['late']:.1f} / {100 * part['early']:.1f}",
        f"{part['width_h']['value']:.1f}",
        f"{part['interval_score_h']['value']:.2f}",
        f"{part['error_h']['value']:+.2f}",
        f"{100 * part['low_storms']:.1f} %",
    )


def tables_of(cells: Cells, keys: Sequence[str]) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Captions, heads and lines."""
    kept = [cells.need(key) for key in keys]
    main, split = (kept[0].cell[name] for name in ("agent", "split"))
    own = [cell for cell in kept if (cell.cell["agent"], cell.cell["split"]) == (main, split)]
    ours = next(cell for cell in own if cell.cell["method"] == OURS).result
    heads = HEADS[:2] + _group_names(len(ours["first"]["coverage_by_group"])) + HEADS[5:]
    tables = []
    for kind, caption in KINDS.items():
        rows = [_row(cell.cell["method"], cell.result[kind]) for cell in own]
        tables.append((f"{caption}, {ours[kind]['ahead_h']:.1f} h ahead on average (`{main}`)", heads, rows))
    after = {float(age): part for age, part in ours["after"].items() if part["n_jobs"]}
    rows = [_row(f"{age:g} h after the report", part) for age, part in after.items()]
    tables.append((f"ERT in force, of jobs that are dark then (`{main}`, {OURS})", ("", *heads[1:]), rows))
    heads = ("agent", "records", *heads[1:], "absolute error h", "revisions a job")
    for kind, caption in KINDS.items():
        rows = []
        for cell in (cell for cell in kept if cell.cell["method"] == OURS):
            part, revisions = cell.result[kind], cell.result["revisions"]["value"]
            errors = (f"{part['absolute_error_h']['value']:.2f}", f"{revisions:.2f}")
            rows.append((f"`{cell.cell['agent']}`", cell.cell["split"], *_row("", part)[1:], *errors))
        tables.append((f"{caption}, by agent and records, {OURS}", heads, rows))
    return tables


def _group_names(n_groups: int) -> tuple[str, ...]:
    return HEADS[2:5] if n_groups == 3 else tuple(f"group {g}" for g in range(n_groups))


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    parts = [
        f"Made by `{page['command']}`: aimed at 90 %, calibrated on {page['past']} past storms and scored on "
        f"{page['storms']} others in city `{page['city']}`. Storms of records `all` have a past of the same records, "
        "those of `test` one of the training half. Brackets are 95 % bands of resampled storms. Signed error: power "
        "minus ERT, above 0 where power is later than told."
    ]
    parts += [f"## {caption}\n\n{markdown(heads, rows)}" for caption, heads, rows in tables_of(cells, page["keys"])]
    fast = cells.need(SPEED).result
    parts.append(
        f"## Speed\n\nThe ERTs of {fast['jobs']:.0f} jobs of one storm are published in {1e3 * fast['seconds']:.0f} ms "
        f"of one processor: the observation read, {fast['draws']:.0f} draws simulated, calibrated."
    )
    PAGE.write(docs, "\n\n".join(parts))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name or number)."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    cells = settings.kept(BENCHMARK)
    try:
        every = cells_of(settings)
        score(settings, [cell for cell in every if cells.find(cell.key) is None], cells)
        if cells.find(SPEED) is None:
            cells.keep(SPEED, LARGE, speed())
    except (KeyError, ValueError, TypeError, OSError) as error:
        print(f"crews.ert: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    keys = [cell.key for cell in every]
    cells.collect([*keys, SPEED])
    for caption, heads, rows in tables_of(cells, keys):
        Console().print(caption, style="bold")
        show(heads, rows)
    if settings.docs is not None:
        page = {"command": command_of("crews.ert", settings, Settings()), "keys": keys, "city": settings.city}
        cells.keep_page({**page, "past": settings.past, "storms": settings.storms})
        write_pages(cells, settings.docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
