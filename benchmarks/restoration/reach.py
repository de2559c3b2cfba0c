"""How far the planner is from what can be had without foresight: longer searches and more scenarios on the same storms.

    python -m benchmarks.restoration.reach --docs docs

Every form plans by the same forecasts; `clairvoyant-fair` knows the durations. Storms are of records that the price was
not found on and that training never drew. Forms that are kept are not played again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from benchmarks.kit.cells import Cell, Cells
from benchmarks.kit.pages import Page
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import markdown, number, show
from benchmarks.restoration.transfer import label
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.policy import Entrant
from stormgym.agents.registry import agent_spec
from stormgym.agents.statistics import mean_estimate, paired_difference
from stormgym.envs.data import resolve_city

ENV_ID = "Restoration-v0"
PLANNER = "equity-planner"
BENCHMARK = "restoration/reach"
PAGE = Page("restoration-reach", "How far the planner reaches", "restoration")
HEADS = ("planner", "mean outage h", "against the planner h", "%", "mean gap h", "ms a storm")
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    PLANNER: (PLANNER, {}),
    "20 times the search": (PLANNER, {"iterations": 10_000}),
    "10 times the scenarios": (PLANNER, {"n_scenarios": 1_280}),
    "both": (PLANNER, {"iterations": 10_000, "n_scenarios": 1_280}),
    "both, no margin": (PLANNER, {"iterations": 10_000, "n_scenarios": 1_280, "margin": 0.0}),
    "one price": ("priced-planner", {}),
    "no limit": ("repairman", {}),
    "no limit, 20 times the search": ("repairman", {"iterations": 12_000}),
    "clairvoyant-fair": ("clairvoyant-fair", {}),
}
"""Name in the table -> agent and its arguments."""


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """How far the planner is from what can be had without foresight."""

    forms: tuple[str, ...] = tuple(FORMS)
    """Of the planner."""
    city: str = "default"
    """Name or folder."""
    episodes: int = 400
    """Storms."""
    seed: int = 2026
    """Decides the storms."""


@dataclass(frozen=True, kw_only=True)
class Form(Cell):
    """One form of the planner on the storms of one city."""

    name: str
    agent: str
    arguments: dict[str, Any]
    city: str
    """Its fingerprint."""
    episodes: int
    seed: int

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return self.name.replace(" ", "-").replace(",", "")


def forms_of(settings: Settings) -> list[Form]:
    """The planner as it is, then the others.

    Raises:
        KeyError: no such form.
    """
    city = resolve_city(settings.city).fingerprint()
    names = dict.fromkeys((PLANNER, *settings.forms))
    unknown = [name for name in names if name not in FORMS]
    if unknown:
        raise KeyError(f"unknown form {unknown[0]!r}; there are {', '.join(FORMS)}")
    return [
        Form(
            name=name,
            agent=FORMS[name][0],
            arguments=FORMS[name][1],
            city=city,
            episodes=settings.episodes,
            seed=settings.seed,
        )
        for name in names
    ]


def play(form: Form, settings: Settings) -> dict[str, Any]:
    """Outage and gap of every storm, and the time of a plan."""
    make: Callable[[Any], Any] = partial(agent_spec(form.agent).load().for_env, **form.arguments)
    (known,) = resolve_agents([form.agent], ENV_ID).values()
    env = {"city": settings.city, "split": "test"}
    found = evaluate(
        ENV_ID,
        {form.name: Entrant(make, privileged=known.privileged)},
        episodes=form.episodes,
        seed=form.seed,
        env_kwargs=env,
        latency_episodes=1,
    )
    record = found.agents[form.name]
    n_regions = resolve_city(settings.city).n_regions
    return {
        "outage_h": np.round(record.metrics["mean_outage_h"], 4),
        "gap_h": np.round(record.metrics["gap_h"], 4),
        "storm_ms": record.latency.batched_ms * n_regions,
    }


def rows_of(cells: Cells, keys: Sequence[str]) -> list[tuple[str, ...]]:
    """The table's cells of what is kept, the planner first."""
    kept = [cells.need(key) for key in keys]
    planner = np.array(kept[0].result["outage_h"])
    rows: list[tuple[str, ...]] = []
    for one in kept:
        outage = np.array(one.result["outage_h"])
        behind = share = ""
        if one is not kept[0]:
            difference = paired_difference(outage, planner)
            behind = number(difference, "+", 2)
            share = f"{100 * difference.value / planner.mean():+.2f}"
        gap = number(mean_estimate(one.result["gap_h"]), decimals=2)
        ms = f"{one.result['storm_ms']:,.0f}"
        rows.append((one.cell["name"], f"{outage.mean():.2f}", behind, share, gap, ms))
    return rows


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page, as it was last asked for."""
    page = cells.page()
    if page is not None:
        storms = f"{page['episodes']:,} storms of seed {page['seed']} in city `{page['city']}`"
        made = f"Made by `{page['command']}`: {storms}; ± are 95 % intervals over storms, differences are paired."
        PAGE.write(docs, f"{made}\n\n{markdown(HEADS, rows_of(cells, page['keys']))}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name or number)."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    cells = settings.kept(BENCHMARK)
    try:
        if settings.episodes < 2:
            raise ValueError(f"--episodes must be at least 2, for intervals; got {settings.episodes}")
        forms = forms_of(settings)
        err = Console(stderr=True, emoji=False)
        for form in track(forms, "playing", console=err, transient=True):
            if cells.find(form.key) is None:
                cells.keep(form.key, asdict(form), play(form, settings))
    except (KeyError, ValueError, OSError) as error:
        print(f"restoration.reach: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    keys = [form.key for form in forms]
    cells.collect(keys)
    show(HEADS, rows_of(cells, keys))
    if settings.docs is not None:
        page = {"episodes": settings.episodes, "seed": settings.seed, "city": label(settings.city), "keys": keys}
        cells.keep_page({**page, "command": command_of("restoration.reach", settings, Settings())})
        write_pages(cells, settings.docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
