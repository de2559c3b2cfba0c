"""Agents of crew dispatch on the same storms: rules, planners, bounds and trained agents, in several settings.

    python -m benchmarks.crews.table --docs docs
    python -m benchmarks.crews.table --settings "one assessor" --runs RUN --table crews-information --docs docs

Runs (`--runs`) are folders of trained agents; those of one agent in one setting are its seeds. A setting is a name of
`SETTINGS`; a run is played in the setting that it was trained in. Storms are of records that training never drew. What
is kept is not played again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import track

from benchmarks.kit.cells import PAGE as KEY
from benchmarks.kit.cells import Cell, Cells
from benchmarks.kit.pages import Page
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import markdown, number, show
from benchmarks.restoration.transfer import weights_of, without_folders
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.policy import Entrant
from stormgym.agents.runs import open_run
from stormgym.agents.statistics import mean_estimate, paired_difference
from stormgym.envs.data import resolve_city

ENV_ID = "CrewDispatch-v0"
BENCHMARK = "crews/table"
TABLE = "crews"
TITLES = {
    TABLE: "Agents of crew dispatch",
    "crews-information": "Agents of crew dispatch where one assessor tells what jobs take",
    "crews-shock": "Agents of crew dispatch under a shock that groups share",
    "crews-one": "Crew dispatch with one crew that knows all, as restoration",
    "crews-foresight": "What foresight would give in crew dispatch",
}
"""Of the published tables; another's is its name."""
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "one assessor": {"assessed_share": 0.0, "n_assessors": 1},
    "shock by group": {"shock": "group"},
    "one crew": {
        "n_crews": 1,
        "n_depots": 1,
        "known_share": 1.0,
        "n_skills": 1,
        "feeder": "none",
        "off_h": 0.0,
    },
}
"""Arguments of the environment beside the city and the half of the records."""
UNCORRECTED = "rolling-fair, uncorrected"
BEST = "rolling-fair"
METRICS = ("mean_outage_h", "gap_h", "saidi_h", "overtime_h")
HEADS = (
    "agent",
    "mean outage h",
    "against rolling-fair",
    "mean gap h",
    "over the limit",
    "SAIDI h",
    "overtime crew-h",
    "ms a decision alone",
    "in a batch",
)
AGENTS = (
    "random",
    "request-volume",
    "nearest",
    "shortest-repair",
    "smith",
    "list-rho",
    "static-plan",
    "rolling-planner",
    "rolling-fair",
    "rolling-priced",
    "clairvoyant",
    "clairvoyant-fair",
)


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Agents of crew dispatch on the same storms."""

    agents: tuple[str, ...] = AGENTS
    """Agents that need no training."""
    runs: tuple[Path, ...] = ()
    """Run folders of trained agents."""
    looks: tuple[int, ...] = (8,)
    """Rounds of search with which they also look ahead."""
    settings: tuple[str, ...] = tuple(SETTINGS)
    """Settings to play."""
    episodes: int = 200
    """Storms."""
    seed: int = 2026
    """Decides the storms."""
    city: str = "default"
    """Name or folder."""
    table: str = TABLE
    """Name of the table: its page is results/tables/NAME.md of the docs."""

    HOW: ClassVar[tuple[str, ...]] = ("table",)


@dataclass(frozen=True, kw_only=True)
class Played(Cell):
    """One agent on the storms of one setting."""

    agent: str
    weights: str
    """Hash of a run's weights; nothing for others."""
    setting: str
    arguments: dict[str, Any]
    city: str
    """Its fingerprint."""
    episodes: int
    seed: int

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{self.setting.replace(' ', '-')}-{self.agent.replace(' ', '-').replace(',', '')}"


def setting_of(run: Path) -> str | None:
    """The setting that a run was trained in; None for one that is not in the table."""
    trained = dict(open_run(run).settings.env_kwargs)
    for name in ("split", "city", "predictor"):
        trained.pop(name, None)
    return next((name for name, arguments in SETTINGS.items() if arguments == trained), None)


def cells_of(settings: Settings) -> list[tuple[Played, str]]:
    """What is to be played, each with the item that names it."""
    where = {
        "city": resolve_city(settings.city).fingerprint(),
        "episodes": settings.episodes,
        "seed": settings.seed,
    }
    unknown = [name for name in settings.settings if name not in SETTINGS]
    if unknown:
        raise ValueError(f"unknown setting {unknown[0]!r}; there are {', '.join(SETTINGS)}")
    found: list[tuple[Played, str]] = []
    for setting in settings.settings:
        extra = {"setting": setting, "arguments": SETTINGS[setting], **where}
        names = [*settings.agents, *([UNCORRECTED] if setting.startswith("shock") else [])]
        found += [(Played(agent=name, weights="", **extra), name) for name in names]  # type: ignore[arg-type]
        for run in settings.runs:
            if setting_of(run) == setting:
                agent, weights = open_run(run).settings.agent, weights_of(str(run))
                for looks in (0, *settings.looks):
                    name, item = (f"{agent}@{looks}", f"{run}@{looks}") if looks else (agent, str(run))
                    found.append((Played(agent=name, weights=weights, **extra), item))  # type: ignore[arg-type]
    return found


def play(cell: Played, item: str, settings: Settings) -> dict[str, Any]:
    """Metrics of every storm, and the time of a decision."""
    entrants = {item: Entrant(_uncorrected)} if item == UNCORRECTED else resolve_agents([item], ENV_ID)
    (name,) = entrants
    kwargs = {"city": settings.city, "split": "test", **cell.arguments}
    found = evaluate(ENV_ID, entrants, episodes=cell.episodes, seed=cell.seed, env_kwargs=kwargs, latency_episodes=3)
    record = found.agents[name]
    hours = {key: np.round(record.metrics[key], 4) for key in METRICS}
    return {**hours, "alone_ms": record.latency.mean_ms, "batched_ms": record.latency.batched_ms}


def _uncorrected(env: Any) -> Any:
    from stormgym.agents.crews.planners import RollingFair

    return RollingFair(env, correct=False)


def limit_of(arguments: dict[str, Any]) -> float:
    """Limit of the gap (h) in a setting: the city's, 8 h, over the number of crews that repair, four by default."""
    return 8.0 / int(arguments.get("n_crews", 4))


def rows_of(cells: Cells, keys: Sequence[str]) -> list[tuple[str, ...]]:
    """The lines of one setting: seeds of one agent are one line."""
    kept = [cells.need(key) for key in keys]
    by_agent: dict[str, list[dict[str, Any]]] = {}
    for cell in kept:
        by_agent.setdefault(cell.cell["agent"], []).append(cell.result)
    limit_h = limit_of(kept[0].cell["arguments"]) if kept else 0.0
    best = by_agent[BEST][0]["mean_outage_h"] if BEST in by_agent else None
    lines = []
    for agent, results in by_agent.items():
        outage = np.mean([r["mean_outage_h"] for r in results], axis=0)
        gap = np.mean([r["gap_h"] for r in results], axis=0)
        against = ""
        if best is not None and agent != BEST:
            difference = paired_difference(outage, best)
            against = f"{number(difference, '+', 2)} ({100 * difference.value / np.mean(best):+.1f} %)"
        gaps = [float(np.mean(r["gap_h"])) for r in results]
        over = f"{100 * np.mean(np.concatenate([r['gap_h'] for r in results]) > limit_h):.0f} %"
        name = f"`{agent}`" + (
            f" ({len(results)} seeds; gaps {min(gaps):.2f} to {max(gaps):.2f})" if len(results) > 1 else ""
        )
        means = [
            f"{np.mean([np.mean(r[key]) for r in results]):.{d}f}" for key, d in (("saidi_h", 2), ("overtime_h", 1))
        ]
        times = [f"{np.mean([r[key] for r in results]):.1f}" for key in ("alone_ms", "batched_ms")]
        lines.append(
            (
                name,
                number(mean_estimate(outage), decimals=2),
                against,
                number(mean_estimate(gap), decimals=2),
                over,
                *means,
                *times,
            )
        )
    return lines


def command(settings: Settings) -> str:
    """The command that makes the table: what differs from the defaults."""
    return command_of(
        "crews.table",
        settings,
        Settings(),
        shown=lambda option, v: without_folders(str(v)) if option == "runs" else str(v),
    )


def page_key(table: str) -> str:
    """What the cells keep a table's page under."""
    return KEY if table == TABLE else f"{KEY}-{table}"


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the pages of all tables that are kept."""
    for key in cells.all_keys():
        if key == KEY or key.startswith(f"{KEY}-"):
            write_page(cells, docs, key.removeprefix(KEY).removeprefix("-") or TABLE)


def write_page(cells: Cells, docs: Path, table: str) -> None:
    """Write the page of a table that is kept, as it was last asked for."""
    page = cells.need(page_key(table)).result
    parts = [
        f"Made by `{page['command']}`: {page['episodes']:,} storms of seed {page['seed']}, of records that no training "
        "drew, the same for all; ± are 95 % intervals over storms, differences paired."
    ]
    for setting, keys in page["keys"].items():
        told = ", ".join(f"{name}={value!r}" for name, value in SETTINGS[setting].items()) or "all defaults"
        told = f"`{told}`; limit of the gap {limit_of(SETTINGS[setting]):g} h"
        parts.append(f"## {setting.capitalize()}\n\n{told}\n\n{markdown(HEADS, rows_of(cells, keys))}")
    Page(table, TITLES.get(table, table), "crews").write(docs, "\n\n".join(parts))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name or number)."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    torch.set_num_threads(1)
    cells = settings.kept(BENCHMARK)
    try:
        if settings.episodes < 2:
            raise ValueError(f"--episodes must be at least 2, for intervals; got {settings.episodes}")
        todo = cells_of(settings)
        err = Console(stderr=True, emoji=False)
        for cell, item in track(todo, "playing", console=err, transient=True):
            if cells.find(cell.key) is None:
                cells.keep(cell.key, asdict(cell), play(cell, item, settings))
    except (KeyError, ValueError, OSError) as error:
        print(f"crews.table: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    keys = {setting: [cell.key for cell, _ in todo if cell.setting == setting] for setting in settings.settings}
    cells.collect([cell.key for cell, _ in todo])
    for setting, own in keys.items():
        Console().print(setting, style="bold")
        show(HEADS, rows_of(cells, own))
    if settings.docs is not None:
        page = {"command": command(settings), "episodes": settings.episodes, "seed": settings.seed, "keys": keys}
        cells.keep_page(page, page_key(settings.table))
        write_page(cells, settings.docs, settings.table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
