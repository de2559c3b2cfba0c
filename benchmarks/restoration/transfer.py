"""How trained agents do at other limits and in cities that they never saw, beside the equity planner of each.

    python -m benchmarks.restoration.transfer --agents sta-sac:any-limit --limits 4 6 8 12 16 20 \
        --docs docs --table any-limit --figure
    python -m benchmarks.restoration.transfer --agents sta-sac:generalist --cities synthetic:20:9001 FOLDER \
        --docs docs --table any-city
    python -m benchmarks.restoration.transfer --agents equity-replanner sta-sac:default@32 --shocks 0.35 0.7 \
        --docs docs --table shock

Nothing is trained: the agents play the held-out storms (records that training never drew) of every city at every limit,
and the equity planner of that city and limit plays the same ones. Scores that are kept are not played again. With
`--docs` the table is kept under its name, with the cells that it is made of, so that its page can be made again without
the runs.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from benchmarks.kit.cells import Cells, digest
from benchmarks.kit.measure import bar
from benchmarks.kit.pages import PICTURES, Page, save_picture
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import bracketed, markdown, percent, show
from stormgym.agents.evaluation.bootstrap import relative_difference
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents, split_lookahead
from stormgym.agents.pretrained.cards import load_card, weights_file
from stormgym.agents.runs import find_model
from stormgym.agents.statistics import Estimate, mean_estimate
from stormgym.envs.data import City, resolve_city

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENV_ID = "Restoration-v0"
PLANNER = "equity-planner"
BENCHMARK = "restoration/transfer"
TITLES = {
    "shock": "A shared shock",
    "search": "Looking ahead with a local search",
    "search-calibrated": "Looking ahead with a local search in a calibrated city",
    "any-limit": "One agent at any limit",
    "any-city": "One agent in any city",
    "any-city-log": "One agent on a real outage log",
}
"""Titles of the published tables; another's is its name."""
_COLOURS = ("#c2571a", "#5a8f5c", "#7a5c99", "#b08a1e")
_PLANNER_COLOUR, _LIMIT_COLOUR = "#2b4c7e", "#b5493a"


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Trained agents at other limits and in other cities."""

    agents: tuple[str, ...]
    """Pretrained agents (AGENT:NAME), run folders or planners, any as LABEL=ITEM; items of one label are seeds of one
    agent."""
    cities: tuple[str, ...] = ("default",)
    """Names ("default", "synthetic:N:SEED", "varied:N:SEED") or folders."""
    limits: tuple[float, ...] = ()
    """Limits on the mean gap (h); left out, each city's own."""
    shocks: tuple[float, ...] = ()
    """Strengths (log standard deviation) of a shock that each group shares; 0 is none, and so is leaving it out."""
    episodes: int = 500
    """Held-out storms of each city."""
    seed: int = 2026
    """Decides the storms."""
    table: str = "transfer"
    """Name of the table: its page is results/tables/restoration-NAME.md of the docs."""
    figure: bool = False
    """Also draw mean outage against mean gap, one panel a city: img/NAME.png of the docs."""

    HOW: ClassVar[tuple[str, ...]] = ("table", "figure")


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
    n_regions: int
    planner: Played
    agents: tuple[Played, ...]
    shock: float = 0.0
    """Strength of the shock that each group shares."""


@dataclass(frozen=True)
class Entry:
    """One agent of a place of a table, and the cells of its seeds."""

    agent: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A city at a limit under a shock, as a table is kept: who played there, the planner first."""

    city: str
    n_regions: int
    shock: float
    entries: tuple[Entry, ...]


def weights_of(item: str) -> str:
    """Hash of a trained agent's weights, those that would play; nothing for a policy that has none."""
    path, _ = split_lookahead(item.rpartition("=")[2])
    if Path(path).is_dir():
        file = find_model(path)
    elif ":" in path:
        file = weights_file(load_card(path))
    else:
        return ""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def key_of(item: str, where: str, city: City, storms: dict[str, Any], settings: Settings) -> str:
    """Name of a cell: city, agent, and a digest of all that decides its score, weights included."""
    content = [without_folders(item), weights_of(item), city.fingerprint(), storms, settings.episodes, settings.seed]
    agent = re.sub("[=:]", "-", _short(without_folders(item)))
    return f"{_slug(where)}/{agent}-{digest(json.dumps(content), 16)}"


def storms_of(limit: float | None, shock: float) -> dict[str, Any]:
    """Arguments of the environment, but for the city."""
    storms: dict[str, Any] = {"split": "test", **({} if limit is None else {"cost_limit": limit})}
    return {**storms, "shock": "group", "shock_log_sd": shock} if shock else storms


def play(cells: Cells, item: str, where: str, city: City, storms: dict[str, Any], settings: Settings) -> str:
    """Play one seed of an agent where its score is not kept yet; return the key of its cell."""
    key = key_of(item, where, city, storms, settings)
    if cells.find(key) is None:
        evaluation = evaluate(
            ENV_ID,
            resolve_agents([item], ENV_ID),
            episodes=settings.episodes,
            seed=settings.seed,
            env_kwargs={"city": city, **storms},
        )
        (record,) = evaluation.agents.values()
        assert evaluation.cost_limit is not None
        cell = {
            "agent": without_folders(item),
            "weights": weights_of(item),
            "city": {"name": where, "fingerprint": city.fingerprint()},
            "storms": storms,
            "episodes": settings.episodes,
            "seed": settings.seed,
        }
        result = {
            "limit_h": evaluation.cost_limit,
            "outage_h": np.round(record.metrics["mean_outage_h"], 4),
            "gap_h": np.round(record.metrics["gap_h"], 4),
        }
        cells.keep(key, cell, result)
    return key


def without_folders(item: str) -> str:
    """An agent without the folders of this machine: a run is `LABEL=RUN`, with its `@K`."""
    name, equals, path = item.rpartition("=")
    plain, look = split_lookahead(path)
    if not Path(plain).is_dir():
        return item
    return f"{name}{equals}RUN{look.text}"


def label(place: str) -> str:
    """A city's name in tables: as given, a folder by its last name."""
    return Path(place).resolve().name if Path(place).is_dir() else place


def _slug(place: str) -> str:
    return place.replace(":", "-")


def _short(item: str) -> str:
    """An agent without its learner's name, with how it looks ahead; one with a label as it is."""
    if "=" in item:
        return item
    plain, look = split_lookahead(item)
    return f"{plain.rpartition(':')[2]}{look.text}"


def named_agents(settings: Settings) -> dict[str, list[str]]:
    """Agents by the name that the table shows, each with its seeds.

    Raises:
        ValueError: two different agents have one name.
    """
    named: dict[str, list[str]] = {}
    for item in settings.agents:
        name = item.partition("=")[0] if "=" in item else _short(item)
        if name in named and ("=" not in item or item in named[name]):
            raise ValueError(f"two agents are named {name!r}; seeds of one agent are different runs, each as LABEL=RUN")
        named.setdefault(name, []).append(item)
    return named


def play_all(cells: Cells, settings: Settings) -> list[Part]:
    """Every agent and the planner, in every city at every limit."""
    named = named_agents(settings)
    cities = [(label(place), resolve_city(place)) for place in settings.cities]
    limits: Sequence[float | None] = settings.limits or (None,)
    shocks = settings.shocks or (0.0,)
    parts = []
    with bar(transient=True) as progress:
        task = progress.add_task("playing", total=len(cities) * len(limits) * len(shocks) * (1 + len(named)))
        for (where, city), limit, shock in product(cities, limits, shocks):
            storms, entries = storms_of(limit, shock), []
            for name, items in ((PLANNER, [PLANNER]), *named.items()):
                progress.update(task, description=f"{name}, {where}")
                keys = tuple(play(cells, item, where, city, storms, settings) for item in items)
                entries.append(Entry(name, keys))
                progress.advance(task)
            parts.append(Part(where, city.n_regions, shock, tuple(entries)))
    return parts


def places_of(cells: Cells, parts: Sequence[Part]) -> list[Place]:
    """What was played, read back."""
    return [
        Place(part.city, part.n_regions, *_split([_read(cells, entry) for entry in part.entries]), shock=part.shock)
        for part in parts
    ]


def _split(played: list[Played]) -> tuple[Played, tuple[Played, ...]]:
    return played[0], tuple(played[1:])


def _read(cells: Cells, entry: Entry) -> Played:
    found = [cells.need(key).result for key in entry.keys]
    outage, gap = (np.array([seed[key] for seed in found]) for key in ("outage_h", "gap_h"))
    return Played(entry.agent, outage, gap, found[0]["limit_h"])


HEADS = ("city", "regions", "limit h", "agent", "mean outage h", "mean gap h", "limit held", "outage against planner")
SHOCK_HEAD = "shock"


def heads(places: Sequence[Place]) -> tuple[str, ...]:
    """The table's heads: with the shock's strength where there is one."""
    return (*HEADS[:3], SHOCK_HEAD, *HEADS[3:]) if any(place.shock for place in places) else HEADS


def rows(places: Sequence[Place]) -> list[tuple[str, ...]]:
    """The table's cells: a line for the planner and one for each agent of a place."""
    lines: list[tuple[str, ...]] = []
    for place in places:
        first: tuple[str, ...] = (place.name, str(place.n_regions), f"{place.planner.limit_h:g}")
        if SHOCK_HEAD in heads(places):
            first += (f"{place.shock:g}" if place.shock else "none",)
        for played in (place.planner, *place.agents):
            gap = played.gap
            held = "yes" if gap.value <= played.limit_h else f"no, +{100 * (gap.value / played.limit_h - 1):.0f} %"
            against = ""
            if played is not place.planner:
                against = percent(relative_difference(played.outage_h, place.planner.outage_h))
            lines.append((*first, played.label, bracketed(played.outage), bracketed(gap), held, against))
            first = ("",) * len(first)
    return lines


def draw(places: Sequence[Place]) -> Figure:
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
    return figure


def command(settings: Settings) -> str:
    """The command that makes this table, with folders by their last name."""
    return command_of("restoration.transfer", settings, Settings(agents=()), shown=_shown, always=("cities",))


def _shown(option: str, value: Any) -> str:
    """An option's value without folders of this machine: a run is RUN, a city its last name."""
    if isinstance(value, float):
        return f"{value:g}"
    return {"agents": without_folders, "cities": label}.get(option, str)(value)


def picture_of(table: str) -> str:
    """Name of a table's picture."""
    return f"{table.replace('-', '_')}.png"


def page_of(settings: Settings, parts: Sequence[Part]) -> dict[str, Any]:
    """A table as it is kept: command, notes, and its places with the keys of their cells."""
    return {
        "command": command(settings),
        "episodes": settings.episodes,
        "seed": settings.seed,
        "figure": settings.figure,
        "parts": [asdict(part) for part in parts],
    }


def parts_of(page: dict[str, Any]) -> list[Part]:
    """The places of a table that is kept."""
    return [
        Part(**{**part, "entries": tuple(Entry(one["agent"], tuple(one["keys"])) for one in part["entries"])})
        for part in page["parts"]
    ]


def write_page(cells: Cells, docs: Path, table: str) -> None:
    """Write the page of a table that is kept."""
    page = cells.need(table).result
    places = places_of(cells, parts_of(page))
    text = [
        f"Made by `{page['command']}`: {page['episodes']:,} held-out storms a city (seed {page['seed']}); brackets "
        "are 95 % intervals over storms, differences paired on them."
    ]
    if page["figure"]:
        text.append(f"![Mean outage against mean gap at several limits]({PICTURES}/{picture_of(table)})")
    text.append(markdown(heads(places), rows(places)))
    Page(f"restoration-{table}", TITLES.get(table, table), "restoration").write(docs, "\n\n".join(text))


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the pages of all tables that are kept."""
    for key in cells.all_keys():
        if "/" not in key:
            write_page(cells, docs, key)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name or number)."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    torch.set_num_threads(1)
    cells = settings.kept(BENCHMARK)
    try:
        if settings.episodes < 2:
            raise ValueError(f"--episodes must be at least 2, for intervals; got {settings.episodes}")
        if any(not 0 < limit < np.inf for limit in settings.limits):
            raise ValueError(f"--limits must be positive numbers of hours; got {settings.limits}")
        if any(not 0 <= shock <= 2 for shock in settings.shocks):
            raise ValueError(f"--shocks must be in [0, 2]; got {settings.shocks}")
        for item in settings.agents:  # before hours of play, not after
            resolve_agents([item], ENV_ID)
        parts = play_all(cells, settings)
    except (KeyError, ValueError, OSError) as error:
        print(f"restoration.transfer: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    cells.collect(key for part in parts for entry in part.entries for key in entry.keys)
    places = places_of(cells, parts)
    show(heads(places), rows(places))
    if settings.docs is not None:
        cells.keep_page(page_of(settings, parts), settings.table)
        write_page(cells, settings.docs, settings.table)
        if settings.figure:
            save_picture(draw(places), settings.docs, picture_of(settings.table), dpi=160)
    return 0


if __name__ == "__main__":
    sys.exit(main())
