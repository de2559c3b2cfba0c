"""Forecasts for plans: GDF, SPO+, two-stage and sampled forecasts beside online rules, the optimum and the floor.

    python benchmarks/dispatch_learning.py --docs docs/dispatch_results.md --folder docs/img

Every seed draws its own storms to fit on (160), to choose by (100) and to be scored on (200); regret is the mean cost
above that of the plans for the true waves. Intervals are Student's t over seeds, of paired differences within a seed.
Seeds that are in `--results` are not measured again, so a run that was stopped goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from dispatch_results.cells import Cell, measured, order, sweep_cells, table_cells, weight_cells, withheld_cells
from dispatch_results.figures import draw_cities, draw_sweeps, draw_table
from dispatch_results.tables import sweep_table, table_of, weight_table
from learning_cells import Result, measure_parts
from pages import replace_block

from stormgym.agents.evaluation.figures import save_png
from stormgym.agents.terminal import make_console

Part = Literal["table", "withheld", "weights", "sweeps", "cities"]
PARTS: tuple[Part, ...] = ("table", "withheld", "weights", "sweeps", "cities")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Forecasts for plans, beside online rules, the optimum and the floor."""

    parts: tuple[Part, ...] = PARTS
    """What is measured: costs of transport (table), with covariates withheld, weights of the fit beside the decision,
    one cost after the other (sweeps), and a picture of three cities."""
    profile: str = "B"
    """Counties, storms and costs; fine-tuning was tried out on A."""
    seeds: int = 10
    """Of table and withheld; weights take half of them and sweeps 3, or fewer if these are fewer."""
    small: bool = False
    """A small form for trials: few storms, steps and epochs. Its numbers mean nothing."""
    results: Path = Path("benchmarks/results/dispatch")
    """Where each seed's numbers are kept."""
    docs: Path | None = None
    """Page whose blocks get the tables."""
    folder: Path | None = None
    """Where figures go."""


SMALL = {"n_fit": 12, "n_validation": 6, "n_test": 8, "n_steps": 3, "n_epochs": 1}


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    others = SMALL if settings.small else {}
    half = max(settings.seeds // 2, 1)
    cells: dict[str, list[Cell]] = {
        "table": table_cells(settings.profile, settings.seeds, **others),
        "withheld": withheld_cells(settings.profile, settings.seeds, **others),
        "weights": weight_cells(settings.profile, half, **others),
        "sweeps": sweep_cells(settings.profile, min(settings.seeds, 3), **others),
    }
    wanted = {part: cells[part] for part in settings.parts if part in cells}
    console = make_console()
    results = measure_parts(wanted, settings.results, measured, order)
    tables: dict[str, Callable[[dict[Cell, Result]], str]] = {
        "table": table_of,
        "withheld": table_of,
        "weights": weight_table,
        "sweeps": sweep_table,
    }
    for part, found in results.items():
        text = tables[part](found)
        console.print(f"\n{part}\n{text}", markup=False)
        if settings.docs is not None:
            replace_block(settings.docs, f"dispatch_{part}", text)
    if settings.folder is not None:
        if "table" in results:
            save_png(draw_table(results["table"]), settings.folder / "dispatch_table.png")
        if "sweeps" in results:
            save_png(draw_sweeps(results["sweeps"]), settings.folder / "dispatch_sweeps.png")
        if "cities" in settings.parts:
            cell = Cell(seed=0, profile=settings.profile, transport_cost=100.0, **others)  # type: ignore[arg-type]
            save_png(draw_cities(cell), settings.folder / "dispatch_cities.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
