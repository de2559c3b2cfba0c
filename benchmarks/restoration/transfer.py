"""How trained agents do at other limits and in cities that they never saw, beside the equity planner of each.

    python benchmarks/transfer.py --agents sta-sac:any-limit --limits 4 6 8 12 16 20 --docs docs/results.md \
        --block any_limit --figure docs/img/any_limit.png
    python benchmarks/transfer.py --agents sta-sac:generalist --cities synthetic:20:9001 synthetic:100:9001 FOLDER \
        --docs docs/results.md --block generalist
    python benchmarks/transfer.py --agents equity-replanner sta-sac:default@32 --shocks 0.35 0.7 \
        --docs docs/results.md --block shock

Nothing is trained: the agents play the held-out storms (records that training never drew) of every city at every limit,
and the equity planner of that city and limit plays the same ones. Scores already in `--results` are not played again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from pages import replace_block
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stormgym.agents.evaluation.bootstrap import relative_difference
from stormgym.agents.evaluation.figures import save_png
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.files import write_atomically
from stormgym.agents.lineup import resolve_agents, split_lookahead
from stormgym.agents.pretrained.cards import FOLDER
from stormgym.agents.runs import find_model
from stormgym.agents.statistics import Estimate, mean_estimate
from stormgym.agents.terminal import make_console, simple_table
from stormgym.envs.data import City, resolve_city

ENV_ID = "Restoration-v0"
PLANNER = "equity-planner"
_COLOURS = ("#c2571a", "#5a8f5c", "#7a5c99", "#b08a1e")
_PLANNER_COLOUR, _LIMIT_COLOUR = "#2b4c7e", "#b5493a"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Trained agents at other limits and in other cities."""

    agents: tuple[str, ...]
    """Pretrained agents (AGENT:NAME), run folders or planners, any as LABEL=ITEM; items of one label are seeds of one
    agent."""
    cities: tuple[str, ...] = ("default",)
    """Names ("default", "synthetic:N:SEED") or folders."""
    limits: tuple[float, ...] = ()
    """Limits on the mean gap (h); left out, each city's own."""
    shocks: tuple[float, ...] = ()
    """Strengths (log standard deviation) of a shock that each group shares; 0 is none, and so is leaving it out."""
    episodes: int = 500
    """Held-out storms of each city."""
    seed: int = 2026
    """Decides the storms."""
    results: Path = Path("benchmarks/results/transfer")
    """Where scores are kept, one small file each."""
    docs: Path | None = None
    """Markdown page whose block is replaced."""
    block: str = "transfer"
    """Name of that block."""
    figure: Path | None = None
    """PNG file of mean outage against mean gap, one panel a city."""


@dataclass(frozen=True)
class Played:
    """One agent on the storms of one city at one limit."""

    agent: str
    outage_h: NDArray[np.float64]
    """`[S, E]` mean outage of each storm, a row a seed of the agent."""
    gap_h: NDArray[np.float64]
    """`[S, E]`."""
    limit_h: float

    @property
    def outage(self) -> Estimate:
        """Mean outage with its interval over storms."""
        return mean_estimate(self.outage_h.mean(axis=0))

    @property
    def gap(self) -> Estimate:
        """Mean gap with its interval over storms."""
        return mean_estimate(self.gap_h.mean(axis=0))

    @property
    def label(self) -> str:
        """As tables show it, with the number of its seeds."""
        n = len(self.outage_h)
        return self.agent + (f" ({n} seeds)" if n > 1 else "")


@dataclass(frozen=True)
class Place:
    """A city at a limit, with the planner and the agents that played there."""

    name: str
    """As the command line has it; a folder by its last name."""
    city: City
    planner: Played
    agents: tuple[Played, ...]
    shock: float = 0.0
    """Strength of the shock that each group shares."""


def weights_of(item: str) -> str:
    """Hash of a trained agent's weights, those that would play; nothing for a policy that has none."""
    path, _ = split_lookahead(item.rpartition("=")[2])
    if Path(path).is_dir():
        file = find_model(path)
    elif ":" in path:
        file = FOLDER / f"{path.rpartition(':')[2]}.npz"
    else:
        return ""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def play(
    name: str, items: Sequence[str], city: City, limit: float | None, settings: Settings, shock: float = 0.0
) -> Played:
    """Play the seeds of one agent, or read what they played before, kept under a name made of all that decides it."""
    storms: dict[str, Any] = {"split": "test", **({} if limit is None else {"cost_limit": limit})}
    if shock:
        storms |= {"shock": "group", "shock_log_sd": shock}
    kept = [_play_one(item, city, storms, settings) for item in items]
    outage, gap = (np.array([seed[key] for seed in kept]) for key in ("outage_h", "gap_h"))
    return Played(name, outage, gap, kept[0]["limit_h"])


def _play_one(item: str, city: City, storms: dict[str, Any], settings: Settings) -> dict[str, Any]:
    key = json.dumps(
        [without_folders(item), weights_of(item), city.fingerprint(), storms, settings.episodes, settings.seed]
    )
    file = settings.results / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    if not file.is_file():
        evaluation = evaluate(
            ENV_ID,
            resolve_agents([item], ENV_ID),
            episodes=settings.episodes,
            seed=settings.seed,
            env_kwargs={"city": city, **storms},
        )
        (record,) = evaluation.agents.values()
        assert evaluation.cost_limit is not None
        facts = {
            "agent": without_folders(item),
            "city": city.name,
            "limit_h": evaluation.cost_limit,
            "outage_h": np.round(record.metrics["mean_outage_h"], 4).tolist(),
            "gap_h": np.round(record.metrics["gap_h"], 4).tolist(),
        }
        write_atomically(file, json.dumps(facts) + "\n")
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return kept


def without_folders(item: str) -> str:
    """An agent without the folders of this machine: a run is `LABEL=RUN`, with its `@K`."""
    name, equals, path = item.rpartition("=")
    plain, n_orders = split_lookahead(path)
    if not Path(plain).is_dir():
        return item
    return f"{name}{equals}RUN" + (f"@{n_orders}" if n_orders else "")


def label(place: str) -> str:
    """A city's name in tables: as given, a folder by its last name."""
    return Path(place).resolve().name if Path(place).is_dir() else place


def play_all(settings: Settings) -> list[Place]:
    """Every agent and the planner, in every city at every limit."""
    named: dict[str, list[str]] = {}
    for item in settings.agents:
        name = item.partition("=")[0] if "=" in item else item.rpartition(":")[2]
        if name in named and ("=" not in item or item in named[name]):
            raise ValueError(f"two agents are named {name!r}; seeds of one agent are different runs, each as LABEL=RUN")
        named.setdefault(name, []).append(item)
    cities = [(label(place), resolve_city(place)) for place in settings.cities]
    limits: Sequence[float | None] = settings.limits or (None,)
    shocks = settings.shocks or (0.0,)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    places = []
    with Progress(*columns, console=Console(stderr=True, emoji=False), transient=True) as progress:
        total = len(cities) * len(limits) * len(shocks) * (1 + len(named))
        task = progress.add_task("playing", total=total)

        def one(name: str, items: list[str], where: str, city: City, limit: float | None, shock: float) -> Played:
            progress.update(task, description=f"{name}, {where}")
            played = play(name, items, city, limit, settings, shock)
            progress.advance(task)
            return played

        for (where, city), limit, shock in product(cities, limits, shocks):
            planner = one(PLANNER, [PLANNER], where, city, limit, shock)
            agents = tuple(one(name, items, where, city, limit, shock) for name, items in named.items())
            places.append(Place(where, city, planner, agents, shock))
    return places


HEADS = ("city", "regions", "limit h", "agent", "mean outage h", "mean gap h", "limit held", "outage against planner")
SHOCK_HEAD = "shock"


def heads(places: Sequence[Place]) -> tuple[str, ...]:
    """The table's heads: with the shock's strength where there is one."""
    return (*HEADS[:3], SHOCK_HEAD, *HEADS[3:]) if any(place.shock for place in places) else HEADS


def rows(places: Sequence[Place]) -> list[tuple[str, ...]]:
    """The table's cells: a line for the planner and one for each agent of a place."""
    lines: list[tuple[str, ...]] = []
    for place in places:
        first: tuple[str, ...] = (place.name, str(place.city.n_regions), f"{place.planner.limit_h:g}")
        if SHOCK_HEAD in heads(places):
            first += (f"{place.shock:g}" if place.shock else "none",)
        for played in (place.planner, *place.agents):
            gap = played.gap
            held = "yes" if gap.value <= played.limit_h else f"no, +{100 * (gap.value / played.limit_h - 1):.0f} %"
            against = ""
            if played is not place.planner:
                against = _percent(relative_difference(played.outage_h, place.planner.outage_h))
            lines.append((*first, played.label, _hours(played.outage), _hours(gap), held, against))
            first = ("",) * len(first)
    return lines


def _hours(e: Estimate) -> str:
    return f"{e.value:.2f} [{e.low:.2f}, {e.high:.2f}]"


def _percent(e: Estimate) -> str:
    return f"{100 * e.value:+.1f} % [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"


def command(settings: Settings) -> str:
    """The command that makes this table, with folders by their last name."""
    words = ["python benchmarks/transfer.py --agents", *map(without_folders, settings.agents)]
    words += ["--cities", *map(label, settings.cities)]
    if settings.limits:
        words += ["--limits", *(f"{limit:g}" for limit in settings.limits)]
    if settings.shocks:
        words += ["--shocks", *(f"{shock:g}" for shock in settings.shocks)]
    default = Settings(agents=())
    for name in ("episodes", "seed"):
        if getattr(settings, name) != getattr(default, name):
            words += [f"--{name}", str(getattr(settings, name))]
    return " ".join(words)


def markdown(settings: Settings, places: Sequence[Place]) -> str:
    """The table as Markdown, with the command that makes it."""
    head = [
        f"Made by `{command(settings)}`: {settings.episodes:,} held-out storms a city (seed {settings.seed}); brackets "
        "are 95 % intervals over storms, differences paired on them.",
        "",
    ]
    picture = []
    if settings.figure is not None and settings.docs is not None:
        relative = Path(os.path.relpath(settings.figure, settings.docs.parent)).as_posix()
        picture = [f"![Mean outage against mean gap at several limits]({relative})", ""]
    head_cells = heads(places)
    lines = ["| " + " | ".join(head_cells) + " |", "| " + " | ".join(["---"] * len(head_cells)) + " |"]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows(places)]
    return "\n".join(head + picture + lines)


def draw(places: Sequence[Place], file: Path) -> None:
    """Mean outage against mean gap: a line through the limits for the planner and each agent, one panel a city."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(place.name for place in places))
    figure = Figure(figsize=(7.6, 4.4 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), 1, squeeze=False).ravel()
    for ax, name in zip(axes, names, strict=True):
        here = [place for place in places if place.name == name]
        for k, label in enumerate([PLANNER, *(played.agent for played in here[0].agents)]):
            played = [(place.planner, *place.agents)[k] for place in here]
            x = [p.gap_h.mean() for p in played]
            y = [p.outage_h.mean() for p in played]
            colour = _PLANNER_COLOUR if k == 0 else _COLOURS[(k - 1) % len(_COLOURS)]
            ax.plot(x, y, "-" if k == 0 else "--", marker="D" if k == 0 else "o", color=colour, label=label, ms=5)
            for p, gap, outage in zip(played, x, y, strict=True):
                above = k > 0
                ax.annotate(
                    f"{p.limit_h:g}",
                    (gap, outage),
                    (0, 6 if above else -13),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=_LIMIT_COLOUR if gap > p.limit_h else colour,
                )
        ax.margins(0.08, 0.12)
        ax.set_title(f"city {name}; numbers are limits (h), red where the gap exceeds it", loc="right", fontsize=9)
        ax.set_xlabel("mean gap: largest W1 between groups (h)")
        ax.set_ylabel("mean outage (h)")
        ax.grid(alpha=0.25, linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_png(figure, file, dpi=160)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name or number)."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    torch.set_num_threads(1)
    try:
        if settings.episodes < 2:
            raise ValueError(f"--episodes must be at least 2, for intervals; got {settings.episodes}")
        if any(not 0 < limit < np.inf for limit in settings.limits):
            raise ValueError(f"--limits must be positive numbers of hours; got {settings.limits}")
        if any(not 0 <= shock <= 2 for shock in settings.shocks):
            raise ValueError(f"--shocks must be in [0, 2]; got {settings.shocks}")
        for item in settings.agents:  # before hours of play, not after
            resolve_agents([item], ENV_ID)
        places = play_all(settings)
    except (KeyError, ValueError, OSError) as error:
        print(f"transfer.py: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    first, *others = heads(places)
    grid: Any = simple_table(None, others, first=first)
    for cells in rows(places):
        grid.add_row(*cells)
    make_console().print(grid)
    if settings.figure is not None:
        draw(places, settings.figure)
        print(f"figure: {settings.figure}")
    if settings.docs is not None:
        replace_block(settings.docs, settings.block, markdown(settings, places))
        print(f"table: {settings.docs}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
