"""Forecasts for plans: GDF, SPO+, two-stage, sampled and SO-EBM beside online rules, the optimum and the floor.

    python -m benchmarks.dispatch.forecasts --docs docs

Every seed draws its own storms to fit on (160), to choose by (100) and to be scored on (200); regret is the mean cost
above that of the plans for the true waves. Intervals are Student's t over seeds, of paired differences within a seed.
Seeds that are kept are not measured again, so a run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import tyro

from benchmarks.dispatch.forecasts.cells import (
    ForecastCell,
    energy_cells,
    measure,
    order,
    storms_of,
    sweep_cells,
    table_cells,
    weight_cells,
    withheld_cells,
)
from benchmarks.dispatch.forecasts.figures import draw_cities, draw_sweeps, draw_table
from benchmarks.dispatch.forecasts.tables import energy_table, summary_table, sweep_table, table_of, weight_table
from benchmarks.kit.cells import Cells
from benchmarks.kit.measure import kept_parts, measure_parts
from benchmarks.kit.pages import Page, save_picture, write_summary
from benchmarks.kit.regret import Result, joined
from benchmarks.kit.settings import Keeping, command_of
from stormgym.agents.terminal import make_console

BENCHMARK = "dispatch/forecasts"
PAGE = Page("dispatch-forecasts", "Forecasts for plans of generators", "dispatch")
Part = Literal["table", "withheld", "energy", "weights", "sweeps", "cities"]
PARTS: tuple[Part, ...] = ("table", "withheld", "energy", "weights", "sweeps", "cities")
Found = Mapping[str, dict[ForecastCell, Result]]


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Forecasts for plans, beside online rules, the optimum and the floor."""

    parts: tuple[Part, ...] = PARTS
    """What is measured: costs of transport (table), with covariates withheld, the energy-based model in both, weights
    of the fit beside the decision, one cost after the other (sweeps), and a picture of three cities."""
    profile: str = "B"
    """Counties, storms and costs; fine-tuning was tried out on A."""
    seeds: int = 10
    """Of table, withheld and energy; weights take half of them and sweeps 3, or fewer if these are fewer."""
    small: bool = False
    """A small form for trials: few storms, steps and epochs. Its numbers mean nothing."""

    HOW: ClassVar[tuple[str, ...]] = ("parts",)


SMALL = {"n_fit": 12, "n_validation": 6, "n_test": 8, "n_steps": 3, "n_epochs": 1}
TABLES: dict[str, tuple[str, Callable[[dict[ForecastCell, Result]], str]]] = {
    "table": ("Costs of a trip", table_of),
    "withheld": ("Covariates withheld", table_of),
    "energy": ("An energy-based model of plans", energy_table),
    "weights": ("The weight of the fit", weight_table),
    "sweeps": ("One cost after the other", sweep_table),
}


def cells_of(settings: Settings) -> dict[str, list[ForecastCell]]:
    """Cells of every part that is a table."""
    others = SMALL if settings.small else {}
    half = max(settings.seeds // 2, 1)
    return {
        "table": table_cells(settings.profile, settings.seeds, **others),
        "withheld": withheld_cells(settings.profile, settings.seeds, **others),
        "energy": energy_cells(settings.profile, settings.seeds, **others),
        "weights": weight_cells(settings.profile, half, **others),
        "sweeps": sweep_cells(settings.profile, min(settings.seeds, 3), **others),
    }


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    cells = settings.kept(BENCHMARK)
    wanted = {part: members for part, members in cells_of(settings).items() if part in settings.parts}
    found = measure_parts(cells, wanted, measure, Result.read, order)
    console = make_console()
    for part, results in with_energy(found).items():
        console.print(f"\n{part}\n{TABLES[part][1](results)}", markup=False)
    if settings.docs is not None:
        cells.keep_page(settings.decisive())
        write_pages(cells, settings.docs)
        draw(settings, found, settings.docs)
    return 0


def with_energy(found: Found) -> Found:
    """Results as tables show them: the energy-based model is a row of the others' tables too."""
    energy = found.get("energy", {})
    wide = {part: joined(found[part], energy, storms_of) for part in ("table", "withheld") if part in found}
    return {**found, **wide}


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page of all parts that are kept, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    settings = Settings.told(page)
    found = with_energy(kept_parts(cells, cells_of(settings), Result.read, order))
    tables = [f"## {TABLES[part][0]}\n\n{TABLES[part][1](results)}" for part, results in found.items()]
    command = command_of("dispatch.forecasts", settings, Settings())
    PAGE.write(docs, "\n\n".join([f"Made by `{command}`.", *tables]))
    if "table" in found:
        write_summary(docs, "dispatch", summary_table(found["table"]))


def draw(settings: Settings, found: Found, docs: Path) -> None:
    """Write the pictures of the parts that were asked for."""
    if "table" in found:
        save_picture(draw_table(found["table"]), docs, "dispatch_table.png")
    if "sweeps" in found:
        save_picture(draw_sweeps(found["sweeps"]), docs, "dispatch_sweeps.png")
    if "cities" in settings.parts:
        others = SMALL if settings.small else {}
        cell = ForecastCell(seed=0, profile=settings.profile, transport_cost=100.0, **others)  # type: ignore[arg-type]
        save_picture(draw_cities(cell), docs, "dispatch_cities.png")
