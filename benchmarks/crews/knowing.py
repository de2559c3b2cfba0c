"""What is known of jobs that nobody has looked at, who waits for it, and what a crew that only looks is worth.

    python -m benchmarks.crews.knowing --docs docs

Forecasts of such jobs come from the log of all, of the job's region or of its group. By group they tell the poor apart,
whose jobs take longer on average, and send crews there last.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from benchmarks.kit.cells import Cell, Cells, Kept
from benchmarks.kit.pages import PICTURES, Page, save_picture
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import markdown, number, show
from stormgym.agents.crews.planners import CrewPlanner
from stormgym.agents.evaluation.figures import GROUP_COLOURS
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.policy import Entrant
from stormgym.agents.registry import agent_spec
from stormgym.agents.statistics import mean_estimate, paired_difference
from stormgym.envs.data import resolve_city

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENV_ID = "CrewDispatch-v0"
BENCHMARK = "crews/knowing"
PAGE = Page("crews-knowing", "What knowing is worth to crews", "crews")
PICTURE = "crews_knowing.png"
ALL_KNOWN = "all looked at"
WIDE = {"all": "log of all", "region": "log of the region", "group": "log of the group"}
NOTHING_KNOWN: dict[str, Any] = {"assessed_share": 0.0}
SETTINGS: dict[str, dict[str, Any]] = {
    ALL_KNOWN: {},
    **{name: {**NOTHING_KNOWN, "wide": wide} for wide, name in WIDE.items()},
    **{f"{name}, one assessor": {**NOTHING_KNOWN, "wide": wide, "n_assessors": 1} for wide, name in WIDE.items()},
}
"""Arguments of the environment."""
HEADS = ("jobs", "mean outage h", "against all looked at", "mean gap h", "low h", "middle h", "high h")


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """What knowing is worth to crews."""

    agents: tuple[str, ...] = ("list-rho", "rolling-planner")
    """Agents that need no training."""
    effort: float = 0.4
    """Of planners: their share of the usual moves."""
    episodes: int = 200
    """Storms, the same for all."""
    seed: int = 0
    """Decides them."""
    city: str = "default"
    """Name or folder."""


@dataclass(frozen=True, kw_only=True)
class Played(Cell):
    """One agent on the storms of one setting."""

    agent: str
    effort: float
    """Of a planner; 0 for a rule."""
    setting: str
    arguments: dict[str, Any]
    city: str
    """Its fingerprint."""
    episodes: int
    seed: int

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{self.agent}-{self.setting.replace(' ', '-').replace(',', '')}"


def cells_of(settings: Settings) -> list[Played]:
    """What is played."""
    where = {
        "city": resolve_city(settings.city).fingerprint(),
        "episodes": settings.episodes,
        "seed": settings.seed,
    }
    return [
        Played(
            agent=agent,
            effort=settings.effort if _plans(agent) else 0.0,
            setting=name,
            arguments=arguments,
            **where,  # type: ignore[arg-type]
        )
        for agent in settings.agents
        for name, arguments in SETTINGS.items()
    ]


def _plans(agent: str) -> bool:
    return issubclass(agent_spec(agent).load(), CrewPlanner)


def _entrant(agent: str, effort: float) -> Entrant:
    if not _plans(agent):
        return resolve_agents([agent], ENV_ID)[agent]
    kind = agent_spec(agent).load()
    return Entrant(lambda env: kind.for_env(env, effort=effort))


def play(cell: Played, city: str) -> dict[str, Any]:
    """Outage, gap and means of groups of every storm."""
    kwargs = {"city": city, **cell.arguments}
    found = evaluate(
        ENV_ID,
        {cell.agent: _entrant(cell.agent, cell.effort)},
        episodes=cell.episodes,
        seed=cell.seed,
        env_kwargs=kwargs,
        latency_episodes=1,
    )
    metrics = found.agents[cell.agent].metrics
    kept = [name for name in metrics if name in ("mean_outage_h", "gap_h") or name.startswith("group_mean_h_")]
    return {**{name: np.round(metrics[name], 4) for name in kept}, "group_names": list(found.group_names)}


def _groups(kept: Kept) -> list[str]:
    """Metrics of groups, in their order."""
    return [f"group_mean_h_{g}" for g in range(len(kept.result["group_names"]))]


def rows_of(cells: Cells, keys: Sequence[str]) -> list[tuple[str, ...]]:
    """The lines of one agent."""
    kept = [cells.need(key) for key in keys]
    known = next(part for part in kept if part.cell["setting"] == ALL_KNOWN).result
    lines = []
    for part in kept:
        outage = part.result["mean_outage_h"]
        against = "" if part.result is known else number(paired_difference(outage, known["mean_outage_h"]), "+", 2)
        hours = [number(mean_estimate(part.result[name]), decimals=2) for name in ("gap_h", *_groups(part))]
        lines.append((part.cell["setting"], number(mean_estimate(outage), decimals=2), against, *hours))
    return lines


def draw(cells: Cells, keys: dict[str, list[str]]) -> Figure:
    """Mean outage of each group by what is known, a panel an agent."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(keys), 3.6), layout="constrained")
    axes = figure.subplots(1, len(keys), squeeze=False, sharey=True, sharex=True)[0]
    for ax, (agent, own) in zip(axes, keys.items(), strict=True):
        kept = [cells.need(key) for key in own]
        for y, part in enumerate(kept):
            found = [mean_estimate(part.result[name]) for name in _groups(part)]
            values = [estimate.value for estimate in found]
            ax.plot([min(values), max(values)], [y, y], color="#bbbbbb", linewidth=2, zorder=1)
            for g, (name, estimate) in enumerate(zip(part.result["group_names"], found, strict=True)):
                ax.errorbar(
                    estimate.value,
                    y,
                    xerr=estimate.half_width,
                    fmt="o",
                    color=GROUP_COLOURS[g % len(GROUP_COLOURS)],
                    label=str(name) if y == 0 else None,
                )
        ax.set_yticks(range(len(kept)), [part.cell["setting"] for part in kept])
        ax.set_title(agent)
        ax.set_xlabel("mean hours without power")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    axes[-1].legend(title="income", frameon=False)
    return figure


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page and its picture, as they were last asked for."""
    page = cells.page()
    if page is None:
        return
    parts = [
        f"Made by `{page['command']}`: {page['episodes']} storms of seed {page['seed']} in city `{page['city']}`, the "
        "same for all; ± are 95 % intervals over storms, differences paired. Jobs that nobody has looked at are "
        "forecast by the mean and the 5 and 95 % quantiles of a log; an assessor goes to the nearest of them. Planners "
        f"make {100 * page['effort']:g} % of their usual moves.",
        f"![Mean outage of each group by what is known]({PICTURES}/{PICTURE})",
    ]
    parts += [f"## `{agent}`\n\n{markdown(HEADS, rows_of(cells, keys))}" for agent, keys in page["keys"].items()]
    PAGE.write(docs, "\n\n".join(parts))
    save_picture(draw(cells, page["keys"]), docs, PICTURE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name or number)."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    cells = settings.kept(BENCHMARK)
    try:
        if settings.episodes < 2:
            raise ValueError(f"--episodes must be at least 2, for intervals; got {settings.episodes}")
        todo = cells_of(settings)
        for cell in track(todo, "playing", console=Console(stderr=True, emoji=False), transient=True):
            if cells.find(cell.key) is None:
                cells.keep(cell.key, asdict(cell), play(cell, settings.city))
    except (KeyError, ValueError, OSError) as error:
        print(f"crews.knowing: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    keys = {agent: [cell.key for cell in todo if cell.agent == agent] for agent in settings.agents}
    cells.collect([cell.key for cell in todo])
    for agent, own in keys.items():
        Console().print(agent, style="bold")
        show(HEADS, rows_of(cells, own))
    if settings.docs is not None:
        page = {"command": command_of("crews.knowing", settings, Settings()), "keys": keys, "city": settings.city}
        cells.keep_page({**page, "episodes": settings.episodes, "seed": settings.seed, "effort": settings.effort})
        write_pages(cells, settings.docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
