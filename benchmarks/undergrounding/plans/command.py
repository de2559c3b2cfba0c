"""Plans for lines underground against storms that come and storms that are worst: tri-level Tables II and IV, Fig. 3.

    python benchmarks/undergrounding_table.py --docs docs/undergrounding_table.md --folder docs/img

Every seed draws its own cities, costs and storms: 60 to fit forecasts on, 100 to calibrate sets on, 40 to plan for. All
methods are scored with one set, that of normalised conformal prediction (NCP), and crews respond at their best once the
storm is known. Intervals are Student's t over seeds, of paired differences within a seed. Seeds that are in `--results`
are not measured again, so a run that was stopped goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from pages import replace_block
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from undergrounding_results.cells import PROFILES, Cell, Result, measure_all, swept, table_cells
from undergrounding_results.figures import draw_map, draw_sweeps
from undergrounding_results.tables import coverage_table, loss_table, sweep_table

from stormgym.agents.evaluation.figures import save_png
from stormgym.agents.terminal import make_console

Part = Literal["table", "coverage", "sweeps", "map"]
PARTS: tuple[Part, ...] = ("table", "coverage", "sweeps", "map")
MAP_REGIONS, MAP_SEED = 10, 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Plans for lines underground, scored in storms that come and in the worst ones."""

    parts: tuple[Part, ...] = PARTS
    """Losses by method (table), how often sets hold (coverage), one number after the other (sweeps), and a picture of
    two plans (map)."""
    seeds: int = 10
    """Of table and coverage; sweeps take half of them."""
    small: bool = False
    """A small form for trials: few storms and low levels. Its numbers mean nothing."""
    results: Path = Path("benchmarks/results/undergrounding")
    """Where each seed's numbers are kept."""
    docs: Path | None = None
    """Page whose blocks get the tables."""
    folder: Path | None = None
    """Where figures go."""


SMALL: dict[str, Any] = {"n_fit": 12, "n_calibration": 12, "n_test": 3, "level": 0.9}


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    others = SMALL if settings.small else {}
    few = {"n_coverage": 50} if settings.small else {}
    table = table_cells(settings.seeds, **others, **few) if {"table", "coverage"} & set(settings.parts) else []
    sweeps = swept(max(settings.seeds // 2, 1), **others) if "sweeps" in settings.parts else []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=make_console(stderr=True)) as progress:

        def found(part: str, cells: list[Cell]) -> dict[Cell, Result]:
            task = progress.add_task(part, total=len(set(cells)))
            return measure_all(cells, settings.results, lambda _: progress.advance(task))

        results = found("table", table)
        by_cell = found("sweeps", [cell for _, cell in sweeps])
    groups: dict[tuple[str, str, float], list[Result]] = {}
    for key, cell in sweeps:
        groups.setdefault(key, []).append(by_cell[cell])
    texts: dict[str, Callable[[], str]] = {
        "table": lambda: loss_table(results),
        "coverage": lambda: coverage_table(results),
        "sweeps": lambda: sweep_table(groups),
    }
    console = make_console()
    for part in settings.parts:
        if part in texts:
            text = texts[part]()
            console.print(f"\n{part}\n{text}", markup=False)
            if settings.docs is not None:
                replace_block(settings.docs, f"undergrounding_{part}", text)
    if settings.folder is not None:
        if "sweeps" in settings.parts:
            for profile in PROFILES:
                save_png(draw_sweeps(groups, profile), settings.folder / f"undergrounding_sweeps_{profile}.png")
        if "map" in settings.parts:
            cell = Cell(seed=MAP_SEED, profile="ten", n_regions=MAP_REGIONS, n_coverage=0, **others)
            save_png(draw_map(cell), settings.folder / "undergrounding_map.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
