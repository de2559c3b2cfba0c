"""Plans for lines underground against storms that come and storms that are worst: tri-level Tables II and IV, Fig. 3.

    python -m benchmarks.undergrounding.plans --docs docs

Every seed draws its own cities, costs and storms: 60 to fit forecasts on, 100 to calibrate sets on, 40 to plan for. All
methods are scored with one set, that of normalised conformal prediction (NCP), and crews respond at their best once the
storm is known. Intervals are Student's t over seeds, of paired differences within a seed. Seeds that are kept are not
measured again, so a run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import tyro

from benchmarks.kit.cells import Cells
from benchmarks.kit.measure import kept_parts, measure_parts
from benchmarks.kit.pages import Page, save_picture, write_summary
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.undergrounding.plans.cells import PROFILES, PlanCell, Result, measure, swept, table_cells
from benchmarks.undergrounding.plans.figures import draw_map, draw_sweeps
from benchmarks.undergrounding.plans.tables import Swept, coverage_table, loss_table, summary_table, sweep_table
from stormgym.agents.terminal import make_console

BENCHMARK = "undergrounding/plans"
PAGE = Page("undergrounding-plans", "Plans for lines underground", "undergrounding")
Part = Literal["table", "coverage", "sweeps", "map"]
PARTS: tuple[Part, ...] = ("table", "coverage", "sweeps", "map")
HEADS = {
    "table": "Losses",
    "coverage": "How often sets hold",
    "sweeps": "Noise, budgets, crews and cities: the worst storm of the whole set",
}
MAP_REGIONS, MAP_SEED = 10, 1
Found = Mapping[str, dict[PlanCell, Result]]


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Plans for lines underground, scored in storms that come and in the worst ones."""

    parts: tuple[Part, ...] = PARTS
    """Losses by method (table), how often sets hold (coverage), one number after the other (sweeps), and a picture of
    two plans (map)."""
    seeds: int = 10
    """Of table and coverage; sweeps take half of them."""
    small: bool = False
    """A small form for trials: few storms and low levels. Its numbers mean nothing."""

    HOW: ClassVar[tuple[str, ...]] = ("parts",)


SMALL: dict[str, Any] = {"n_fit": 12, "n_calibration": 12, "n_test": 3, "level": 0.9}


def cells_of(settings: Settings) -> dict[str, list[PlanCell]]:
    """Cells of the table, which are those of coverage as well, and of the sweeps."""
    others = SMALL if settings.small else {}
    few = {"n_coverage": 50} if settings.small else {}
    return {
        "table": table_cells(settings.seeds, **others, **few),
        "sweeps": [cell for _, cell in _swept(settings)],
    }


def _swept(settings: Settings) -> list[tuple[tuple[str, str, float], PlanCell]]:
    return swept(max(settings.seeds // 2, 1), **(SMALL if settings.small else {}))


def texts_of(settings: Settings, found: Found) -> dict[str, str]:
    """Tables in words, by part."""
    texts = {}
    if "table" in found:
        texts = {"table": loss_table(found["table"]), "coverage": coverage_table(found["table"])}
    if "sweeps" in found:
        texts["sweeps"] = sweep_table(by_value(settings, found["sweeps"]))
    return texts


def by_value(settings: Settings, results: dict[PlanCell, Result]) -> Swept:
    """Results of the sweeps by profile, number and value: those of the usual value stand in several."""
    groups: Swept = {}
    for key, cell in _swept(settings):
        groups.setdefault(key, []).append(results[cell])
    return groups


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    cells = settings.kept(BENCHMARK)
    needed = {"table": {"table", "coverage"}, "sweeps": {"sweeps"}}
    wanted = {part: members for part, members in cells_of(settings).items() if needed[part] & set(settings.parts)}
    found = measure_parts(cells, wanted, measure, Result.read)
    console = make_console()
    for part, text in texts_of(settings, found).items():
        if part in settings.parts:
            console.print(f"\n{part}\n{text}", markup=False)
    if settings.docs is not None:
        cells.keep_page(settings.decisive())
        write_pages(cells, settings.docs)
        draw(settings, found, settings.docs)
    return 0


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page of all parts that are kept, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    settings = Settings.told(page)
    found = kept_parts(cells, cells_of(settings), Result.read)
    tables = [f"## {HEADS[part]}\n\n{text}" for part, text in texts_of(settings, found).items()]
    command = command_of("undergrounding.plans", settings, Settings())
    PAGE.write(docs, "\n\n".join([f"Made by `{command}`.", *tables]))
    if "table" in found:
        write_summary(docs, "undergrounding", summary_table(found["table"]))


def draw(settings: Settings, found: Found, docs: Path) -> None:
    """Write the pictures of the parts that were asked for."""
    if "sweeps" in found:
        for profile in PROFILES:
            figure = draw_sweeps(by_value(settings, found["sweeps"]), profile)
            save_picture(figure, docs, f"undergrounding_sweeps_{profile}.png")
    if "map" in settings.parts:
        others = SMALL if settings.small else {}
        cell = PlanCell(seed=MAP_SEED, profile="ten", n_regions=MAP_REGIONS, n_coverage=0, **others)
        save_picture(draw_map(cell), docs, "undergrounding_map.png")
