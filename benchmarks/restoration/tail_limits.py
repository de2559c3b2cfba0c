"""What it costs to promise the limit on the gap in most storms, and not on average alone.

    python -m benchmarks.restoration.tail_limits --docs docs
    python -m benchmarks.restoration.tail_limits --agents equity-planner equity-replanner --shock 0.35 --episodes 400 \
        --docs docs --table tail-limits-shock

Every agent plays the same storms, of records that training never drew, under each kind of limit (`cost_limit_kind`):
on the mean gap, on its CVaR, and in a share of storms. Agents that keep no limit play once. Rows that are kept are not
played again.
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

from benchmarks.kit.cells import Cell, Cells
from benchmarks.kit.pages import Page
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import bracketed, markdown, number, show
from benchmarks.restoration.transfer import label, weights_of, without_folders
from stormgym.agents.domain import TAIL_SHARE
from stormgym.agents.evaluation.bootstrap import tail_estimate
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import OVER_LIMIT_TOLERANCE
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.statistics import Estimate, mean_estimate, paired_difference, wilson_interval
from stormgym.envs.data import resolve_city
from stormgym.envs.risk_measure import KINDS, MEAN, RiskMeasure

ENV_ID = "Restoration-v0"
BENCHMARK = "restoration/tail-limits"
TITLES = {"tail-limits": "Limits on the tail", "tail-limits-shock": "Limits on the tail, under a shock"}
"""Of the published tables; another's is its name."""
FREE = ("repairman", "tsp", "nearest", "shortest-repair", "request-volume", "random")
"""Agents that keep no limit, which do the same under every kind."""
HEADS = (
    "agent",
    "limit on",
    "mean outage h",
    "longer than under the mean h",
    "mean gap h",
    f"CVaR {TAIL_SHARE:g} of the gap h",
    "storms over the limit",
    "held",
)


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """What a limit on the tail of the gap costs."""

    agents: tuple[str, ...] = ("repairman", "equity-planner", "priced-planner", "sta-sac:default@32")
    """Names as of evaluate.py. A trained agent plays as it was trained, but for looking ahead (@K), which reads the
    kind of limit."""
    kinds: tuple[str, ...] = KINDS
    """What the limit bounds; the first is what others are compared with."""
    level: float = 0.9
    """Of the CVaR, and share of storms that shall be within the limit."""
    limit: float = 8.0
    """Hours."""
    city: str = "default"
    """Name or folder."""
    shock: float = 0.0
    """Strength (log standard deviation) of a shock that each group shares; 0 is none."""
    episodes: int = 500
    """Storms."""
    seed: int = 2026
    """Decides the storms."""
    table: str = "tail-limits"
    """Name of the table: its page is results/tables/restoration-NAME.md of the docs."""

    HOW: ClassVar[tuple[str, ...]] = ("table",)


@dataclass(frozen=True, kw_only=True)
class Row(Cell):
    """One agent under one kind of limit on the storms of one city."""

    agent: str
    """Without folders of this machine: a run is RUN."""
    name: str
    """As the table shows it."""
    weights: str
    """Hash of a trained agent's weights; nothing for others."""
    kind: str
    """What the limit bounds; nothing for an agent that keeps none."""
    level: float | None
    limit_h: float
    city: str
    """Its fingerprint."""
    shock: float
    episodes: int
    seed: int

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{self.name}-{self.kind or 'free'}-{self.shock:g}"


def rows_of(settings: Settings) -> list[Row]:
    """All rows of the table, in its order.

    Raises:
        KeyError, ValueError: an unknown agent, kind or city, or a level out of range.
    """
    measures = [RiskMeasure.of(kind, None if kind == MEAN.kind else settings.level) for kind in settings.kinds]
    city = resolve_city(settings.city).fingerprint()
    where: dict[str, Any] = {
        "limit_h": settings.limit,
        "city": city,
        "shock": settings.shock,
        "episodes": settings.episodes,
        "seed": settings.seed,
    }
    rows = []
    for item in settings.agents:
        (name,) = resolve_agents([item], ENV_ID)
        who = {"agent": without_folders(item), "name": name, "weights": weights_of(item)}
        limited = [("", None)] if name in FREE else [(measure.kind, measure.level) for measure in measures]
        rows += [Row(kind=kind, level=level, **who, **where) for kind, level in limited]
    return rows


def play(row: Row, settings: Settings) -> dict[str, Any]:
    """Outage and gap of every storm."""
    item = next(item for item in settings.agents if without_folders(item) == row.agent)
    env: dict[str, Any] = {"city": settings.city, "split": "test", "cost_limit": row.limit_h}
    if row.kind:
        env |= {"cost_limit_kind": row.kind, "cost_limit_level": row.level}
    if row.shock:
        env |= {"shock": "group", "shock_log_sd": row.shock}
    agents = resolve_agents([item], ENV_ID)
    found = evaluate(ENV_ID, agents, episodes=row.episodes, seed=row.seed, env_kwargs=env, latency_episodes=1)
    metrics = found.agents[row.name].metrics
    return {key: np.round(metrics[name], 4) for key, name in (("outage_h", "mean_outage_h"), ("gap_h", "gap_h"))}


def lines_of(cells: Cells, keys: Sequence[str]) -> list[tuple[str, ...]]:
    """The table's cells of what is kept; differences are to the agent's own first row."""
    lines: list[tuple[str, ...]] = []
    first: dict[str, dict[str, Any]] = {}
    for kept in map(cells.need, keys):
        row, found = kept.cell, kept.result
        base = first.setdefault(row["name"], found)
        outage, gap = np.array(found["outage_h"]), np.array(found["gap_h"])
        costs = "" if base is found else number(paired_difference(outage, base["outage_h"]), "+", 2)
        over = int((gap > row["limit_h"] + OVER_LIMIT_TOLERANCE).sum())
        measure = RiskMeasure.of(row["kind"] or MEAN.kind, row["level"])
        lines.append(
            (
                row["name"],
                _what(measure) if row["kind"] else "",
                number(mean_estimate(outage), decimals=2),
                costs,
                number(mean_estimate(gap), decimals=2),
                bracketed(tail_estimate(gap, TAIL_SHARE)),
                _percent(wilson_interval(over, gap.size)),
                "" if not row["kind"] else "yes" if measure.statistic(gap) <= row["limit_h"] else "no",
            )
        )
    return lines


def _what(measure: RiskMeasure) -> str:
    """What the limit bounds, in a word or two."""
    if measure.kind == "chance":
        return f"{100 * (measure.level or 0):g} % of storms"
    return measure.name


def _percent(share: Estimate) -> str:
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def command(settings: Settings) -> str:
    """The command that makes this table: what differs from the defaults, a run as RUN."""
    return command_of("restoration.tail_limits", settings, Settings(), shown=_shown)


def _shown(option: str, value: Any) -> str:
    """An option's value without folders of this machine: a run is RUN, a city its last name."""
    return {"agents": without_folders, "city": label}.get(option, str)(value)


def write_page(cells: Cells, docs: Path, table: str) -> None:
    """Write the page of a table that is kept."""
    page = cells.need(table).result
    shock = f" under a shock of {page['shock']:g} that each group shares" if page["shock"] else ""
    text = (
        f"Made by `{page['command']}`: {page['episodes']:,} held-out storms of seed {page['seed']} in city "
        f"`{page['city']}`{shock}, a limit of {page['limit']:g} h; ± and brackets are 95 % intervals over storms, "
        "differences paired on them."
    )
    body = f"{text}\n\n{markdown(HEADS, lines_of(cells, page['keys']))}"
    Page(f"restoration-{table}", TITLES.get(table, table), "restoration").write(docs, body)


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the pages of all tables that are kept."""
    for key in cells.all_keys():
        if "command" in cells.need(key).result:
            write_page(cells, docs, key)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name or number)."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    torch.set_num_threads(1)
    cells = settings.kept(BENCHMARK)
    try:
        if settings.episodes < 2:
            raise ValueError(f"--episodes must be at least 2, for intervals; got {settings.episodes}")
        rows = rows_of(settings)
        for row in track(rows, "playing", console=Console(stderr=True, emoji=False), transient=True):
            if cells.find(row.key) is None:
                cells.keep(row.key, asdict(row), play(row, settings))
    except (KeyError, ValueError, TypeError, OSError) as error:
        print(f"restoration.tail_limits: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    keys = [row.key for row in rows]
    cells.collect(keys)
    show(HEADS, lines_of(cells, keys))
    if settings.docs is not None:
        told = {name: getattr(settings, name) for name in ("limit", "shock", "episodes", "seed")}
        page = {"command": command(settings), **told, "city": label(settings.city), "keys": keys}
        cells.keep_page(page, settings.table)
        write_page(cells, settings.docs, settings.table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
