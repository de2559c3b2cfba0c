"""Plans for the bad storms: CVaR of what a storm costs, beside the mean, on storms of known law and over held-out ones.

    python -m benchmarks.dispatch.risk --docs docs

`law`: 60 storms, planned for on samples of their true law and judged on 1,000 others; `samples`: the same by number of
samples; `storms`: seeds with fitted forecasters, the worst tenth of all held-out storms, and each storm's true law;
`days`: plans that are made again each day; `gen-dfl`: the generator tuned on what its plans cost. What is kept is not
measured again, so a run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import tyro

from benchmarks.dispatch.risk.cells import (
    ConditionalCell,
    StormCell,
    conditional_cells,
    day_cells,
    measure_conditional,
    measure_storms,
    sample_cells,
    storm_cells,
    tuned_cells,
)
from benchmarks.dispatch.risk.figures import draw_storm
from benchmarks.dispatch.risk.tables import (
    Conditional,
    Storms,
    conditional_table,
    law_table,
    sample_table,
    storms_table,
    tuned_table,
)
from benchmarks.kit.cells import Cells
from benchmarks.kit.measure import kept_parts, measure_parts
from benchmarks.kit.pages import Page, save_picture
from benchmarks.kit.settings import Keeping, command_of
from stormgym.agents.terminal import make_console

BENCHMARK = "dispatch/risk"
PAGE = Page("dispatch-risk", "Plans for the bad storms", "dispatch")
Part = Literal["law", "samples", "storms", "days", "gen-dfl"]
PARTS: tuple[Part, ...] = ("law", "samples", "storms", "days", "gen-dfl")


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Plans for the bad storms."""

    parts: tuple[Part, ...] = PARTS
    """What is measured."""
    profile: str = "B"
    """Counties, storms and costs."""
    blocks: int = 6
    """Of ten storms of known law each."""
    seeds: int = 5
    """Of forecasters and their storms."""
    small: bool = False
    """A small form for trials: few storms, steps and epochs. Its numbers mean nothing."""

    HOW: ClassVar[tuple[str, ...]] = ("parts",)


def days_table(found: Mapping[str, dict[Any, Any]]) -> str:
    """Plans made each day beside those made once, on the storms that both have met."""
    once = {cell.seed: result for cell, result in found["storms"].items()}
    joined = {}
    for cell, result in found["days"].items():
        n = len(next(iter(result.cost.values())))
        first = {agent: once[cell.seed].cost[agent][:n] for agent in ("mean", "half")}
        joined[cell] = Storms({**first, **result.cost})
    against = storms_table({cell: Storms(both(result.cost)) for cell, result in joined.items()}, base="adaptive")
    return f"{storms_table(joined)}\n\nOf the plans that are made each day alone:\n\n{against}"


def both(cost: dict[str, list[float]]) -> dict[str, list[float]]:
    """Costs of the plans that are made each day."""
    return {agent: values for agent, values in cost.items() if agent.startswith("adaptive")}


TITLES: dict[str, str] = {
    "law": "Storms of known law",
    "samples": "By number of samples",
    "storms": "The worst storms",
    "days": "Day by day",
    "gen-dfl": "The generator tuned on its plans",
}
TABLES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "law": lambda found: conditional_table(found["law"]),
    "samples": lambda found: sample_table(found["samples"]),
    "storms": lambda found: f"{storms_table(found['storms'])}\n\n{law_table(found['storms'])}",
    "days": days_table,
    "gen-dfl": lambda found: tuned_table(found["gen-dfl"]),
}
SMALL_LAW = {"n_storms": 2, "n_plan": 12, "n_judge": 20}
SMALL = {"n_fit": 12, "n_validation": 6, "n_test": 8, "n_truth": 10, "n_steps": 3, "n_epochs": 1}


def cells_of(settings: Settings) -> dict[str, list[Any]]:
    """Cells of every part."""
    law, others = (SMALL_LAW, SMALL) if settings.small else ({}, {})
    place, seeds = settings.profile, settings.seeds
    return {
        "law": conditional_cells(place, settings.blocks, **law),
        "samples": sample_cells(place, settings.blocks, **law),
        "storms": storm_cells(place, seeds, **others),
        "days": day_cells(place, seeds, **others),
        "gen-dfl": tuned_cells(place, seeds, **others),
    }


def measure(cell: ConditionalCell | StormCell) -> dict[str, Any]:
    """The result of a cell of either kind."""
    return measure_conditional(cell) if isinstance(cell, ConditionalCell) else measure_storms(cell)


def read(kept: dict[str, Any]) -> Conditional | Storms:
    """A result of either kind as it is kept."""
    return Conditional.read(kept) if "plans" in kept else Storms.read(kept)


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    cells = settings.kept(BENCHMARK)
    wanted = {part: members for part, members in cells_of(settings).items() if part in settings.parts}
    measure_parts(cells, wanted, measure, read)
    found = kept_parts(cells, cells_of(settings), read)
    console = make_console()
    for part in shown(found, settings.parts):
        console.print(f"\n{part}\n{TABLES[part](found)}", markup=False)
    if settings.docs is not None:
        cells.keep_page(settings.decisive())
        write_pages(cells, settings.docs)
        save_picture(draw_storm(settings.profile), settings.docs, "dispatch_risk.png")
    return 0


def shown(found: Mapping[str, Any], parts: tuple[str, ...]) -> list[str]:
    """The parts that can be shown: plans made each day stand beside those made once."""
    return [part for part in parts if part in found and (part != "days" or "storms" in found)]


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page of all parts that are kept, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    settings = Settings.told(page)
    found = kept_parts(cells, cells_of(settings), read)
    tables = [f"## {TITLES[part]}\n\n{TABLES[part](found)}" for part in shown(found, PARTS)]
    command = command_of("dispatch.risk", settings, Settings())
    PAGE.write(docs, "\n\n".join([f"Made by `{command}`.", *tables]))
